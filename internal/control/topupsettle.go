package control

import (
	"context"
	"fmt"

	"gatehouse"
	"gatehouse/internal/billing"
	"gatehouse/internal/store"
)

// ofTopUp changes one top-up under an operation of an operator.
func (c *Caller) ofTopUp(ctx context.Context, op gatehouse.Operation, id gatehouse.ID, change func(tx store.Tx, t *gatehouse.TopUp) (*gatehouse.TopUp, error)) (*gatehouse.TopUp, error) {
	return mutate(ctx, c, mutation[*gatehouse.TopUp]{
		op: op, target: id.String(),
		run: func(tx store.Tx, who *principal) (*gatehouse.TopUp, error) {
			t, err := found(tx.TopUp(id))
			if err != nil {
				return nil, err
			}
			if t == nil || !who.reaches(t.TeamID) {
				return nil, missing("top-up")
			}
			if err := c.matches(t.Revision); err != nil {
				return nil, err
			}
			return change(tx, t)
		},
	})
}

// unchanged is the answer to who asks for what is so already.
func unchanged(tx store.Tx, op gatehouse.Operation, t *gatehouse.TopUp) (*gatehouse.TopUp, error) {
	return t, tx.Record(seen(op, t.TeamID, reading("top_up.read", gatehouse.KindTopUp, t.ID.String())))
}

// ConfirmTopUp implements gatehouse.Treasury.
func (c *Caller) ConfirmTopUp(ctx context.Context, id gatehouse.ID, external string) (*gatehouse.TopUp, error) {
	const op = gatehouse.ConfirmTopUp
	return c.ofTopUp(ctx, op, id, func(tx store.Tx, t *gatehouse.TopUp) (*gatehouse.TopUp, error) {
		var bad gatehouse.Violations
		external := checkText("external", external, maxExternal, &bad)
		switch err := bad.Err(); {
		case err != nil:
			return nil, err
		case t.Status == gatehouse.TopUpSucceeded:
			return unchanged(tx, op, t)
		case t.Status != gatehouse.TopUpPending:
			return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "the top-up has failed; ask for another")
		}
		return c.s.paid(tx, op, t, external)
	})
}

// paid posts the money of a top-up and makes its invoice.
func (s *Service) paid(tx store.Tx, op gatehouse.Operation, before *gatehouse.TopUp, external string) (*gatehouse.TopUp, error) {
	t, now := *before, utc(s.Now())
	account, err := accountOf(tx, t.TeamID)
	if err != nil {
		return nil, err
	}
	inv := billing.Purchase(t.Amount)
	inv.ID, inv.TeamID, inv.TopUp, inv.Info, inv.CreateTime = gatehouse.NewID(), t.TeamID, t.ID, account.Info, now
	inv.Number = billing.Number(inv.ID)
	t.Status, t.SettleTime, t.InvoiceNo, t.Problem = gatehouse.TopUpSucceeded, now, inv.Number, ""
	if external != "" {
		t.External = external
	}
	act := done(op, "top_up.confirmed", t.TeamID, gatehouse.KindTopUp, t.ID.String(), "A top-up of "+t.Amount.String()+" was paid")
	act.Details = changes{"amount": t.Amount.String(), "processor": t.Processor, "external": t.External}
	if err := tx.PutTopUp(&t, act); err != nil {
		return nil, err
	}
	err = tx.PutInvoice(&inv, done(op, "invoice.created", t.TeamID, gatehouse.KindInvoice, inv.ID.String(), fmt.Sprintf("Invoice %s of a paid top-up was made", inv.Number)))
	if err != nil {
		return nil, err
	}
	return &t, s.post(tx, gatehouse.Posting{
		TeamID: t.TeamID, Kind: gatehouse.PostTopUp, Ref: t.ID.String(),
		Entries: move(gatehouse.AccountCredit, gatehouse.AccountCash, t.Amount),
	})
}

// move takes an amount from one account and puts it on another.
func move(from, to gatehouse.Account, amount gatehouse.Ticks) []gatehouse.Entry {
	return []gatehouse.Entry{{Account: to, Amount: amount}, {Account: from, Amount: -amount}}
}

// post appends to the ledger, in the running cycle unless the posting names one.
func (s *Service) post(tx store.Tx, p gatehouse.Posting) error {
	p.ID, p.Time = gatehouse.NewID(), utc(s.Now())
	if p.Cycle.IsZero() {
		p.Cycle = gatehouse.CycleOf(p.Time)
	}
	return tx.Post(&p)
}

// FailTopUp implements gatehouse.Treasury.
func (c *Caller) FailTopUp(ctx context.Context, id gatehouse.ID, why string) (*gatehouse.TopUp, error) {
	const op = gatehouse.FailTopUp
	return c.ofTopUp(ctx, op, id, func(tx store.Tx, t *gatehouse.TopUp) (*gatehouse.TopUp, error) {
		var bad gatehouse.Violations
		why := checkText("why", why, maxBillingText, &bad)
		switch err := bad.Err(); {
		case err != nil:
			return nil, err
		case t.Status == gatehouse.TopUpFailed:
			return unchanged(tx, op, t)
		case t.Status != gatehouse.TopUpPending:
			return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "the top-up was paid; refund it instead")
		}
		return c.s.failed(tx, op, t, why)
	})
}

func (s *Service) failed(tx store.Tx, op gatehouse.Operation, before *gatehouse.TopUp, why string) (*gatehouse.TopUp, error) {
	t := *before
	t.Status, t.SettleTime, t.Problem = gatehouse.TopUpFailed, utc(s.Now()), why
	act := done(op, "top_up.failed", t.TeamID, gatehouse.KindTopUp, t.ID.String(), "A top-up of "+t.Amount.String()+" failed")
	act.Details = changes{"amount": t.Amount.String(), "processor": t.Processor, "why": short(why)}
	return &t, tx.PutTopUp(&t, act)
}

// RefundTopUp implements gatehouse.Treasury. What gateways have drawn is not
// there to be given back: it may be spent by now. What another processor took in
// is given back there, and its event says so: once here and once there would
// take it from the team twice.
func (c *Caller) RefundTopUp(ctx context.Context, id gatehouse.ID, amount gatehouse.Ticks) (*gatehouse.TopUp, error) {
	const op = gatehouse.RefundTopUp
	return c.ofTopUp(ctx, op, id, func(tx store.Tx, t *gatehouse.TopUp) (*gatehouse.TopUp, error) {
		if err := refundable(t, amount); err != nil {
			return nil, err
		}
		if t.Processor != manualProcessor {
			return nil, gatehouse.Errorf(gatehouse.FailedPrecondition,
				"the payment processor '%s' took this top-up: refund it there, and its event takes the credit back", t.Processor)
		}
		_, free, err := creditOf(tx, t.TeamID)
		if err != nil {
			return nil, err
		}
		if amount > free {
			return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "cents: only %s of the team's credit are neither spent nor held by gateways", max(0, free))
		}
		return c.s.refunded(tx, op, t, amount)
	})
}

// refundable checks an amount against what is left of a top-up.
func refundable(t *gatehouse.TopUp, amount gatehouse.Ticks) error {
	if t.Status != gatehouse.TopUpSucceeded {
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "the top-up was not paid")
	}
	var bad gatehouse.Violations
	checkCents("amount", amount, &bad)
	if left := t.Amount - t.Refunded; amount <= 0 || amount > left {
		bad.Addf("cents", "must be more than $0.00 and at most %s, what is left of the top-up", left)
	}
	return bad.Err()
}

func (s *Service) refunded(tx store.Tx, op gatehouse.Operation, before *gatehouse.TopUp, amount gatehouse.Ticks) (*gatehouse.TopUp, error) {
	t := *before
	t.Refunded += amount
	act := done(op, "top_up.refunded", t.TeamID, gatehouse.KindTopUp, t.ID.String(), amount.String()+" of a top-up of "+t.Amount.String()+" were given back")
	act.Details = changes{"amount": amount.String(), "refunded": t.Refunded.String(), "processor": t.Processor}
	if err := tx.PutTopUp(&t, act); err != nil {
		return nil, err
	}
	return &t, s.post(tx, gatehouse.Posting{
		TeamID: t.TeamID, Kind: gatehouse.PostRefund, Ref: t.ID.String(),
		Entries: move(gatehouse.AccountCash, gatehouse.AccountCredit, amount),
	})
}
