package xai

import (
	"context"

	"gatehouse"
	wire "gatehouse/gen/billing"
	"gatehouse/gen/charger"
	"gatehouse/internal/api"
	"gatehouse/internal/billing"
)

// ListInvoices implements billing.UISvcServer. That no more than one of the
// three forms is there, the kit has made sure.
func (bills) ListInvoices(ctx context.Context, in *wire.ListInvoicesReq) (*wire.ListInvoicesResp, error) {
	var bad gatehouse.Violations
	q := gatehouse.InvoiceQuery{
		TeamID: api.PathID(in.TeamId), Cycle: cycle("billingCycle", in.GetBillingCycle(), &bad), Since: cycle("since", in.GetSince(), &bad),
	}
	ids := in.GetInvoiceIds()
	for _, s := range ids.GetInvoiceIds() {
		q.IDs = append(q.IDs, api.ID("invoiceIds.invoiceIds", s, &bad))
	}
	if ids != nil && len(q.IDs) == 0 {
		bad.Addf("invoiceIds.invoiceIds", "names no invoice")
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	all, err := api.From(ctx).ListInvoices(ctx, q)
	out := &wire.ListInvoicesResp{}
	for _, inv := range all {
		out.Invoices = append(out.Invoices, bundle(inv))
	}
	return out, err
}

func cycle(field string, in *wire.BillingCycle, bad *gatehouse.Violations) gatehouse.Cycle {
	c := gatehouse.Cycle{Year: int(in.GetYear()), Month: int(in.GetMonth())}
	if in != nil && !c.Valid() {
		bad.Addf(field, "needs a year from 2000 to 2200 and a month from 1 to 12")
	}
	return c
}

func cycleOut(c gatehouse.Cycle) *wire.BillingCycle {
	return &wire.BillingCycle{Year: int32(c.Year), Month: int32(c.Month)}
}

func bundle(inv *gatehouse.Invoice) *wire.InvoiceBundle {
	out := &wire.InvoiceBundle{
		TeamId: inv.TeamID.String(), InvoiceId: inv.ID.String(), InvoiceNumber: inv.Number, CreateTime: api.Stamp(inv.CreateTime),
		InvoiceStatus: wire.InvoiceBundle_Status(wire.InvoiceBundle_Status_value[string(inv.Status)]),
		Lines:         lines(inv.Lines), Subtotal: inv.Subtotal, Tax: inv.Tax, Total: inv.Total, InvoicePdfAssetKeySuffix: asset(inv, "pdf"),
	}
	if inv.Cycle.IsZero() {
		out.Flavour = &wire.InvoiceBundle_Prepaid{Prepaid: &wire.PrepaidInvoiceBundle{TopUpId: inv.TopUp.String()}}
		return out
	}
	out.FirstDesiredNextCycleTs = api.Stamp(inv.Cycle.End())
	out.Flavour = &wire.InvoiceBundle_Monthly{Monthly: &wire.MonthlyInvoiceBundle{
		BillingCycle: cycleOut(inv.Cycle), DefaultCreditsIssued: api.Cent(0), AutoCreditsIssued: api.Cent(0),
		PrepaidTokensToSpend: &charger.Cent{Val: inv.Prepaid}, BillingItemsCsvAssetKeySuffix: some(asset(inv, "csv")),
	}}
	return out
}

// asset is where an invoice is to be had as a file.
func asset(inv *gatehouse.Invoice, kind string) string {
	return "/admin/v1/invoices/" + inv.ID.String() + "/" + kind
}

func lines(in []gatehouse.InvoiceLine) (out []*wire.Line) {
	for _, l := range in {
		what := billing.Describe(l)
		if !l.For.IsZero() {
			what += " (correction of " + l.For.String() + ")"
		}
		out = append(out, &wire.Line{
			ClusterName: l.Cluster, Description: what, UnitType: billing.UnitType(l),
			UnitPrice: int64(l.Price), NumUnits: l.Units, Amount: l.Cents,
		})
	}
	return out
}

// GetAmountToPay implements billing.UISvcServer. Credit is negative here too,
// and what prepaidCredits says is what the cycle draws on: clients take what it
// used off to know what is left.
func (bills) GetAmountToPay(ctx context.Context, in *wire.GetAmountToPayReq) (*wire.GetAmountToPayResp, error) {
	p, err := api.From(ctx).PreviewInvoice(ctx, api.PathID(in.TeamId))
	if err != nil {
		return nil, err
	}
	inv := p.Invoice
	subtotal := &charger.Cent{Val: inv.Subtotal}
	return &wire.GetAmountToPayResp{
		CoreInvoice: &wire.CoreInvoice{
			Lines: lines(inv.Lines), AmountBeforeVat: inv.Subtotal, VatCost: inv.Tax, AmountAfterVat: inv.Total,
			TotalWithCorr: &charger.Cent{Val: inv.Total}, PrepaidCredits: api.Cent(-p.Credit - p.Used), PrepaidCreditsUsed: api.Cent(-p.Used),
			AmountBeforeVatLimited: subtotal, AmountBeforeVatUnlimited: api.Cent(0), AmountBeforeVatLimitedAndUnlimited: subtotal,
		},
		EffectiveSpendingLimit: billing.Cents(p.Effective), BillingCycle: cycleOut(inv.Cycle),
	}, nil
}
