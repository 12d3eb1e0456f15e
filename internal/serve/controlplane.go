package serve

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse"
	"gatehouse/internal/api"
	"gatehouse/internal/api/admin"
	v1 "gatehouse/internal/api/v1"
	"gatehouse/internal/api/xai"
	"gatehouse/internal/control"
	"gatehouse/internal/feed"
	"gatehouse/internal/meter"
	"gatehouse/internal/store"
)

// controlPlane settles the records that a start makes, and begins what control
// does beside answering. It returns what gateways are served by.
func (p *program) controlPlane(ctx context.Context, registry prometheus.Registerer) (*uplink, error) {
	if err := p.markServing(ctx); err != nil {
		return nil, err
	}
	if err := p.settle(ctx); err != nil {
		return nil, err
	}
	var err error
	if p.node, err = gatewayID(p.cfg.Data); err != nil {
		return nil, err
	}
	if err := p.openLibrary(ctx, registry); err != nil {
		return nil, err
	}
	p.loop("checkpoints", p.checkpoints)
	p.job("trimming", trimEvery, func(ctx context.Context) error {
		return p.store.Work(ctx, func(w store.Work) error { return w.Trim(p.now().Add(-changeAge)) })
	})
	if p.cfg.Usage.Retention > 0 {
		p.job("retention", retainEvery, p.dropOldUsage)
	}
	p.lookAfter()
	p.loop("secrets", p.followSecrets)
	if f, ok := p.store.(*freezer); ok {
		p.loop("freeze", f.follow)
	}
	source := feed.NewSource(feed.SourceConfig{Store: p.store, Sign: p.keys.SignBatch, Now: p.now, Log: p.log,
		Verifiers: p.keys.PublicKeys, Rebury: p.service.Rebury})
	p.later("feed", func(context.Context) error { source.Close(); return nil })
	ingest := &countingSink{Sink: meter.NewIngester(p.store)}
	if err := p.readControl(registry, ingest); err != nil {
		return nil, err
	}
	limits, err := p.shared()
	if err != nil {
		return nil, err
	}
	if limits == nil {
		limits = p.newSole()
	}
	alone, err := p.alone(ctx)
	if err != nil {
		return nil, err
	}
	up := &uplink{
		limits: limits, bank: p.service, alone: alone, gateway: p.node, feed: source, sink: ingest, lookup: p.object, touch: p.touch, verify: p.verifyBatch,
		cluster: p.cfg.Cluster, brand: p.cfg.Brand,
	}
	if p.cfg.Role == RoleAll {
		up.library = p.ownLibrary()
	}
	return up, nil
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
	trimEvery = time.Minute
	changeAge = 7 * 24 * time.Hour
)

// job runs f at intervals on one of the nodes that share the database.
func (p *program) job(name string, interval time.Duration, f func(context.Context) error) {
	p.loop(name, func(ctx context.Context) {
		ctx = store.System(ctx)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := p.mine(ctx, name, interval, f); err != nil && ctx.Err() == nil {
				p.log.Error("a job failed", "job", name, "err", err)
			}
		}
	})
}

// mine runs f when the job is this node's turn. The turn outlasts one interval,
// so that another node steps in when this one is gone.
func (p *program) mine(ctx context.Context, name string, interval time.Duration, f func(context.Context) error) error {
	if mine, err := p.turn(ctx, name, interval+interval/2); err != nil || !mine {
		return err
	}
	return f(ctx)
}

// turn asks for a named turn of this length and reports whether it is this
// node's now.
func (p *program) turn(ctx context.Context, name string, length time.Duration) (mine bool, err error) {
	err = p.store.Work(store.System(ctx), func(w store.Work) (err error) {
		now := p.now()
		mine, err = w.Lease(name, p.node.String(), now, now.Add(length))
		return err
	})
	return mine, err
}

func (p *program) managementPlane() http.Handler {
	return api.New(api.BackendFunc(func(c *gatehouse.Call) api.Caller { return p.service.As(c) }),
		api.Options{Brand: p.cfg.Brand, Logger: p.log, Now: p.now, Rate: float64(p.cfg.Management.Rate), Spool: p.below(spoolDir, formsDir)}, xai.Face(), xai.CollectionsFace(), admin.Face(), v1.Face())
}

// object finds who owns an id that an upstream handed out, once the journal no
// longer knows.
func (p *program) object(ctx context.Context, id string) (o meter.Object, err error) {
	err = p.store.View(store.System(ctx), func(v store.View) error {
		o, err = v.Object(id)
		return err
	})
	return o, err
}

// touch writes down when keys were last used.
func (p *program) touch(ctx context.Context, uses []store.LastUse) error {
	return p.store.Work(store.System(ctx), func(w store.Work) error { return w.TouchKeys(uses) })
}
