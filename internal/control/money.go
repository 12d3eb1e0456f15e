package control

import (
	"context"
	"fmt"
	"slices"

	"gatehouse"
	"gatehouse/internal/store"
)

// accountOf is a team's billing account; one that was never written is empty.
func accountOf(v store.View, team gatehouse.ID) (*gatehouse.BillingAccount, error) {
	a, err := found(v.BillingAccount(team))
	if a == nil && err == nil {
		a = &gatehouse.BillingAccount{ID: team}
	}
	return a, err
}

// BillingAccount implements gatehouse.Money. Two routes read it; the call says
// which.
func (c *Caller) BillingAccount(ctx context.Context, team gatehouse.ID) (*gatehouse.BillingAccount, error) {
	op := gatehouse.GetBillingInfo
	if c.call.Operation == gatehouse.ListPaymentMethods {
		op = gatehouse.ListPaymentMethods
	}
	return read(ctx, c, query[*gatehouse.BillingAccount]{
		op: c.under(op), act: gatehouse.Act{Action: "billing_account.read", Kind: gatehouse.KindBilling, TeamID: team},
		run: func(v store.View, who *principal) (*gatehouse.BillingAccount, error) {
			t, err := liveTeam(v, who, who.home(team))
			if err != nil {
				return nil, err
			}
			return accountOf(v, t.ID)
		},
	})
}

// account changes a team's billing account under an operation. Change decides
// what the act is called, and may fail.
func account[T any](ctx context.Context, c *Caller, op gatehouse.Operation, team gatehouse.ID,
	change func(tx store.Tx, a *gatehouse.BillingAccount) (T, gatehouse.Act, error)) (T, error) {
	return mutate(ctx, c, mutation[T]{
		op: op, target: team.String(),
		run: func(tx store.Tx, who *principal) (out T, err error) {
			t, err := liveTeam(tx, who, who.home(team))
			if err != nil {
				return out, err
			}
			before, err := accountOf(tx, t.ID)
			if err != nil {
				return out, err
			}
			if err := c.matches(before.Revision); err != nil {
				return out, err
			}
			a := *before
			if a.CreateTime.IsZero() {
				a.CreateTime = utc(who.now)
			}
			out, act, err := change(tx, &a)
			if err != nil {
				return out, err
			}
			act.Operation, act.Result, act.TeamID, act.Kind, act.Subject = string(op), gatehouse.Done, t.ID, gatehouse.KindBilling, t.ID.String()
			return out, tx.PutBillingAccount(&a, act)
		},
	})
}

// SetBillingInfo implements gatehouse.Money. The leaf does not hold whom an
// invoice is for: a person can be erased, a leaf cannot.
func (c *Caller) SetBillingInfo(ctx context.Context, team gatehouse.ID, info gatehouse.BillingInfo) error {
	_, err := account(ctx, c, gatehouse.SetBillingInfo, team, func(_ store.Tx, a *gatehouse.BillingAccount) (none struct{}, act gatehouse.Act, err error) {
		var bad gatehouse.Violations
		a.Info = checkInfo("billingInfo", info, &bad)
		return none, gatehouse.Act{Action: "billing_info.set", Description: "The billing information was set"}, bad.Err()
	})
	return err
}

// SetDefaultPaymentMethod implements gatehouse.Money.
func (c *Caller) SetDefaultPaymentMethod(ctx context.Context, team gatehouse.ID, method string) error {
	_, err := account(ctx, c, gatehouse.SetDefaultPaymentMethod, team, func(_ store.Tx, a *gatehouse.BillingAccount) (none struct{}, act gatehouse.Act, err error) {
		if !slices.ContainsFunc(a.Methods, func(m gatehouse.PaymentMethod) bool { return m.ID == method }) {
			return none, act, gatehouse.Violations{{Field: "paymentMethodId", Problem: "is not one of the team's payment methods"}}.Err()
		}
		act = gatehouse.Act{Action: "payment_method.default_set", Description: "The default payment method was set", Details: changes{}}
		note(act.Details, "default", a.Default, method)
		a.Default = method
		return none, act, nil
	})
	return err
}

// SpendingLimits implements gatehouse.Money. A team that is only metered has
// none, and one that pays before may owe nothing.
func (c *Caller) SpendingLimits(ctx context.Context, team gatehouse.ID) (gatehouse.SpendingLimits, error) {
	return read(ctx, c, query[gatehouse.SpendingLimits]{
		op: c.under(gatehouse.GetSpendingLimits), act: gatehouse.Act{Action: "spending_limits.read", Kind: gatehouse.KindBilling, TeamID: team},
		run: func(v store.View, who *principal) (out gatehouse.SpendingLimits, err error) {
			t, err := liveTeam(v, who, who.home(team))
			if err != nil {
				return out, err
			}
			a, err := accountOf(v, t.ID)
			if err != nil {
				return out, err
			}
			out = gatehouse.SpendingLimits{HardOverride: a.HardOverride, Soft: a.SoftLimit, Effective: effective(t, a)}
			if pays(t) {
				out.HardAuto, out.Hard = gatehouse.DefaultHardLimit, a.HardLimit()
			}
			return out, nil
		},
	})
}

// pays reports whether a team's usage is paid for, and not metered only.
func pays(t *gatehouse.Team) bool {
	return t.Billing.Pays()
}

// effective is what a team may owe a month beyond its credit.
func effective(t *gatehouse.Team, a *gatehouse.BillingAccount) gatehouse.Ticks {
	if t.Billing != gatehouse.BillingPostpaid {
		return 0
	}
	return a.EffectiveLimit()
}

// SetSoftLimit implements gatehouse.Money. 0 means credit alone.
func (c *Caller) SetSoftLimit(ctx context.Context, team gatehouse.ID, limit gatehouse.Ticks) (gatehouse.Ticks, error) {
	return account(ctx, c, gatehouse.SetSoftSpendingLimit, team, func(_ store.Tx, a *gatehouse.BillingAccount) (_ gatehouse.Ticks, act gatehouse.Act, err error) {
		const field = "desiredSoftSpendingLimit"
		var bad gatehouse.Violations
		checkCents(field, limit, &bad)
		if hard := a.HardLimit(); limit < 0 || limit > hard {
			bad.Addf(field, "must be from $0.00 to %s, the hard limit", hard)
		}
		act = gatehouse.Act{Action: "spending_limit.set", Description: "The soft spending limit was set to " + limit.String(), Details: changes{}}
		note(act.Details, "softLimit", amountOf(a.SoftLimit), amountOf(&limit))
		a.SoftLimit = &limit
		return limit, act, bad.Err()
	})
}

// UpdateBillingAccount implements gatehouse.Treasury. A soft limit above a lower
// hard one stays as it is: the lower of the two holds.
func (c *Caller) UpdateBillingAccount(ctx context.Context, u gatehouse.BillingAccountUpdate) (*gatehouse.BillingAccount, error) {
	return account(ctx, c, gatehouse.UpdateBillingAccount, u.TeamID, func(_ store.Tx, a *gatehouse.BillingAccount) (*gatehouse.BillingAccount, gatehouse.Act, error) {
		act := gatehouse.Act{Action: "billing_account.updated", Description: "The billing account was updated", Details: changes{}}
		if u.HardOverride.Set {
			note(act.Details, "hardOverride", amountOf(a.HardOverride), amountOf(u.HardOverride.Value))
		}
		if u.TaxBasisPoints.Set {
			note(act.Details, "taxBasisPoints", fmt.Sprint(a.TaxBasisPoints), fmt.Sprint(u.TaxBasisPoints.Value))
		}
		if u.Methods.Set {
			act.Details["paymentMethods"] = fmt.Sprintf("%d → %d", len(a.Methods), len(u.Methods.Value))
		}
		set(&a.HardOverride, u.HardOverride)
		set(&a.TaxBasisPoints, u.TaxBasisPoints)
		set(&a.Methods, u.Methods)
		var bad gatehouse.Violations
		checkAccount(a, &bad)
		if !slices.ContainsFunc(a.Methods, func(m gatehouse.PaymentMethod) bool { return m.ID == a.Default }) {
			a.Default = ""
		}
		return a, act, bad.Err()
	})
}

// amountOf shows a limit that may be unset.
func amountOf(t *gatehouse.Ticks) string {
	if t == nil {
		return "none"
	}
	return t.String()
}
