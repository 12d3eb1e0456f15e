package managementtest

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"gatehouse"
)

// Bank is the part of the management plane that money passes through.
type Bank interface {
	gatehouse.Money
	gatehouse.Invoices
	gatehouse.Treasury
	gatehouse.Ledger
}

// RunMoney checks the money of an implementation whose clients are a Bank too.
// The installation's payments are made by hand.
func RunMoney(t *testing.T, make Factory) {
	for _, c := range []struct {
		promise string
		check   func(*testing.T, *vault)
	}{
		{"a team that pays nothing sees zeros", zeros},
		{"billing information is kept and every bad field named", billingInfo},
		{"a default payment method is one that is there", paymentMethods},
		{"the lower of soft and hard limit holds", spendingLimits},
		{"a top-up is one while it is pending and money once it is confirmed", topUps},
		{"a paid top-up has an invoice in both forms", purchaseInvoice},
		{"invoices are asked for in one of three forms", invoiceForms},
		{"credit is given and taken back within what is there", grantsOfCredit},
		{"a refund is at most what is left", refunds},
		{"a running cycle is not closed", runningCycle},
		{"postings are listed newest first and sum to zero", postings},
		{"money is the team's and what makes it the operator's", moneyIsolation},
	} {
		t.Run(strings.ReplaceAll(c.promise, " ", "_"), func(t *testing.T) {
			in := make(t)
			p := &plane{Installation: in, Client: in.As(in.Root), ctx: t.Context()}
			bank, ok := p.Client.(Bank)
			if !ok {
				t.Fatalf("%T is no Bank", p.Client)
			}
			c.check(t, &vault{p, bank})
		})
	}
}

// vault is an installation whose first team pays before it uses.
type vault struct {
	*plane
	Bank
}

func (v *vault) prepaid(t *testing.T) {
	t.Helper()
	must[*gatehouse.Team](t)(v.UpdateTeam(v.ctx, gatehouse.TeamUpdate{ID: v.TeamID, Billing: gatehouse.Some(gatehouse.BillingPrepaid)}))
}

// pay makes a top-up and confirms it.
func (v *vault) pay(t *testing.T, amount gatehouse.Ticks) *gatehouse.TopUp {
	t.Helper()
	asked := must[*gatehouse.TopUp](t)(v.TopUp(v.ctx, v.TeamID, amount))
	return must[*gatehouse.TopUp](t)(v.ConfirmTopUp(v.ctx, asked.ID, "transfer 1"))
}

func (v *vault) credit(t *testing.T) gatehouse.Ticks {
	t.Helper()
	return must[gatehouse.Balance](t)(v.Balance(v.ctx, v.TeamID)).Credit
}

func zeros(t *testing.T, v *vault) {
	if a := must[*gatehouse.BillingAccount](t)(v.BillingAccount(v.ctx, v.TeamID)); a.Info != (gatehouse.BillingInfo{}) || len(a.Methods) != 0 {
		t.Errorf("account %+v", a)
	}
	if l := must[gatehouse.SpendingLimits](t)(v.SpendingLimits(v.ctx, v.TeamID)); l != (gatehouse.SpendingLimits{}) {
		t.Errorf("limits %+v", l)
	}
	if b := must[gatehouse.Balance](t)(v.Balance(v.ctx, v.TeamID)); b.Credit != 0 || b.Owed != 0 || b.Held != 0 {
		t.Errorf("balance %+v", b)
	}
	p := must[gatehouse.Preview](t)(v.PreviewInvoice(v.ctx, v.TeamID))
	if p.Invoice.Cycle != gatehouse.CycleOf(v.Now()) || p.Invoice.Total != 0 || len(p.Invoice.Lines) != 0 || p.Effective != 0 || p.Credit != 0 || p.Used != 0 {
		t.Errorf("preview %+v", p)
	}
	rows, total, err := v.BalanceChanges(v.ctx, v.TeamID)
	if ok(t, err); len(rows) != 0 || total != 0 {
		t.Errorf("%+v, %s", rows, total)
	}
	holds, next, err := v.ListHolds(v.ctx, v.TeamID, gatehouse.Page{})
	if ok(t, err); len(holds) != 0 || next != "" {
		t.Errorf("holds %+v", holds)
	}
	if r := must[gatehouse.RerateReport](t)(v.RerateUsage(v.ctx, v.TeamID, gatehouse.CycleOf(v.Now()))); r != (gatehouse.RerateReport{}) {
		t.Errorf("report %+v", r)
	}
}

func billingInfo(t *testing.T, v *vault) {
	info := gatehouse.BillingInfo{
		Name: "Ada Ltd", Email: "ada@example.com", TaxIDType: "eu_vat", TaxNumber: "DE1",
		Address: gatehouse.Address{Line1: "1 Road", Line2: "Door 2", City: "Köln", Country: "DE", PostalCode: "50667", State: "NRW"},
	}
	ok(t, v.SetBillingInfo(v.ctx, v.TeamID, info))
	if got := must[*gatehouse.BillingAccount](t)(v.BillingAccount(v.ctx, v.TeamID)); got.Info != info {
		t.Errorf("info %+v", got.Info)
	}
	err := v.SetBillingInfo(v.ctx, v.TeamID, gatehouse.BillingInfo{Email: "x", TaxIDType: "EIN", Address: gatehouse.Address{Country: "Germany"}})
	for _, field := range []string{"email", "taxIdType", "taxNumber", "country"} {
		wantField(t, field, err)
	}
	ok(t, v.SetBillingInfo(v.ctx, v.TeamID, gatehouse.BillingInfo{}))
}

func paymentMethods(t *testing.T, v *vault) {
	wantField(t, "paymentMethodId", v.SetDefaultPaymentMethod(v.ctx, v.TeamID, "pm_1"))
	card := gatehouse.PaymentMethod{ID: "pm_1", Type: "card", Brand: "visa", Last4: "4242", ExpMonth: 12, ExpYear: 2030, Added: v.Now()}
	must[*gatehouse.BillingAccount](t)(v.UpdateBillingAccount(v.ctx, gatehouse.BillingAccountUpdate{TeamID: v.TeamID, Methods: gatehouse.Some([]gatehouse.PaymentMethod{card})}))
	ok(t, v.SetDefaultPaymentMethod(v.ctx, v.TeamID, "pm_1"))
	a := must[*gatehouse.BillingAccount](t)(v.BillingAccount(v.ctx, v.TeamID))
	if a.Default != "pm_1" || len(a.Methods) != 1 || a.Methods[0].Last4 != "4242" || a.Methods[0].ExpYear != 2030 {
		t.Errorf("account %+v", a)
	}
}

func spendingLimits(t *testing.T, v *vault) {
	must[*gatehouse.Team](t)(v.UpdateTeam(v.ctx, gatehouse.TeamUpdate{ID: v.TeamID, Billing: gatehouse.Some(gatehouse.BillingPostpaid)}))
	if got := must[gatehouse.Ticks](t)(v.SetSoftLimit(v.ctx, v.TeamID, 50*gatehouse.USD)); got != 50*gatehouse.USD {
		t.Errorf("soft limit %s", got)
	}
	for _, wrong := range []gatehouse.Ticks{-gatehouse.Cent, gatehouse.DefaultHardLimit + gatehouse.Cent} {
		wantField(t, "desiredSoftSpendingLimit", second(v.SetSoftLimit(v.ctx, v.TeamID, wrong)))
	}
	hard := 30 * gatehouse.USD
	must[*gatehouse.BillingAccount](t)(v.UpdateBillingAccount(v.ctx, gatehouse.BillingAccountUpdate{TeamID: v.TeamID, HardOverride: gatehouse.Some(&hard)}))
	l := must[gatehouse.SpendingLimits](t)(v.SpendingLimits(v.ctx, v.TeamID))
	if l.HardAuto != gatehouse.DefaultHardLimit || l.Hard != hard || l.HardOverride == nil || l.Soft == nil || *l.Soft != 50*gatehouse.USD || l.Effective != hard {
		t.Errorf("limits %+v", l)
	}
	must[*gatehouse.BillingAccount](t)(v.UpdateBillingAccount(v.ctx, gatehouse.BillingAccountUpdate{TeamID: v.TeamID, HardOverride: gatehouse.Some[*gatehouse.Ticks](nil)}))
	if l := must[gatehouse.SpendingLimits](t)(v.SpendingLimits(v.ctx, v.TeamID)); l.HardOverride != nil || l.Effective != 50*gatehouse.USD {
		t.Errorf("limits %+v", l)
	}
}

func topUps(t *testing.T, v *vault) {
	v.prepaid(t)
	for _, wrong := range []gatehouse.Ticks{0, gatehouse.MinTopUp - gatehouse.Cent, gatehouse.MaxTopUp + gatehouse.Cent} {
		wantField(t, "amount", second(v.TopUp(v.ctx, v.TeamID, wrong)))
	}
	asked := must[*gatehouse.TopUp](t)(v.TopUp(v.ctx, v.TeamID, -5*gatehouse.USD))
	if again := must[*gatehouse.TopUp](t)(v.TopUp(v.ctx, v.TeamID, 9*gatehouse.USD)); again.ID != asked.ID || again.Amount != 5*gatehouse.USD || again.Status != gatehouse.TopUpPending {
		t.Errorf("again %+v", again)
	}
	if got := v.credit(t); got != 0 {
		t.Errorf("credit %s before it was paid", got)
	}
	for range 2 {
		paid := must[*gatehouse.TopUp](t)(v.ConfirmTopUp(v.ctx, asked.ID, "transfer 1"))
		if paid.Status != gatehouse.TopUpSucceeded || paid.InvoiceNo == "" || v.credit(t) != 5*gatehouse.USD {
			t.Errorf("paid %+v", paid)
		}
	}
	other := must[*gatehouse.TopUp](t)(v.TopUp(v.ctx, v.TeamID, gatehouse.USD))
	if failed := must[*gatehouse.TopUp](t)(v.FailTopUp(v.ctx, other.ID, "no money")); failed.Status != gatehouse.TopUpFailed || failed.Problem != "no money" {
		t.Errorf("failed %+v", failed)
	}
	want(t, gatehouse.FailedPrecondition, second(v.ConfirmTopUp(v.ctx, other.ID, "")))
	first, next, err := v.ListTopUps(v.ctx, v.TeamID, gatehouse.Page{Size: 1})
	ok(t, err)
	rest, end, err := v.ListTopUps(v.ctx, v.TeamID, gatehouse.Page{Size: 1, Token: next})
	if ok(t, err); len(first) != 1 || first[0].ID != asked.ID || len(rest) != 1 || rest[0].ID != other.ID || end != "" {
		t.Errorf("pages %+v, %+v, %q", first, rest, end)
	}
	rows, total, err := v.BalanceChanges(v.ctx, v.TeamID)
	ok(t, err)
	at := slices.IndexFunc(rows, func(r gatehouse.BalanceChange) bool { return r.TopUp == asked.ID })
	if total != -5*gatehouse.USD || at < 0 || rows[at].Origin != gatehouse.OriginPurchase || rows[at].Status != gatehouse.TopUpSucceeded || rows[at].Amount != total {
		t.Errorf("total %s, rows %+v", total, rows)
	}
}

func purchaseInvoice(t *testing.T, v *vault) {
	paid := v.pay(t, 5*gatehouse.USD)
	all := must[[]*gatehouse.Invoice](t)(v.ListInvoices(v.ctx, gatehouse.InvoiceQuery{TeamID: v.TeamID}))
	if len(all) != 1 || all[0].Number != paid.InvoiceNo || all[0].TopUp != paid.ID || all[0].Total != 500 || all[0].Status != gatehouse.InvoicePaid {
		t.Fatalf("invoices %+v", all)
	}
	inv := must[*gatehouse.Invoice](t)(v.GetInvoice(v.ctx, v.TeamID, all[0].ID))
	var pdf, csv bytes.Buffer
	ok(t, v.WriteInvoicePDF(v.ctx, v.TeamID, inv.ID, &pdf))
	ok(t, v.WriteInvoiceCSV(v.ctx, v.TeamID, inv.ID, &csv))
	if !bytes.HasPrefix(pdf.Bytes(), []byte("%PDF-")) || !strings.Contains(csv.String(), inv.Number) {
		t.Errorf("%.20q and %s", pdf.String(), csv.String())
	}
	if again := must[*gatehouse.Invoice](t)(v.SettleInvoice(v.ctx, inv.ID)); again.Status != gatehouse.InvoicePaid {
		t.Errorf("settled %+v", again)
	}
}

func invoiceForms(t *testing.T, v *vault) {
	v.pay(t, 5*gatehouse.USD)
	now := gatehouse.CycleOf(v.Now())
	list := func(q gatehouse.InvoiceQuery) []*gatehouse.Invoice {
		t.Helper()
		q.TeamID = v.TeamID
		return must[[]*gatehouse.Invoice](t)(v.ListInvoices(v.ctx, q))
	}
	all := list(gatehouse.InvoiceQuery{})
	if len(all) != 1 {
		t.Fatalf("invoices %+v", all)
	}
	for n, q := range []gatehouse.InvoiceQuery{{Cycle: now}, {Since: now}, {IDs: []gatehouse.ID{all[0].ID}}} {
		if got := list(q); len(got) != 1 {
			t.Errorf("form %d: %+v", n, got)
		}
	}
	for n, q := range []gatehouse.InvoiceQuery{{Cycle: now.Next()}, {Since: now.Next()}} {
		if got := list(q); len(got) != 0 {
			t.Errorf("form %d of the next cycle: %+v", n, got)
		}
	}
	want(t, gatehouse.InvalidArgument, second(v.ListInvoices(v.ctx, gatehouse.InvoiceQuery{TeamID: v.TeamID, Cycle: now, Since: now})))
	want(t, gatehouse.InvalidArgument, second(v.ListInvoices(v.ctx, gatehouse.InvoiceQuery{TeamID: v.TeamID, Cycle: gatehouse.Cycle{Year: 2026, Month: 13}})))
	want(t, gatehouse.NotFound, second(v.ListInvoices(v.ctx, gatehouse.InvoiceQuery{TeamID: v.TeamID, IDs: []gatehouse.ID{gatehouse.NewID()}})))
}

func grantsOfCredit(t *testing.T, v *vault) {
	v.prepaid(t)
	if b := must[gatehouse.Balance](t)(v.GrantCredit(v.ctx, v.TeamID, 20*gatehouse.USD, "welcome")); b.Credit != 20*gatehouse.USD {
		t.Errorf("balance %+v", b)
	}
	want(t, gatehouse.FailedPrecondition, second(v.GrantCredit(v.ctx, v.TeamID, -21*gatehouse.USD, "")))
	for _, wrong := range []gatehouse.Ticks{0, gatehouse.MaxTopUp + gatehouse.Cent} {
		wantField(t, "cents", second(v.GrantCredit(v.ctx, v.TeamID, wrong, "")))
	}
	if b := must[gatehouse.Balance](t)(v.GrantCredit(v.ctx, v.TeamID, -5*gatehouse.USD, "a mistake")); b.Credit != 15*gatehouse.USD {
		t.Errorf("balance %+v", b)
	}
	rows, total, err := v.BalanceChanges(v.ctx, v.TeamID)
	if ok(t, err); total != -15*gatehouse.USD || len(rows) != 2 || rows[1].Origin != gatehouse.OriginManual || rows[1].Amount != -20*gatehouse.USD || rows[0].Amount != 5*gatehouse.USD {
		t.Errorf("%+v, %s", rows, total)
	}
}

func refunds(t *testing.T, v *vault) {
	v.prepaid(t)
	paid := v.pay(t, 10*gatehouse.USD)
	for _, wrong := range []gatehouse.Ticks{0, -gatehouse.USD, 11 * gatehouse.USD} {
		wantField(t, "cents", second(v.RefundTopUp(v.ctx, paid.ID, wrong)))
	}
	if got := must[*gatehouse.TopUp](t)(v.RefundTopUp(v.ctx, paid.ID, 4*gatehouse.USD)); got.Refunded != 4*gatehouse.USD || v.credit(t) != 6*gatehouse.USD {
		t.Errorf("refunded %+v", got)
	}
	wantField(t, "cents", second(v.RefundTopUp(v.ctx, paid.ID, 7*gatehouse.USD)))
	must[gatehouse.Balance](t)(v.GrantCredit(v.ctx, v.TeamID, -3*gatehouse.USD, ""))
	want(t, gatehouse.FailedPrecondition, second(v.RefundTopUp(v.ctx, paid.ID, 4*gatehouse.USD)))
}

func runningCycle(t *testing.T, v *vault) {
	v.prepaid(t)
	now := gatehouse.CycleOf(v.Now())
	want(t, gatehouse.FailedPrecondition, second(v.CloseBillingCycle(v.ctx, v.TeamID, now)))
	want(t, gatehouse.FailedPrecondition, second(v.CloseBillingCycle(v.ctx, v.TeamID, now.Next())))
	want(t, gatehouse.FailedPrecondition, second(v.RerateUsage(v.ctx, v.TeamID, now.Next())))
	want(t, gatehouse.InvalidArgument, second(v.CloseBillingCycle(v.ctx, v.TeamID, gatehouse.Cycle{Year: 1999, Month: 1})))
	want(t, gatehouse.FailedPrecondition, second(v.CloseBillingCycle(v.ctx, v.TeamID, gatehouse.Cycle{Year: 2000, Month: 1})))
}

func postings(t *testing.T, v *vault) {
	v.prepaid(t)
	v.pay(t, 10*gatehouse.USD)
	must[gatehouse.Balance](t)(v.GrantCredit(v.ctx, v.TeamID, gatehouse.USD, "a gift"))
	first, next, err := v.ListPostings(v.ctx, v.TeamID, gatehouse.Page{Size: 1})
	ok(t, err)
	rest, end, err := v.ListPostings(v.ctx, v.TeamID, gatehouse.Page{Size: 1, Token: next})
	if ok(t, err); len(first) != 1 || first[0].Kind != gatehouse.PostGrant || first[0].Note != "a gift" || len(rest) != 1 || rest[0].Kind != gatehouse.PostTopUp || end != "" {
		t.Fatalf("pages %+v, %+v, %q", first, rest, end)
	}
	if !first[0].Balanced() || !rest[0].Balanced() || len(rest[0].Entries) != 2 {
		t.Errorf("entries %+v, %+v", first[0].Entries, rest[0].Entries)
	}
	var sum gatehouse.Ticks
	trial := must[map[gatehouse.Account]gatehouse.Ticks](t)(v.Trial(v.ctx, v.TeamID))
	for _, amount := range trial {
		sum += amount
	}
	if sum != 0 || trial[gatehouse.AccountCredit] != -11*gatehouse.USD || trial[gatehouse.AccountCash] != 10*gatehouse.USD || trial[gatehouse.AccountGranted] != gatehouse.USD {
		t.Errorf("trial %v", trial)
	}
}

func moneyIsolation(t *testing.T, v *vault) {
	paid := v.pay(t, gatehouse.USD)
	inv := must[[]*gatehouse.Invoice](t)(v.ListInvoices(v.ctx, gatehouse.InvoiceQuery{TeamID: v.TeamID}))[0]
	other, client := v.team(t, "other")
	theirs := client.(Bank)
	for _, err := range []error{
		second(theirs.BillingAccount(v.ctx, v.TeamID)), second(theirs.SpendingLimits(v.ctx, v.TeamID)), second(theirs.Balance(v.ctx, v.TeamID)),
		second(theirs.PreviewInvoice(v.ctx, v.TeamID)), second(theirs.TopUp(v.ctx, v.TeamID, gatehouse.USD)), second(theirs.SetSoftLimit(v.ctx, v.TeamID, 0)),
		theirs.SetBillingInfo(v.ctx, v.TeamID, gatehouse.BillingInfo{}), second(theirs.GetInvoice(v.ctx, other, inv.ID)), second(theirs.GetInvoice(v.ctx, other, gatehouse.NewID())),
		second(v.ConfirmTopUp(v.ctx, gatehouse.NewID(), "")), second(v.SettleInvoice(v.ctx, gatehouse.NewID())), second(v.WriteOffHold(v.ctx, gatehouse.NewID())),
	} {
		want(t, gatehouse.NotFound, err)
	}
	for _, err := range []error{
		second(theirs.ConfirmTopUp(v.ctx, paid.ID, "")), second(theirs.GrantCredit(v.ctx, other, gatehouse.USD, "")), second(theirs.Trial(v.ctx, other)),
		second(theirs.CloseBillingCycle(v.ctx, other, gatehouse.CycleOf(v.Now()))), second(theirs.SettleInvoice(v.ctx, inv.ID)),
	} {
		want(t, gatehouse.PermissionDenied, err)
	}
}
