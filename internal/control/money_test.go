package control_test

import (
	"bytes"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// bank is a bootstrapped installation whose first team pays as a mode says.
type bank struct {
	*house
	team gatehouse.ID
}

func openBank(t *testing.T, mode gatehouse.BillingMode) *bank {
	t.Helper()
	h := open(t)
	if _, err := h.root().UpdateTeam(t.Context(), gatehouse.TeamUpdate{ID: h.first.TeamID, Billing: gatehouse.Some(mode)}); err != nil {
		t.Fatal(err)
	}
	return &bank{h, h.first.TeamID}
}

// use ingests a request that cost some prompt tokens, made now.
func (b *bank) use(t *testing.T, price gatehouse.Ticks, tokens int64) gatehouse.UsageRecord {
	t.Helper()
	return b.useAt(t, b.clock.Now(), price, tokens)
}

// useAt is use of a request that was made at a time.
func (b *bank) useAt(t *testing.T, now time.Time, price gatehouse.Ticks, tokens int64) gatehouse.UsageRecord {
	t.Helper()
	u := gatehouse.UsageRecord{
		ID: gatehouse.NewTimeID(now), Start: now, Close: now, TeamID: b.team, KeyID: gatehouse.NewID(), Model: "grok-4",
		Endpoint: "chat", Cluster: "local", Gateway: gatehouse.NewID(), Status: 200, Outcome: gatehouse.Completed,
	}
	u.Usage[gatehouse.PromptText], u.Costs[gatehouse.PromptText] = tokens, price*gatehouse.Ticks(tokens)
	err := b.store.Ingest(store.System(t.Context()), func(in store.Ingest) error {
		_, err := in.InsertUsage([]gatehouse.UsageRecord{u})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// pay tops up and confirms.
func (b *bank) pay(t *testing.T, amount gatehouse.Ticks) *gatehouse.TopUp {
	t.Helper()
	asked, err := b.root().TopUp(t.Context(), b.team, amount)
	if err != nil {
		t.Fatal(err)
	}
	paid, err := b.root().ConfirmTopUp(t.Context(), asked.ID, "wire 1")
	if err != nil {
		t.Fatal(err)
	}
	return paid
}

// balanced fails unless the books sum to zero and the statement's rows that
// succeeded sum to its total.
func (b *bank) balanced(t *testing.T) map[gatehouse.Account]gatehouse.Ticks {
	t.Helper()
	trial, err := b.root().Trial(t.Context(), b.team)
	if err != nil {
		t.Fatal(err)
	}
	var sum gatehouse.Ticks
	for _, amount := range trial {
		sum += amount
	}
	rows, total, err := b.root().BalanceChanges(t.Context(), b.team)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Status == gatehouse.TopUpSucceeded {
			total -= r.Amount
		}
	}
	if sum != 0 || total != 0 {
		t.Fatalf("the books are off by %s, the statement by %s: %v, %+v", sum, total, trial, rows)
	}
	return trial
}

func TestATopUpIsOneWhileItIsPending(t *testing.T) {
	b := openBank(t, gatehouse.BillingPrepaid)
	first, err := b.root().TopUp(t.Context(), b.team, -500*gatehouse.Cent)
	if err != nil || first.Amount != 5*gatehouse.USD || first.Status != gatehouse.TopUpPending || first.Processor != "manual" {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := b.root().TopUp(t.Context(), b.team, 9*gatehouse.USD)
	if err != nil || again.ID != first.ID || again.Amount != first.Amount {
		t.Fatalf("%+v, %v", again, err)
	}
	if balance, err := b.root().Balance(t.Context(), b.team); err != nil || balance.Credit != 0 {
		t.Fatalf("money before it was paid: %+v, %v", balance, err)
	}
	paid, err := b.root().ConfirmTopUp(t.Context(), first.ID, "wire 77")
	if err != nil || paid.Status != gatehouse.TopUpSucceeded || paid.External != "wire 77" || paid.InvoiceNo == "" {
		t.Fatalf("%+v, %v", paid, err)
	}
	if twice, err := b.root().ConfirmTopUp(t.Context(), first.ID, "another"); err != nil || twice.Revision != paid.Revision || twice.External != "wire 77" {
		t.Fatalf("%+v, %v", twice, err)
	}
	wantCode(t, gatehouse.FailedPrecondition, second(b.root().FailTopUp(t.Context(), first.ID, "")))
	if trial := b.balanced(t); trial[gatehouse.AccountCash] != 5*gatehouse.USD || trial[gatehouse.AccountCredit] != -5*gatehouse.USD {
		t.Errorf("books %v", trial)
	}
	if next, err := b.root().TopUp(t.Context(), b.team, gatehouse.USD); err != nil || next.ID == first.ID {
		t.Errorf("%+v, %v", next, err)
	}
	invoices, err := b.root().ListInvoices(t.Context(), gatehouse.InvoiceQuery{TeamID: b.team})
	if err != nil || len(invoices) != 1 || invoices[0].TopUp != first.ID || invoices[0].Number != paid.InvoiceNo || invoices[0].Total != 500 || invoices[0].Status != gatehouse.InvoicePaid {
		t.Errorf("%+v, %v", invoices, err)
	}
}

func TestAFailedTopUpMovesNothing(t *testing.T) {
	b := openBank(t, gatehouse.BillingPrepaid)
	asked, err := b.root().TopUp(t.Context(), b.team, gatehouse.USD)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := b.root().FailTopUp(t.Context(), asked.ID, "the card was refused")
		if err != nil || got.Status != gatehouse.TopUpFailed || got.Problem != "the card was refused" {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	wantCode(t, gatehouse.FailedPrecondition, second(b.root().ConfirmTopUp(t.Context(), asked.ID, "")))
	wantCode(t, gatehouse.FailedPrecondition, second(b.root().RefundTopUp(t.Context(), asked.ID, gatehouse.USD)))
	b.balanced(t)
}

// Money that is not whole cents, is not there, or does not fit is refused and
// the limit is named.
func TestBadAmountsAreRefusedByName(t *testing.T) {
	b := openBank(t, gatehouse.BillingPostpaid)
	paid := b.pay(t, 100*gatehouse.USD)
	c, ctx := b.root(), t.Context()
	for _, amount := range []gatehouse.Ticks{0, 1, 99 * gatehouse.Cent, gatehouse.USD + 1, gatehouse.MaxTopUp + gatehouse.Cent, math.MaxInt64, math.MinInt64, -gatehouse.MaxTopUp - gatehouse.Cent} {
		wantCode(t, gatehouse.InvalidArgument, second(c.TopUp(ctx, b.team, amount)))
	}
	for _, amount := range []gatehouse.Ticks{0, 1, gatehouse.MaxTopUp + gatehouse.Cent, math.MinInt64, math.MaxInt64} {
		wantCode(t, gatehouse.InvalidArgument, second(c.GrantCredit(ctx, b.team, amount, "")))
	}
	wantCode(t, gatehouse.FailedPrecondition, second(c.GrantCredit(ctx, b.team, -100*gatehouse.USD-gatehouse.Cent, "")))
	wantCode(t, gatehouse.InvalidArgument, second(c.GrantCredit(ctx, b.team, gatehouse.USD, strings.Repeat("x", 201))))
	for _, amount := range []gatehouse.Ticks{0, -gatehouse.Cent, 1, 101 * gatehouse.USD, math.MinInt64, math.MaxInt64} {
		wantCode(t, gatehouse.InvalidArgument, second(c.RefundTopUp(ctx, paid.ID, amount)))
	}
	for _, amount := range []gatehouse.Ticks{-gatehouse.Cent, 1, gatehouse.DefaultHardLimit + gatehouse.Cent, math.MinInt64, math.MaxInt64} {
		if _, err := c.SetSoftLimit(ctx, b.team, amount); gatehouse.CodeOf(err) != gatehouse.InvalidArgument || !strings.Contains(gatehouse.Public(err), "$200.00") && amount != 1 {
			t.Errorf("soft limit %s: %v", amount, err)
		}
	}
	for _, u := range []gatehouse.BillingAccountUpdate{
		{HardOverride: gatehouse.Some(ticks(-gatehouse.Cent))}, {HardOverride: gatehouse.Some(ticks(1))}, {HardOverride: gatehouse.Some(ticks(math.MaxInt64))},
		{TaxBasisPoints: gatehouse.Some(-1)}, {TaxBasisPoints: gatehouse.Some(10_001)},
		{Methods: gatehouse.Some([]gatehouse.PaymentMethod{{ID: "a", Type: "cheque"}})},
		{Methods: gatehouse.Some([]gatehouse.PaymentMethod{{Type: "card"}})},
		{Methods: gatehouse.Some([]gatehouse.PaymentMethod{{ID: "a", Type: "card", Last4: "4242424242424242"}})},
	} {
		wantCode(t, gatehouse.InvalidArgument, second(c.UpdateBillingAccount(ctx, u)))
	}
	if trial := b.balanced(t); trial[gatehouse.AccountCredit] != -100*gatehouse.USD {
		t.Errorf("books %v", trial)
	}
}

func ticks(t gatehouse.Ticks) *gatehouse.Ticks { return &t }

func TestTheCreditOfATeamIsBounded(t *testing.T) {
	b := openBank(t, gatehouse.BillingPrepaid)
	for range int(gatehouse.MaxBudgetAmount / gatehouse.MaxTopUp) {
		if _, err := b.root().GrantCredit(t.Context(), b.team, gatehouse.MaxTopUp, ""); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, gatehouse.FailedPrecondition, second(b.root().GrantCredit(t.Context(), b.team, gatehouse.Cent, "")))
	wantCode(t, gatehouse.FailedPrecondition, second(b.root().TopUp(t.Context(), b.team, gatehouse.USD)))
	b.balanced(t)
}

// What is given back is neither more than was paid nor more than is left.
func TestARefundIsBoundedByThePaymentAndByTheCredit(t *testing.T) {
	b := openBank(t, gatehouse.BillingPrepaid)
	paid := b.pay(t, 10*gatehouse.USD)
	b.use(t, gatehouse.USD, 7)
	wantCode(t, gatehouse.FailedPrecondition, second(b.root().RefundTopUp(t.Context(), paid.ID, 4*gatehouse.USD)))
	got, err := b.root().RefundTopUp(t.Context(), paid.ID, 2*gatehouse.USD)
	if err != nil || got.Refunded != 2*gatehouse.USD {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := b.root().GrantCredit(t.Context(), b.team, 100*gatehouse.USD, "sorry"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, gatehouse.InvalidArgument, second(b.root().RefundTopUp(t.Context(), paid.ID, 9*gatehouse.USD)))
	trial := b.balanced(t)
	if trial[gatehouse.AccountCash] != 8*gatehouse.USD || trial[gatehouse.AccountGranted] != 100*gatehouse.USD || trial[gatehouse.AccountCredit] != -101*gatehouse.USD {
		t.Errorf("books %v", trial)
	}
}

// What a gateway has drawn may be spent by now: it is nobody's to give back.
func TestHeldCreditIsNotGivenBack(t *testing.T) {
	b := openBank(t, gatehouse.BillingPrepaid)
	paid := b.pay(t, 10*gatehouse.USD)
	err := b.store.Work(store.System(t.Context()), func(w store.Work) error {
		got, err := w.Draw(store.Draw{Fund: gatehouse.Fund{Team: b.team}, Gateway: gatehouse.NewID(), Incarnation: 1, Want: 6 * gatehouse.USD, Least: 1})
		if err == nil && got.Drawn != 6*gatehouse.USD {
			t.Errorf("drawn %+v", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, gatehouse.FailedPrecondition, second(b.root().RefundTopUp(t.Context(), paid.ID, 5*gatehouse.USD)))
	wantCode(t, gatehouse.FailedPrecondition, second(b.root().GrantCredit(t.Context(), b.team, -5*gatehouse.USD, "")))
	holds, next, err := b.root().ListHolds(t.Context(), gatehouse.ID{}, gatehouse.Page{})
	if err != nil || len(holds) != 1 || next != "" || holds[0].Open() != 6*gatehouse.USD {
		t.Fatalf("%+v, %v", holds, err)
	}
	for range 2 {
		if off, err := b.root().WriteOffHold(t.Context(), holds[0].ID); err != nil || off.Open() != 0 {
			t.Fatalf("%+v, %v", off, err)
		}
	}
	if _, err := b.root().RefundTopUp(t.Context(), paid.ID, 10*gatehouse.USD); err != nil {
		t.Errorf("%v", err)
	}
	b.balanced(t)
}

func TestBillingInformationIsCheckedWhole(t *testing.T) {
	b := openBank(t, gatehouse.BillingPostpaid)
	bad := gatehouse.BillingInfo{
		Name: strings.Repeat("n", 201), Email: "no mail", TaxIDType: "EIN", TaxNumber: "",
		Address: gatehouse.Address{Line1: "a\nb", City: strings.Repeat("c", 101), Country: "XX", PostalCode: "\x00", State: "\xff"},
	}
	err := b.root().SetBillingInfo(t.Context(), b.team, bad)
	for _, field := range []string{"name", "email", "taxIdType", "taxNumber", "address.line1", "address.city", "address.country", "address.postalCode", "address.state"} {
		if !strings.Contains(gatehouse.Public(err), "billingInfo."+field+":") {
			t.Errorf("%v does not name %s", err, field)
		}
	}
	good := gatehouse.BillingInfo{Name: "Ada Ltd", Email: "ada@example.com", TaxIDType: "gb_vat", TaxNumber: "GB1", Address: gatehouse.Address{Country: "gb"}}
	if err := b.root().SetBillingInfo(t.Context(), b.team, good); err != nil {
		t.Fatal(err)
	}
	got, err := b.root().BillingAccount(t.Context(), b.team)
	if good.Address.Country = "GB"; err != nil || got.Info != good {
		t.Errorf("%+v, %v", got, err)
	}
	if body := b.newest(t); strings.Contains(body.Description+body.Details["info"], "Ada") {
		t.Errorf("the log holds a person: %+v", body)
	}
}

func TestADefaultPaymentMethodIsOneThatIsThere(t *testing.T) {
	b := openBank(t, gatehouse.BillingPostpaid)
	wantCode(t, gatehouse.InvalidArgument, b.root().SetDefaultPaymentMethod(t.Context(), b.team, "pm_1"))
	wantCode(t, gatehouse.InvalidArgument, b.root().SetDefaultPaymentMethod(t.Context(), b.team, ""))
	set := func(m ...gatehouse.PaymentMethod) {
		t.Helper()
		if _, err := b.root().UpdateBillingAccount(t.Context(), gatehouse.BillingAccountUpdate{TeamID: b.team, Methods: gatehouse.Some(m)}); err != nil {
			t.Fatal(err)
		}
	}
	set(gatehouse.PaymentMethod{ID: "pm_1", Type: "card", Last4: "4242", ExpMonth: 12, ExpYear: 2030})
	if err := b.root().SetDefaultPaymentMethod(t.Context(), b.team, "pm_1"); err != nil {
		t.Fatal(err)
	}
	if a, err := b.root().BillingAccount(t.Context(), b.team); err != nil || a.Default != "pm_1" {
		t.Errorf("%+v, %v", a, err)
	}
	set()
	if a, err := b.root().BillingAccount(t.Context(), b.team); err != nil || a.Default != "" {
		t.Errorf("%+v, %v", a, err)
	}
}

// What is read in each billing mode where nothing was ever paid.
func TestEveryBillingReadAnswersInEveryMode(t *testing.T) {
	for mode, want := range map[gatehouse.BillingMode]gatehouse.SpendingLimits{
		gatehouse.BillingMetering: {},
		gatehouse.BillingPrepaid:  {HardAuto: gatehouse.DefaultHardLimit, Hard: gatehouse.DefaultHardLimit},
		gatehouse.BillingPostpaid: {HardAuto: gatehouse.DefaultHardLimit, Hard: gatehouse.DefaultHardLimit, Effective: gatehouse.DefaultHardLimit},
	} {
		b := openBank(t, mode)
		if mode == gatehouse.BillingMetering {
			b.use(t, gatehouse.USD, 3)
		}
		c, ctx := b.root(), t.Context()
		limits, err := c.SpendingLimits(ctx, b.team)
		if err != nil || limits != want {
			t.Errorf("%s: %+v, %v", mode, limits, err)
		}
		preview, err := c.PreviewInvoice(ctx, b.team)
		if err != nil || preview.Invoice.Total != 0 || len(preview.Invoice.Lines) != 0 || preview.Effective != want.Effective || preview.Invoice.Cycle != (gatehouse.Cycle{Year: 2026, Month: 11}) {
			t.Errorf("%s: %+v, %v", mode, preview, err)
		}
		balance, err := c.Balance(ctx, b.team)
		if err != nil || balance.Credit != 0 || balance.Owed != 0 || balance.Held != 0 || balance.Updated.IsZero() {
			t.Errorf("%s: %+v, %v", mode, balance, err)
		}
		rows, total, err := c.BalanceChanges(ctx, b.team)
		if err != nil || len(rows) != 0 || total != 0 {
			t.Errorf("%s: %+v, %s, %v", mode, rows, total, err)
		}
		account, err := c.BillingAccount(ctx, b.team)
		if err != nil || account.ID != b.team {
			t.Errorf("%s: %+v, %v", mode, account, err)
		}
		if list, err := c.ListInvoices(ctx, gatehouse.InvoiceQuery{TeamID: b.team}); err != nil || len(list) != 0 {
			t.Errorf("%s: %+v, %v", mode, list, err)
		}
		b.balanced(t)
	}
}

// A soft limit is the team's, the hard one the operator's, and the lower holds.
func TestTheLowerOfTheLimitsHolds(t *testing.T) {
	b := openBank(t, gatehouse.BillingPostpaid)
	c, ctx := b.root(), t.Context()
	if got, err := c.SetSoftLimit(ctx, b.team, 50*gatehouse.USD); err != nil || got != 50*gatehouse.USD {
		t.Fatal(got, err)
	}
	if _, err := c.UpdateBillingAccount(ctx, gatehouse.BillingAccountUpdate{TeamID: b.team, HardOverride: gatehouse.Some(ticks(30 * gatehouse.USD))}); err != nil {
		t.Fatal(err)
	}
	l, err := c.SpendingLimits(ctx, b.team)
	if err != nil || l.Hard != 30*gatehouse.USD || *l.Soft != 50*gatehouse.USD || l.Effective != 30*gatehouse.USD || l.HardAuto != gatehouse.DefaultHardLimit {
		t.Errorf("%+v, %v", l, err)
	}
	if _, err := c.UpdateBillingAccount(ctx, gatehouse.BillingAccountUpdate{TeamID: b.team, HardOverride: gatehouse.Some[*gatehouse.Ticks](nil)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SetSoftLimit(ctx, b.team, 0); err != nil {
		t.Fatal(err)
	}
	if l, err := c.SpendingLimits(ctx, b.team); err != nil || l.Effective != 0 || l.HardOverride != nil {
		t.Errorf("%+v, %v", l, err)
	}
}

// A team's key sees its own money and shapes it; what makes money is the
// operator's, and another team's ids are not there.
func TestMoneyIsOfItsTeam(t *testing.T) {
	b := openBank(t, gatehouse.BillingPrepaid)
	paid := b.pay(t, 10*gatehouse.USD)
	invoices, err := b.root().ListInvoices(t.Context(), gatehouse.InvoiceQuery{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := b.root().CreateTeam(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	m := b.manager(t, gatehouse.NewManagementKey{TeamID: other.ID, Scope: gatehouse.ScopeTeam, Name: "other", ACL: []string{gatehouse.ScopeFor("*")}})
	c, ctx := b.As(&gatehouse.Call{Token: m.Token, IP: netip.MustParseAddr("192.0.2.1")}), t.Context()
	missing := func(got error) {
		t.Helper()
		wantCode(t, gatehouse.NotFound, got)
	}
	none := gatehouse.NewID()
	missing(second(c.BillingAccount(ctx, b.team)))
	missing(c.SetBillingInfo(ctx, b.team, gatehouse.BillingInfo{}))
	missing(c.SetDefaultPaymentMethod(ctx, b.team, "x"))
	missing(second(c.SpendingLimits(ctx, b.team)))
	missing(second(c.SetSoftLimit(ctx, b.team, 0)))
	missing(second(c.Balance(ctx, b.team)))
	missing(second(c.TopUp(ctx, b.team, gatehouse.USD)))
	missing(second(c.PreviewInvoice(ctx, b.team)))
	missing(second(c.ListInvoices(ctx, gatehouse.InvoiceQuery{TeamID: b.team})))
	foreign, absent := second(c.GetInvoice(ctx, other.ID, invoices[0].ID)), second(c.GetInvoice(ctx, other.ID, none))
	missing(foreign)
	missing(absent)
	if foreign.Error() != absent.Error() {
		t.Errorf("%v and %v can be told apart", foreign, absent)
	}
	missing(second(c.ListInvoices(ctx, gatehouse.InvoiceQuery{IDs: []gatehouse.ID{invoices[0].ID}})))
	missing(second(b.root().ConfirmTopUp(ctx, none, "")))
	missing(second(b.root().SettleInvoice(ctx, none)))
	missing(second(b.root().WriteOffHold(ctx, none)))
	missing(second(b.root().CloseBillingCycle(ctx, none, gatehouse.Cycle{Year: 2026, Month: 10})))
	_, _, err = b.root().ListTopUps(ctx, none, gatehouse.Page{})
	missing(err)
	for _, denied := range []error{
		second(c.ConfirmTopUp(ctx, paid.ID, "")), second(c.FailTopUp(ctx, paid.ID, "")), second(c.GrantCredit(ctx, other.ID, gatehouse.USD, "")),
		second(c.RefundTopUp(ctx, paid.ID, gatehouse.USD)), second(c.UpdateBillingAccount(ctx, gatehouse.BillingAccountUpdate{})),
		second(c.CloseBillingCycle(ctx, other.ID, gatehouse.Cycle{Year: 2026, Month: 10})), second(c.SettleInvoice(ctx, none)),
		second(c.Trial(ctx, other.ID)), second(c.WriteOffHold(ctx, none)), second(c.RerateUsage(ctx, other.ID, gatehouse.Cycle{Year: 2026, Month: 10})),
	} {
		wantCode(t, gatehouse.PermissionDenied, denied)
	}
}

func TestAnInstallationWithoutAProcessorTakesNoMoney(t *testing.T) {
	b := openBank(t, gatehouse.BillingPrepaid)
	b.Processor = nil
	wantCode(t, gatehouse.Unimplemented, second(b.root().TopUp(t.Context(), b.team, gatehouse.USD)))
}

func TestPostingsAreListedNewestFirst(t *testing.T) {
	b := openBank(t, gatehouse.BillingPrepaid)
	b.pay(t, 10*gatehouse.USD)
	b.clock.advance(time.Second)
	b.use(t, gatehouse.USD, 1)
	first, next, err := b.root().ListPostings(t.Context(), b.team, gatehouse.Page{Size: 1})
	if err != nil || len(first) != 1 || first[0].Kind != gatehouse.PostUsage || next == "" {
		t.Fatalf("%+v, %q, %v", first, next, err)
	}
	rest, end, err := b.root().ListPostings(t.Context(), b.team, gatehouse.Page{Size: 1, Token: next})
	if err != nil || len(rest) != 1 || rest[0].Kind != gatehouse.PostTopUp || end != "" {
		t.Fatalf("%+v, %q, %v", rest, end, err)
	}
}

// written renders an invoice both ways.
func (b *bank) written(t *testing.T, id gatehouse.ID) (pdf, csv string) {
	t.Helper()
	var p, c bytes.Buffer
	if err := b.root().WriteInvoicePDF(t.Context(), b.team, id, &p); err != nil {
		t.Fatal(err)
	}
	if err := b.root().WriteInvoiceCSV(t.Context(), gatehouse.ID{}, id, &c); err != nil {
		t.Fatal(err)
	}
	return p.String(), c.String()
}
