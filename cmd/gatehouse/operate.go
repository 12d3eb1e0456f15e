package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"time"

	"gatehouse"
	"gatehouse/internal/catalogue"
	"gatehouse/internal/serve"
	"gatehouse/internal/simulate"
)

// settings are the flags that shape a configuration.
type settings struct {
	ConfigFile string   `name:"config" help:"Configuration file (YAML)." type:"existingfile" placeholder:"FILE"`
	Data       string   `help:"Directory of the database and the journal." placeholder:"DIR"`
	Secrets    string   `help:"Directory of the installation's secrets. Default: DATA/secrets." placeholder:"DIR"`
	Role       string   `help:"all, control or gateway." placeholder:"ROLE"`
	Gateway    string   `help:"Listen address of the gateway. Default: 127.0.0.1:8080." placeholder:"ADDR"`
	Management string   `help:"Listen address of the management plane. Default: 127.0.0.1:8090." placeholder:"ADDR"`
	Metrics    string   `help:"Listen address of metrics and probes. Default: 127.0.0.1:9090." placeholder:"ADDR"`
	Cluster    string   `help:"Cluster of this gateway. Default: local." placeholder:"NAME"`
	Database   string   `help:"PostgreSQL that holds the truth, instead of a file in the data directory." placeholder:"postgres://..."`
	Authority  string   `help:"Valkey or Redis that shares limits between gateways. Without it control does." placeholder:"redis://..."`
	Control    []string `help:"Where a gateway finds control: URL of its management listener. Repeatable." placeholder:"URL"`
	JoinToken  string   `name:"join-token" help:"Makes this process a gateway; needed once." placeholder:"TOKEN"`
	ControlCA  string   `name:"control-ca" help:"Roots (PEM) to trust control by, instead of the system's." placeholder:"FILE"`
	Upstream   []string `help:"Base URL with its /v1 of a provider, as openai=URL, anthropic=URL, xai=URL, or bare for everything. Repeatable." placeholder:"[KIND=]URL"`
	Bootstrap  string   `name:"bootstrap-file" help:"Where the first start writes the first management key (mode 0600)." placeholder:"FILE"`
	TLSCert    string   `name:"tls-cert" help:"Certificate chain (PEM)." placeholder:"FILE"`
	TLSKey     string   `name:"tls-key" help:"Private key (PEM)." placeholder:"FILE"`
	Insecure   bool     `help:"Allow plain HTTP on addresses that are not loopback."`
}

// load merges file, environment and flags, and checks the result.
func (s *settings) load() (serve.Config, error) {
	cfg, err := serve.Load(s.ConfigFile, os.Environ)
	if err != nil {
		return cfg, err
	}
	for _, f := range []struct {
		flag string
		into *string
	}{
		{s.Data, &cfg.Data}, {s.Secrets, &cfg.Secrets}, {s.Role, &cfg.Role}, {s.Gateway, &cfg.Gateway.Listen},
		{s.Management, &cfg.Management.Listen}, {s.Metrics, &cfg.Metrics.Listen}, {s.Cluster, &cfg.Cluster},
		{s.Bootstrap, &cfg.Bootstrap}, {s.TLSCert, &cfg.TLSCert}, {s.TLSKey, &cfg.TLSKey},
		{s.Database, &cfg.Database}, {s.Authority, &cfg.Authority}, {s.JoinToken, &cfg.JoinToken}, {s.ControlCA, &cfg.ControlCA},
	} {
		if f.flag != "" {
			*f.into = f.flag
		}
	}
	cfg.Insecure = cfg.Insecure || s.Insecure
	if len(s.Control) > 0 {
		cfg.Control = s.Control
	}
	for i, u := range s.Upstream {
		up, err := serve.ParseUpstreamFlag(u, i)
		if err != nil {
			return cfg, gatehouse.Errorf(gatehouse.InvalidArgument, "%v", err)
		}
		cfg.Upstreams = append(cfg.Upstreams, up)
	}
	if err := cfg.Check(); err != nil {
		return cfg, gatehouse.Errorf(gatehouse.InvalidArgument, "%v", err)
	}
	return cfg, nil
}

type serveCmd struct{ settings }

// Run serves until a signal.
func (c *serveCmd) Run(e *env) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	return serve.Run(e, cfg, serve.Process{Version: version, Stderr: e.err, Terminal: e.terminal()})
}

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Report everything wrong with a configuration, without starting."`
}

type configCheckCmd struct{ settings }

// Run checks and says so.
func (c *configCheckCmd) Run(e *env) error {
	if _, err := c.load(); err != nil {
		return err
	}
	fmt.Fprintln(e.out, "configuration ok")
	return nil
}

type versionCmd struct {
	JSON bool `name:"json" help:"As JSON."`
}

// Run prints what this binary is.
func (c *versionCmd) Run(e *env) error {
	if c.JSON {
		return json.NewEncoder(e.out).Encode(map[string]string{"version": version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH})
	}
	fmt.Fprintln(e.out, "gatehouse", version)
	return nil
}

type simulateCmd struct {
	Listen string `help:"Listen address." default:"127.0.0.1:9100"`
	Kind   string `help:"Whose habits of counting: openai, anthropic or xai." enum:"openai,anthropic,xai" default:"openai"`
	Key    string `help:"Credential to demand." env:"GATEHOUSE_SIMULATE_KEY"`
	Words  int    `help:"Words of an answer." default:"16"`
	Ledger string `help:"Append one JSON line per request to this file." placeholder:"FILE"`
}

// Run serves the simulated provider until a signal.
func (c *simulateCmd) Run(e *env) error {
	opt := simulate.Options{Kind: gatehouse.UpstreamKind(c.Kind), Key: c.Key, Words: c.Words}
	shipped, err := catalogue.Shipped()
	if err != nil {
		return err
	}
	opt.Models = shipped.Names()
	if c.Ledger != "" {
		f, err := os.OpenFile(c.Ledger, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		opt.Ledger = f
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: simulate.New(opt), Protocols: simulate.Protocols(), ReadHeaderTimeout: 10 * time.Second}
	fmt.Fprintf(e.err, "simulated upstream on http://%s/v1\n", l.Addr())
	go func() {
		<-e.Done()
		srv.Close()
	}()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
