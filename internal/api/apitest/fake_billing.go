package apitest

import (
	"context"
	"io"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/billing"
)

// Teams of the other billing modes; Team is metered.
var (
	Prepaid  = id("44444444-4444-4444-8444-444444444444")
	Postpaid = id("55555555-5555-4555-8555-555555555555")
)

var (
	november = gatehouse.Cycle{Year: 2025, Month: 11}
	january  = gatehouse.Cycle{Year: 2026, Month: 1}
)

// payer is the team that a call names, or NotFound.
func payer(team gatehouse.ID) (gatehouse.ID, error) {
	switch team {
	case gatehouse.ID{}:
		return Team, nil
	case Team, Prepaid, Postpaid:
		return team, nil
	}
	return team, missing("team")
}

// BillingAccount implements gatehouse.Money. A metered team never wrote one.
func (f *Fake) BillingAccount(_ context.Context, team gatehouse.ID) (*gatehouse.BillingAccount, error) {
	team, err := payer(team)
	if err != nil || team == Team {
		return &gatehouse.BillingAccount{ID: team}, err
	}
	info := gatehouse.BillingInfo{
		Name: "Acme Inc.", Email: "bills@acme.example", TaxIDType: "us_ein", TaxNumber: "12-3456789",
		Address: gatehouse.Address{Line1: "1 Main St", City: "Springfield", Country: "US", PostalCode: "12345", State: "IL"},
	}
	soft, hard := 200*gatehouse.USD, 500*gatehouse.USD
	a := &gatehouse.BillingAccount{
		ID: team, Info: info, TaxBasisPoints: 1900, CreateTime: Now, Revision: rev, Default: "pm_card",
		Methods: []gatehouse.PaymentMethod{
			{ID: "pm_card", Type: "card", Info: info, Brand: "visa", Last4: "4242", ExpMonth: 12, ExpYear: 2030, Added: Now},
			{ID: "pm_bank", Type: "us_bank_account", Info: info, BankName: "First Bank", Last4: "6789", Routing: "110000000", Added: Now},
		},
	}
	if team == Postpaid {
		a.SoftLimit, a.HardOverride = &soft, &hard
	} else {
		a.SoftLimit = new(gatehouse.Ticks)
	}
	return a, nil
}

// SetBillingInfo implements gatehouse.Money.
func (f *Fake) SetBillingInfo(_ context.Context, team gatehouse.ID, i gatehouse.BillingInfo) error {
	if _, err := payer(team); err != nil {
		return err
	}
	if len(i.Address.Country) != 2 {
		return gatehouse.Violations{{Field: "billingInfo.address.country", Problem: "is not an ISO 3166-1 alpha-2 code, such as US"}}.Err()
	}
	f.commit()
	return nil
}

// SetDefaultPaymentMethod implements gatehouse.Money.
func (f *Fake) SetDefaultPaymentMethod(ctx context.Context, team gatehouse.ID, method string) error {
	a, err := f.BillingAccount(ctx, team)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(a.Methods, func(m gatehouse.PaymentMethod) bool { return m.ID == method }) {
		return gatehouse.Violations{{Field: "paymentMethodId", Problem: "is not one of the team's payment methods"}}.Err()
	}
	f.commit()
	return nil
}

// SpendingLimits implements gatehouse.Money.
func (f *Fake) SpendingLimits(ctx context.Context, team gatehouse.ID) (l gatehouse.SpendingLimits, err error) {
	a, err := f.BillingAccount(ctx, team)
	if err != nil || a.ID == Team {
		return l, err
	}
	return gatehouse.SpendingLimits{
		HardOverride: a.HardOverride, Soft: a.SoftLimit, HardAuto: gatehouse.DefaultHardLimit, Hard: a.HardLimit(), Effective: effective(a),
	}, nil
}

// effective is what a team may owe: who pays before may owe nothing.
func effective(a *gatehouse.BillingAccount) gatehouse.Ticks {
	if a.ID != Postpaid {
		return 0
	}
	return a.EffectiveLimit()
}

// SetSoftLimit implements gatehouse.Money.
func (f *Fake) SetSoftLimit(ctx context.Context, team gatehouse.ID, limit gatehouse.Ticks) (gatehouse.Ticks, error) {
	a, err := f.BillingAccount(ctx, team)
	if err != nil {
		return 0, err
	}
	if limit < 0 || limit > a.HardLimit() {
		return 0, gatehouse.Violations{{Field: "desiredSoftSpendingLimit", Problem: "must be from $0.00 to " + a.HardLimit().String() + ", the hard limit"}}.Err()
	}
	f.commit()
	return limit, nil
}

// Balance implements gatehouse.Money.
func (f *Fake) Balance(_ context.Context, team gatehouse.ID) (b gatehouse.Balance, err error) {
	team, err = payer(team)
	switch team {
	case Prepaid:
		b.Credit = 10 * gatehouse.USD
	case Postpaid:
		b.Owed = 5*gatehouse.USD + 1
	}
	b.Held, b.Updated = gatehouse.USD/4, Now
	return b, err
}

// BalanceChanges implements gatehouse.Money. What is left of the prepaid team's
// credit is $10.00: $25.00 bought, $20.005 used, $5.005 given. A payment that is
// pending does not count.
func (f *Fake) BalanceChanges(_ context.Context, team gatehouse.ID) ([]gatehouse.BalanceChange, gatehouse.Ticks, error) {
	team, err := payer(team)
	if err != nil || team != Prepaid {
		return nil, 0, err
	}
	at := func(day int) time.Time { return november.Start().AddDate(0, 0, day) }
	row := func(origin gatehouse.ChangeOrigin, amount gatehouse.Ticks, at time.Time) gatehouse.BalanceChange {
		return gatehouse.BalanceChange{TeamID: team, Origin: origin, Status: gatehouse.TopUpSucceeded, Amount: amount, Time: at}
	}
	spend := row(gatehouse.OriginSpend, 20*gatehouse.USD+gatehouse.Cent/2, november.End())
	spend.Cycle = november
	manual := row(gatehouse.OriginManual, -5*gatehouse.USD-gatehouse.Cent/2, at(5))
	manual.Note = "goodwill"
	bought := row(gatehouse.OriginPurchase, -25*gatehouse.USD, at(1))
	bought.TopUp, bought.Process, bought.Invoice = KeyID, "stripe", "742-250-927-721"
	asked := row(gatehouse.OriginPurchase, -50*gatehouse.USD, Now)
	asked.Status, asked.TopUp, asked.Process = gatehouse.TopUpPending, User, "manual"
	return []gatehouse.BalanceChange{asked, spend, manual, bought}, -10 * gatehouse.USD, nil
}

// TopUp implements gatehouse.Money. A postpaid team has one pending.
func (f *Fake) TopUp(_ context.Context, team gatehouse.ID, amount gatehouse.Ticks) (*gatehouse.TopUp, error) {
	team, err := payer(team)
	if err != nil {
		return nil, err
	}
	if amount < gatehouse.MinTopUp || amount > gatehouse.MaxTopUp {
		return nil, gatehouse.Violations{{Field: "amount", Problem: "must be from $1.00 to $1000000.00"}}.Err()
	}
	if team == Postpaid {
		return pending(team, 50*gatehouse.USD), nil
	}
	f.commit()
	return pending(team, amount), nil
}

func pending(team gatehouse.ID, amount gatehouse.Ticks) *gatehouse.TopUp {
	return &gatehouse.TopUp{
		ID: KeyID, TeamID: team, Amount: amount, Status: gatehouse.TopUpPending, Processor: "manual", UserID: User, CreateTime: Now, Revision: rev,
	}
}

// charges are what a month came to: an exact line, and one that is rounded.
func charges() []gatehouse.Charge {
	return []gatehouse.Charge{
		{Cluster: "us-east-1", Model: "grok-4", Unit: gatehouse.PromptText, Price: 20_000, Units: 1_234_567, Amount: 24_691_340_000},
		{Cluster: "us-east-1", Model: "grok-4", Unit: gatehouse.CompletionText, Price: 150_000, Units: 98_765, Amount: 14_814_750_000},
	}
}

// month is the invoice of a cycle; by credit says whether that paid it.
func month(team gatehouse.ID, c gatehouse.Cycle, credit bool) *gatehouse.Invoice {
	b := billing.Books{Charges: charges(), Left: gatehouse.USD}
	for _, x := range b.Charges {
		b.Spent += x.Amount
	}
	if !credit {
		b.Spent, b.Owed, b.TaxBasisPoints, b.Left = 0, b.Spent, 1900, 0
	}
	inv, err := billing.Build(b)
	if err != nil {
		panic(err)
	}
	inv.ID, inv.TeamID, inv.Cycle, inv.CreateTime, inv.Number, inv.Revision = KeyID, team, c, c.End(), billing.Number(KeyID), rev
	return &inv
}

// ListInvoices implements gatehouse.Invoices.
func (f *Fake) ListInvoices(_ context.Context, q gatehouse.InvoiceQuery) ([]*gatehouse.Invoice, error) {
	team, err := payer(q.TeamID)
	if err != nil || team == Team {
		return nil, err
	}
	all := []*gatehouse.Invoice{month(team, november, team == Prepaid)}
	if team == Prepaid {
		paid := billing.Purchase(25 * gatehouse.USD)
		paid.ID, paid.TeamID, paid.TopUp, paid.Number, paid.CreateTime, paid.Revision = User, team, KeyID, billing.Number(User), november.Start(), rev
		all = append(all, &paid)
	}
	for _, id := range q.IDs {
		if !slices.ContainsFunc(all, func(inv *gatehouse.Invoice) bool { return inv.ID == id }) {
			return nil, missing("invoice")
		}
	}
	return slices.DeleteFunc(all, func(inv *gatehouse.Invoice) bool {
		c := gatehouse.CycleOf(inv.CreateTime)
		if !inv.Cycle.IsZero() {
			c = inv.Cycle
		}
		return !q.Cycle.IsZero() && c != q.Cycle || c.Less(q.Since) || q.IDs != nil && !slices.Contains(q.IDs, inv.ID)
	}), nil
}

// GetInvoice implements gatehouse.Invoices.
func (f *Fake) GetInvoice(_ context.Context, team, id gatehouse.ID) (*gatehouse.Invoice, error) {
	team, err := payer(team)
	if err == nil && id != KeyID {
		err = missing("invoice")
	}
	if err != nil {
		return nil, err
	}
	return month(team, november, team == Prepaid), nil
}

// PreviewInvoice implements gatehouse.Invoices.
func (f *Fake) PreviewInvoice(ctx context.Context, team gatehouse.ID) (p gatehouse.Preview, err error) {
	a, err := f.BillingAccount(ctx, team)
	if err != nil {
		return p, err
	}
	p = gatehouse.Preview{Invoice: gatehouse.Invoice{TeamID: a.ID, Cycle: january}, Effective: effective(a)}
	if a.ID != Team {
		p.Invoice = *month(a.ID, january, a.ID == Prepaid)
	}
	if a.ID == Prepaid {
		p.Credit, p.Used = 10*gatehouse.USD, 39_506_090_000
	}
	return p, nil
}

// WriteInvoicePDF implements gatehouse.Invoices.
func (f *Fake) WriteInvoicePDF(ctx context.Context, team, id gatehouse.ID, w io.Writer) error {
	if _, err := f.GetInvoice(ctx, team, id); err != nil {
		return err
	}
	_, err := io.WriteString(w, "%PDF-1.3")
	return err
}

// WriteInvoiceCSV implements gatehouse.Invoices.
func (f *Fake) WriteInvoiceCSV(ctx context.Context, team, id gatehouse.ID, w io.Writer) error {
	inv, err := f.GetInvoice(ctx, team, id)
	if err != nil {
		return err
	}
	return billing.WriteCSV(w, inv)
}
