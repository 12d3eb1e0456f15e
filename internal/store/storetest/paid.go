package storetest

import (
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

var paidPromises = []promise{
	{"re-rating a closed cycle gives back what its requests took, once", closedGivesBackOnce},
	{"late usage of a closed cycle is given back as it was paid", lateGivesBack},
	{"usage is paid as the team stood when it was made", paidAsItStood},
	{"a budget counts from its creation, also what is priced again", budgetsBegin},
	{"a budget's funds are those of one period, with what is held", budgetFunds},
}

// closeMarch closes the team's March.
func (b *bench) closeMarch() {
	b.Helper()
	b.update(func(tx store.Tx) error {
		return tx.PutInvoice(&gatehouse.Invoice{ID: gatehouse.NewID(), TeamID: b.team, Cycle: march, CreateTime: start}, b.act("invoice.created", "march"))
	})
}

// many is usage of so many requests that re-rating takes several portions.
func (b *bench) many(n int, units int64, price gatehouse.Ticks) {
	b.Helper()
	for range n {
		b.insert(b.costing(start, units, price))
	}
}

func closedGivesBackOnce(b *bench) {
	b.with(gatehouse.BillingMetering)
	b.many(20, 1, 10)
	b.with(gatehouse.BillingPostpaid)
	b.grant(20)
	b.many(1, 5, 10) // 20 of credit, 30 owed
	b.closeMarch()
	for n, price := range []gatehouse.Ticks{5, 1, 0} {
		b.price(start.Add(time.Duration(n-9)*time.Minute), price)
		b.rerate()
		got := b.balances()
		b.equal([]gatehouse.Ticks{got[gatehouse.AccountCredit], got[gatehouse.AccountReceivable], got[gatehouse.AccountRevenue]},
			[]gatehouse.Ticks{-20, 0, -25 * price})
	}
	b.price(start.Add(-time.Minute), 4) // and taken again, and given back again
	b.rerate()
	b.equal(b.balances()[gatehouse.AccountCredit], gatehouse.Ticks(0))
	b.equal(b.balances()[gatehouse.AccountReceivable], gatehouse.Ticks(80))
	b.price(start.Add(-time.Second), 0)
	b.rerate()
	b.equal(b.balances()[gatehouse.AccountCredit], gatehouse.Ticks(-20))
	b.equal(b.balances()[gatehouse.AccountReceivable], gatehouse.Ticks(0))
	b.view(func(v store.View) error {
		spend, err := v.CycleSpend(b.team)
		b.equal(spend[march], gatehouse.Ticks(20)) // the closed month's invoice stays right
		return err
	})
}

func lateGivesBack(b *bench) {
	b.with(gatehouse.BillingPrepaid)
	b.grant(100)
	b.closeMarch()
	b.many(3, 1, 10)
	now := b.costing(time.Now(), 1, 10) // whose cycle the late ones count in
	b.insert(now)
	b.equal(b.balances()[gatehouse.AccountCredit], gatehouse.Ticks(-60))
	b.price(march.Start(), 4)
	b.rerate()
	b.equal(b.balances()[gatehouse.AccountCredit], gatehouse.Ticks(-78))
	b.equal(b.balances()[gatehouse.AccountMetered], gatehouse.Ticks(0))
}

func paidAsItStood(b *bench) {
	turn := func(n int) time.Time { return start.Add(time.Duration(n) * time.Hour) }
	b.update(func(tx store.Tx) error {
		return tx.PutTeam(&gatehouse.Team{ID: b.team, Name: "t", Billing: gatehouse.BillingPostpaid, CreateTime: start,
			BillingTurns: []time.Time{turn(1), turn(2), turn(3)}}, b.act("team.updated", "t"))
	})
	b.grant(10)
	for n, want := range [][]gatehouse.Ticks{{-10, 0, 8}, {-2, 0, 8}, {-2, 0, 16}, {0, 6, 16}} { // credit, receivable, metered
		b.insert(b.costing(turn(n), 1, 8))
		got := b.balances()
		b.equal([]gatehouse.Ticks{got[gatehouse.AccountCredit], got[gatehouse.AccountReceivable], got[gatehouse.AccountMetered]}, want)
	}
	for n, want := range [][]gatehouse.Ticks{{0, 10, 20}, {-6, 0, 4}, {-10, 0, 0}} { // of 10, 2 and nothing a request
		b.price(start.Add(time.Duration(n-9)*time.Minute), []gatehouse.Ticks{10, 2, 0}[n])
		b.rerate()
		got := b.balances()
		b.equal([]gatehouse.Ticks{got[gatehouse.AccountCredit], got[gatehouse.AccountReceivable], got[gatehouse.AccountMetered]}, want)
	}
}

func budgetsBegin(b *bench) {
	b.price(march.Start(), 5)
	made := start.Add(time.Hour)
	budget := gatehouse.Budget{ID: gatehouse.NewID(), Subject: gatehouse.BudgetTeam, Amount: 100, Period: gatehouse.BudgetMonth, Zone: "UTC", CreateTime: made}
	spent := func() (out gatehouse.Ticks) {
		b.view(func(v store.View) (err error) { out, err = v.Spent(budget.Fund(b.team, "", made)); return err })
		return out
	}
	b.with(gatehouse.BillingMetering)
	b.insert(b.costing(start, 3, 10))
	b.with(gatehouse.BillingMetering, budget)
	b.insert(b.costing(made.Add(-time.Microsecond), 3, 10)) // late
	b.equal(spent(), gatehouse.Ticks(0))
	b.insert(b.costing(made, 4, 10))
	b.equal(spent(), gatehouse.Ticks(40))
	b.rerate()
	b.equal(spent(), gatehouse.Ticks(20))
}

func budgetFunds(b *bench) {
	keys := []gatehouse.ID{gatehouse.NewID(), gatehouse.NewID()}
	budget := gatehouse.Budget{ID: gatehouse.NewID(), Subject: gatehouse.BudgetTag, Value: "env=*", Amount: 100, Period: gatehouse.BudgetDay, Zone: "UTC"}
	other := budget
	other.ID = gatehouse.NewID()
	b.with(gatehouse.BillingMetering, budget, other)
	fund := func(x gatehouse.Budget, of string, days int) gatehouse.Fund {
		return x.Fund(b.team, of, start.AddDate(0, 0, days))
	}
	b.asker(fund(budget, "a/b", 0), keys[0], 1).ask(30, 0, 0)
	b.asker(fund(budget, "a/b", 0), keys[1], 1).ask(12, 0, 0)
	b.asker(fund(budget, "0", 0), keys[1], 1).ask(5, 0, 0) // nothing of it has arrived
	over := b.asker(fund(budget, "over", 0), keys[1], 1)
	over.ask(5, 0, 0)
	over.ask(0, 0, 5)
	b.asker(fund(budget, "a/b", 1), keys[1], 1).ask(7, 0, 0)
	b.asker(fund(other, "a/b", 0), keys[1], 1).ask(9, 0, 0)
	u := b.costing(start, 1, 20)
	u.Tags = map[string]string{"env": "a/b"}
	b.shipped(keys[0], 1, u)
	b.view(func(v store.View) error {
		got, err := v.BudgetFunds(budget.ID, fund(budget, "", 0).Start)
		b.ok(err)
		b.equal(got, map[gatehouse.Fund]store.FundUse{fund(budget, "a/b", 0): {Spent: 20, Held: 22}, fund(budget, "0", 0): {Held: 5}})
		got, err = v.BudgetFunds(budget.ID, fund(budget, "", 1).Start)
		b.ok(err)
		b.equal(got, map[gatehouse.Fund]store.FundUse{fund(budget, "a/b", 1): {Held: 7}})
		got, err = v.BudgetFunds(gatehouse.NewID(), 0)
		b.equal(len(got), 0)
		return err
	})
}
