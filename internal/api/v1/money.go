package v1

import (
	"context"

	"gatehouse"
	v1pb "gatehouse/gen/v1"
	"gatehouse/internal/api"
	bills "gatehouse/internal/billing"
)

// billing answers /v1/billing, and credits /v1/billing/credits.
type (
	billing struct {
		v1pb.UnimplementedBillingServer
	}
	credits struct {
		v1pb.UnimplementedCreditsServer
	}
)

const currency = "USD"

// GetBillingSummary implements v1pb.BillingServer.
func (billing) GetBillingSummary(ctx context.Context, _ *v1pb.GetBillingSummaryRequest) (*v1pb.BillingSummary, error) {
	r, own := api.From(ctx), gatehouse.ID{}
	account, err := r.BillingAccount(ctx, own)
	if err != nil {
		return nil, err
	}
	balance, err := r.Balance(ctx, own)
	if err != nil {
		return nil, err
	}
	limits, err := r.SpendingLimits(ctx, own)
	if err != nil {
		return nil, err
	}
	preview, err := r.PreviewInvoice(ctx, own)
	if err != nil {
		return nil, err
	}
	return &v1pb.BillingSummary{
		BillingInfo: info(account.Info), Balance: balance.Credit.Float(), Currency: currency, LastUpdated: api.Stamp(balance.Updated),
		SpendingLimits: spending(limits), CurrentInvoice: invoice(&preview.Invoice),
	}, nil
}

// GetBillingSummary implements v1pb.CreditsServer.
func (credits) GetBillingSummary(ctx context.Context, _ *v1pb.GetCreditsRequest) (*v1pb.GetCreditsResponse, error) {
	b, err := api.From(ctx).Balance(ctx, gatehouse.ID{})
	return &v1pb.GetCreditsResponse{Balance: b.Credit.Float(), Currency: currency, LastUpdated: api.Stamp(b.Updated)}, err
}

func info(in gatehouse.BillingInfo) *v1pb.BillingInfo {
	a := in.Address
	return &v1pb.BillingInfo{
		Name: in.Name, Email: in.Email, TaxIdType: in.TaxIDType, TaxNumber: in.TaxNumber,
		Address: &v1pb.Address{Line1: a.Line1, Line2: a.Line2, City: a.City, State: a.State, PostalCode: a.PostalCode, Country: a.Country},
	}
}

func spending(in gatehouse.SpendingLimits) *v1pb.SpendingLimits {
	out := &v1pb.SpendingLimits{HardLimit: in.Hard.Float(), EffectiveLimit: in.Effective.Float()}
	if in.Soft != nil {
		soft := in.Soft.Float()
		out.SoftLimit = &soft
	}
	return out
}

func invoice(in *gatehouse.Invoice) *v1pb.CurrentInvoice {
	out := &v1pb.CurrentInvoice{
		BillingCycle: in.Cycle.String(), Status: string(in.Status),
		Subtotal: dollars(in.Subtotal), Tax: dollars(in.Tax), Total: dollars(in.Total), Prepaid: dollars(in.Prepaid),
	}
	for _, l := range in.Lines {
		out.Lines = append(out.Lines, &v1pb.InvoiceLine{
			Cluster: l.Cluster, Model: l.Model, UnitType: bills.UnitType(l), UnitPrice: l.Price.Float(),
			NumUnits: float64(l.Units), Amount: dollars(l.Cents),
		})
	}
	return out
}

func dollars(cents int64) float64 { return float64(cents) / 100 }
