package client

import (
	"context"
	"net/http"

	"gatehouse"
	"gatehouse/gen/billing"
	"gatehouse/gen/charger"
)

// bills is the path of a team's billing.
func (c *Client) bills(ctx context.Context, team gatehouse.ID, rest string) (string, error) {
	team, err := c.team(ctx, team)
	return under("/v1/billing/teams", team.String()) + rest, err
}

// bill calls an operation of a team's billing.
func bill[T any, P message[T]](ctx context.Context, c *Client, team gatehouse.ID, rest string, r request) (P, error) {
	path, err := c.bills(ctx, team, rest)
	if err != nil {
		return nil, err
	}
	r.path, r.method = path, http.MethodGet
	if r.body != nil {
		r.method = http.MethodPost
	}
	return call[T, P](ctx, c, r)
}

// BillingInfo is whom invoices are for.
func (c *Client) BillingInfo(ctx context.Context, team gatehouse.ID) (gatehouse.BillingInfo, error) {
	out, err := bill[billing.GetBillingInfoResp](ctx, c, team, "/billing-info", request{})
	return infoFrom(out.GetBillingInfo()), err
}

// PaymentMethods lists how the team may pay, and which method is its default.
func (c *Client) PaymentMethods(ctx context.Context, team gatehouse.ID) ([]gatehouse.PaymentMethod, string, error) {
	out, err := bill[billing.ListPaymentMethodsResp](ctx, c, team, "/payment-method", request{})
	return each(out.GetPaymentMethods(), methodFrom), out.GetDefaultPaymentMethodId(), err
}

// BillingAccount implements gatehouse.Money. It asks for each part that the
// wire shows; tax, times and revision are not among them.
func (c *Client) BillingAccount(ctx context.Context, team gatehouse.ID) (*gatehouse.BillingAccount, error) {
	team, err := c.team(ctx, team)
	if err != nil {
		return nil, err
	}
	a := &gatehouse.BillingAccount{ID: team}
	l, err := c.SpendingLimits(ctx, team)
	if err != nil {
		return nil, err
	}
	a.SoftLimit, a.HardOverride = l.Soft, l.HardOverride
	if a.Methods, a.Default, err = c.PaymentMethods(ctx, team); err != nil {
		return nil, err
	}
	a.Info, err = c.BillingInfo(ctx, team)
	return a, err
}

// SetBillingInfo implements gatehouse.Money.
func (c *Client) SetBillingInfo(ctx context.Context, team gatehouse.ID, info gatehouse.BillingInfo) error {
	_, err := bill[billing.SetBillingInfoResp](ctx, c, team, "/billing-info", request{body: &billing.SetBillingInfoReq{BillingInfo: infoTo(info)}})
	return err
}

// SetDefaultPaymentMethod implements gatehouse.Money.
func (c *Client) SetDefaultPaymentMethod(ctx context.Context, team gatehouse.ID, method string) error {
	_, err := bill[billing.SetDefaultPaymentMethodResp](ctx, c, team, "/payment-method/default",
		request{body: &billing.SetDefaultPaymentMethodReq{PaymentMethodId: method}})
	return err
}

// SpendingLimits implements gatehouse.Money.
func (c *Client) SpendingLimits(ctx context.Context, team gatehouse.ID) (gatehouse.SpendingLimits, error) {
	out, err := bill[billing.GetSpendingLimitsResp](ctx, c, team, "/postpaid/spending-limits", request{})
	l := out.GetSpendingLimits()
	return gatehouse.SpendingLimits{
		HardOverride: centsOpt(l.GetHardSlOverride()), Soft: centsOpt(l.GetSoftSl()),
		HardAuto: cents(l.GetHardSlAuto()), Hard: cents(l.GetEffectiveHardSl()), Effective: cents(l.GetEffectiveSl()),
	}, err
}

// SetSoftLimit implements gatehouse.Money. The wire counts in cents.
func (c *Client) SetSoftLimit(ctx context.Context, team gatehouse.ID, limit gatehouse.Ticks) (gatehouse.Ticks, error) {
	n, err := wholeCents("desiredSoftSpendingLimit", limit)
	if err != nil {
		return 0, err
	}
	out, err := bill[billing.SetSoftSpendingLimitResp](ctx, c, team, "/postpaid/spending-limits",
		request{body: &billing.SetSoftSpendingLimitReq{DesiredSoftSpendingLimit: &charger.Cent{Val: n}}})
	return cents(out.GetThisBpSoftSpendingLimit()), err
}

// Balance implements gatehouse.Money, to the cent as xAI's wire has it. What
// gateways hold is the operator's to see: ListHolds.
func (c *Client) Balance(ctx context.Context, team gatehouse.ID) (b gatehouse.Balance, err error) {
	p, err := c.PreviewInvoice(ctx, team)
	if err != nil {
		return b, err
	}
	_, total, err := c.BalanceChanges(ctx, team)
	return gatehouse.Balance{Credit: max(0, -total), Owed: gatehouse.Ticks(p.Invoice.Total-p.Invoice.Prepaid) * gatehouse.Cent}, err
}

// BalanceChanges implements gatehouse.Money, to the cent.
func (c *Client) BalanceChanges(ctx context.Context, team gatehouse.ID) ([]gatehouse.BalanceChange, gatehouse.Ticks, error) {
	out, err := bill[billing.ListPrepaidBalanceChangesResp](ctx, c, team, "/prepaid/balance", request{})
	return each(out.GetChanges(), changeFrom), cents(out.GetTotal()), err
}

func changeFrom(c *billing.PrepaidBalanceChange) gatehouse.BalanceChange {
	out := gatehouse.BalanceChange{
		TeamID: id(c.TeamId), Origin: gatehouse.ChangeOrigin(c.ChangeOrigin.String()), Amount: cents(c.Amount), Time: moment(c.CreateTime),
		Cycle: gatehouse.Cycle{Year: int(c.GetSpendBpKeyYear()), Month: int(c.GetSpendBpKeyMonth())}, TopUp: id(c.GetTopUpId()),
		Invoice: c.GetInvoiceNumber(), Process: processorFrom(c.PaymentProcessor), Note: c.GetNote(),
	}
	if c.TopupStatus != nil {
		out.Status = gatehouse.TopUpStatus(c.TopupStatus.String())
	}
	return out
}

func processorFrom(p *billing.PaymentProcessor) string {
	switch p.GetKind() {
	case billing.PaymentProcessor_MANUAL:
		return "manual"
	case billing.PaymentProcessor_STRIPE:
		return "stripe"
	}
	return p.GetExternalParty()
}

// TopUp implements gatehouse.Money.
func (c *Client) TopUp(ctx context.Context, team gatehouse.ID, amount gatehouse.Ticks) (*gatehouse.TopUp, error) {
	n, err := wholeCents("amount", amount)
	if err != nil {
		return nil, err
	}
	out, err := bill[billing.TopUpOrGetExistingPendingChangeResp](ctx, c, team, "/prepaid/top-up",
		request{body: &billing.TopUpOrGetExistingPendingChangeReq{Amount: &charger.Cent{Val: n}}})
	if err != nil {
		return nil, err
	}
	b := changeFrom(out.Change)
	return &gatehouse.TopUp{
		ID: b.TopUp, TeamID: b.TeamID, Amount: -b.Amount, Status: b.Status, Processor: b.Process,
		External: out.Change.GetPaymentProcessor().GetExternalInvoiceId(), InvoiceNo: b.Invoice, CreateTime: b.Time,
	}, nil
}

// cents is an amount of the wire.
func cents(c *charger.Cent) gatehouse.Ticks { return gatehouse.Ticks(c.GetVal()) * gatehouse.Cent }

func centsOpt(c *charger.Cent) *gatehouse.Ticks {
	if c == nil {
		return nil
	}
	return new(cents(c))
}

// wholeCents refuses what the wire has no room for.
func wholeCents(field string, t gatehouse.Ticks) (int64, error) {
	if t%gatehouse.Cent != 0 {
		return 0, gatehouse.Violations{{Field: field, Problem: "must be whole cents"}}.Err()
	}
	return int64(t / gatehouse.Cent), nil
}

func infoTo(i gatehouse.BillingInfo) *charger.BillingInfo {
	a := i.Address
	return &charger.BillingInfo{
		Name: i.Name, Email: i.Email, TaxIdType: i.TaxIDType, TaxNumber: i.TaxNumber,
		Address: &charger.Address{Line1: a.Line1, Line2: a.Line2, City: a.City, Country: a.Country, PostalCode: a.PostalCode, State: a.State},
	}
}

func infoFrom(i *charger.BillingInfo) gatehouse.BillingInfo {
	a := i.GetAddress()
	return gatehouse.BillingInfo{
		Name: i.GetName(), Email: i.GetEmail(), TaxIDType: i.GetTaxIdType(), TaxNumber: i.GetTaxNumber(),
		Address: gatehouse.Address{
			Line1: a.GetLine1(), Line2: a.GetLine2(), City: a.GetCity(), Country: a.GetCountry(), PostalCode: a.GetPostalCode(), State: a.GetState(),
		},
	}
}

func methodTo(m gatehouse.PaymentMethod) *charger.PaymentMethod {
	out := &charger.PaymentMethod{PaymentMethodId: m.ID, BillingInfo: infoTo(m.Info), PaymentType: m.Type, AddedTs: stamp(m.Added)}
	switch m.Type {
	case "card":
		out.CardDetails = &charger.CardDetails{Brand: m.Brand, Last4: m.Last4, ExpMonth: int64(m.ExpMonth), ExpYear: int64(m.ExpYear)}
	case "us_bank_account":
		out.UsBankAccountDetails = &charger.UsBankAccountDetails{BankName: m.BankName, Last4: m.Last4, RoutingNumber: m.Routing}
	case "link":
		out.LinkDetails = &charger.LinkDetails{Email: m.Email}
	}
	return out
}

func methodFrom(m *charger.PaymentMethod) gatehouse.PaymentMethod {
	card, bank := m.GetCardDetails(), m.GetUsBankAccountDetails()
	return gatehouse.PaymentMethod{
		ID: m.PaymentMethodId, Type: m.PaymentType, Info: infoFrom(m.BillingInfo), Added: moment(m.AddedTs),
		Brand: card.GetBrand(), Last4: card.GetLast4() + bank.GetLast4(), ExpMonth: int(card.GetExpMonth()), ExpYear: int(card.GetExpYear()),
		BankName: bank.GetBankName(), Routing: bank.GetRoutingNumber(), Email: m.GetLinkDetails().GetEmail(),
	}
}
