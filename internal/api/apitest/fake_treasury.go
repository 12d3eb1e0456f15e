package apitest

import (
	"context"

	"gatehouse"
)

// settled is a top-up that succeeded.
func settled(team gatehouse.ID) *gatehouse.TopUp {
	t := pending(team, 25*gatehouse.USD)
	t.Status, t.External, t.InvoiceNo, t.SettleTime = gatehouse.TopUpSucceeded, "ch_123", "742-250-927-721", Now
	return t
}

// ListTopUps implements gatehouse.Treasury.
func (f *Fake) ListTopUps(_ context.Context, team gatehouse.ID, p gatehouse.Page) ([]*gatehouse.TopUp, string, error) {
	team, err := payer(team)
	if err != nil {
		return nil, "", err
	}
	if p.Size == 1 {
		return []*gatehouse.TopUp{settled(team)}, "NEXT", nil
	}
	return []*gatehouse.TopUp{settled(team), pending(team, 50*gatehouse.USD)}, "", nil
}

// topUp finds the one that there is and says that it changed.
func (f *Fake) topUp(id gatehouse.ID, t *gatehouse.TopUp) (*gatehouse.TopUp, error) {
	if id != KeyID {
		return nil, missing("top-up")
	}
	f.commit()
	return t, nil
}

// ConfirmTopUp implements gatehouse.Treasury.
func (f *Fake) ConfirmTopUp(_ context.Context, id gatehouse.ID, external string) (*gatehouse.TopUp, error) {
	t := settled(Prepaid)
	t.External = external
	return f.topUp(id, t)
}

// FailTopUp implements gatehouse.Treasury.
func (f *Fake) FailTopUp(_ context.Context, id gatehouse.ID, why string) (*gatehouse.TopUp, error) {
	t := pending(Prepaid, 50*gatehouse.USD)
	t.Status, t.Problem, t.SettleTime = gatehouse.TopUpFailed, why, Now
	return f.topUp(id, t)
}

// RefundTopUp implements gatehouse.Treasury.
func (f *Fake) RefundTopUp(_ context.Context, id gatehouse.ID, amount gatehouse.Ticks) (*gatehouse.TopUp, error) {
	t := settled(Prepaid)
	if amount <= 0 || amount > t.Amount {
		return nil, gatehouse.Violations{{Field: "cents", Problem: "must be 1 to " + t.Amount.String()}}.Err()
	}
	t.Refunded = amount
	return f.topUp(id, t)
}

// GrantCredit implements gatehouse.Treasury.
func (f *Fake) GrantCredit(ctx context.Context, team gatehouse.ID, amount gatehouse.Ticks, note string) (gatehouse.Balance, error) {
	b, err := f.Balance(ctx, team)
	if err == nil && note == "" {
		err = gatehouse.Violations{{Field: "note", Problem: "is required: say what for"}}.Err()
	}
	if err != nil {
		return b, err
	}
	b.Credit += amount
	f.commit()
	return b, nil
}

// UpdateBillingAccount implements gatehouse.Treasury.
func (f *Fake) UpdateBillingAccount(ctx context.Context, u gatehouse.BillingAccountUpdate) (*gatehouse.BillingAccount, error) {
	a, err := f.BillingAccount(ctx, u.TeamID)
	if err == nil {
		err = f.match()
	}
	if err != nil {
		return nil, err
	}
	take(&a.HardOverride, u.HardOverride)
	take(&a.TaxBasisPoints, u.TaxBasisPoints)
	take(&a.Methods, u.Methods)
	if a.HardOverride != nil && *a.HardOverride < 0 || a.TaxBasisPoints < 0 {
		return nil, gatehouse.Violations{{Field: "hardLimitCents", Problem: "must not be negative"}}.Err()
	}
	f.commit()
	return a, nil
}

// CloseBillingCycle implements gatehouse.Treasury.
func (f *Fake) CloseBillingCycle(_ context.Context, team gatehouse.ID, c gatehouse.Cycle) (*gatehouse.Invoice, error) {
	team, err := payer(team)
	if err != nil {
		return nil, err
	}
	if !c.End().Before(Now) {
		return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "billing cycle %s has not ended", c)
	}
	f.commit()
	return month(team, c, team == Prepaid), nil
}

// SettleInvoice implements gatehouse.Treasury.
func (f *Fake) SettleInvoice(_ context.Context, id gatehouse.ID) (*gatehouse.Invoice, error) {
	if id != KeyID {
		return nil, missing("invoice")
	}
	inv := month(Postpaid, november, false)
	inv.Status = gatehouse.InvoicePaid
	f.commit()
	return inv, nil
}

// ListPostings implements gatehouse.Ledger.
func (f *Fake) ListPostings(_ context.Context, team gatehouse.ID, _ gatehouse.Page) ([]*gatehouse.Posting, string, error) {
	team, err := payer(team)
	return []*gatehouse.Posting{{
		ID: KeyID, TeamID: team, Time: Now, Kind: gatehouse.PostUsage, Cycle: january, Ref: "batch",
		Entries: []gatehouse.Entry{{Account: gatehouse.AccountCredit, Amount: 12_345}, {Account: gatehouse.AccountRevenue, Amount: -12_345}},
	}}, "", err
}

// Trial implements gatehouse.Ledger.
func (f *Fake) Trial(_ context.Context, team gatehouse.ID) (map[gatehouse.Account]gatehouse.Ticks, error) {
	_, err := payer(team)
	return map[gatehouse.Account]gatehouse.Ticks{
		gatehouse.AccountCash: 25 * gatehouse.USD, gatehouse.AccountCredit: -25*gatehouse.USD + 12_345, gatehouse.AccountRevenue: -12_345,
	}, err
}

func hold(team gatehouse.ID) *gatehouse.Hold {
	return &gatehouse.Hold{
		ID: KeyID, TeamID: team, Fund: gatehouse.Fund{Team: team}.String(), Gateway: User, Incarnation: 7,
		Drawn: gatehouse.USD, Returned: gatehouse.USD / 4, Ingested: gatehouse.USD / 2, Since: Now, Seen: Now,
	}
}

// ListHolds implements gatehouse.Ledger.
func (f *Fake) ListHolds(_ context.Context, team gatehouse.ID, _ gatehouse.Page) ([]*gatehouse.Hold, string, error) {
	team, err := payer(team)
	return []*gatehouse.Hold{hold(team)}, "", err
}

// WriteOffHold implements gatehouse.Ledger.
func (f *Fake) WriteOffHold(_ context.Context, id gatehouse.ID) (*gatehouse.Hold, error) {
	if id != KeyID {
		return nil, missing("hold")
	}
	h := hold(Prepaid)
	h.Returned = h.Drawn - h.Ingested
	f.commit()
	return h, nil
}

// RerateUsage implements gatehouse.Ledger.
func (f *Fake) RerateUsage(_ context.Context, team gatehouse.ID, _ gatehouse.Cycle) (gatehouse.RerateReport, error) {
	if _, err := payer(team); err != nil {
		return gatehouse.RerateReport{}, err
	}
	f.commit()
	return gatehouse.RerateReport{Rows: 1000, Changed: 2, Before: 3 * gatehouse.USD, After: 2*gatehouse.USD + 1}, nil
}
