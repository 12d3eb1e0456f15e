package control_test

import (
	"testing"

	"gatehouse"
	"gatehouse/internal/purse"
	"gatehouse/internal/store"
)

// drawer is a gateway's incarnation that asks for money.
type drawer struct {
	*bank
	id   gatehouse.ID
	inc  int64
	seq  int64
	done int64 // all before it is shipped
}

// asks sends a request, in cents of the team's credit.
func (d *drawer) asks(t *testing.T, returned, want, least gatehouse.Ticks) purse.Answer {
	t.Helper()
	d.seq++
	return d.repeats(t, returned, want, least)
}

func (d *drawer) repeats(t *testing.T, returned, want, least gatehouse.Ticks) purse.Answer {
	t.Helper()
	const c = gatehouse.Cent
	reply, err := d.Draw(t.Context(), purse.DrawRequest{Gateway: d.id, Incarnation: d.inc, Shipped: d.done, Seq: d.seq, Asks: []purse.Ask{
		{Fund: gatehouse.Fund{Team: d.team}, Returned: returned * c, Want: want * c, Least: least * c},
	}})
	if err != nil || len(reply.Answers) != 1 {
		t.Fatal(reply, err)
	}
	a := reply.Answers[0]
	a.Drawn, a.Returned, a.Left, a.Held = a.Drawn/c, a.Returned/c, a.Left/c, a.Held/c
	return a
}

// spends ingests what a request of the incarnation cost.
func (d *drawer) spends(t *testing.T, cents gatehouse.Ticks) {
	t.Helper()
	now := d.clock.Now()
	u := gatehouse.UsageRecord{ID: gatehouse.NewTimeID(now), Start: now, Close: now, TeamID: d.team, KeyID: gatehouse.NewID(), Model: "grok-4",
		Endpoint: "chat", Cluster: "local", Gateway: d.id, Status: 200, Outcome: gatehouse.Completed}
	u.Usage[gatehouse.PromptText], u.Costs[gatehouse.PromptText] = 1, cents*gatehouse.Cent
	err := d.store.Ingest(store.System(t.Context()), func(in store.Ingest) error {
		in.From(d.id, d.inc)
		_, err := in.InsertUsage([]gatehouse.UsageRecord{u})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A draw is lost, repeated, late, by a gateway that dies: no money is gone and
// none is there twice.
func TestDrawsAreTotals(t *testing.T) {
	b := openBank(t, gatehouse.BillingPrepaid)
	one, two := &drawer{bank: b, id: gatehouse.NewID(), inc: 1}, &drawer{bank: b, id: gatehouse.NewID(), inc: 1}
	is := func(step string, got, want purse.Answer) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %+v, want %+v", step, got, want)
		}
	}
	is("nothing was ever granted", one.asks(t, 0, 10, 10), purse.Answer{Never: true})
	if _, err := b.root().GrantCredit(t.Context(), b.team, gatehouse.USD, "welcome"); err != nil {
		t.Fatal(err)
	}
	is("a first draw", one.asks(t, 0, 60, 60), purse.Answer{Drawn: 60, Left: 40})
	is("its repeat", one.repeats(t, 0, 60, 60), purse.Answer{Drawn: 60, Left: 40})
	is("the same total, asked anew", one.asks(t, 0, 60, 60), purse.Answer{Drawn: 60, Left: 40})
	is("less than would be of use", two.asks(t, 0, 60, 50), purse.Answer{Left: 40, Held: 60, Others: 1})
	is("as much as there is", two.asks(t, 0, 60, 10), purse.Answer{Drawn: 40, Held: 60, Others: 1})
	is("some comes back", one.asks(t, 20, 0, 0), purse.Answer{Drawn: 60, Returned: 20, Left: 20, Held: 40, Others: 1})
	one.seq--
	is("a request that was overtaken", one.repeats(t, 0, 90, 1), purse.Answer{Drawn: 60, Returned: 20, Left: 20, Held: 40, Others: 1})
	one.seq++
	one.spends(t, 25)
	is("usage came in", one.asks(t, 20, 0, 0), purse.Answer{Drawn: 60, Returned: 20, Left: 20, Held: 40, Others: 1})
	again := &drawer{bank: b, id: one.id, inc: 2}
	is("it died; what it held is held", again.asks(t, 0, 0, 0), purse.Answer{Left: 20, Held: 55, Others: 2})
	again.done = 2
	is("and free once its usage is in", again.asks(t, 0, 100, 35), purse.Answer{Drawn: 35, Held: 40, Others: 2})
	late := purse.DrawRequest{Gateway: one.id, Incarnation: 1, Seq: 99, Asks: []purse.Ask{{Fund: gatehouse.Fund{Team: b.team}}}}
	if _, err := b.Draw(t.Context(), late); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
		t.Error("a start that is over asks, and nobody would end what it got:", err)
	}
	two.spends(t, 45) // more than it had drawn
	is("what cost more than was held", two.asks(t, 0, 60, 1), purse.Answer{Drawn: 40, Left: -5, Held: 35, Others: 2})
}

func TestAGatewayThatAsksNonsenseIsRefused(t *testing.T) {
	b := openBank(t, gatehouse.BillingPrepaid)
	fund := gatehouse.Fund{Team: b.team}
	for _, r := range []purse.DrawRequest{
		{Incarnation: 1, Seq: 1}, {Gateway: b.team, Seq: 1}, {Gateway: b.team, Incarnation: 1},
		{Gateway: b.team, Incarnation: 1, Seq: 1, Shipped: 2},
		{Gateway: b.team, Incarnation: 1, Seq: 1, Asks: []purse.Ask{{}}},
		{Gateway: b.team, Incarnation: 1, Seq: 1, Asks: []purse.Ask{{Fund: fund, Want: -1}}},
		{Gateway: b.team, Incarnation: 1, Seq: 1, Asks: make([]purse.Ask, purse.MaxAsks+1)},
	} {
		if _, err := b.Draw(t.Context(), r); gatehouse.CodeOf(err) != gatehouse.InvalidArgument {
			t.Errorf("%+v: %v", r, err)
		}
	}
}
