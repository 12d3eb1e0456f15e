package admin

import (
	"context"
	"strings"

	"gatehouse"
	billingpb "gatehouse/gen/adminbilling"
	"gatehouse/gen/charger"
	"gatehouse/internal/api"
)

// treasury answers what an operator does about money.
type treasury struct {
	billingpb.UnimplementedBillingAdminServer
}

// money is an exact amount.
func money(t gatehouse.Ticks) *billingpb.Money {
	return &billingpb.Money{Ticks: int64(t), Usd: strings.Replace(t.String(), "$", "", 1)}
}

// ListTopUps implements billingpb.BillingAdminServer.
func (treasury) ListTopUps(ctx context.Context, in *billingpb.ListTopUpsRequest) (*billingpb.ListTopUpsResponse, error) {
	team, err := teamOf(in.TeamId)
	if err != nil {
		return nil, err
	}
	all, next, err := list(in.PageSize, in.PageToken, func(p gatehouse.Page) ([]*gatehouse.TopUp, string, error) {
		return api.From(ctx).ListTopUps(ctx, team, p)
	}, topUp)
	return &billingpb.ListTopUpsResponse{TopUps: all, NextPageToken: next}, err
}

// ConfirmTopUp implements billingpb.BillingAdminServer.
func (treasury) ConfirmTopUp(ctx context.Context, in *billingpb.ConfirmTopUpRequest) (*billingpb.TopUp, error) {
	return oneTopUp(ctx)(api.From(ctx).ConfirmTopUp(ctx, api.PathID(in.Id), in.External))
}

// FailTopUp implements billingpb.BillingAdminServer.
func (treasury) FailTopUp(ctx context.Context, in *billingpb.FailTopUpRequest) (*billingpb.TopUp, error) {
	return oneTopUp(ctx)(api.From(ctx).FailTopUp(ctx, api.PathID(in.Id), in.Problem))
}

// RefundTopUp implements billingpb.BillingAdminServer.
func (treasury) RefundTopUp(ctx context.Context, in *billingpb.RefundTopUpRequest) (*billingpb.TopUp, error) {
	var bad gatehouse.Violations
	amount := api.FromCents("cents", in.Cents, &bad)
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return oneTopUp(ctx)(api.From(ctx).RefundTopUp(ctx, api.PathID(in.Id), amount))
}

func oneTopUp(ctx context.Context) func(*gatehouse.TopUp, error) (*billingpb.TopUp, error) {
	return one(ctx, topUp, func(t *gatehouse.TopUp) gatehouse.Revision { return t.Revision })
}

func topUp(t *gatehouse.TopUp) *billingpb.TopUp {
	return &billingpb.TopUp{
		Id: t.ID.String(), TeamId: t.TeamID.String(), Amount: money(t.Amount), Status: string(t.Status), Processor: t.Processor,
		External: t.External, InvoiceNumber: t.InvoiceNo, Refunded: money(t.Refunded), Problem: t.Problem, UserId: t.UserID.String(),
		CreateTime: api.Stamp(t.CreateTime), SettleTime: api.Stamp(t.SettleTime), Revision: t.Revision.String(),
	}
}

// GrantCredit implements billingpb.BillingAdminServer.
func (treasury) GrantCredit(ctx context.Context, in *billingpb.GrantCreditRequest) (*billingpb.Balance, error) {
	var bad gatehouse.Violations
	team, amount := api.ID("teamId", in.TeamId, &bad), api.FromCents("cents", in.Cents, &bad)
	if err := bad.Err(); err != nil {
		return nil, err
	}
	b, err := api.From(ctx).GrantCredit(ctx, team, amount, in.Note)
	return &billingpb.Balance{Credit: money(b.Credit), Owed: money(b.Owed), Held: money(b.Held), UpdateTime: api.Stamp(b.Updated)}, err
}

// UpdateBillingAccount implements billingpb.BillingAdminServer.
func (treasury) UpdateBillingAccount(ctx context.Context, in *billingpb.UpdateBillingAccountRequest) (*billingpb.BillingAccount, error) {
	a, up := given(in.BillingAccount), gatehouse.BillingAccountUpdate{TeamID: api.PathID(in.Id)}
	var bad gatehouse.Violations
	for _, name := range in.FieldMask.GetPaths() {
		switch name {
		case "hard_limit_cents":
			up.HardOverride = gatehouse.Some(override(a.HardLimitCents, &bad))
		case "tax_basis_points":
			up.TaxBasisPoints = gatehouse.Some(int(a.TaxBasisPoints))
		case "methods":
			up.Methods = gatehouse.Some(methods(a.Methods))
		}
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return one(ctx, billingAccount, func(a *gatehouse.BillingAccount) gatehouse.Revision { return a.Revision })(
		api.From(ctx).UpdateBillingAccount(ctx, up))
}

// override is nil for none.
func override(cents *int64, bad *gatehouse.Violations) *gatehouse.Ticks {
	if cents == nil {
		return nil
	}
	return new(api.FromCents("hardLimitCents", *cents, bad))
}

func methods(in []*charger.PaymentMethod) []gatehouse.PaymentMethod {
	out := []gatehouse.PaymentMethod{}
	for _, m := range in {
		out = append(out, api.PaymentMethodOf(m))
	}
	return out
}

func billingAccount(a *gatehouse.BillingAccount) *billingpb.BillingAccount {
	out := &billingpb.BillingAccount{
		Id: a.ID.String(), Info: api.BillingInfo(a.Info), DefaultMethodId: a.Default, TaxBasisPoints: int32(a.TaxBasisPoints),
		EffectiveLimit: money(a.EffectiveLimit()), CreateTime: api.Stamp(a.CreateTime), Revision: a.Revision.String(),
	}
	if a.HardOverride != nil {
		out.HardLimitCents = new(api.Cent(*a.HardOverride).Val)
	}
	if a.SoftLimit != nil {
		out.SoftLimit = money(*a.SoftLimit)
	}
	for _, m := range a.Methods {
		out.Methods = append(out.Methods, api.PaymentMethod(m))
	}
	return out
}
