package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"gatehouse"
	"gatehouse/internal/api"
	"gatehouse/internal/api/admin"
	"gatehouse/internal/api/xai"
	"gatehouse/internal/control"
	"gatehouse/internal/feed"
	"gatehouse/internal/gateway"
	"gatehouse/internal/limit"
	"gatehouse/internal/meter"
	"gatehouse/internal/store"
)

// Process is what the program has besides its configuration.
type Process struct {
	Version  string
	Stderr   io.Writer
	Terminal bool        // standard error is one: the first key may be shown there
	Ready    func(Addrs) // called once all listeners answer; may be nil
	// HoldUsage leaves usage in the journal. It is for the bench, which measures
	// what a gateway costs without the control plane in the same process.
	HoldUsage bool
}

// Addrs are the addresses that listeners ended up with.
type Addrs struct{ Gateway, Management, Metrics string }

// drainTime is how long a stop waits for running streams and for usage to be
// ingested.
const drainTime = 30 * time.Second

// stepTime is what every step of a stop may take, however long those before it
// did: a stream that outlasts the drain must not cost the usage of all others
// its ingestion.
const stepTime = 5 * time.Second

// Run serves until ctx ends, then drains and stops in reverse order.
func Run(ctx context.Context, cfg Config, proc Process) error {
	if proc.Stderr == nil {
		proc.Stderr = os.Stderr
	}
	log, out := newLogger(cfg.Log, proc.Stderr)
	flushing, flushed := context.WithCancel(context.Background())
	var flusher sync.WaitGroup
	flusher.Go(func() { out.keep(flushing) })
	defer flusher.Wait()
	defer flushed()
	h, err := open(ctx, cfg, log)
	if err != nil {
		return err
	}
	p := &program{house: h, proc: proc}
	p.later("database", func(context.Context) error { return h.store.Close() })
	err = p.start(ctx)
	if err == nil {
		log.Info("serving", "version", proc.Version, "gateway", p.addrs.Gateway, "management", p.addrs.Management, "metrics", p.addrs.Metrics)
		if proc.Ready != nil {
			proc.Ready(p.addrs)
		}
		select {
		case <-ctx.Done():
			log.Info("stopping", "drain", drainTime.String())
		case err = <-p.failed:
			log.Error("a listener failed", "err", err)
		}
	}
	return errors.Join(err, p.stop())
}

// program is a running house. What is started registers how it is stopped;
// stop goes through that from the end.
type program struct {
	*house
	proc   Process
	addrs  Addrs
	failed chan error
	stops  []stopper
	// follower is kept for the drill that freezes it.
	follower *feed.Follower
}

type stopper struct {
	name string
	stop func(context.Context) error
}

func (p *program) later(name string, stop func(context.Context) error) {
	p.stops = append(p.stops, stopper{name, stop})
}

// loop runs f until the program stops, and waits for its end then.
func (p *program) loop(name string, f func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { f(ctx) })
	p.later(name, func(context.Context) error {
		cancel()
		done.Wait()
		return nil
	})
}

// every runs f at intervals until ctx ends, and once more then.
func every(ctx context.Context, interval time.Duration, f func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			done = true
		}
		f()
	}
}

func (p *program) stop() error {
	end := time.Now().Add(drainTime)
	var errs []error
	for i := len(p.stops) - 1; i >= 0; i-- {
		ctx, cancel := context.WithTimeout(context.Background(), max(time.Until(end), stepTime))
		if err := p.stops[i].stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stopping %s: %w", p.stops[i].name, err))
		}
		cancel()
	}
	return errors.Join(errs...)
}

// start brings up the floors from below: records, then the replica, then the
// gateway that reads it, then whatever accepts connections.
func (p *program) start(ctx context.Context) error {
	p.failed = make(chan error, 3)
	if err := p.settle(ctx); err != nil {
		return err
	}
	p.loop("checkpoints", p.checkpoints)
	p.loop("trimming", p.trim)
	registry := prometheus.NewRegistry()
	gw, err := p.dataPlane(registry)
	if err != nil {
		return err
	}
	probes := http.NewServeMux()
	probes.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	probes.Handle("GET /healthz", gw)
	probes.HandleFunc("GET /readyz", gw.ServeReady)
	for _, l := range []struct {
		name, addr string
		handler    http.Handler
		secure     bool
		bound      *string
	}{
		{"metrics", p.cfg.Metrics.Listen, probes, false, &p.addrs.Metrics},
		{"management", p.cfg.Management.Listen, p.managementPlane(), true, &p.addrs.Management},
		{"gateway", p.cfg.Gateway.Listen, gw, true, &p.addrs.Gateway},
	} {
		bound, err := p.cfg.listen(l.name, l.addr, l.handler, l.secure)
		if err != nil {
			return err
		}
		*l.bound = bound.socket.Addr().String()
		p.later(l.name, bound.stop)
		go func() {
			if err := bound.run(); err != nil {
				p.failed <- err
			}
		}()
	}
	p.later("waits", func(context.Context) error { close(p.stopping); return nil }) // stopped first: those who wait hold listeners open
	return nil
}

// settle makes what a first start makes, and what the configuration declares.
func (p *program) settle(ctx context.Context) error {
	made, first, err := p.service.Bootstrap(ctx, p.keepBootstrap)
	if err != nil {
		return err
	}
	if first {
		p.showBootstrap(made)
	}
	shipped, err := Shipped()
	if err != nil {
		return err
	}
	file, err := p.cfg.Declaration()
	if err != nil {
		return err
	}
	report, err := p.service.Declare(ctx, shipped, file)
	for _, drift := range report.Drift {
		p.log.Warn("configuration and database differ", "drift", drift)
	}
	return err
}

// keepBootstrap puts the first key where its owner will find it and nobody
// else: a file of mode 0600. It runs inside the transaction that makes the key,
// so that a path that cannot be written leaves nothing behind and the next
// start is the first again.
func (p *program) keepBootstrap(b control.Bootstrapped) error {
	if p.cfg.Bootstrap == "" {
		return nil
	}
	if err := writeBootstrap(p.cfg.Bootstrap, b); err != nil {
		return fmt.Errorf("bootstrap file: %w", err)
	}
	return nil
}

// showBootstrap says where the first key is, or shows it on a terminal; never
// in a log.
func (p *program) showBootstrap(b control.Bootstrapped) {
	switch path := p.cfg.Bootstrap; {
	case path != "":
		p.log.Info("first start: the management key is in the bootstrap file", "file", path, "team", b.TeamID.String())
	case p.proc.Terminal:
		fmt.Fprintf(p.proc.Stderr, "\nTeam %s\nManagement key, shown this once:\n\n  %s\n\n", b.TeamID, b.Token.Reveal())
	default:
		p.log.Warn("first start: the management key was not shown, since this is no terminal and there is no --bootstrap-file; mint one with gatehouse recover", "team", b.TeamID.String())
	}
}

// trimEvery is how often old change rows and expired memory are dropped;
// changeAge is how far back a gateway can catch up without a snapshot.
const (
	trimEvery = time.Hour
	changeAge = 7 * 24 * time.Hour
)

func (p *program) trim(ctx context.Context) {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := p.store.Work(ctx, func(w store.Work) error { return w.Trim(p.now().Add(-changeAge)) }); err != nil {
				p.log.Error("trimming failed", "err", err)
			}
		}
	}
}

func (p *program) managementPlane() http.Handler {
	return api.New(api.BackendFunc(func(c *gatehouse.Call) api.Caller { return p.service.As(c) }),
		api.Options{Brand: p.cfg.Brand, Logger: p.log, Now: p.now, Rate: float64(p.cfg.Management.Rate)}, xai.Face(), admin.Face())
}

// dataPlane starts the follower of changes, the journal with its shipper, and
// the gateway on top.
func (p *program) dataPlane(registry prometheus.Registerer) (*gateway.Gateway, error) {
	id, err := gatewayID(p.cfg.Data)
	if err != nil {
		return nil, err
	}
	replica := feed.NewReplica(p.cfg.Cluster)
	source := feed.NewSource(feed.SourceConfig{Store: p.store, Sign: p.keys.SignBatch, Now: p.now, Log: p.log})
	p.later("feed", func(context.Context) error { source.Close(); return nil })
	p.follower = feed.NewFollower(feed.FollowerConfig{
		Feed: source, Replica: replica, Gateway: id, Cluster: p.cfg.Cluster, Version: p.proc.Version,
		Verify: p.verifyBatch, Now: p.now, Log: p.log,
	})
	p.loop("follower", p.follower.Run)
	durability := meter.Batched
	if p.cfg.Gateway.Durability == "per_request" {
		durability = meter.PerRequest
	}
	journal, err := meter.Open(filepath.Join(p.cfg.Data, journalDir), meter.Options{Gateway: id, Durability: durability, Now: p.now})
	if err != nil {
		return nil, err
	}
	shipper := meter.NewShipper(journal, meter.NewIngester(p.store), meter.ShipperOptions{Log: p.log})
	p.later("journal", func(ctx context.Context) error { return errors.Join(shipper.Drain(ctx), journal.Close()) })
	if !p.proc.HoldUsage {
		p.loop("shipper", func(ctx context.Context) {
			if err := shipper.Run(ctx); err != nil {
				p.log.Error("usage is not being ingested", "err", err)
			}
		})
	}
	proxies, err := prefixes(p.cfg.Gateway.TrustedProxies)
	if err != nil {
		return nil, err
	}
	gw, err := gateway.New(gateway.Config{
		ID: id, Replica: replica, Limits: limit.NewTable(), Journal: journal, Lookup: p.object, Registry: registry, Now: p.now, Logger: p.log,
		Brand: p.cfg.Brand, Cluster: p.cfg.Cluster, OpenAIErrors: p.cfg.Gateway.Errors == "openai",
		MaxBody: p.cfg.Gateway.MaxBody, MaxBodies: p.cfg.Gateway.MaxBodies, TrustedProxies: proxies,
	})
	if err != nil {
		return nil, err
	}
	p.later("gateway", gw.Close)
	p.loop("last use", func(ctx context.Context) { every(ctx, lastUseEvery, func() { p.lastUse(gw) }) })
	return gw, nil
}

// lastUseEvery is how far "last used" may lag.
const lastUseEvery = 10 * time.Second

// lastUse writes down when keys were last used.
func (p *program) lastUse(gw *gateway.Gateway) {
	for chunk := range slices.Chunk(gw.Used(), 500) {
		uses := make([]store.LastUse, len(chunk))
		for i, u := range chunk {
			uses[i] = store.LastUse(u)
		}
		// Without a deadline: the last round runs while the program stops.
		if err := p.store.Work(context.Background(), func(w store.Work) error { return w.TouchKeys(uses) }); err != nil {
			p.log.Error("last use was not written", "err", err)
		}
	}
}

// object finds who owns an id that an upstream handed out, once the journal no
// longer knows.
func (p *program) object(ctx context.Context, id string) (o meter.Object, err error) {
	err = p.store.View(ctx, func(v store.View) error {
		o, err = v.Object(id)
		return err
	})
	return o, err
}

func prefixes(in []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(in))
	for _, s := range in {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}
