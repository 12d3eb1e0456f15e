package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/catalogue"
	"gatehouse/internal/serve"
	"gatehouse/internal/simulate"
)

type demoCmd struct {
	Gateway    string `help:"Listen address of the gateway." default:"127.0.0.1:8080"`
	Management string `help:"Listen address of the management plane." default:"127.0.0.1:8090"`
	Metrics    string `help:"Listen address of metrics and probes." default:"127.0.0.1:9090"`
	Once       bool   `help:"Print the lines and stop, instead of running until interrupted."`
}

// Run starts a simulated provider and a fresh Gatehouse in front of it, runs
// every line that it prints, and prints the answer it got: what a reader sees
// after pasting is what stands below the line.
func (c *demoCmd) Run(e *env) error {
	dir, err := os.MkdirTemp("", "gatehouse-demo")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	upstream, err := demoUpstream()
	if err != nil {
		return err
	}
	defer upstream.Close()
	cfg := serve.Defaults()
	cfg.Data, cfg.Bootstrap = filepath.Join(dir, "data"), filepath.Join(dir, "bootstrap.json")
	cfg.Gateway.Listen, cfg.Management.Listen, cfg.Metrics.Listen = c.Gateway, c.Management, c.Metrics
	up, err := serve.ParseUpstreamFlag("http://"+upstream.Addr().String()+"/v1", 0)
	if err != nil {
		return err
	}
	cfg.Upstreams, cfg.Log.Level = append(cfg.Upstreams, up), "warn"
	ctx, stop := context.WithCancel(e)
	defer stop()
	ready, ended := make(chan serve.Addrs, 1), make(chan error, 1)
	go func() {
		ended <- serve.Run(ctx, cfg, serve.Process{Version: version, Stderr: e.err, Ready: func(a serve.Addrs) { ready <- a }})
	}()
	select {
	case err := <-ended:
		return err
	case addrs := <-ready:
		err = (&demo{env: e, addrs: addrs, boot: cfg.Bootstrap}).show()
	}
	if err != nil || c.Once {
		stop()
		return errors.Join(err, <-ended)
	}
	fmt.Fprintln(e.out, "\nRunning until you press Ctrl-C. Nothing is kept.")
	return <-ended
}

func demoUpstream() (net.Listener, error) {
	shipped, err := catalogue.Shipped()
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	srv := &http.Server{Handler: simulate.New(simulate.Options{Models: shipped.Names(), Words: 9}), Protocols: simulate.Protocols()}
	go srv.Serve(l)
	return l, nil
}

// demo is one tour: values that later lines need are exported by earlier ones.
type demo struct {
	*env
	addrs           serve.Addrs
	boot            string
	team, key       string
	secret, limited string
	keyID           string
}

func (d *demo) show() error {
	if err := d.prepare(); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "Gatehouse %s: gateway http://%s, management http://%s, a simulated provider behind them.\nPaste this into another terminal, then each line; below it is what it answers.\n\n",
		version, d.addrs.Gateway, d.addrs.Management)
	fmt.Fprintf(d.out, "export G=http://%s M=http://%s TEAM=%s\nexport GATEHOUSE_URL=$M GATEHOUSE_MANAGEMENT_KEY=%s\nexport KEY=%s LIMITED=%s KEY_ID=%s\n",
		d.addrs.Gateway, d.addrs.Management, d.team, d.key, d.secret, d.limited, d.keyID)
	for _, s := range d.steps() {
		if err := d.step(s); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes the two keys that the tour uses: one free, one tight.
func (d *demo) prepare() error {
	text, err := os.ReadFile(d.boot)
	if err != nil {
		return err
	}
	var b struct {
		TeamID string `json:"team_id"`
		Key    string `json:"management_key"`
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return err
	}
	d.team, d.key = b.TeamID, b.Key
	if d.secret, d.keyID, err = d.create(`{"name":"demo","acls":["api-key:model:*","api-key:endpoint:*"]}`); err != nil {
		return err
	}
	d.limited, _, err = d.create(`{"name":"tight","acls":["api-key:model:grok-4","api-key:endpoint:chat"],"qpm":1}`)
	return err
}

func (d *demo) create(body string) (secret, id string, err error) {
	answer, err := d.fetch("POST", "http://"+d.addrs.Management+"/auth/teams/"+d.team+"/api-keys", d.key, body)
	var made struct{ APIKey, APIKeyID string }
	if err == nil {
		err = json.Unmarshal([]byte(answer), &made)
	}
	if err == nil && made.APIKey == "" {
		err = fmt.Errorf("creating a key: %s", answer)
	}
	if err == nil {
		_, err = d.fetch("GET", "http://"+d.addrs.Management+"/auth/api-keys/"+made.APIKeyID+"/propagation?wait=10s", d.key, "")
	}
	return made.APIKey, made.APIKeyID, err
}

// demoStep is a line to paste and the request that it makes. Answers must not
// change from one call to the next.
type demoStep struct {
	why, method, url, key, body string
}

func (d *demo) steps() []demoStep {
	chat := func(id, model, text string) string {
		return fmt.Sprintf(`{"model":"%s","messages":[{"role":"user","content":"[[sim: id=%s]] %s"}]}`, model, id, text)
	}
	return []demoStep{
		{"Which models may this key use? One of them:", "GET", "$G/v1/models/grok-4", "$KEY", ""},
		{"OpenAI's chat completions, on xAI's model:", "POST", "$G/v1/chat/completions", "$KEY", chat("one", "grok-4", "hello")},
		{"Anthropic's messages, same key:", "POST", "$G/v1/messages", "$KEY", `{"model":"claude-sonnet-4-5","max_tokens":9,"messages":[{"role":"user","content":"[[sim: id=two]] hello"}]}`},
		{"A key that may call only grok-4 asks for another model:", "POST", "$G/v1/chat/completions", "$LIMITED", chat("three", "gpt-4o", "hello")},
		{"A management key is no inference key:", "POST", "$G/v1/chat/completions", "$GATEHOUSE_MANAGEMENT_KEY", chat("four", "grok-4", "hello")},
		{"Is the key enforced everywhere?", "GET", "$M/auth/api-keys/$KEY_ID/propagation", "$GATEHOUSE_MANAGEMENT_KEY", ""},
		{"What may an ACL name?", "GET", "$M/auth/teams/$TEAM/endpoints", "$GATEHOUSE_MANAGEMENT_KEY", ""},
		{"A typo mints nothing:", "POST", "$M/auth/teams/$TEAM/api-keys", "$GATEHOUSE_MANAGEMENT_KEY", `{"name":"typo","acl":["api-key:model:*"]}`},
	}
}

func (d *demo) step(s demoStep) error {
	line := "curl -s " + s.url + ` -H "Authorization: Bearer ` + s.key + `"`
	if s.method == "POST" {
		line += ` -H 'Content-Type: application/json' -d '` + s.body + `'`
	}
	answer, err := d.fetch(s.method, d.expand(s.url), d.expand(s.key), s.body)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\n# %s\n%s\n%s\n", s.why, line, strings.TrimRight(answer, "\n"))
	return nil
}

// expand does what the shell will do with the exported names.
func (d *demo) expand(s string) string {
	return os.Expand(s, func(name string) string {
		switch name {
		case "G":
			return "http://" + d.addrs.Gateway
		case "M":
			return "http://" + d.addrs.Management
		case "TEAM":
			return d.team
		case "KEY":
			return d.secret
		case "LIMITED":
			return d.limited
		case "KEY_ID":
			return d.keyID
		}
		return d.key
	})
}

func (d *demo) fetch(method, url, key, body string) (string, error) {
	ctx, cancel := context.WithTimeout(d, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer bytes.Buffer
	_, err = io.Copy(&answer, resp.Body)
	return answer.String(), err
}

type recoverCmd struct {
	Data     string `help:"Data directory of the installation. With a file as its database nothing may be serving from it." placeholder:"DIR"`
	Database string `help:"PostgreSQL of the installation, which may be serving. Needs --secrets or --data. Default: what GATEHOUSE_DATABASE or GATEHOUSE_DATABASE_FILE say." placeholder:"postgres://..."`
	DSNFile  string `name:"database-file" help:"File that holds --database, whose password everyone on the machine would see." placeholder:"FILE"`
	Secrets  string `help:"Directory of the secrets. Default: DATA/secrets." placeholder:"DIR"`
	JSON     bool   `name:"json" help:"As JSON, as in a bootstrap file."`
}

// Run prints a new management key on standard output, alone.
func (c *recoverCmd) Run(e *env) error {
	cfg := serve.Defaults()
	cfg.Data, cfg.Secrets = c.Data, c.Secrets
	var err error
	if cfg.Database, err = database(c.Database, c.DSNFile); err != nil {
		return err
	}
	if cfg.Data == "" && cfg.Database == "" {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "which installation: --data DIR, or --database URL and --secrets DIR")
	}
	if cfg.Data == "" {
		if c.Secrets == "" {
			return gatehouse.Errorf(gatehouse.InvalidArgument, "--database needs --secrets: the directory that control was started with")
		}
		scratch, err := os.MkdirTemp("", "gatehouse-recover")
		if err != nil {
			return err
		}
		defer os.RemoveAll(scratch)
		cfg.Data = scratch
	}
	for _, dir := range []string{cfg.Data, cmp.Or(c.Secrets, cfg.Data)} {
		if _, err := os.Stat(dir); err != nil {
			return gatehouse.Errorf(gatehouse.NotFound, "no such directory: %v", err)
		}
	}
	made, err := serve.Recover(e, cfg, slog.New(slog.NewTextHandler(e.err, nil)))
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(e.out).Encode(map[string]string{"team_id": made.TeamID.String(), "user_id": made.UserID.String(), "management_key": made.Token.Reveal()})
	}
	fmt.Fprintf(e.err, "team %s; the management key is shown this once:\n", made.TeamID)
	fmt.Fprintln(e.out, made.Token.Reveal())
	return nil
}

type doctorCmd struct {
	settings
	Running string `help:"Ask the process with metrics at URL whether it is ready, and nothing else." placeholder:"URL"`
	JSON    bool   `name:"json" help:"As JSON."`
}

// Run prints one line per finding; any bad one is exit code 1.
func (c *doctorCmd) Run(e *env) error {
	if c.Running != "" {
		return askRunning(e, c.Running)
	}
	cfg, err := c.load()
	if err != nil {
		return err
	}
	findings, bad := serve.Doctor(e, cfg), 0
	for _, f := range findings {
		if !f.OK {
			bad++
		}
	}
	if c.JSON {
		err = json.NewEncoder(e.out).Encode(findings)
	} else {
		for _, f := range findings {
			mark := "ok  "
			switch {
			case !f.OK:
				mark = "BAD "
			case f.Warning:
				mark = "warn"
			}
			fmt.Fprintln(e.out, mark, f.What)
			if f.Fix != "" {
				fmt.Fprintln(e.out, "      fix:", f.Fix)
			}
		}
	}
	if err == nil && bad > 0 {
		err = fmt.Errorf("%d of %d checks failed", bad, len(findings))
	}
	return err
}
