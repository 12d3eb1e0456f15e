package xai

import (
	"context"

	"gatehouse"
	"gatehouse/gen/billing"
	"gatehouse/gen/charger"
	"gatehouse/internal/api"
)

// bills answers /v1/billing/teams, over REST and over gRPC.
type bills struct {
	billing.UnimplementedUISvcServer
}

// GetBillingInfo implements billing.UISvcServer.
func (bills) GetBillingInfo(ctx context.Context, in *billing.GetBillingInfoReq) (*billing.GetBillingInfoResp, error) {
	a, err := account(ctx, in.TeamId)
	if err != nil {
		return nil, err
	}
	return &billing.GetBillingInfoResp{BillingInfo: api.BillingInfo(a.Info)}, nil
}

// account reads what a team's bills are made by.
func account(ctx context.Context, team string) (*gatehouse.BillingAccount, error) {
	r := api.From(ctx)
	a, err := r.BillingAccount(ctx, api.PathID(team))
	if err == nil {
		r.ETag(a.Revision)
	}
	return a, err
}

// SetBillingInfo implements billing.UISvcServer.
func (bills) SetBillingInfo(ctx context.Context, in *billing.SetBillingInfoReq) (*billing.SetBillingInfoResp, error) {
	if in.BillingInfo == nil {
		return nil, required("billingInfo")
	}
	return &billing.SetBillingInfoResp{}, api.From(ctx).SetBillingInfo(ctx, api.PathID(in.TeamId), api.BillingInfoOf(in.BillingInfo))
}

func required(field string) error {
	return gatehouse.Violations{{Field: field, Problem: "is required"}}.Err()
}

// ListPaymentMethods implements billing.UISvcServer.
func (bills) ListPaymentMethods(ctx context.Context, in *billing.ListPaymentMethodsReq) (*billing.ListPaymentMethodsResp, error) {
	a, err := account(ctx, in.TeamId)
	if err != nil {
		return nil, err
	}
	out := &billing.ListPaymentMethodsResp{DefaultPaymentMethodId: some(a.Default)}
	for _, m := range a.Methods {
		out.PaymentMethods = append(out.PaymentMethods, api.PaymentMethod(m))
	}
	return out, nil
}

func some(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// SetDefaultPaymentMethod implements billing.UISvcServer.
func (bills) SetDefaultPaymentMethod(ctx context.Context, in *billing.SetDefaultPaymentMethodReq) (*billing.SetDefaultPaymentMethodResp, error) {
	if in.PaymentMethodId == "" {
		return nil, required("paymentMethodId")
	}
	return &billing.SetDefaultPaymentMethodResp{}, api.From(ctx).SetDefaultPaymentMethod(ctx, api.PathID(in.TeamId), in.PaymentMethodId)
}

// GetSpendingLimits implements billing.UISvcServer.
func (bills) GetSpendingLimits(ctx context.Context, in *billing.GetSpendingLimitsReq) (*billing.GetSpendingLimitsResp, error) {
	l, err := api.From(ctx).SpendingLimits(ctx, api.PathID(in.TeamId))
	if err != nil {
		return nil, err
	}
	return &billing.GetSpendingLimitsResp{SpendingLimits: &billing.SpendingLimits{
		HardSlOverride: api.CentOpt(l.HardOverride), HardSlAuto: api.Cent(l.HardAuto), EffectiveHardSl: api.Cent(l.Hard),
		SoftSl: api.CentOpt(l.Soft), EffectiveSl: api.Cent(l.Effective),
	}}, nil
}

// SetSoftSpendingLimit implements billing.UISvcServer.
func (bills) SetSoftSpendingLimit(ctx context.Context, in *billing.SetSoftSpendingLimitReq) (*billing.SetSoftSpendingLimitResp, error) {
	limit, err := amount("desiredSoftSpendingLimit", in.DesiredSoftSpendingLimit)
	if err != nil {
		return nil, err
	}
	set, err := api.From(ctx).SetSoftLimit(ctx, api.PathID(in.TeamId), limit)
	return &billing.SetSoftSpendingLimitResp{ThisBpSoftSpendingLimit: api.Cent(set)}, err
}

// amount reads money that must be there.
func amount(field string, c *charger.Cent) (gatehouse.Ticks, error) {
	if c == nil {
		return 0, required(field)
	}
	var bad gatehouse.Violations
	return api.FromCents(field+".val", c.Val, &bad), bad.Err()
}

// ListPrepaidBalanceChanges implements billing.UISvcServer.
func (bills) ListPrepaidBalanceChanges(ctx context.Context, in *billing.ListPrepaidBalanceChangesReq) (*billing.ListPrepaidBalanceChangesResp, error) {
	all, total, err := api.From(ctx).BalanceChanges(ctx, api.PathID(in.TeamId))
	out := &billing.ListPrepaidBalanceChangesResp{Total: api.Cent(total)}
	for _, c := range all {
		out.Changes = append(out.Changes, change(c))
	}
	return out, err
}

// change is a row of the ledger of prepaid credit.
func change(c gatehouse.BalanceChange) *billing.PrepaidBalanceChange {
	out := &billing.PrepaidBalanceChange{
		TeamId: c.TeamID.String(), Amount: api.Cent(c.Amount), CreateTime: api.Stamp(c.Time),
		ChangeOrigin:  billing.PrepaidBalanceChange_ChangeOrigin(billing.PrepaidBalanceChange_ChangeOrigin_value[string(c.Origin)]),
		InvoiceNumber: some(c.Invoice), PaymentProcessor: processor(c.Process, ""), Note: some(c.Note),
	}
	if c.Status != "" {
		out.TopupStatus = billing.PrepaidBalanceChange_TopUpStatus(billing.PrepaidBalanceChange_TopUpStatus_value[string(c.Status)]).Enum()
	}
	if !c.Cycle.IsZero() {
		year, month := int32(c.Cycle.Year), int32(c.Cycle.Month)
		out.SpendBpKeyYear, out.SpendBpKeyMonth = &year, &month
	}
	if !c.TopUp.IsZero() {
		out.TopUpId = some(c.TopUp.String())
	}
	return out
}

// processor is nil where no payment was.
func processor(name, external string) *billing.PaymentProcessor {
	out := &billing.PaymentProcessor{Kind: billing.PaymentProcessor_EXTERNAL, ExternalParty: name, ExternalInvoiceId: external}
	switch name {
	case "":
		return nil
	case "manual":
		out.Kind, out.ExternalParty = billing.PaymentProcessor_MANUAL, ""
	case "stripe":
		out.Kind, out.ExternalParty = billing.PaymentProcessor_STRIPE, ""
	}
	return out
}

// TopUpOrGetExistingPendingChange implements billing.UISvcServer. The ledger's
// sign of a purchase is negative and people write it positive: either is taken.
func (bills) TopUpOrGetExistingPendingChange(ctx context.Context, in *billing.TopUpOrGetExistingPendingChangeReq) (*billing.TopUpOrGetExistingPendingChangeResp, error) {
	n, err := amount("amount", in.Amount)
	if err != nil {
		return nil, err
	}
	t, err := api.From(ctx).TopUp(ctx, api.PathID(in.TeamId), max(n, -n))
	if err != nil {
		return nil, err
	}
	c := change(gatehouse.BalanceChange{
		TeamID: t.TeamID, Origin: gatehouse.OriginPurchase, Status: t.Status, Amount: -t.Amount, Time: t.CreateTime, TopUp: t.ID, Invoice: t.InvoiceNo,
	})
	c.PaymentProcessor = processor(t.Processor, t.External)
	return &billing.TopUpOrGetExistingPendingChangeResp{Change: c}, nil
}
