package control_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/billing"
	"gatehouse/internal/store"
)

var (
	october  = gatehouse.Cycle{Year: 2026, Month: 10}
	november = gatehouse.Cycle{Year: 2026, Month: 11}
	december = gatehouse.Cycle{Year: 2026, Month: 12}
)

// to moves the clock to a time.
func (b *bank) to(at time.Time) { b.clock.advance(at.Sub(b.clock.Now())) }

// owed is the receivable of a cycle.
func (b *bank) cycle(t *testing.T, a gatehouse.Account, c gatehouse.Cycle) (out gatehouse.Ticks) {
	t.Helper()
	err := b.store.View(store.System(t.Context()), func(v store.View) (err error) {
		out, err = v.CycleBalance(b.team, a, c)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The whole month: credit first, then debt; tax; the invoice is what the preview
// said; the books say what the invoice asks; closing again is the same invoice;
// late usage counts in the running cycle; payment from outside ends the debt.
func TestAMonthIsClosed(t *testing.T) {
	b := openBank(t, gatehouse.BillingPostpaid)
	c, ctx := b.root(), t.Context()
	if _, err := c.UpdateBillingAccount(ctx, gatehouse.BillingAccountUpdate{TeamID: b.team, TaxBasisPoints: gatehouse.Some(1900)}); err != nil {
		t.Fatal(err)
	}
	b.pay(t, 10*gatehouse.USD)
	b.use(t, 2*gatehouse.Cent+1, 300) // $6.00 and 300 ticks
	b.use(t, 3*gatehouse.Cent, 300)   // $9.00
	late := b.clock.Now()
	b.to(november.End().Add(-time.Minute))
	preview, err := c.PreviewInvoice(ctx, b.team)
	if err != nil || preview.Invoice.Total != 1785 || preview.Used != 10*gatehouse.USD || preview.Credit != 0 || preview.Effective != gatehouse.DefaultHardLimit {
		t.Fatalf("%+v, %v", preview, err)
	}
	wantCode(t, gatehouse.FailedPrecondition, second(c.CloseBillingCycle(ctx, b.team, november)))
	b.to(november.End())
	inv, err := c.CloseBillingCycle(ctx, b.team, november)
	if err != nil {
		t.Fatal(err)
	}
	if inv.Subtotal != 1500 || inv.Tax != 285 || inv.Total != 1785 || inv.Total != preview.Invoice.Total || inv.Prepaid != preview.Invoice.Prepaid ||
		inv.Prepaid != 1000 || inv.Rounding != -300 || inv.Status != gatehouse.InvoicePending || len(inv.Lines) != 2 || inv.Number == "" {
		t.Errorf("%+v", inv)
	}
	again, err := c.CloseBillingCycle(ctx, b.team, november)
	if err != nil || again.ID != inv.ID || again.Revision != inv.Revision {
		t.Errorf("%+v, %v", again, err)
	}
	trial := b.balanced(t)
	due := gatehouse.Ticks(billing.Due(inv)) * gatehouse.Cent
	if trial[gatehouse.AccountTax] != -285*gatehouse.Cent || trial[gatehouse.AccountRounding] != 300 || b.cycle(t, gatehouse.AccountReceivable, november) != due {
		t.Errorf("books %v, due %s", trial, due)
	}
	b.lateUse(t, late)
	if got := b.cycle(t, gatehouse.AccountReceivable, november); got != due {
		t.Errorf("late usage made %s of %s", got, due)
	}
	paid, err := c.SettleInvoice(ctx, inv.ID)
	if err != nil || paid.Status != gatehouse.InvoicePaid || b.cycle(t, gatehouse.AccountReceivable, november) != 0 {
		t.Errorf("%+v, %v", paid, err)
	}
	if twice, err := c.SettleInvoice(ctx, inv.ID); err != nil || twice.Revision != paid.Revision {
		t.Errorf("%+v, %v", twice, err)
	}
	b.balanced(t)
}

// lateUse ingests a request that was made in a closed cycle, and looks for it in
// the running one.
func (b *bank) lateUse(t *testing.T, at time.Time) {
	t.Helper()
	u := gatehouse.UsageRecord{ID: gatehouse.NewTimeID(at), Start: at, Close: at, TeamID: b.team, KeyID: gatehouse.NewID(), Model: "late", Cluster: "local", Gateway: gatehouse.NewID()}
	u.Usage[gatehouse.PromptText], u.Costs[gatehouse.PromptText] = 4, 4*gatehouse.USD
	err := b.store.Ingest(store.System(t.Context()), func(in store.Ingest) error {
		_, err := in.InsertUsage([]gatehouse.UsageRecord{u})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	preview, err := b.root().PreviewInvoice(t.Context(), b.team)
	if err != nil || len(preview.Invoice.Lines) != 1 || preview.Invoice.Lines[0].For != november || preview.Invoice.Cycle != december || preview.Invoice.Subtotal != 400 {
		t.Errorf("%+v, %v", preview, err)
	}
}

// Who pays ahead and has the money is asked for nothing: credit pays rounding and
// tax too, and the statement has one row for the month, in whole cents.
func TestAPrepaidMonthIsPaidWhole(t *testing.T) {
	b := openBank(t, gatehouse.BillingPrepaid)
	if _, err := b.root().UpdateBillingAccount(t.Context(), gatehouse.BillingAccountUpdate{TaxBasisPoints: gatehouse.Some(1000)}); err != nil {
		t.Fatal(err)
	}
	b.pay(t, 10*gatehouse.USD)
	b.use(t, 1, 3) // three ticks: nothing, rounded
	b.use(t, gatehouse.Cent, 250)
	b.to(november.End())
	inv, err := b.root().CloseBillingCycle(t.Context(), b.team, november)
	if err != nil || inv.Total != 275 || inv.Prepaid != 275 || inv.Status != gatehouse.InvoicePaid || inv.Rounding != -3 {
		t.Fatalf("%+v, %v", inv, err)
	}
	if trial := b.balanced(t); trial[gatehouse.AccountCredit] != -725*gatehouse.Cent || trial[gatehouse.AccountReceivable] != 0 {
		t.Errorf("books %v", trial)
	}
	rows, total, err := b.root().BalanceChanges(t.Context(), b.team)
	if err != nil || len(rows) != 2 || total != -725*gatehouse.Cent {
		t.Fatalf("%+v, %s, %v", rows, total, err)
	}
	spend, purchase := rows[0], rows[1]
	if spend.Origin != gatehouse.OriginSpend || spend.Cycle != november || spend.Amount != 275*gatehouse.Cent || spend.Invoice != inv.Number {
		t.Errorf("%+v", spend)
	}
	if purchase.Origin != gatehouse.OriginPurchase || purchase.Amount != -10*gatehouse.USD || purchase.TopUp.IsZero() || purchase.Process != "manual" || purchase.Invoice == "" {
		t.Errorf("%+v", purchase)
	}
	wantCode(t, gatehouse.FailedPrecondition, b.settleTotalZero(t))
	pdf, csv := b.written(t, inv.ID)
	if !strings.HasPrefix(pdf, "%PDF-") || !strings.Contains(csv, inv.Number+",2026-11,total") {
		t.Errorf("%.20q, %s", pdf, csv)
	}
}

// settleTotalZero closes an idle month and settles its invoice.
func (b *bank) settleTotalZero(t *testing.T) error {
	t.Helper()
	b.to(december.End())
	inv, err := b.root().CloseBillingCycle(t.Context(), b.team, december)
	if err != nil || inv.Status != gatehouse.InvoiceNever || inv.Total != 0 {
		t.Fatalf("%+v, %v", inv, err)
	}
	return second(b.root().SettleInvoice(t.Context(), inv.ID))
}

func TestCyclesThatCannotBeClosedAreRefused(t *testing.T) {
	b := openBank(t, gatehouse.BillingPostpaid)
	c, ctx := b.root(), t.Context()
	for _, cycle := range []gatehouse.Cycle{{}, {Year: 1999, Month: 12}, {Year: 2201, Month: 1}, {Year: 2026, Month: 0}, {Year: 2026, Month: 13}, {Year: -1, Month: 1}} {
		wantCode(t, gatehouse.InvalidArgument, second(c.CloseBillingCycle(ctx, b.team, cycle)))
		wantCode(t, gatehouse.InvalidArgument, second(c.RerateUsage(ctx, b.team, cycle)))
		if !cycle.IsZero() {
			wantCode(t, gatehouse.InvalidArgument, second(c.ListInvoices(ctx, gatehouse.InvoiceQuery{Cycle: cycle})))
			wantCode(t, gatehouse.InvalidArgument, second(c.ListInvoices(ctx, gatehouse.InvoiceQuery{Since: cycle})))
		}
	}
	wantCode(t, gatehouse.InvalidArgument, second(c.ListInvoices(ctx, gatehouse.InvoiceQuery{Cycle: november, Since: november})))
	for _, cycle := range []gatehouse.Cycle{november, december, {Year: 2200, Month: 12}, october} {
		wantCode(t, gatehouse.FailedPrecondition, second(c.CloseBillingCycle(ctx, b.team, cycle)))
	}
	wantCode(t, gatehouse.FailedPrecondition, second(c.RerateUsage(ctx, b.team, december)))
	if list, err := c.ListInvoices(ctx, gatehouse.InvoiceQuery{Cycle: gatehouse.Cycle{Year: 2100, Month: 1}}); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

// What a team used while it was only metered is on no bill, also in a month in
// which it came to pay.
func TestUsageThatWasMeteredIsNotBilled(t *testing.T) {
	b := openBank(t, gatehouse.BillingMetering)
	b.use(t, gatehouse.USD, 5)
	if _, err := b.root().UpdateTeam(t.Context(), gatehouse.TeamUpdate{ID: b.team, Billing: gatehouse.Some(gatehouse.BillingPostpaid)}); err != nil {
		t.Fatal(err)
	}
	b.use(t, gatehouse.USD, 2)
	b.to(november.End())
	inv, err := b.root().CloseBillingCycle(t.Context(), b.team, november)
	if err != nil || inv.Total != 200 || inv.Prepaid != 0 {
		t.Fatalf("%+v, %v", inv, err)
	}
	if trial := b.balanced(t); trial[gatehouse.AccountMetered] != 5*gatehouse.USD || trial[gatehouse.AccountReceivable] != 2*gatehouse.USD {
		t.Errorf("books %v", trial)
	}
	if _, err := b.root().UpdateTeam(t.Context(), gatehouse.TeamUpdate{ID: b.team, Billing: gatehouse.Some(gatehouse.BillingMetering)}); err != nil {
		t.Fatal(err)
	}
	b.use(t, gatehouse.USD, 1)
	b.to(december.End())
	wantCode(t, gatehouse.FailedPrecondition, second(b.root().CloseBillingCycle(t.Context(), b.team, december)))
}

// Nobody has to close: a day after its end every team's cycle is, once, whoever
// and how many ask, and also what was missed while nothing ran.
func TestCyclesAreClosedADayAfterTheirEnd(t *testing.T) {
	b := openBank(t, gatehouse.BillingPostpaid)
	ctx := t.Context()
	if _, err := b.root().CreateTeam(ctx, "metered"); err != nil {
		t.Fatal(err)
	}
	b.use(t, gatehouse.USD, 1)
	b.to(november.End().Add(23 * time.Hour))
	closed := func(want int) {
		t.Helper()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := b.CloseDue(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		teams, _, err := b.root().ListTeams(ctx, gatehouse.Page{})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, team := range teams {
			list, err := b.root().ListInvoices(ctx, gatehouse.InvoiceQuery{TeamID: team.ID})
			if err != nil {
				t.Fatal(err)
			}
			n += len(list)
		}
		if n != want {
			t.Errorf("%d invoices, want %d", n, want)
		}
	}
	closed(0)
	b.to(november.End().Add(25 * time.Hour))
	closed(1)
	b.use(t, gatehouse.USD, 1) // in December, which nobody closes in time
	b.to(gatehouse.Cycle{Year: 2027, Month: 3}.Start())
	closed(3) // December, and January, the last that is over for a day
	b.to(gatehouse.Cycle{Year: 2027, Month: 3}.Start().Add(25 * time.Hour))
	closed(4)
	b.balanced(t)
}

// A month that was passed over is closed, also before one that is.
func TestAMonthBeforeAClosedOneIsClosedToo(t *testing.T) {
	b := openBank(t, gatehouse.BillingPostpaid)
	b.use(t, gatehouse.USD, 1)
	b.to(december.End())
	if _, err := b.root().CloseBillingCycle(t.Context(), b.team, december); err != nil {
		t.Fatal(err)
	}
	b.to(december.End().Add(25 * time.Hour))
	if err := b.CloseDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := b.root().ListInvoices(t.Context(), gatehouse.InvoiceQuery{Cycle: november})
	if err != nil || len(list) != 1 || list[0].Total != 100 {
		t.Errorf("%+v, %v", list, err)
	}
}

// Closing and paying at once leave one invoice and books that balance.
func TestOneCycleHasOneInvoice(t *testing.T) {
	b := openBank(t, gatehouse.BillingPostpaid)
	b.use(t, gatehouse.USD, 1)
	b.to(november.End())
	var wg sync.WaitGroup
	ids := make([]gatehouse.ID, 8)
	for i := range ids {
		wg.Go(func() {
			inv, err := b.root().CloseBillingCycle(t.Context(), b.team, november)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = inv.ID
			if _, err := b.root().SettleInvoice(t.Context(), inv.ID); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("invoices %v", ids)
		}
	}
	if trial := b.balanced(t); trial[gatehouse.AccountCash] != gatehouse.USD || trial[gatehouse.AccountReceivable] != 0 {
		t.Errorf("books %v", trial)
	}
}

// A price that was wrong is mended by pricing the usage again: while the cycle is
// open in place, and once it is closed in the running one.
func TestUsageIsPricedAgain(t *testing.T) {
	b := openBank(t, gatehouse.BillingPostpaid)
	c, ctx := b.root(), t.Context()
	if _, err := c.PutModel(ctx, &gatehouse.Model{Name: "grok-4", Type: gatehouse.LanguageModel, Owner: "me"}); err != nil {
		t.Fatal(err)
	}
	_, err := c.PutPrice(ctx, &gatehouse.Price{
		Model: "grok-4", Effective: november.Start(), Source: "operator",
		Units: map[string]gatehouse.Ticks{gatehouse.PromptText.String(): 2 * gatehouse.Cent, gatehouse.CompletionText.String(): 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.use(t, 3*gatehouse.Cent, 100)
	b.use(t, 2*gatehouse.Cent, 100)
	report, err := c.RerateUsage(ctx, b.team, november)
	if err != nil || report != (gatehouse.RerateReport{Rows: 2, Changed: 1, Before: 3 * gatehouse.USD, After: 2 * gatehouse.USD}) {
		t.Fatalf("%+v, %v", report, err)
	}
	preview, err := c.PreviewInvoice(ctx, b.team)
	if err != nil || preview.Invoice.Total != 400 || len(preview.Invoice.Lines) != 1 {
		t.Errorf("%+v, %v", preview, err)
	}
	if report, err := c.RerateUsage(ctx, b.team, november); err != nil || report.Changed != 0 || report.Rows != 2 {
		t.Errorf("again: %+v, %v", report, err)
	}
	if e := b.newest(t); e.Action != "usage.rerated" || e.Details["rows"] != "2" {
		t.Errorf("%+v", e)
	}
	b.balanced(t)
}
