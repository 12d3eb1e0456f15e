package admin

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"gatehouse"
	billingpb "gatehouse/gen/adminbilling"
	"gatehouse/internal/api"
	"gatehouse/internal/billing"
	"gatehouse/internal/openapi"
)

// GetInvoice implements billingpb.BillingAdminServer.
func (treasury) GetInvoice(ctx context.Context, in *billingpb.GetInvoiceRequest) (*billingpb.Invoice, error) {
	team, err := teamOf(in.TeamId)
	if err != nil {
		return nil, err
	}
	return oneInvoice(ctx)(api.From(ctx).GetInvoice(ctx, team, api.PathID(in.Id)))
}

// SettleInvoice implements billingpb.BillingAdminServer.
func (treasury) SettleInvoice(ctx context.Context, in *billingpb.SettleInvoiceRequest) (*billingpb.Invoice, error) {
	return oneInvoice(ctx)(api.From(ctx).SettleInvoice(ctx, api.PathID(in.Id)))
}

// CloseBillingCycle implements billingpb.BillingAdminServer.
func (treasury) CloseBillingCycle(ctx context.Context, in *billingpb.CloseBillingCycleRequest) (*billingpb.Invoice, error) {
	team, cycle, err := teamCycle(in.TeamId, in.Cycle)
	if err != nil {
		return nil, err
	}
	return oneInvoice(ctx)(api.From(ctx).CloseBillingCycle(ctx, team, cycle))
}

// teamCycle reads a team that may be left out, and a cycle that may not.
func teamCycle(team, cycle string) (gatehouse.ID, gatehouse.Cycle, error) {
	var bad gatehouse.Violations
	id := api.ID("teamId", team, &bad)
	c, err := gatehouse.ParseCycle(cycle)
	if err != nil {
		bad.Addf("cycle", "must be a month as YYYY-MM")
	}
	return id, c, bad.Err()
}

func oneInvoice(ctx context.Context) func(*gatehouse.Invoice, error) (*billingpb.Invoice, error) {
	return one(ctx, invoice, func(inv *gatehouse.Invoice) gatehouse.Revision { return inv.Revision })
}

func invoice(inv *gatehouse.Invoice) *billingpb.Invoice {
	out := &billingpb.Invoice{
		Id: inv.ID.String(), TeamId: inv.TeamID.String(), Number: inv.Number, Cycle: month(inv.Cycle), Status: string(inv.Status),
		SubtotalCents: inv.Subtotal, TaxBasisPoints: int32(inv.TaxBP), TaxCents: inv.Tax, TotalCents: inv.Total, PrepaidCents: inv.Prepaid,
		Rounding: money(inv.Rounding), Info: api.BillingInfo(inv.Info), CreateTime: api.Stamp(inv.CreateTime), Revision: inv.Revision.String(),
		TopUpId: inv.TopUp.String(),
	}
	for _, l := range inv.Lines {
		out.Lines = append(out.Lines, &billingpb.InvoiceLine{
			ClusterName: l.Cluster, Model: l.Model, UnitType: billing.UnitType(l), UnitPrice: money(l.Price), Units: l.Units,
			Amount: money(l.Ticks), Cents: l.Cents, ForCycle: month(l.For),
		})
	}
	return out
}

// month is a cycle on the wire; empty for none.
func month(c gatehouse.Cycle) string {
	if c.IsZero() {
		return ""
	}
	return c.String()
}

// invoiceFile is an invoice as a file of a kind.
func invoiceFile(kind, media, example string, write func(*api.Request, context.Context, gatehouse.ID, gatehouse.ID, io.Writer) error) api.Plain {
	return api.Plain{
		Method: http.MethodGet, Path: "/admin/v1/invoices/{id}/" + kind, Operation: gatehouse.GetInvoice, Query: []string{"teamId"},
		Doc: api.PlainDoc{
			Summary: "GetInvoice as a file: " + kind + ".", Query: map[string]string{"teamId": "Team that it must be of; any that the management key reaches unless said."},
			Kind: media, Answer: &openapi.Schema{Type: "string"}, Example: example,
		},
		Handle: func(w http.ResponseWriter, r *http.Request, req *api.Request) error {
			team, err := teamOf(r.URL.Query().Get("teamId"))
			if err != nil {
				return err
			}
			var file bytes.Buffer // whole, or an error
			if err := write(req, r.Context(), team, req.PathID("id"), &file); err != nil {
				return err
			}
			w.Header().Set("Content-Type", media) // the CSV's text is UTF-8, as no type means too
			w.Header().Set("Content-Disposition", `attachment; filename="invoice-`+req.PathID("id").String()+"."+kind+`"`)
			_, _ = w.Write(file.Bytes()) // a client that has gone is no error of ours
			return nil
		},
	}
}

func invoicePDF(req *api.Request, ctx context.Context, team, id gatehouse.ID, w io.Writer) error {
	return req.WriteInvoicePDF(ctx, team, id, w)
}

func invoiceCSV(req *api.Request, ctx context.Context, team, id gatehouse.ID, w io.Writer) error {
	return req.WriteInvoiceCSV(ctx, team, id, w)
}
