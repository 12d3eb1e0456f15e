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
	who, err := wire.Load(p.cfg.Data)
	if gatehouse.CodeOf(err) == gatehouse.NotFound {
		who, err = p.joinNow(ctx)
	}
	if err != nil {
		return nil, err
	}
	p.log.Info("gateway of a fleet", "gateway", who.Gateway.String(), "cluster", who.Cluster)
	client, way, err := p.cfg.reach(who)
	if err != nil {
		return nil, err
	}
	if err := who.Remember(way); err != nil {
		p.log.Warn("where control is was not kept: the next start must be told again", "err", err)
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
		limits: limits, bank: client, library: client, feed: client, sink: client, lookup: client.Object, touch: client.Touch, verify: who.VerifyBatch, verifiers: who.SetVerifiers,
		unseal: who.Unseal, gateway: who.Gateway, cluster: who.Cluster, brand: who.Brand,
	}, nil
}

// joinNow asks control until it answers: a fleet comes up in any order. What
// asking again does not mend ends the start.
func (p *program) joinNow(ctx context.Context) (*wire.Identity, error) {
	if p.cfg.JoinToken == "" || len(p.cfg.Control) == 0 {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument,
			"%s is not a gateway's yet: give --control URL and --join-token TOKEN (gatehouse join-tokens create --cluster NAME prints one)", p.cfg.Data)
	}
	way, err := p.cfg.way()
	if err != nil {
		return nil, err
	}
	trust, err := trusting(way.Roots)
	if err != nil {
		return nil, err
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
		if wait(ctx, time.Second); ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// reach returns control as a gateway calls it, and how that is reached: as the
// configuration says, else as it said when the gateway last started.
func (c *Config) reach(who *wire.Identity) (*wire.Client, wire.Way, error) {
	way, err := c.way()
	if err == nil {
		way, err = who.Reach(way)
	}
	if err != nil {
		return nil, way, err
	}
	trust, err := trusting(way.Roots)
	if err != nil {
		return nil, way, err
	}
	client, err := wire.New(wire.Config{Control: way.Control, Identity: who, TLS: trust})
	return client, way, err
}

// refuseMember keeps the default role out of the data directory of a gateway that
// joined a fleet: whoever forgot to name its role would found an installation of
// its own there, which knows no key of the fleet.
func (c *Config) refuseMember() error {
	if c.Role != RoleAll {
		return nil
	}
	who, err := wire.Load(c.Data)
	if err != nil {
		return nil // it has not joined, or what it joined by cannot be read
	}
	return gatehouse.Errorf(gatehouse.FailedPrecondition,
		"%s is the data directory of %s of cluster '%s': start it with --role gateway", c.Data, who, who.Cluster)
}

// way is what the configuration says of how control is reached.
func (c *Config) way() (way wire.Way, err error) {
	way.Control = c.Control
	if c.ControlCA != "" {
		pem, err := os.ReadFile(c.ControlCA)
		if err != nil {
			return way, fmt.Errorf("control_ca_file: %w", err)
		}
		way.Roots = string(pem)
	}
	return way, nil
}

// trusting is what control's certificate is judged by; nil: the system's roots.
func trusting(pem string) (*tls.Config, error) {
	if pem == "" {
		return nil, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(pem)) {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "control_ca_file: holds no certificate (PEM)")
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// withFleet answers gateways beside the management API, on the same listener.
func (p *program) withFleet(up *uplink, api http.Handler) http.Handler {
	gateways := fleet.Handler(fleet.Config{
		Members: joiner{p.service, p, up}, Feed: up.feed, Usage: up.sink, Object: up.lookup, Touch: up.touch, Limits: up.limits, Bank: p.service,
		Verifiers: p.keys.Accepted, Sign: p.keys.SignBatch, Brand: p.cfg.Brand, Log: p.log, Stopping: p.stopping,
	})
	files := http.StripPrefix(wire.LibraryPrefix, p.libraryFace())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, fleet.Prefix):
			gateways.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, wire.LibraryPrefix+"/"):
			files.ServeHTTP(w, r)
		default:
			api.ServeHTTP(w, r)
		}
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
