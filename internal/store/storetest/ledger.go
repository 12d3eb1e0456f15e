package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

var ledgerPromises = []promise{
	{"a posting reads back and moves balances", postingsMove},
	{"a posting that is not balanced, or comes twice, or without an act, is refused whole", postingsRefused},
	{"credit is used before debt arises, to the tick", creditFirst},
	{"usage of a team that is only metered touches no credit", meteredOnly},
	{"rows ingested twice post once", replayPostsNothing},
	{"charges add up to revenue and to rows", chargesAddUp},
	{"usage of a closed cycle counts in the running one", closedCycle},
	{"a price change is re-rated once, up and down, and rollups follow", rerateFollows},
	{"re-rating gives back what was taken, and no more", rerateGivesBack},
}

// with keeps the bench's team with a billing mode and budgets.
func (b *bench) with(mode gatehouse.BillingMode, budgets ...gatehouse.Budget) {
	b.Helper()
	t := &gatehouse.Team{ID: b.team, Name: "t", Billing: mode, Budgets: budgets, CreateTime: start}
	b.update(func(tx store.Tx) error { return tx.PutTeam(t, b.act("team.updated", "t")) })
}

// grant gives the team credit.
func (b *bench) grant(amount gatehouse.Ticks) {
	b.Helper()
	b.update(func(tx store.Tx) error {
		b.ok(tx.Record(b.act("credit.granted", "credit")))
		return tx.Post(&gatehouse.Posting{TeamID: b.team, Kind: gatehouse.PostGrant, Cycle: march, Entries: []gatehouse.Entry{
			{Account: gatehouse.AccountGranted, Amount: amount}, {Account: gatehouse.AccountCredit, Amount: -amount}}})
	})
}

var march = gatehouse.CycleOf(start)

// costing is usage of one unit at a price.
func (b *bench) costing(at time.Time, units int64, price gatehouse.Ticks) gatehouse.UsageRecord {
	u := b.usage(at)
	u.Usage, u.Costs = gatehouse.Usage{}, gatehouse.Costs{}
	u.Usage[gatehouse.PromptText], u.Costs[gatehouse.PromptText] = units, price*gatehouse.Ticks(units)
	return u
}

func (b *bench) balances() (out map[gatehouse.Account]gatehouse.Ticks) {
	b.Helper()
	b.view(func(v store.View) (err error) { out, err = v.Balances(b.team); return err })
	sum := gatehouse.Ticks(0)
	for _, amount := range out {
		sum += amount
	}
	b.equal(sum, gatehouse.Ticks(0))
	return out
}

func (b *bench) charges(c gatehouse.Cycle) (out []gatehouse.Charge) {
	b.Helper()
	b.view(func(v store.View) (err error) { out, err = v.Charges(b.team, c); return err })
	return out
}

func (b *bench) postings() (out []*gatehouse.Posting) {
	b.Helper()
	b.view(func(v store.View) (err error) { out, err = v.Postings(b.team, store.Cursor{}, 1000); return err })
	return out
}

func (b *bench) cycleBalance(a gatehouse.Account, c gatehouse.Cycle) (out gatehouse.Ticks) {
	b.Helper()
	b.view(func(v store.View) (err error) { out, err = v.CycleBalance(b.team, a, c); return err })
	return out
}

func postingsMove(b *bench) {
	p := &gatehouse.Posting{
		ID: gatehouse.NewID(), TeamID: b.team, Time: start, Kind: gatehouse.PostTopUp, Cycle: march, Ref: "ref", Note: "nöte",
		Entries: []gatehouse.Entry{{Account: gatehouse.AccountCash, Amount: 100}, {Account: gatehouse.AccountCredit, Amount: -100}},
	}
	q := &gatehouse.Posting{TeamID: b.team, Kind: gatehouse.PostRefund, Cycle: march.Next(),
		Entries: []gatehouse.Entry{{Account: gatehouse.AccountCash, Amount: -30}, {Account: gatehouse.AccountCredit, Amount: 30}}}
	b.update(func(tx store.Tx) error {
		b.ok(tx.Record(b.act("top_up.confirmed", "p")))
		b.ok(tx.Post(p))
		return tx.Post(q)
	})
	b.equal(b.postings(), []*gatehouse.Posting{q, p}) // q has the time of its transaction
	b.equal(b.balances(), map[gatehouse.Account]gatehouse.Ticks{gatehouse.AccountCash: 70, gatehouse.AccountCredit: -70})
	b.equal(b.cycleBalance(gatehouse.AccountCredit, march), gatehouse.Ticks(-100))
	b.equal(b.cycleBalance(gatehouse.AccountCredit, march.Next()), gatehouse.Ticks(30))
	b.view(func(v store.View) error {
		more, err := v.Postings(b.team, store.Cursor{Time: q.Time, ID: q.ID.String()}, 9)
		b.equal(more, []*gatehouse.Posting{p})
		b.ok(err)
		none, err := v.Balances(gatehouse.NewID())
		b.equal(len(none), 0)
		b.ok(err)
		spend, err := v.CycleSpend(b.team)
		b.equal(len(spend), 0) // neither is usage
		return err
	})
}

func postingsRefused(b *bench) {
	post := func(record bool, p gatehouse.Posting) error {
		_, err := b.s.Update(b.ctx, b.cause(), func(tx store.Tx) error {
			if record {
				b.ok(tx.Record(b.act("credit.granted", "p")))
			}
			return tx.Post(&p)
		})
		return err
	}
	good := gatehouse.Posting{ID: gatehouse.NewID(), TeamID: b.team, Kind: gatehouse.PostGrant, Cycle: march,
		Entries: []gatehouse.Entry{{Account: gatehouse.AccountGranted, Amount: 5}, {Account: gatehouse.AccountCredit, Amount: -5}}}
	tilted, nobodys, timeless, nameless, empty := good, good, good, good, good
	tilted.Entries = []gatehouse.Entry{{Account: gatehouse.AccountGranted, Amount: 5}, {Account: gatehouse.AccountCredit, Amount: -4}}
	nobodys.TeamID, timeless.Cycle, empty.Entries = gatehouse.ID{}, gatehouse.Cycle{}, nil
	nameless.Entries = []gatehouse.Entry{{Amount: 5}, {Account: gatehouse.AccountCredit, Amount: -5}}
	for _, p := range []gatehouse.Posting{tilted, nobodys, timeless, nameless, empty} {
		b.is(post(true, p), gatehouse.InvalidArgument)
	}
	b.is(post(false, good), gatehouse.Internal)
	b.equal(len(b.balances()), 0)
	b.ok(post(true, good))
	b.is(post(true, good), gatehouse.AlreadyExists)
	b.equal(b.balances()[gatehouse.AccountCredit], gatehouse.Ticks(-5))
}

func creditFirst(b *bench) {
	b.with(gatehouse.BillingPrepaid)
	b.grant(300)
	rng, total := rand.New(rand.NewPCG(1, 1)), gatehouse.Ticks(0)
	for range 12 {
		var batch []gatehouse.UsageRecord
		for range 1 + rng.IntN(5) {
			u := b.costing(start, rng.Int64N(10), gatehouse.Ticks(rng.Int64N(13)))
			total += u.Costs.Total()
			batch = append(batch, u)
		}
		b.insert(batch...)
		got := b.balances()
		b.equal(got[gatehouse.AccountCredit], -max(0, 300-total))
		b.equal(got[gatehouse.AccountReceivable], max(0, total-300))
		b.equal(got[gatehouse.AccountRevenue], -total)
	}
	if total <= 300 {
		b.Fatal("the credit was never used up")
	}
	b.view(func(v store.View) error {
		spend, err := v.CycleSpend(b.team)
		b.equal(spend, map[gatehouse.Cycle]gatehouse.Ticks{march: 300})
		return err
	})
	b.grant(50) // what is owed stays owed; new usage takes the new credit
	b.insert(b.costing(start, 1, 7))
	b.equal(b.balances()[gatehouse.AccountReceivable], total-300)
	b.equal(b.balances()[gatehouse.AccountCredit], gatehouse.Ticks(-43))
	b.insert(b.costing(start, 1, 30), b.costing(start.AddDate(0, -1, 0), 1, 30)) // of two cycles
	b.equal(b.balances()[gatehouse.AccountCredit], gatehouse.Ticks(0))
	b.equal(b.balances()[gatehouse.AccountReceivable], total-300+17)
}

func meteredOnly(b *bench) {
	b.with(gatehouse.BillingMetering)
	b.grant(1000)
	b.insert(b.costing(start, 3, 5), b.costing(start, 1, 0))
	b.equal(b.balances(), map[gatehouse.Account]gatehouse.Ticks{
		gatehouse.AccountGranted: 1000, gatehouse.AccountCredit: -1000, gatehouse.AccountMetered: 15, gatehouse.AccountRevenue: -15})
	b.insert(b.costing(start, 1, 0)) // costs nothing: no posting, and a charge all the same
	b.equal(len(b.postings()), 2)
	b.equal(b.charges(march), []gatehouse.Charge{
		{Cluster: "local", Model: "m", Unit: gatehouse.PromptText, Price: 0, Units: 2},
		{Cluster: "local", Model: "m", Unit: gatehouse.PromptText, Price: 5, Units: 3, Amount: 15},
	})
}

func replayPostsNothing(b *bench) {
	b.with(gatehouse.BillingPostpaid, gatehouse.Budget{ID: gatehouse.NewID(), Subject: gatehouse.BudgetTeam, Amount: 9, Period: gatehouse.BudgetTotal})
	b.grant(10)
	batch := []gatehouse.UsageRecord{b.costing(start, 2, 3), b.costing(start, 4, 5)}
	b.insert(batch...)
	balances, charges, postings := b.balances(), b.charges(march), b.postings()
	b.insert(batch...)
	b.insert(batch[0], batch[0])
	b.equal(b.balances(), balances)
	b.equal(b.charges(march), charges)
	b.equal(b.postings(), postings)
	b.insert(batch[0], b.costing(start, 1, 1), batch[1])
	b.equal(b.balances()[gatehouse.AccountRevenue], balances[gatehouse.AccountRevenue]-1)
	b.equal(len(b.postings()), len(postings)+1)
}

// rich makes usage of many models, units and prices over three months.
func (b *bench) rich(rng *rand.Rand, n int) (out []gatehouse.UsageRecord) {
	for range n {
		u := b.usage(start.AddDate(0, rng.IntN(3)-2, rng.IntN(9)))
		u.Model, u.Cluster = fmt.Sprint("m", rng.IntN(3)), fmt.Sprint("c", rng.IntN(2))
		u.Usage, u.Costs = gatehouse.Usage{}, gatehouse.Costs{}
		for range rng.IntN(4) {
			unit := rng.IntN(int(gatehouse.NumUnits))
			u.Usage[unit] = rng.Int64N(1000)
			u.Costs[unit] = gatehouse.Ticks(u.Usage[unit] * rng.Int64N(5))
			if rng.IntN(5) == 0 && u.Usage[unit] > 0 {
				u.Costs[unit] += gatehouse.Ticks(rng.IntN(9)) // not a price times units
			}
		}
		out = append(out, u)
	}
	return out
}

// adds checks that the books of a cycle say what the rows of it say.
func (b *bench) adds(c gatehouse.Cycle) {
	b.Helper()
	var units, charged gatehouse.Usage
	var cost, amount gatehouse.Ticks
	for _, u := range b.rows(store.UsageScan{Start: c.Start(), End: c.End()}) {
		cost += u.Costs.Total()
		for i, n := range u.Usage {
			units[i] += n
		}
	}
	for _, x := range b.charges(c) {
		if x.Amount != x.Price*gatehouse.Ticks(x.Units) || !x.For.IsZero() {
			b.Errorf("charge %+v", x)
		}
		amount += x.Amount
		charged[x.Unit] += x.Units
	}
	b.equal(charged, units)
	b.equal(amount, cost)
	b.equal(b.cycleBalance(gatehouse.AccountRevenue, c), -cost)
}

func chargesAddUp(b *bench) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 5 {
		b.insert(b.rich(rng, 90)...)
	}
	for _, months := range []int{-2, -1, 0} {
		c := gatehouse.CycleOf(start.AddDate(0, months, 0))
		if len(b.charges(c)) < 50 {
			b.Fatalf("%d charges", len(b.charges(c)))
		}
		b.adds(c)
		sorted := slices.IsSortedFunc(b.charges(c), func(x, y gatehouse.Charge) int {
			return slices.Compare([]string{x.Cluster, x.Model, fmt.Sprintf("%02d %09d", x.Unit, x.Price)}, []string{y.Cluster, y.Model, fmt.Sprintf("%02d %09d", y.Unit, y.Price)})
		})
		b.equal(sorted, true)
	}
}

func closedCycle(b *bench) {
	b.with(gatehouse.BillingPostpaid)
	february := gatehouse.Cycle{Year: 2026, Month: 2}
	feb := february.Start().AddDate(0, 0, 9)
	b.insert(b.costing(feb, 2, 3))
	invoice := &gatehouse.Invoice{ID: gatehouse.NewID(), TeamID: b.team, Cycle: february, CreateTime: start}
	b.view(func(v store.View) error {
		_, err := v.InvoiceOf(b.team, february)
		b.is(err, gatehouse.NotFound)
		return nil
	})
	b.update(func(tx store.Tx) error {
		charges, err := tx.Charges(b.team, february)
		b.equal(len(charges), 1)
		b.ok(err)
		b.ok(tx.Post(&gatehouse.Posting{TeamID: b.team, Kind: gatehouse.PostClose, Cycle: february, Entries: []gatehouse.Entry{
			{Account: gatehouse.AccountReceivable, Amount: 1}, {Account: gatehouse.AccountRounding, Amount: -1}}}))
		return tx.PutInvoice(invoice, b.act("invoice.created", "february"))
	})
	b.view(func(v store.View) error {
		got, err := v.InvoiceOf(b.team, february)
		b.equal(got, invoice)
		return err
	})
	b.insert(b.costing(feb, 5, 7), b.costing(start, 1, 1))
	b.equal(b.cycleBalance(gatehouse.AccountRevenue, february), gatehouse.Ticks(-6))
	b.equal(len(b.charges(february)), 1)
	all := b.postings()
	late := all[slices.IndexFunc(all, func(p *gatehouse.Posting) bool {
		return slices.Contains(p.Entries, gatehouse.Entry{Account: gatehouse.AccountRevenue, Amount: -35}) ||
			slices.Contains(p.Entries, gatehouse.Entry{Account: gatehouse.AccountRevenue, Amount: -36})
	})]
	b.equal(late.Cycle, gatehouse.CycleOf(late.Time))
	got := b.charges(late.Cycle)
	b.equal(got[len(got)-1], gatehouse.Charge{Cluster: "local", Model: "m", Price: 7, Units: 5, Amount: 35, For: february})
	b.equal(len(b.charges(march)) > 0, true)
	// Another team's February is open.
	other := b.costing(feb, 1, 1)
	other.TeamID = gatehouse.NewID()
	b.insert(other)
	b.view(func(v store.View) error {
		amount, err := v.CycleBalance(other.TeamID, gatehouse.AccountRevenue, february)
		b.equal(amount, gatehouse.Ticks(-1))
		return err
	})
}

// price sets the price of a prompt token of the model m.
func (b *bench) price(at time.Time, ticks gatehouse.Ticks) {
	b.Helper()
	p := &gatehouse.Price{ID: gatehouse.NewID(), Model: "m", Effective: at, Source: "operator",
		Units: map[string]gatehouse.Ticks{gatehouse.PromptText.String(): ticks, gatehouse.Images.String(): 2 * ticks}}
	b.update(func(tx store.Tx) error { return tx.PutPrice(p, b.act("price.created", "p")) })
}

// rerate prices the team's March again, a few rows at a time.
func (b *bench) rerate() (sum gatehouse.RerateReport) {
	b.Helper()
	for after, done := (store.Cursor{}), false; !done; {
		var part gatehouse.RerateReport
		b.ingest(func(i store.Ingest) (err error) {
			part, after, done, err = i.Rerate(b.team, march.Start(), march.End(), after, 7)
			return err
		})
		sum.Rows += part.Rows
		sum.Changed += part.Changed
		sum.Before += part.Before
		sum.After += part.After
	}
	return sum
}

func rerateFollows(b *bench) {
	budget := gatehouse.Budget{ID: gatehouse.NewID(), Subject: gatehouse.BudgetTeam, Amount: 9, Period: gatehouse.BudgetTotal}
	b.with(gatehouse.BillingPrepaid, budget)
	b.grant(1 << 40)
	rng := rand.New(rand.NewPCG(5, 6))
	var batch []gatehouse.UsageRecord
	for n := range 60 {
		u := b.costing(start.Add(time.Duration(n/2)*time.Hour).Truncate(time.Hour), 1+rng.Int64N(50), 10)
		u.Usage[gatehouse.Images], u.Costs[gatehouse.Images] = 1, 20
		batch = append(batch, u)
	}
	early := b.costing(march.Start().Add(-time.Second), 5, 10)
	b.insert(append(batch, early)...)
	middle := start.Add(15 * time.Hour)
	b.price(march.Start(), 10)
	same := b.rerate()
	b.equal([]int64{same.Rows, same.Changed}, []int64{60, 0})
	for n, ticks := range []gatehouse.Ticks{30, 4, 0} {
		b.price(middle.Add(time.Duration(n-9)*time.Minute), ticks)
		want := 0
		for n := range batch {
			if u := &batch[n]; !u.Start.Before(middle) {
				want++
				u.Costs[gatehouse.PromptText] = gatehouse.Ticks(u.Usage[gatehouse.PromptText]) * ticks
				u.Costs[gatehouse.Images] = 2 * ticks
			}
		}
		before := b.balances()[gatehouse.AccountRevenue]
		report := b.rerate()
		b.equal(report.Changed, int64(want))
		b.equal(b.balances()[gatehouse.AccountRevenue], before-report.After+report.Before)
		again := b.rerate()
		b.equal([]int64{again.Rows, again.Changed}, []int64{60, 0})
		b.adds(march)
		b.adds(gatehouse.CycleOf(early.Start))
		for n, u := range b.rows(store.UsageScan{Start: march.Start(), End: march.End()}) {
			if u.Costs.Total() != batch[slices.IndexFunc(batch, func(x gatehouse.UsageRecord) bool { return x.ID == u.ID })].Costs.Total() {
				b.Fatalf("row %d costs %s", n, u.Costs.Total())
			}
		}
		for d := range 4 {
			check, err := b.s.CheckUsage(b.ctx, start.AddDate(0, 0, d), false)
			b.ok(err)
			b.equal(len(check.Drifts), 0)
		}
		b.compare(b.rows(store.UsageScan{}), store.UsageScan{Team: b.team, Start: march.Start(), End: march.End(), Width: 24 * time.Hour, GroupBy: []store.Dimension{store.ByKey}})
		b.view(func(v store.View) error {
			spent, err := v.Spent(budget.Fund(b.team, "", start))
			b.ok(err)
			all, err := v.Balances(b.team)
			b.equal(spent, -all[gatehouse.AccountRevenue])
			return err
		})
	}
}

func rerateGivesBack(b *bench) {
	b.price(march.Start(), 10)
	b.with(gatehouse.BillingMetering)
	b.insert(b.costing(start, 4, 10))
	b.with(gatehouse.BillingPrepaid)
	b.grant(50)
	b.insert(b.costing(start, 8, 10)) // 50 of credit, 30 owed
	b.price(start.Add(-time.Hour), 3) // 120 becomes 36: 84 to give back
	b.rerate()
	b.equal(b.balances(), map[gatehouse.Account]gatehouse.Ticks{
		gatehouse.AccountGranted: 50, gatehouse.AccountCredit: -50, gatehouse.AccountReceivable: 0,
		gatehouse.AccountMetered: 36, gatehouse.AccountRevenue: -36})
	// A closed cycle is corrected in the running one.
	b.update(func(tx store.Tx) error {
		return tx.PutInvoice(&gatehouse.Invoice{ID: gatehouse.NewID(), TeamID: b.team, Cycle: march, CreateTime: start}, b.act("invoice.created", "march"))
	})
	charges := b.charges(march)
	b.price(start.Add(-time.Minute), 4)
	b.rerate()
	b.equal(b.charges(march), charges)
	p := b.postings()[0]
	b.equal([]any{p.Kind, p.Cycle}, []any{gatehouse.PostAdjustment, gatehouse.CycleOf(p.Time)})
	b.equal(b.charges(p.Cycle), []gatehouse.Charge{
		{Cluster: "local", Model: "m", Price: 3, Units: -12, Amount: -36, For: march},
		{Cluster: "local", Model: "m", Price: 4, Units: 12, Amount: 48, For: march},
	})
}
