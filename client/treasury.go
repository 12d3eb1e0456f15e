package client

import (
	"context"
	"net/http"

	"gatehouse"
	"gatehouse/gen/adminbilling"
	"gatehouse/gen/charger"
)

const (
	topUps          = "/admin/v1/top-ups"
	holds           = "/admin/v1/holds"
	billingAccounts = "/admin/v1/billing-accounts"
)

func ticks(m *adminbilling.Money) gatehouse.Ticks { return gatehouse.Ticks(m.GetTicks()) }

// ListTopUps implements gatehouse.Treasury.
func (c *Client) ListTopUps(ctx context.Context, team gatehouse.ID, p gatehouse.Page) ([]*gatehouse.TopUp, string, error) {
	size, after := page(p)
	out, err := call[adminbilling.ListTopUpsResponse](ctx, c, request{method: http.MethodGet, path: topUps,
		query: &adminbilling.ListTopUpsRequest{PageSize: size, PageToken: after, TeamId: named(team)}})
	return each(out.GetTopUps(), topUpFrom), out.GetNextPageToken(), err
}

// ConfirmTopUp implements gatehouse.Treasury.
func (c *Client) ConfirmTopUp(ctx context.Context, t gatehouse.ID, external string) (*gatehouse.TopUp, error) {
	return one(topUpFrom)(call[adminbilling.TopUp](ctx, c, request{method: http.MethodPost, path: under(topUps, t.String()) + "/confirm",
		body: &adminbilling.ConfirmTopUpRequest{External: external}}))
}

// FailTopUp implements gatehouse.Treasury.
func (c *Client) FailTopUp(ctx context.Context, t gatehouse.ID, why string) (*gatehouse.TopUp, error) {
	return one(topUpFrom)(call[adminbilling.TopUp](ctx, c, request{method: http.MethodPost, path: under(topUps, t.String()) + "/fail",
		body: &adminbilling.FailTopUpRequest{Problem: why}}))
}

// RefundTopUp implements gatehouse.Treasury.
func (c *Client) RefundTopUp(ctx context.Context, t gatehouse.ID, amount gatehouse.Ticks) (*gatehouse.TopUp, error) {
	n, err := wholeCents("cents", amount)
	if err != nil {
		return nil, err
	}
	return one(topUpFrom)(call[adminbilling.TopUp](ctx, c, request{method: http.MethodPost, path: under(topUps, t.String()) + "/refund",
		body: &adminbilling.RefundTopUpRequest{Cents: n}}))
}

func topUpFrom(t *adminbilling.TopUp) *gatehouse.TopUp {
	return &gatehouse.TopUp{
		ID: id(t.Id), TeamID: id(t.TeamId), Amount: ticks(t.Amount), Status: gatehouse.TopUpStatus(t.Status), Processor: t.Processor,
		External: t.External, InvoiceNo: t.InvoiceNumber, Refunded: ticks(t.Refunded), Problem: t.Problem, UserID: id(t.UserId),
		CreateTime: moment(t.CreateTime), SettleTime: moment(t.SettleTime), Revision: revision(t.Revision),
	}
}

// GrantCredit implements gatehouse.Treasury.
func (c *Client) GrantCredit(ctx context.Context, team gatehouse.ID, amount gatehouse.Ticks, note string) (b gatehouse.Balance, err error) {
	n, err := wholeCents("cents", amount)
	if err != nil {
		return b, err
	}
	out, err := call[adminbilling.Balance](ctx, c, request{method: http.MethodPost, path: "/admin/v1/credits",
		body: &adminbilling.GrantCreditRequest{TeamId: named(team), Cents: n, Note: note}})
	return gatehouse.Balance{
		Credit: ticks(out.GetCredit()), Owed: ticks(out.GetOwed()), Held: ticks(out.GetHeld()), Updated: moment(out.GetUpdateTime()),
	}, err
}

// UpdateBillingAccount implements gatehouse.Treasury.
func (c *Client) UpdateBillingAccount(ctx context.Context, u gatehouse.BillingAccountUpdate) (*gatehouse.BillingAccount, error) {
	team, err := c.team(ctx, u.TeamID)
	if err != nil {
		return nil, err
	}
	var paths []string
	body := &adminbilling.BillingAccount{
		TaxBasisPoints: int32(take(&paths, "tax_basis_points", u.TaxBasisPoints)),
		Methods:        each(take(&paths, "methods", u.Methods), methodTo),
	}
	if hard := take(&paths, "hard_limit_cents", u.HardOverride); hard != nil {
		n, err := wholeCents("hardLimitCents", *hard)
		if err != nil {
			return nil, err
		}
		body.HardLimitCents = &n
	}
	return one(accountFrom)(call[adminbilling.BillingAccount](ctx, c, request{method: http.MethodPatch, path: under(billingAccounts, team.String()),
		body: body, query: &adminbilling.UpdateBillingAccountRequest{FieldMask: mask(paths)}}))
}

func accountFrom(a *adminbilling.BillingAccount) *gatehouse.BillingAccount {
	out := &gatehouse.BillingAccount{
		ID: id(a.Id), Info: infoFrom(a.Info), Methods: each(a.Methods, methodFrom), Default: a.DefaultMethodId,
		TaxBasisPoints: int(a.TaxBasisPoints), CreateTime: moment(a.CreateTime), Revision: revision(a.Revision),
	}
	if a.HardLimitCents != nil {
		out.HardOverride = centsOpt(&charger.Cent{Val: *a.HardLimitCents})
	}
	if a.SoftLimit != nil {
		out.SoftLimit = new(ticks(a.SoftLimit))
	}
	return out
}

// CloseBillingCycle implements gatehouse.Treasury.
func (c *Client) CloseBillingCycle(ctx context.Context, team gatehouse.ID, cycle gatehouse.Cycle) (*gatehouse.Invoice, error) {
	return one(invoiceFrom)(call[adminbilling.Invoice](ctx, c, request{method: http.MethodPost, path: "/admin/v1/billing-cycles/close",
		body: &adminbilling.CloseBillingCycleRequest{TeamId: named(team), Cycle: cycle.String()}}))
}

// SettleInvoice implements gatehouse.Treasury.
func (c *Client) SettleInvoice(ctx context.Context, invoice gatehouse.ID) (*gatehouse.Invoice, error) {
	return one(invoiceFrom)(call[adminbilling.Invoice](ctx, c, request{method: http.MethodPost, path: under(invoices, invoice.String()) + "/settle",
		body: &adminbilling.SettleInvoiceRequest{}}))
}
