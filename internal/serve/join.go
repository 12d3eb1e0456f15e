package serve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/api/fleet"
	"gatehouse/internal/feed"
	wire "gatehouse/internal/fleet"
)

// join makes this process a gateway, unless it is one, and returns what it
// reaches control by. A member needs nothing but its data directory: control
// may be away.
func (p *program) join(ctx context.Context) (*uplink, error) {
	trust, err := p.cfg.controlTrust()
	if err != nil {
		return nil, err
	}
	who, err := wire.Load(p.cfg.Data)
	if gatehouse.CodeOf(err) == gatehouse.NotFound {
		who, err = p.joinNow(ctx, trust)
	}
	if err != nil {
		return nil, err
	}
	p.log.Info("gateway of a fleet", "gateway", who.Gateway.String(), "cluster", who.Cluster)
	client, err := wire.New(wire.Config{Control: p.cfg.Control, Identity: who, TLS: trust})
	if err != nil {
		return nil, err
	}
	p.later("control", func(context.Context) error { client.Close(); return nil })
	p.later("leaving", func(ctx context.Context) error {
		if err := client.Leave(ctx); err != nil {
			p.log.Info("control was not told that this gateway stops", "err", err)
		}
		return nil
	})
	limits, err := p.shared()
	if err != nil {
		return nil, err
	}
	if limits == nil {
		limits = client
	}
	return &uplink{
		limits: limits, feed: client, sink: client, lookup: client.Object, touch: client.Touch, verify: who.VerifyBatch, verifiers: who.SetVerifiers,
		unseal: who.Unseal, gateway: who.Gateway, cluster: who.Cluster, brand: who.Brand,
	}, nil
}

// joinNow asks control until it answers: a fleet comes up in any order. What
// asking again does not mend ends the start.
func (p *program) joinNow(ctx context.Context, trust *tls.Config) (*wire.Identity, error) {
	if p.cfg.JoinToken == "" || len(p.cfg.Control) == 0 {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument,
			"%s is not a gateway's yet: give --control URL and --join-token TOKEN (gatehouse join-tokens create --cluster NAME prints one)", p.cfg.Data)
	}
	id, err := gatewayID(p.cfg.Data)
	if err != nil {
		return nil, err
	}
	for {
		who, err := wire.Join(ctx, wire.JoinConfig{
			Dir: p.cfg.Data, Control: p.cfg.Control, Token: p.cfg.JoinToken, Gateway: id, Version: p.proc.Version, TLS: trust,
		})
		if err == nil || gatehouse.CodeOf(err) != gatehouse.Unavailable {
			return who, err
		}
		p.log.Warn("control cannot be asked to join yet", "err", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// controlTrust is what control's certificate is judged by; nil: the system's roots.
func (c *Config) controlTrust() (*tls.Config, error) {
	if c.ControlCA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.ControlCA)
	if err != nil {
		return nil, fmt.Errorf("control_ca_file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("control_ca_file: %s holds no certificate (PEM)", c.ControlCA)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// withFleet answers gateways beside the management API, on the same listener.
func (p *program) withFleet(up *uplink, api http.Handler) http.Handler {
	gateways := fleet.Handler(fleet.Config{
		Members: joiner{p.service, p, up}, Feed: up.feed, Usage: up.sink, Object: up.lookup, Touch: up.touch, Limits: up.limits,
		Verifiers: p.keys.Accepted, Brand: p.cfg.Brand, Log: p.log,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, fleet.Prefix) {
			gateways.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
}

// stateDir is where a gateway keeps what it serves, below the data directory.
const stateDir = "state"

// archive keeps on disk what the replica serves, so that this gateway starts
// while control is away. In one process with control there is nothing to keep.
func (p *program) archive(up *uplink, replica *feed.Replica) *feed.Archive {
	if p.cfg.Role != RoleGateway {
		return nil
	}
	a := feed.NewArchive(feed.ArchiveConfig{Dir: filepath.Join(p.cfg.Data, stateDir), Verify: up.verify, Now: p.now, Log: p.log})
	switch err := a.Restore(replica); {
	case err == nil:
		p.log.Info("started from the state on disk", "revision", replica.Applied().String())
	case gatehouse.CodeOf(err) != gatehouse.NotFound:
		p.log.Warn("the state on disk is not used", "err", err)
	}
	return a
}
