package verify

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/control"
	"gatehouse/internal/secret"
	"gatehouse/internal/store"
)

// readBack opens the database of the stopped house, and holds against its raw
// rows what the provider saw, what processes counted, and what the books said.
func (b *books) readBack(spent, final map[string]account, budgets map[string]gatehouse.Ticks) {
	b.t.Helper()
	db := b.openStore()
	defer db.Close()
	of := map[*payer]map[string][]*gatehouse.UsageRecord{}
	b.must(db.View(store.System(context.Background()), func(v store.View) error {
		for _, p := range b.payers {
			of[p] = map[string][]*gatehouse.UsageRecord{}
			if err := scanRows(v, p.team, of[p]); err != nil {
				return err
			}
			if err := b.compareCharges(v, p, of[p], final[p.mode]); err != nil {
				return err
			}
		}
		return nil
	}))
	all := map[string][]*gatehouse.UsageRecord{}
	for _, rows := range of {
		maps.Copy(all, rows)
	}
	b.compareProvider(all)
	for phases, counted := range b.served {
		if want := booked(all, strings.Split(phases, ",")); !reflect.DeepEqual(counted, want) {
			b.t.Errorf("%s: the process counted %v, its rows are %v", phases, counted, want)
		}
	}
	b.compareFunds(of, spent, budgets)
}

// compareProvider checks one row per request that the provider saw, token by
// token where both sides finished, and estimates where the process died.
func (b *books) compareProvider(rows map[string][]*gatehouse.UsageRecord) {
	b.t.Helper()
	interrupted, estimated, exact := 0, 0, 0
	for id, list := range rows {
		if len(list) != 1 {
			b.t.Errorf("request %s has %d rows", id, len(list))
		}
		switch r := list[0]; {
		case r.Outcome == gatehouse.Interrupted:
			if interrupted++; !r.Estimated || r.Costs.Total() <= 0 || !strings.HasPrefix(id, "killed-") {
				b.t.Errorf("an interrupted row that is no estimate: %+v", r)
			}
		case r.Estimated:
			estimated++
		}
	}
	seen := map[string]bool{}
	for _, e := range b.upstream.Ledger() {
		seen[e.RequestID] = true
		list := rows[e.RequestID]
		if len(list) == 0 {
			b.t.Errorf("the provider saw %+v, and there is no row", e)
			continue
		}
		r := list[0]
		if !e.Finished || r.Estimated || r.Usage[gatehouse.Images] > 0 {
			continue
		}
		if exact++; r.Usage.Prompt() != e.Prompt || r.Usage[gatehouse.CacheRead] != e.Cached || r.Usage.Completion() != e.Completion+e.Reasoning {
			b.t.Errorf("request %s: booked %v, the provider says %+v", e.RequestID, r.Usage, e)
		}
	}
	for id, list := range rows {
		if !seen[id] && list[0].Outcome != gatehouse.Interrupted {
			b.t.Errorf("the provider never saw request %s, and it has a row", id)
		}
	}
	b.t.Logf("%d rows: %d to the provider's token, %d estimated, %d interrupted", len(rows), exact, estimated, interrupted)
	if interrupted == 0 || estimated == 0 || exact == 0 {
		b.t.Error("a kind of row is missing, and the test did not see what it came for")
	}
}

// booked is what the counters of whoever served the phases should say.
func booked(rows map[string][]*gatehouse.UsageRecord, phases []string) counters {
	c := counters{}
	for id, list := range rows {
		for _, phase := range phases {
			if strings.HasPrefix(id, phase+"-") {
				r := list[0]
				c[fmt.Sprintf("%s %d", r.Endpoint, r.Status)]++
				c["prompt"] += r.Usage.Prompt()
				c["completion"] += r.Usage.Completion()
			}
		}
	}
	return c
}

// compareCharges compares the charges and the preview with the sums of rows.
func (b *books) compareCharges(v store.View, p *payer, rows map[string][]*gatehouse.UsageRecord, a account) error {
	b.t.Helper()
	team, err := gatehouse.ParseID(p.team)
	b.must(err)
	prices, err := priceBook(v)
	if err != nil {
		return err
	}
	charges, err := v.Charges(team, b.cycle)
	if err != nil {
		return err
	}
	want := b.charges(rows, prices)
	var total gatehouse.Ticks
	for _, c := range charges {
		k := gatehouse.Charge{Cluster: c.Cluster, Model: c.Model, Unit: c.Unit, Price: c.Price}
		if w := want[k]; w.Units != c.Units || w.Amount != c.Amount {
			b.t.Errorf("%s: charge %+v, its rows %+v", p.mode, c, w)
		}
		total += c.Amount
	}
	lines := len(slices.DeleteFunc(slices.Clone(a.Lines), func(l line) bool { return l.UnitType == "" }))
	if len(charges) != len(want) || p.mode != metering && lines != len(want) || total != -a.Trial[gatehouse.AccountRevenue] {
		b.t.Errorf("%s: %d charges of %d, %d lines in the preview, %d sums of rows", p.mode, len(charges), total, lines, len(want))
	}
	return nil
}

// charges adds up rows as an invoice does, by what makes a line. Every row costs
// what its price says.
func (b *books) charges(rows map[string][]*gatehouse.UsageRecord, prices map[string][]*gatehouse.Price) map[gatehouse.Charge]gatehouse.Charge {
	b.t.Helper()
	out := map[gatehouse.Charge]gatehouse.Charge{}
	for id, list := range rows {
		r := list[0]
		again := *r
		if again.Rate(prices[r.Model]); again.Costs != r.Costs {
			b.t.Errorf("request %s costs %v, by its price %v", id, r.Costs, again.Costs)
		}
		for unit, n := range r.Usage {
			if n != 0 {
				k := gatehouse.Charge{Cluster: r.Cluster, Model: r.Model, Unit: gatehouse.Unit(unit), Price: r.Costs[unit] / gatehouse.Ticks(n)}
				out[k] = gatehouse.Charge{Units: out[k].Units + n, Amount: out[k].Amount + r.Costs[unit]}
			}
		}
	}
	return out
}

// priceBook is the prices of each model, newest first.
func priceBook(v store.View) (map[string][]*gatehouse.Price, error) {
	all, err := v.Prices()
	slices.SortFunc(all, func(a, b *gatehouse.Price) int { return b.Effective.Compare(a.Effective) })
	book := map[string][]*gatehouse.Price{}
	for _, p := range all {
		book[p.Model] = append(book[p.Model], p)
	}
	return book, err
}

// compareFunds checks what budgets say they spent, and that no money was spent
// that was not there: at most what was running when it went out.
func (b *books) compareFunds(of map[*payer]map[string][]*gatehouse.UsageRecord, spent map[string]account, budgets map[string]gatehouse.Ticks) {
	b.t.Helper()
	for p, rows := range of {
		var counted, dearest gatehouse.Ticks
		for _, list := range rows {
			cost := list[0].Costs.Total()
			dearest = max(dearest, cost)
			if p.only == "" || p.only == list[0].KeyID.String() {
				counted += cost
			}
		}
		if p.budget != "" && budgets[p.budget] != counted {
			b.t.Errorf("%s: the budget says %d, the rows %d", p.mode, budgets[p.budget], counted)
		}
		cost, money := -spent[p.mode].Trial[gatehouse.AccountRevenue], p.credit+p.limit
		if money > 0 && cost > money+booksWorkers*dearest {
			b.t.Errorf("%s: %d spent of %d, and %d requests of at most %d were running", p.mode, cost, money, booksWorkers, dearest)
		}
	}
}

// closeMonth closes the month in the database of the stopped house, by the code
// that control runs a day after its end.
func (b *books) closeMonth() {
	b.t.Helper()
	later := func() time.Time { return b.cycle.End().Add(25 * time.Hour) }
	db := b.openStoreAt(later)
	defer db.Close()
	keys, err := secret.Open(b.Secrets())
	b.must(err)
	c := control.New(control.Config{Store: db, Now: later, Sealer: keys, Logger: slog.New(slog.DiscardHandler)})
	b.must(c.CloseDue(context.Background()))
}
