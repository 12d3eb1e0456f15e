package control

import (
	"context"
	"fmt"

	"gatehouse"
	"gatehouse/internal/billing"
	"gatehouse/internal/store"
)

// GrantCredit implements gatehouse.Treasury.
func (c *Caller) GrantCredit(ctx context.Context, team gatehouse.ID, amount gatehouse.Ticks, text string) (gatehouse.Balance, error) {
	return mutate(ctx, c, mutation[gatehouse.Balance]{
		op: gatehouse.GrantCredit, target: team.String(),
		run: func(tx store.Tx, who *principal) (out gatehouse.Balance, err error) {
			t, err := liveTeam(tx, who, who.home(team))
			if err != nil {
				return out, err
			}
			var bad gatehouse.Violations
			text := checkText("note", text, maxBillingText, &bad)
			checkCents("amount", amount, &bad)
			if amount == 0 || amount < -gatehouse.MaxTopUp || amount > gatehouse.MaxTopUp {
				bad.Addf("cents", "must be from -%s to %s, and not 0", gatehouse.MaxTopUp, gatehouse.MaxTopUp)
			}
			if err := bad.Err(); err != nil {
				return out, err
			}
			if err := c.s.grant(tx, t.ID, amount, text); err != nil {
				return out, err
			}
			return balanceOf(tx, t.ID, who.now)
		},
	})
}

// grant gives credit, or takes of what is neither spent nor drawn.
func (s *Service) grant(tx store.Tx, team gatehouse.ID, amount gatehouse.Ticks, text string) error {
	_, free, err := creditOf(tx, team)
	if err != nil {
		return err
	}
	if -amount > max(0, free) {
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "cents: only %s of the team's credit are neither spent nor held by gateways", max(0, free))
	}
	if err := roomFor(tx, team, amount); err != nil {
		return err
	}
	act := done(gatehouse.GrantCredit, "credit.granted", team, gatehouse.KindBilling, "", "Credit of "+amount.String()+" was given")
	if amount < 0 {
		act = done(gatehouse.GrantCredit, "credit.taken", team, gatehouse.KindBilling, "", "Credit of "+(-amount).String()+" was taken back")
	}
	act.Details = changes{"amount": amount.String(), "note": text}
	if err := tx.Record(act); err != nil {
		return err
	}
	return s.post(tx, gatehouse.Posting{
		TeamID: team, Kind: gatehouse.PostGrant, Note: text,
		Entries: move(gatehouse.AccountCredit, gatehouse.AccountGranted, amount),
	})
}

// SettleInvoice implements gatehouse.Treasury. The money is posted in the
// invoice's cycle, so that nothing of it stays owed.
func (c *Caller) SettleInvoice(ctx context.Context, id gatehouse.ID) (*gatehouse.Invoice, error) {
	const op = gatehouse.SettleInvoice
	return mutate(ctx, c, mutation[*gatehouse.Invoice]{
		op: op, target: id.String(),
		run: func(tx store.Tx, who *principal) (*gatehouse.Invoice, error) {
			before, err := invoiceOf(tx, who, id)
			if err != nil {
				return nil, err
			}
			if err := c.matches(before.Revision); err != nil {
				return nil, err
			}
			switch before.Status {
			case gatehouse.InvoicePending:
				return c.s.settled(tx, before)
			case gatehouse.InvoicePaid:
				return before, tx.Record(seen(op, before.TeamID, reading("invoice.read", gatehouse.KindInvoice, id.String())))
			}
			return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "nothing is owed on the invoice")
		},
	})
}

func (s *Service) settled(tx store.Tx, before *gatehouse.Invoice) (*gatehouse.Invoice, error) {
	inv, due := *before, gatehouse.Ticks(billing.Due(before))*gatehouse.Cent
	inv.Status = gatehouse.InvoicePaid
	act := done(gatehouse.SettleInvoice, "invoice.settled", inv.TeamID, gatehouse.KindInvoice, inv.ID.String(), fmt.Sprintf("Invoice %s was paid", inv.Number))
	act.Details = changes{"amount": due.String()}
	if err := tx.PutInvoice(&inv, act); err != nil {
		return nil, err
	}
	return &inv, s.post(tx, gatehouse.Posting{
		TeamID: inv.TeamID, Kind: gatehouse.PostPayment, Cycle: inv.Cycle, Ref: inv.ID.String(),
		Entries: move(gatehouse.AccountReceivable, gatehouse.AccountCash, due),
	})
}
