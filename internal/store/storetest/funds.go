package storetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

var fundPromises = []promise{
	{"usage is spent from every budget that applies, in its period", budgetsSpend},
	{"days of a zone are its own when clocks change", budgetDays},
	{"a hold is drawn, ingested, given back and ended", holdsLive},
	{"a budget's fund is bounded by its amount, and what nothing bounds is granted", drawsBounded},
	{"a postpaid team draws its credit and then what it may owe in the month", debtBounded},
	{"what was used before a team came to pay ends no hold", lateFree},
	{"a gateway whose hold was lost begins anew", lostHold},
	{"whatever happens in whatever order, no more is granted than is there", drawsNeverTooMuch},
	{"draws and ingest at once grant no more than is there", drawsTogether},
}

// shipped inserts usage of a gateway's incarnation.
func (b *bench) shipped(gateway gatehouse.ID, incarnation int64, records ...gatehouse.UsageRecord) {
	b.Helper()
	b.ingest(func(i store.Ingest) error {
		i.From(gateway, incarnation)
		_, err := i.InsertUsage(records)
		return err
	})
}

func (b *bench) draw(d store.Draw) (out store.Drawn) {
	b.Helper()
	b.work(func(w store.Work) (err error) { out, err = w.Draw(d); return err })
	return out
}

func (b *bench) held(f gatehouse.Fund) (out gatehouse.Ticks) {
	b.Helper()
	b.view(func(v store.View) (err error) { out, err = v.HeldBy(f); return err })
	return out
}

func budgetsSpend(b *bench) {
	keys, users := []gatehouse.ID{gatehouse.NewID(), gatehouse.NewID()}, []gatehouse.ID{gatehouse.NewID(), {}}
	var budgets []gatehouse.Budget
	for _, period := range []gatehouse.BudgetPeriod{gatehouse.BudgetDay, gatehouse.BudgetWeek, gatehouse.BudgetMonth, gatehouse.BudgetTotal} {
		for subject, values := range map[gatehouse.BudgetSubject][]string{
			gatehouse.BudgetTeam: {""}, gatehouse.BudgetKey: {"*", keys[0].String()}, gatehouse.BudgetOwner: {"*", users[0].String()},
			gatehouse.BudgetTag: {"env=*", "env=a=b", "env=\x00"},
		} {
			for _, value := range values {
				for _, zone := range []string{"UTC", "America/New_York", "Australia/Lord_Howe"} {
					budgets = append(budgets, gatehouse.Budget{ID: gatehouse.NewID(), Subject: subject, Value: value, Amount: 1, Period: period, Zone: zone})
				}
			}
		}
	}
	b.with(gatehouse.BillingMetering, budgets...)
	rng := rand.New(rand.NewPCG(7, 8))
	want := map[gatehouse.Fund]gatehouse.Ticks{}
	var batch []gatehouse.UsageRecord
	for range 120 {
		u := b.costing(start.Add(-time.Duration(rng.Int64N(int64(20*24*time.Hour)))), 1+rng.Int64N(9), 3)
		u.KeyID, u.UserID = keys[rng.IntN(2)], users[rng.IntN(2)]
		u.Tags = []map[string]string{nil, {"env": "a=b"}, {"env": "x", "other": "a=b"}, {"env": "*"}}[rng.IntN(4)]
		for n := range budgets {
			if of, ok := budgets[n].Applies(u.KeyID, u.UserID, u.Tags); ok {
				want[budgets[n].Fund(b.team, of, u.Start)] += u.Costs.Total()
			}
		}
		batch = append(batch, u)
	}
	b.insert(batch[:70]...)
	b.insert(batch[70:]...)
	b.view(func(v store.View) error {
		got := map[gatehouse.Fund]gatehouse.Ticks{}
		for period := range want {
			funds, err := v.BudgetFunds(period.Budget, period.Start)
			b.ok(err)
			for f, use := range funds {
				got[f] = use.Spent
				one, err := v.Spent(f)
				b.ok(err)
				b.equal(use, store.FundUse{Spent: one})
			}
		}
		b.equal(got, want)
		return nil
	})
}

func budgetDays(b *bench) {
	budget := gatehouse.Budget{ID: gatehouse.NewID(), Subject: gatehouse.BudgetTeam, Amount: 1, Period: gatehouse.BudgetDay, Zone: "America/New_York"}
	b.with(gatehouse.BillingMetering, budget)
	for _, at := range []string{"2026-03-08T04:59:59Z", "2026-03-08T05:00:00Z", "2026-03-09T03:59:59Z", "2026-03-09T04:00:00Z"} {
		when, err := time.Parse(time.RFC3339, at)
		b.ok(err)
		b.insert(b.costing(when, 1, 1))
	}
	b.view(func(v store.View) error {
		for day, spent := range map[string]gatehouse.Ticks{"2026-03-07T05:00:00Z": 1, "2026-03-08T05:00:00Z": 2, "2026-03-09T04:00:00Z": 1} { // the 8th has 23 hours
			when, err := time.Parse(time.RFC3339, day)
			b.ok(err)
			funds, err := v.BudgetFunds(budget.ID, when.Unix())
			b.ok(err)
			b.equal(funds, map[gatehouse.Fund]store.FundUse{{Team: b.team, Budget: budget.ID, Start: when.Unix()}: {Spent: spent}})
		}
		return nil
	})
}

// asker is an incarnation's draws on one fund: totals, and a number each.
type asker struct {
	b       *bench
	d       store.Draw
	granted gatehouse.Ticks
}

func (b *bench) asker(f gatehouse.Fund, gateway gatehouse.ID, incarnation int64) *asker {
	return &asker{b: b, d: store.Draw{Fund: f, Gateway: gateway, Incarnation: incarnation, Now: start}}
}

// ask wants so much more, and gives so much back.
func (a *asker) ask(want, least, back gatehouse.Ticks) (out store.Drawn) {
	a.b.Helper()
	a.d.Seq++
	a.d.Returned += back
	a.d.Want, a.d.Least = a.granted+want, a.granted+least
	if want == 0 {
		a.d.Want = 0
	}
	out = a.b.draw(a.d)
	a.granted = out.Drawn
	return out
}

func holdsLive(b *bench) {
	b.with(gatehouse.BillingPrepaid)
	fund, g1, g2 := gatehouse.Fund{Team: b.team}, gatehouse.NewID(), gatehouse.NewID()
	one, two := b.asker(fund, g1, 1), b.asker(fund, g2, 1)
	b.equal(one.ask(0, 0, 0), store.Drawn{Never: true})
	b.grant(100)
	late := one.d
	late.Want = 50
	b.equal(b.draw(late), store.Drawn{Left: 100}) // no later than the question
	b.equal(one.ask(60, 0, 0), store.Drawn{Drawn: 60, Left: 40})
	b.equal(two.ask(60, 41, 0), store.Drawn{Drawn: 0, Left: 40, Held: 60, Others: 1})
	b.equal(two.ask(60, 40, 0), store.Drawn{Drawn: 40, Left: 0, Held: 60, Others: 1})
	again := b.draw(two.d) // a repeat says how things stand
	b.equal(again, store.Drawn{Drawn: 40, Left: 0, Held: 60, Others: 1})
	b.shipped(g1, 1, b.costing(start, 1, 25)) // moves from the hold to the books
	b.equal([]gatehouse.Ticks{b.held(fund), b.balances()[gatehouse.AccountCredit]}, []gatehouse.Ticks{75, -75})
	b.equal(one.ask(0, 0, 30), store.Drawn{Drawn: 60, Returned: 30, Left: 30, Held: 40, Others: 1})
	b.equal(one.ask(0, 0, 900), store.Drawn{Drawn: 60, Returned: 60, Left: 35, Held: 40, Others: 1})
	one.d.Now = start.Add(sharing)
	b.equal(one.ask(0, 0, 0).Others, 0) // the other asked too long ago
	for incarnation := range int64(2) {
		b.equal(b.asker(fund, g1, 2+incarnation).ask(10, 0, 0).Drawn, gatehouse.Ticks(10))
	}
	var holds []*gatehouse.Hold
	b.view(func(v store.View) (err error) { holds, err = v.Holds(b.team, store.Cursor{}, 9); return err })
	b.equal(len(holds), 3) // that of incarnation 1 is over
	at := slices.IndexFunc(holds, func(h *gatehouse.Hold) bool { return h.Gateway == g2 })
	b.equal(*holds[at], gatehouse.Hold{ID: holds[at].ID, TeamID: b.team, Fund: fund.String(), Gateway: g2, Incarnation: 1, Drawn: 40, Since: start, Seen: start})
	b.view(func(v store.View) error {
		rest, err := v.Holds(gatehouse.ID{}, store.Cursor{Time: holds[0].Since, ID: holds[0].ID.String()}, 9)
		b.equal(rest, holds[1:])
		return err
	})
	b.work(func(w store.Work) error { return w.EndIncarnations(g1, 3) })
	b.equal(b.held(fund), gatehouse.Ticks(50))
	b.update(func(tx store.Tx) error {
		b.ok(tx.Record(b.act("hold.written_off", "h")))
		b.is(tx.EndHold(gatehouse.NewID()), gatehouse.NotFound)
		return tx.EndHold(holds[at].ID)
	})
	b.equal(b.held(fund), gatehouse.Ticks(10))
	b.equal(two.ask(0, 0, 0).Returned, gatehouse.Ticks(40)) // its gateway hears of it
	b.shipped(g2, 1, b.costing(start, 1, 5))                // late: it counts all the same
	b.equal([]gatehouse.Ticks{b.held(fund), b.balances()[gatehouse.AccountCredit]}, []gatehouse.Ticks{10, -70})
	b.work(func(w store.Work) error { return w.Trim(time.Now().Add(time.Hour)) })
	b.view(func(v store.View) error {
		_, err := v.Hold(holds[at].ID)
		b.is(err, gatehouse.NotFound) // over, and forgotten
		return nil
	})
	b.equal(b.held(fund), gatehouse.Ticks(10))
	young := b.asker(fund, g2, 7)
	young.d.Now = time.Now()
	young.ask(5, 0, 0)
	young.ask(0, 0, 5)
	b.work(func(w store.Work) error { return w.Trim(time.Now().Add(time.Hour)) })
	b.equal(b.draw(young.d).Drawn, gatehouse.Ticks(5)) // over, and remembered as long as its gateway may come back
}

// sharing is how recently another hold must have asked to count.
const sharing = 3 * time.Second

func drawsBounded(b *bench) {
	gateway, key := gatehouse.NewID(), gatehouse.NewID()
	budget := gatehouse.Budget{ID: gatehouse.NewID(), Subject: gatehouse.BudgetKey, Value: "*", Amount: 100, Period: gatehouse.BudgetDay, Zone: "UTC"}
	credit, fund := gatehouse.Fund{Team: b.team}, budget.Fund(b.team, key.String(), start)
	b.equal(b.asker(credit, gateway, 1).ask(70, 0, 0), store.Drawn{}) // no such team
	b.with(gatehouse.BillingMetering, budget)
	b.equal(b.asker(credit, gateway, 1).ask(70, 0, 0), store.Drawn{Drawn: 70, Left: math.MaxInt64 / 2})
	gone := gatehouse.Fund{Team: b.team, Budget: gatehouse.NewID()}
	b.equal(b.asker(gone, gateway, 1).ask(70, 0, 0), store.Drawn{Drawn: 70, Left: math.MaxInt64 / 2})
	a := b.asker(fund, gateway, 1)
	for _, want := range []store.Drawn{{Drawn: 70, Left: 30}, {Drawn: 100}, {Drawn: 100}} {
		b.equal(a.ask(70, 0, 0), want)
	}
	u := b.costing(start, 1, 120)
	u.KeyID = key
	b.shipped(gateway, 1, u) // more than was drawn
	b.equal(b.held(fund), gatehouse.Ticks(0))
	b.equal(a.ask(70, 0, 0), store.Drawn{Drawn: 100, Left: -20})
	// Another key, and another day, have their own.
	for _, f := range []gatehouse.Fund{budget.Fund(b.team, gatehouse.NewID().String(), start), budget.Fund(b.team, key.String(), start.AddDate(0, 0, 1))} {
		b.equal(b.asker(f, gateway, 1).ask(70, 0, 0), store.Drawn{Drawn: 70, Left: 30})
	}
}

func debtBounded(b *bench) {
	b.with(gatehouse.BillingPostpaid)
	b.grant(40)
	limit := gatehouse.Ticks(50)
	b.update(func(tx store.Tx) error {
		return tx.PutBillingAccount(&gatehouse.BillingAccount{ID: b.team, SoftLimit: &limit, CreateTime: start}, b.act("billing_account.updated", "limit"))
	})
	gateway := gatehouse.NewID()
	a := b.asker(gatehouse.Fund{Team: b.team}, gateway, 1)
	b.equal(a.ask(70, 0, 0), store.Drawn{Drawn: 70, Left: 20}) // credit, then debt up to the limit
	b.shipped(gateway, 1, b.costing(start, 1, 65))
	b.equal(a.ask(70, 0, 0), store.Drawn{Drawn: 90})
	a.d.Now = march.Next().Start() // a new month owes nothing yet
	b.equal(a.ask(0, 0, 0), store.Drawn{Drawn: 90, Left: 25})
	b.with(gatehouse.BillingPrepaid)
	b.equal(a.ask(70, 0, 0), store.Drawn{Drawn: 90, Left: -25}) // what is held is held
}

// lateFree: what was used before the team came to pay was reserved nowhere.
func lateFree(b *bench) {
	b.with(gatehouse.BillingMetering)
	turned := &gatehouse.Team{ID: b.team, Name: "t", Billing: gatehouse.BillingPrepaid, BillingTurns: []time.Time{start}, CreateTime: start.Add(-time.Hour)}
	b.update(func(tx store.Tx) error { return tx.PutTeam(turned, b.act("team.updated", "t")) })
	b.grant(100)
	fund, gateway := gatehouse.Fund{Team: b.team}, gatehouse.NewID()
	b.equal(b.asker(fund, gateway, 1).ask(60, 0, 0).Drawn, gatehouse.Ticks(60))
	b.shipped(gateway, 1, b.costing(start.Add(-time.Second), 1, 50))
	b.equal(b.held(fund), gatehouse.Ticks(60))
	b.shipped(gateway, 1, b.costing(start, 1, 50))
	b.equal(b.held(fund), gatehouse.Ticks(10))
}

// lostHold: totals that the store does not have, as after a restore, are no
// reason to grant them all again.
func lostHold(b *bench) {
	b.with(gatehouse.BillingPrepaid)
	b.grant(2000)
	a := b.asker(gatehouse.Fund{Team: b.team}, gatehouse.NewID(), 1)
	a.d.Seq, a.d.Returned, a.granted = 7, 900, 950
	b.equal(a.ask(10, 0, 0), store.Drawn{Left: 2000})
	a.d.Returned = 0
	b.equal(a.ask(10, 0, 0), store.Drawn{Drawn: 10, Left: 1990})
}

// player is a gateway of the game below.
type player struct {
	id        gatehouse.ID
	start     int64
	asks      [2]*asker
	open      [2]gatehouse.Ticks // by fund, as control must see it
	purse     [2]gatehouse.Ticks // what it may spend
	unshipped gatehouse.Ticks
}

func (p *player) begin(b *bench, funds []gatehouse.Fund) {
	p.start++
	p.open, p.purse, p.unshipped = [2]gatehouse.Ticks{}, [2]gatehouse.Ticks{}, 0
	for n := range funds {
		p.asks[n] = b.asker(funds[n], p.id, p.start)
	}
}

// drawsNeverTooMuch plays gateways that draw, lose answers, spend, ship, return
// and die against sums kept here.
func drawsNeverTooMuch(b *bench) {
	budget := gatehouse.Budget{ID: gatehouse.NewID(), Subject: gatehouse.BudgetTeam, Amount: 700, Period: gatehouse.BudgetTotal}
	b.with(gatehouse.BillingPrepaid, budget)
	b.grant(500)
	funds := []gatehouse.Fund{{Team: b.team}, budget.Fund(b.team, "", start)}
	limits := []gatehouse.Ticks{500, 700}
	players := []*player{{id: gatehouse.NewID()}, {id: gatehouse.NewID()}}
	ship := func(p *player) {
		b.shipped(p.id, p.start, b.costing(start, 1, p.unshipped))
		for n := range funds {
			p.open[n] -= p.unshipped
			limits[n] -= p.unshipped
		}
		p.unshipped = 0
	}
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 9))
		for _, p := range players {
			p.begin(b, funds)
		}
		for range 12 {
			p, f := players[rng.IntN(2)], rng.IntN(2)
			a := p.asks[f]
			available := limits[f] - players[0].open[f] - players[1].open[f]
			switch rng.IntN(6) {
			case 0, 1:
				want, least := gatehouse.Ticks(rng.Int64N(90)), gatehouse.Ticks(rng.Int64N(20))
				grant := min(want, available)
				if grant < least {
					grant = 0
				}
				drawn := a.granted + grant
				a.d.Seq++
				if a.d.Least, a.d.Want = a.granted+least, a.granted+want; rng.IntN(3) == 0 {
					b.draw(a.d) // whose answer is lost, so it is asked again
					a.d.Seq += rng.Int64N(2)
				}
				got := b.draw(a.d)
				a.granted = got.Drawn
				b.equal([]gatehouse.Ticks{got.Drawn, got.Left}, []gatehouse.Ticks{drawn, available - grant})
				p.open[f] += grant
				p.purse[f] += grant
			case 2:
				cost := gatehouse.Ticks(rng.Int64N(int64(1 + min(p.purse[0], p.purse[1]))))
				p.purse[0], p.purse[1], p.unshipped = p.purse[0]-cost, p.purse[1]-cost, p.unshipped+cost
			case 3:
				ship(p)
			case 4:
				back := gatehouse.Ticks(rng.Int64N(int64(1 + p.purse[f])))
				p.open[f] -= back
				p.purse[f] -= back
				b.equal(a.ask(0, 0, back).Left, available+back)
			case 5: // it dies; the next start ships what is left
				ship(p)
				p.begin(b, funds)
				b.work(func(w store.Work) error { return w.EndIncarnations(p.id, p.start) })
			}
			for n := range funds {
				b.equal(b.held(funds[n]), players[0].open[n]+players[1].open[n])
			}
		}
		for _, p := range players { // the next game begins with what is left
			ship(p)
			b.work(func(w store.Work) error { return w.EndIncarnations(p.id, p.start+1) })
		}
		if limits[0] < 300 {
			b.grant(500 - limits[0])
			limits[0] = 500
		}
		if limits[1] < 300 {
			budget.Amount += 700 - limits[1]
			limits[1] = 700
			b.with(gatehouse.BillingPrepaid, budget)
		}
	}
	b.equal(b.balances()[gatehouse.AccountReceivable], gatehouse.Ticks(0))
}

func drawsTogether(b *bench) {
	b.with(gatehouse.BillingPrepaid)
	b.grant(300)
	fund := gatehouse.Fund{Team: b.team}
	var all sync.WaitGroup
	var granted [6]gatehouse.Ticks
	for n := range granted {
		a := b.asker(fund, gatehouse.NewID(), 1)
		all.Go(func() {
			for range 8 {
				a.d.Seq++
				a.d.Want = granted[n] + 11
				var got store.Drawn
				err := b.s.Work(b.ctx, func(w store.Work) (err error) { got, err = w.Draw(a.d); return err })
				if spent := got.Drawn - granted[n] - 1; err == nil && spent > 0 {
					err = b.s.Ingest(b.ctx, func(i store.Ingest) error {
						i.From(a.d.Gateway, 1)
						_, err := i.InsertUsage([]gatehouse.UsageRecord{b.costing(start, 1, spent)})
						return err
					})
				}
				if err != nil {
					b.Error(err)
					return
				}
				granted[n] = got.Drawn
			}
		})
	}
	all.Wait()
	got, sum := b.balances(), gatehouse.Ticks(0)
	for _, g := range granted {
		sum += g
	}
	if used := 300 + got[gatehouse.AccountCredit]; sum != 300 || got[gatehouse.AccountReceivable] != 0 || used+b.held(fund) != 300 {
		b.Error(fmt.Sprint("granted ", sum, ", used ", used, ", held ", b.held(fund), ", owed ", got[gatehouse.AccountReceivable]))
	}
}
