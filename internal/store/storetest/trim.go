package storetest

import (
	"context"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// Trims checks that what nobody asks for any more is forgotten, and nothing
// before its time. Open opens an empty store by a clock.
func Trims(t *testing.T, open func(now func() time.Time) store.Store) {
	now := start
	b := &bench{T: t, s: open(func() time.Time { return now }), ctx: store.System(context.Background()), team: gatehouse.NewID(), user: gatehouse.NewID()}
	day := gatehouse.Budget{ID: gatehouse.NewID(), Subject: gatehouse.BudgetTeam, Amount: 100, Period: gatehouse.BudgetDay, Zone: "UTC"}
	total := day
	total.ID, total.Period = gatehouse.NewID(), gatehouse.BudgetTotal
	b.with(gatehouse.BillingMetering, day, total)
	b.insert(b.costing(start, 1, 5))
	b.work(func(w store.Work) error {
		return w.PutAlert(gatehouse.Alert{ID: gatehouse.NewID(), TeamID: b.team, Time: start})
	})
	funds := []gatehouse.Fund{day.Fund(gatehouse.ID{}, "x/0/y", start), total.Fund(gatehouse.ID{}, "x", start)}
	told := func() (out []bool) {
		b.work(func(w store.Work) error {
			for _, f := range funds {
				first, err := w.Alerted(f.String(), 50)
				b.ok(err)
				out = append(out, first)
			}
			return nil
		})
		return out
	}
	after := func(days int) (spent []gatehouse.Ticks, alerts int) {
		now = start.AddDate(0, 0, days)
		b.work(func(w store.Work) error { return w.Trim(now.Add(-time.Hour)) })
		b.view(func(v store.View) error {
			for _, x := range []gatehouse.Budget{day, total} {
				ticks, err := v.Spent(x.Fund(b.team, "", start))
				b.ok(err)
				spent = append(spent, ticks)
			}
			all, err := v.Alerts(b.team, store.Cursor{}, 9)
			alerts = len(all)
			return err
		})
		return spent, alerts
	}
	b.equal(told(), []bool{true, true})
	spent, alerts := after(89)
	b.equal([]any{spent, alerts, told()}, []any{[]gatehouse.Ticks{5, 5}, 1, []bool{false, false}})
	spent, alerts = after(91)
	b.equal([]any{spent, alerts, told()}, []any{[]gatehouse.Ticks{5, 5}, 0, []bool{true, false}})
	spent, _ = after(399)
	b.equal(spent, []gatehouse.Ticks{5, 5})
	spent, _ = after(401)
	b.equal(spent, []gatehouse.Ticks{0, 5})
}
