package serve

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse"
	"gatehouse/internal/feed"
	"gatehouse/internal/gateway"
	"gatehouse/internal/limit"
	"gatehouse/internal/meter"
	"gatehouse/internal/purse"
	"gatehouse/internal/store"
)

// uplink is what a gateway needs of control: in one process the thing itself,
// else what carries the same calls over a network.
type uplink struct {
	feed   feed.Feed
	sink   meter.Sink
	lookup func(ctx context.Context, id string) (meter.Object, error)
	touch  func(ctx context.Context, uses []store.LastUse) error
	verify func(msg, sig []byte) bool
	// Over a network alone:
	verifiers func([][]byte) error // control changes the keys that it signs by
	unseal    feed.Unseal          // what is sealed to this gateway

	limits  limit.Authority // who shares limits out
	bank    purse.Bank      // who grants money
	library gateway.Library // files and documents
	alone   bool            // and nobody else serves yet
	gateway gatehouse.ID    // who this gateway is
	cluster string
	brand   string
}

// dataPlane starts the follower of changes, the journal with its shipper, and
// the gateway on top.
func (p *program) dataPlane(up *uplink, registry prometheus.Registerer) (*gateway.Gateway, error) {
	replica := feed.NewReplica(up.cluster)
	if up.unseal != nil {
		replica = feed.NewMemberReplica(up.cluster, up.unseal)
	}
	p.follower = feed.NewFollower(feed.FollowerConfig{
		Feed: up.feed, Replica: replica, Gateway: up.gateway, Cluster: up.cluster, Version: p.proc.Version,
		Verify: up.verify, OnVerifiers: up.verifiers, Archive: p.archive(up, replica), Now: p.now, Log: p.log,
	})
	p.loop("follower", p.follower.Run)
	durability := meter.Batched
	if p.cfg.Gateway.Durability == "per_request" {
		durability = meter.PerRequest
	}
	journal, err := meter.Open(filepath.Join(p.cfg.Data, journalDir), meter.Options{Gateway: up.gateway, Durability: durability, MaxBytes: p.cfg.Gateway.JournalMax, MinFree: p.cfg.Gateway.JournalFree, Now: p.now})
	if err != nil {
		return nil, err
	}
	shipper := meter.NewShipper(journal, up.sink, meter.ShipperOptions{Log: p.log})
	p.later("journal", func(ctx context.Context) error { return errors.Join(shipper.Drain(ctx), journal.Close()) })
	if !p.proc.HoldUsage {
		p.loop("shipper", func(ctx context.Context) {
			if err := shipper.Run(ctx); err != nil {
				p.log.Error("usage is not being ingested", "err", err)
			}
		})
	}
	limits, money := p.limiter(up, replica), p.purse(up, journal, shipper)
	if err := errors.Join(registry.Register(meter.Metrics(journal, shipper)), registry.Register(purse.Metrics(money)), p.readGateway(registry, replica, journal, shipper, limits)); err != nil {
		return nil, err
	}
	p.journal = journal
	proxies, err := prefixes(p.cfg.Gateway.TrustedProxies)
	if err != nil {
		return nil, err
	}
	gw, err := gateway.New(gateway.Config{
		ID: up.gateway, Replica: replica, Limits: limits, Journal: journal, Purse: money, Library: up.library, Lookup: up.lookup, Registry: registry, Now: p.now, Logger: p.log,
		OnSettled: settledBy(p.observer),
		Brand:     up.brand, Cluster: up.cluster, OpenAIErrors: p.cfg.Gateway.Errors == "openai",
		MaxBody: p.cfg.Gateway.MaxBody, MaxBodies: p.cfg.Gateway.MaxBodies, TrustedProxies: proxies,
	})
	if err != nil {
		return nil, err
	}
	p.later("gateway", gw.Close)
	p.loop("last use", func(ctx context.Context) { every(ctx, lastUseEvery, func() { p.report(up, gw.Used()) }) })
	return gw, nil
}

// limiter enforces limits: its own windows alone, or shares of them where other
// gateways serve too.
func (p *program) limiter(up *uplink, replica *feed.Replica) *limit.Limiter {
	l := limit.New(limit.Config{Now: p.now, Authority: up.limits, Alone: up.alone, Gateway: up.gateway, Members: replica.Members})
	p.limits = l
	if up.alone {
		p.loop("company", func(ctx context.Context) { p.awaitCompany(ctx, up, replica) })
	}
	p.loop("shares", func(ctx context.Context) { l.Run(ctx) }) // ends with ctx, and with nothing else
	return l
}

// purse holds money for requests that must pay. It ends after the gateway and
// before control: what is left goes back.
func (p *program) purse(up *uplink, journal *meter.Journal, shipper *meter.Shipper) *purse.Purse {
	money := purse.New(purse.Config{
		Bank: up.bank, Gateway: up.gateway, Incarnation: journal.Incarnation(), Now: p.now,
		Shipped: func() int64 {
			if shipper.Lag().Incarnations > 0 {
				return 0
			}
			return journal.Incarnation()
		},
	})
	p.later("money", money.Close)
	p.loop("purse", money.Run)
	return money
}

// lastUseEvery is how far "last used" may lag.
const lastUseEvery = 10 * time.Second

// report tells when keys were last used.
func (p *program) report(up *uplink, used []gateway.Use) {
	for chunk := range slices.Chunk(used, 500) {
		uses := make([]store.LastUse, len(chunk))
		for i, u := range chunk {
			uses[i] = store.LastUse(u)
		}
		// Without a deadline of the program's: the last round runs while it stops.
		ctx, cancel := context.WithTimeout(store.System(context.Background()), stepTime)
		err := up.touch(ctx, uses)
		cancel()
		if err != nil {
			// Nor the chunks behind it: each would wait as long, in a stop too.
			p.log.Warn("last use was not written", "err", err)
			return
		}
	}
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
