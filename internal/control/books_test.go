package control_test

import (
	"encoding/csv"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/billing"
	"gatehouse/internal/store"
)

// A year of random days: whatever a team and its operator do, the books balance,
// an invoice is what the books of its cycle ask for, its CSV comes to the usage
// of its rows to the tick, and no money appears or is lost.
func TestAYearOfBooks(t *testing.T) {
	b := openBank(t, gatehouse.BillingPrepaid)
	r := rand.New(rand.NewPCG(4, 2026))
	used := map[gatehouse.Cycle]gatehouse.Ticks{} // beyond what was metered
	mode := gatehouse.BillingPrepaid
	for cycle := november; cycle != (gatehouse.Cycle{Year: 2027, Month: 11}); cycle = cycle.Next() {
		for range 12 {
			mode = b.someDay(t, r, mode, func(cost gatehouse.Ticks) { used[cycle] += cost })
		}
		b.to(cycle.End())
		inv, err := b.root().CloseBillingCycle(t.Context(), b.team, cycle)
		if gatehouse.CodeOf(err) == gatehouse.FailedPrecondition && used[cycle] == 0 {
			continue // metered only
		}
		if err != nil {
			t.Fatal(cycle, err)
		}
		b.judge(t, inv, used[cycle])
	}
}

// someDay does one thing, and returns the billing mode after it.
func (b *bank) someDay(t *testing.T, r *rand.Rand, mode gatehouse.BillingMode, paid func(gatehouse.Ticks)) gatehouse.BillingMode {
	t.Helper()
	cents := gatehouse.Ticks(100+r.Int64N(3_000)) * gatehouse.Cent
	switch r.IntN(10) {
	case 0:
		b.pay(t, cents)
	case 1:
		_, err := b.root().GrantCredit(t.Context(), b.team, cents-10*gatehouse.USD+gatehouse.Cent, "")
		if code := gatehouse.CodeOf(err); err != nil && code != gatehouse.FailedPrecondition && code != gatehouse.InvalidArgument {
			t.Fatal(err)
		}
	case 2:
		mode = []gatehouse.BillingMode{gatehouse.BillingPrepaid, gatehouse.BillingPostpaid, gatehouse.BillingMetering}[r.IntN(3)]
		if _, err := b.root().UpdateTeam(t.Context(), gatehouse.TeamUpdate{ID: b.team, Billing: gatehouse.Some(mode)}); err != nil {
			t.Fatal(err)
		}
	case 3:
		if _, err := b.root().UpdateBillingAccount(t.Context(), gatehouse.BillingAccountUpdate{TaxBasisPoints: gatehouse.Some(r.IntN(2_500))}); err != nil {
			t.Fatal(err)
		}
	default:
		u := b.use(t, gatehouse.Ticks(r.Int64N(100_000)), r.Int64N(1_000_000))
		if mode != gatehouse.BillingMetering {
			paid(u.Costs.Total())
		}
	}
	return mode
}

// judge holds an invoice against the books and the usage of its cycle.
func (b *bank) judge(t *testing.T, inv *gatehouse.Invoice, used gatehouse.Ticks) {
	t.Helper()
	whole := func(c int64) gatehouse.Ticks { return gatehouse.Ticks(c) * gatehouse.Cent }
	_, file := b.written(t, inv.ID)
	rows, err := csv.NewReader(strings.NewReader(file)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var lines gatehouse.Ticks
	for _, row := range rows {
		if row[2] == "line" {
			n, err := strconv.ParseInt(row[9], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			lines += gatehouse.Ticks(n)
		}
	}
	switch due := whole(billing.Due(inv)); {
	case lines != used:
		t.Errorf("%s: the CSV's lines come to %s, the usage to %s", inv.Cycle, lines, used)
	case b.cycle(t, gatehouse.AccountReceivable, inv.Cycle) != due:
		t.Errorf("%s: %s owed on the books, %s on the invoice", inv.Cycle, b.cycle(t, gatehouse.AccountReceivable, inv.Cycle), due)
	case b.spent(t, inv) != whole(inv.Prepaid):
		t.Errorf("%s: %s taken from the credit, %s on the invoice", inv.Cycle, b.spent(t, inv), whole(inv.Prepaid))
	case b.cycle(t, gatehouse.AccountTax, inv.Cycle) != -whole(inv.Tax) || b.cycle(t, gatehouse.AccountRounding, inv.Cycle) != -inv.Rounding:
		t.Errorf("%s: tax and rounding of the books are not the invoice's", inv.Cycle)
	}
	b.balanced(t)
}

// spent is what usage and the close took from the credit in an invoice's cycle.
func (b *bank) spent(t *testing.T, inv *gatehouse.Invoice) (sum gatehouse.Ticks) {
	t.Helper()
	err := b.store.View(store.System(t.Context()), func(v store.View) error {
		spent, err := v.CycleSpend(b.team)
		if err != nil {
			return err
		}
		sum = spent[inv.Cycle]
		postings, err := v.Postings(b.team, store.Cursor{}, 1_000)
		for _, p := range postings {
			if p.Kind != gatehouse.PostClose || p.Ref != inv.ID.String() {
				continue
			}
			for _, e := range p.Entries {
				if e.Account == gatehouse.AccountCredit {
					sum += e.Amount
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}
