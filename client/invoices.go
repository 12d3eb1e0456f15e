package client

import (
	"context"
	"io"
	"net/http"
	"strings"

	"gatehouse"
	"gatehouse/gen/adminbilling"
	"gatehouse/gen/billing"
)

const invoices = "/admin/v1/invoices"

// ListInvoices implements gatehouse.Invoices. xAI's wire has lines in words and
// cents: a line's Model is its description. GetInvoice has them exact.
func (c *Client) ListInvoices(ctx context.Context, q gatehouse.InvoiceQuery) ([]*gatehouse.Invoice, error) {
	query, err := invoiceQuery(q)
	if err != nil {
		return nil, err
	}
	out, err := bill[billing.ListInvoicesResp](ctx, c, q.TeamID, "/invoices", request{query: query})
	return each(out.GetInvoices(), bundleFrom), err
}

func invoiceQuery(q gatehouse.InvoiceQuery) (*billing.ListInvoicesReq, error) {
	out, forms := &billing.ListInvoicesReq{}, 0
	if !q.Cycle.IsZero() {
		out.Filter, forms = &billing.ListInvoicesReq_BillingCycle{BillingCycle: cycleTo(q.Cycle)}, forms+1
	}
	if !q.Since.IsZero() {
		out.Filter, forms = &billing.ListInvoicesReq_Since{Since: cycleTo(q.Since)}, forms+1
	}
	if len(q.IDs) > 0 {
		out.Filter = &billing.ListInvoicesReq_InvoiceIds{InvoiceIds: &billing.InvoiceIds{InvoiceIds: each(q.IDs, gatehouse.ID.String)}}
		forms++
	}
	if forms > 1 {
		return nil, gatehouse.Violations{{Field: "billingCycle", Problem: "ask for one of billingCycle, since and invoiceIds"}}.Err()
	}
	return out, nil
}

func cycleTo(c gatehouse.Cycle) *billing.BillingCycle {
	return &billing.BillingCycle{Year: int32(c.Year), Month: int32(c.Month)}
}

func cycleFrom(c *billing.BillingCycle) gatehouse.Cycle {
	return gatehouse.Cycle{Year: int(c.GetYear()), Month: int(c.GetMonth())}
}

func bundleFrom(b *billing.InvoiceBundle) *gatehouse.Invoice {
	return &gatehouse.Invoice{
		ID: id(b.InvoiceId), TeamID: id(b.TeamId), Number: b.InvoiceNumber, Status: gatehouse.InvoiceStatus(b.InvoiceStatus.String()),
		Cycle: cycleFrom(b.GetMonthly().GetBillingCycle()), TopUp: id(b.GetPrepaid().GetTopUpId()), Lines: each(b.Lines, lineFrom), Subtotal: b.Subtotal, Tax: b.Tax, Total: b.Total,
		Prepaid: b.GetMonthly().GetPrepaidTokensToSpend().GetVal(), CreateTime: moment(b.CreateTime),
	}
}

func lineFrom(l *billing.Line) gatehouse.InvoiceLine {
	unit, _ := gatehouse.ParseUnit(l.UnitType)
	return gatehouse.InvoiceLine{
		Cluster: l.ClusterName, Model: l.Description, Unit: unit, Price: gatehouse.Ticks(l.UnitPrice), Units: l.NumUnits, Cents: l.Amount,
		Ticks: gatehouse.Ticks(l.UnitPrice) * gatehouse.Ticks(l.NumUnits),
	}
}

// PreviewInvoice implements gatehouse.Invoices.
func (c *Client) PreviewInvoice(ctx context.Context, team gatehouse.ID) (gatehouse.Preview, error) {
	out, err := bill[billing.GetAmountToPayResp](ctx, c, team, "/postpaid/invoice/preview", request{})
	if err != nil {
		return gatehouse.Preview{}, err
	}
	inv, used := out.CoreInvoice, -cents(out.CoreInvoice.GetPrepaidCreditsUsed())
	return gatehouse.Preview{
		Invoice: gatehouse.Invoice{
			Cycle: cycleFrom(out.BillingCycle), Lines: each(inv.GetLines(), lineFrom), Subtotal: inv.GetAmountBeforeVat(), Tax: inv.GetVatCost(),
			Total: inv.GetAmountAfterVat(), Prepaid: min(inv.GetAmountAfterVat(), int64(used/gatehouse.Cent)),
		},
		Effective: gatehouse.Ticks(out.EffectiveSpendingLimit) * gatehouse.Cent,
		Credit:    -cents(inv.GetPrepaidCredits()) - used, Used: used,
	}, nil
}

// GetInvoice implements gatehouse.Invoices.
func (c *Client) GetInvoice(ctx context.Context, team, invoice gatehouse.ID) (*gatehouse.Invoice, error) {
	return one(invoiceFrom)(call[adminbilling.Invoice](ctx, c, request{method: http.MethodGet, path: under(invoices, invoice.String()),
		query: &adminbilling.GetInvoiceRequest{TeamId: named(team)}}))
}

func invoiceFrom(i *adminbilling.Invoice) *gatehouse.Invoice {
	cycle, _ := gatehouse.ParseCycle(i.Cycle) // a top-up's has none
	return &gatehouse.Invoice{
		ID: id(i.Id), TeamID: id(i.TeamId), Number: i.Number, Cycle: cycle, TopUp: id(i.TopUpId), Status: gatehouse.InvoiceStatus(i.Status),
		Lines: each(i.Lines, exactFrom), Subtotal: i.SubtotalCents, TaxBP: int(i.TaxBasisPoints), Tax: i.TaxCents, Total: i.TotalCents,
		Prepaid: i.PrepaidCents, Rounding: ticks(i.Rounding), Info: infoFrom(i.Info), CreateTime: moment(i.CreateTime), Revision: revision(i.Revision),
	}
}

func exactFrom(l *adminbilling.InvoiceLine) gatehouse.InvoiceLine {
	unit, _ := gatehouse.ParseUnit(l.UnitType)
	corrects, _ := gatehouse.ParseCycle(l.ForCycle) // mostly none
	return gatehouse.InvoiceLine{
		Cluster: l.ClusterName, Model: l.Model, Unit: unit, Price: ticks(l.UnitPrice), Units: l.Units, Ticks: ticks(l.Amount), Cents: l.Cents, For: corrects,
	}
}

// WriteInvoicePDF implements gatehouse.Invoices.
func (c *Client) WriteInvoicePDF(ctx context.Context, team, invoice gatehouse.ID, w io.Writer) error {
	return c.writeInvoice(ctx, team, invoice, "pdf", w)
}

// WriteInvoiceCSV implements gatehouse.Invoices.
func (c *Client) WriteInvoiceCSV(ctx context.Context, team, invoice gatehouse.ID, w io.Writer) error {
	return c.writeInvoice(ctx, team, invoice, "csv", w)
}

func (c *Client) writeInvoice(ctx context.Context, team, invoice gatehouse.ID, kind string, w io.Writer) error {
	res, err := c.send(ctx, request{method: http.MethodGet, path: strings.Join([]string{invoices, invoice.String(), kind}, "/"),
		query: &adminbilling.GetInvoiceRequest{TeamId: named(team)}})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	file, err := bounded(ctx, c, res.Body)
	if err != nil {
		return err
	}
	_, err = w.Write(file)
	return err
}
