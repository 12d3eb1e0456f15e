package storetest

import (
	"errors"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

var recordPromises = []promise{
	{"an upstream keeps its credential, in the clear to readers", upstreamCredential},
	{"catalogue lists are by name, and prices by model and effective time", catalogueOrder},
	{"a name may be taken again and an id not", namesComeBack},
	{"prices of a model come newest first", pricesOf},
	{"a Put names its own subject in the log", putNamesSubject},
	{"Record refuses what only a Put can say", recordRefuses},
	{"a gateway is seen, forgotten with an audit leaf, and seen again, unless its membership ended", gateways},
}

func upstreamCredential(b *bench) {
	u := &gatehouse.Upstream{
		ID: gatehouse.NewID(), Name: "up", Kind: gatehouse.OpenAI, BaseURL: "https://api.example.org/v1", Credential: "sk-secret", HasCredential: true,
		Families: gatehouse.AllFamilies, Serves: []gatehouse.Serve{{Model: "*", Weight: 3}}, HeaderTimeout: time.Minute,
	}
	bare := &gatehouse.Upstream{ID: gatehouse.NewID(), Name: "bare", BaseURL: "http://localhost:1/v1"}
	b.update(func(tx store.Tx) error {
		b.ok(tx.PutUpstream(u, b.act("upstream.created", "up")))
		return tx.PutUpstream(bare, b.act("upstream.created", "bare"))
	})
	b.view(func(v store.View) error {
		got, err := v.Upstream(u.ID)
		b.ok(err)
		b.equal(got, u)
		all, err := v.Upstreams()
		b.equal(all, []*gatehouse.Upstream{bare, u})
		return err
	})
}

func catalogueOrder(b *bench) {
	price := func(model string, at time.Time) *gatehouse.Price {
		return &gatehouse.Price{ID: gatehouse.NewID(), Model: model, Effective: at, Units: map[string]gatehouse.Ticks{"Prompt text tokens": 20000}, Source: "operator"}
	}
	p1, p2, p3 := price("b", start), price("a", start.Add(time.Hour)), price("a", start)
	gone := price("a", start.Add(-time.Hour))
	gone.DeleteTime = start
	b.update(func(tx store.Tx) error {
		for _, name := range []string{"z/x:1", "a", "B"} {
			b.ok(tx.PutModel(&gatehouse.Model{Name: name, Created: start, Input: []string{"TEXT"}}, b.act("model.created", name)))
			b.ok(tx.PutAlias(&gatehouse.Alias{Name: name, Target: "t", Fallbacks: []string{"f"}}, b.act("alias.created", name)))
			b.ok(tx.PutCluster(&gatehouse.Cluster{Name: name, Address: "addr"}, b.act("cluster.created", name)))
		}
		for _, p := range []*gatehouse.Price{p1, p2, p3, gone} {
			b.ok(tx.PutPrice(p, b.act("price.created", "p")))
		}
		return nil
	})
	b.view(func(v store.View) error {
		models, err := v.Models()
		b.ok(err)
		b.equal([]string{models[0].Name, models[1].Name, models[2].Name}, []string{"B", "a", "z/x:1"})
		aliases, err := v.Aliases()
		b.ok(err)
		b.equal(len(aliases), 3)
		alias, err := v.Alias("a")
		b.ok(err)
		b.equal(alias, aliases[1])
		clusters, err := v.Clusters()
		b.ok(err)
		cluster, err := v.Cluster("z/x:1")
		b.ok(err)
		b.equal(cluster, clusters[2])
		prices, err := v.Prices()
		b.ok(err)
		b.equal(prices, []*gatehouse.Price{p3, p2, p1})
		one, err := v.Price(p1.ID)
		b.equal(one, p1)
		return err
	})
}

func namesComeBack(b *bench) {
	put := func(m *gatehouse.Model) error {
		_, err := b.s.Update(b.ctx, b.cause(), func(tx store.Tx) error { return tx.PutModel(m, b.act("model.x", m.Name)) })
		return err
	}
	b.ok(put(&gatehouse.Model{Name: "m"}))
	b.ok(put(&gatehouse.Model{Name: "m", DeleteTime: start}))
	b.ok(put(&gatehouse.Model{Name: "m", Owner: "again"}))
	b.view(func(v store.View) error {
		m, err := v.Model("m")
		b.ok(err)
		b.equal(m.Owner, "again")
		b.equal(m.DeleteTime.IsZero(), true)
		return nil
	})
	p := &gatehouse.Price{ID: gatehouse.NewID(), Model: "m", DeleteTime: start}
	b.update(func(tx store.Tx) error { return tx.PutPrice(p, b.act("price.deleted", "p")) })
	_, err := b.s.Update(b.ctx, b.cause(), func(tx store.Tx) error {
		return tx.PutPrice(&gatehouse.Price{ID: p.ID, Model: "m"}, b.act("price.created", "p"))
	})
	b.is(err, gatehouse.FailedPrecondition)
}

func pricesOf(b *bench) {
	old := &gatehouse.Price{ID: gatehouse.NewID(), Model: "m", Effective: start}
	young := &gatehouse.Price{ID: gatehouse.NewID(), Model: "m", Effective: start.Add(time.Hour)}
	gone := &gatehouse.Price{ID: gatehouse.NewID(), Model: "m", Effective: start, DeleteTime: start}
	b.update(func(tx store.Tx) error {
		for _, p := range []*gatehouse.Price{old, young, gone, {ID: gatehouse.NewID(), Model: "other"}} {
			b.ok(tx.PutPrice(p, b.act("price.created", "p")))
		}
		return nil
	})
	b.ingest(func(i store.Ingest) error {
		got, err := i.PricesOf("m")
		b.equal(got, []*gatehouse.Price{young, old})
		return err
	})
}

func putNamesSubject(b *bench) {
	k := b.key("a", start)
	act := b.act("api_key.created", "a")
	act.Kind, act.Subject, act.Result = gatehouse.KindTeam, "someone else", gatehouse.Denied
	b.update(func(tx store.Tx) error { return tx.PutKey(k, act) })
	e := b.events(gatehouse.EventFilter{After: -1})[0]
	b.equal([]string{string(e.Kind), e.Subject, string(e.Result)}, []string{"api_key", k.ID.String(), "done"})
}

func recordRefuses(b *bench) {
	k := b.key("a", start)
	b.putKey(k)
	act := b.act("api_key.updated", "a lie")
	act.Kind, act.Subject, act.Result = gatehouse.KindKey, k.ID.String(), gatehouse.Done
	_, err := b.s.Update(b.ctx, b.cause(), func(tx store.Tx) error { return tx.Record(act) })
	b.is(err, gatehouse.Internal)
	act.Result = gatehouse.Denied
	rev := b.update(func(tx store.Tx) error { return tx.Record(act) })
	b.equal(rev.N, int64(2))
	b.view(func(v store.View) error {
		got, err := v.Key(k.ID)
		b.equal(got, k)
		return err
	})
}

func gateways(b *bench) {
	g := &gatehouse.Gateway{
		ID: gatehouse.NewID(), Cluster: "local", Version: "1", Joined: start, LastSeen: start,
		Enforced: gatehouse.Revision{Epoch: 1, N: 4}, Problem: "p", Lease: start.Add(time.Second),
	}
	see := func() { b.work(func(w store.Work) error { return w.SeenGateway(g) }) }
	list := func() (out []*gatehouse.Gateway) {
		b.view(func(v store.View) (err error) { out, err = v.Gateways(); return err })
		return out
	}
	see()
	b.equal(list(), []*gatehouse.Gateway{g})
	rev := b.update(func(tx store.Tx) error { return tx.ForgetGateway(g.ID, b.act("gateway.forgotten", "gone")) })
	b.equal(list()[0].Forgotten, true)
	changes, _, _ := b.changes(gatehouse.Revision{}, 9)
	b.equal(changes, []gatehouse.Change{{Revision: rev, Kind: gatehouse.KindGateway, ID: g.ID.String()}})
	b.equal(b.events(gatehouse.EventFilter{After: -1})[0].Subject, g.ID.String())
	again := *g
	again.Joined, again.LastSeen = start.Add(time.Hour), start.Add(time.Hour)
	b.work(func(w store.Work) error { return w.SeenGateway(&again) })
	b.equal(list()[0].Forgotten, false)
	b.equal(list()[0].Joined, start)
	b.update(func(tx store.Tx) error {
		m := &gatehouse.Membership{ID: g.ID, Cluster: "local", CreateTime: start, DeleteTime: start.Add(time.Minute)}
		return errors.Join(tx.ForgetGateway(g.ID, b.act("gateway.forgotten", "gone")), tx.PutMembership(m, b.act("gateway.expelled", "gone")))
	})
	b.work(func(w store.Work) error { return w.SeenGateway(&again) })
	b.equal(list()[0].Forgotten, true) // a poll that was open says nothing new
	_, err := b.s.Update(b.ctx, b.cause(), func(tx store.Tx) error {
		return tx.ForgetGateway(gatehouse.NewID(), b.act("gateway.forgotten", "who"))
	})
	b.is(err, gatehouse.NotFound)
}
