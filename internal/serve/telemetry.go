package serve

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/internal/gateway"
	"gatehouse/internal/observe"
)

// TelemetryConfig says what is told to collectors.
type TelemetryConfig struct {
	OTLP OTLPConfig `koanf:"otlp"`
}

// OTLPConfig says where traces and metrics go. Without an endpoint the standard
// OTEL_EXPORTER_OTLP_* variables decide, and without those nothing is sent.
type OTLPConfig struct {
	Endpoint    string   `koanf:"endpoint"`     // base URL of an OTLP/HTTP collector
	Headers     []string `koanf:"headers"`      // NAME=VALUE, sent with every export
	HeadersFile string   `koanf:"headers_file"` // the same, one a line: for those that hold a credential
	Sample      float64  `koanf:"sample"`       // share of the traces that begin here; 0: OTEL_TRACES_SAMPLER, else all
}

// check reports what is wrong, without quoting a header: it may be a credential.
func (o *OTLPConfig) check() error {
	if o.Endpoint != "" {
		if u, err := url.Parse(o.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
			return errors.New("telemetry.otlp.endpoint: must be a URL such as http://127.0.0.1:4318, without user and password")
		}
	}
	if o.Sample < 0 || o.Sample > 1 {
		return errors.New("telemetry.otlp.sample: must be from 0 to 1")
	}
	_, err := headersOf(o.Headers)
	return err
}

// headers are those of the configuration and of the file.
func (o *OTLPConfig) headers() (map[string]string, error) {
	lines := o.Headers
	if o.HeadersFile != "" {
		text, err := os.ReadFile(o.HeadersFile)
		if err != nil {
			return nil, fmt.Errorf("telemetry.otlp.headers_file: %w", err)
		}
		lines = append(lines[:len(lines):len(lines)], strings.Split(string(text), "\n")...)
	}
	return headersOf(lines)
}

func headersOf(lines []string) (map[string]string, error) {
	out := map[string]string{}
	for i, line := range lines {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, fmt.Errorf("telemetry.otlp.headers: number %d is not NAME=VALUE", i+1)
		}
		out[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return out, nil
}

// startTelemetry starts what is sent to collectors, if anything is.
func (p *program) startTelemetry(ctx context.Context, registry *prometheus.Registry) error {
	o := &p.cfg.Telemetry.OTLP
	headers, err := o.headers()
	if err != nil {
		return err
	}
	p.observer, err = observe.New(ctx, observe.Config{
		Endpoint: o.Endpoint, Headers: headers, Sample: o.Sample, Gatherer: registry,
		Role: p.cfg.Role, Cluster: p.cfg.Cluster, Version: p.proc.Version, Log: p.log,
	}, os.Getenv)
	if err != nil || p.observer == nil {
		return err
	}
	p.later("telemetry", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, stepTime) // a collector that is away must not hold the stop
		defer cancel()
		return p.observer.Close(ctx)
	})
	return p.observer.Register(registry)
}

// settledBy is the hook of a gateway; no telemetry is no hook, so that a
// request pays nothing.
func settledBy(t *observe.Telemetry) func(*gateway.Settled) {
	if t == nil {
		return nil
	}
	return t.Settled
}
