package control

import (
	"context"

	"gatehouse"
	"gatehouse/internal/store"
)

// processor is who takes payments. Money does not come by it: that takes a
// [gatehouse.PaymentEvent] or an operator.
type processor interface {
	// Name is what top-ups of it are marked with.
	Name() string
	// Ask asks for a payment. It may be called again for the same top-up, by id, and
	// must not charge twice. External is its name for the payment, empty for none.
	Ask(ctx context.Context, t *gatehouse.TopUp) (external string, err error)
}

// manualProcessor is the processor's name when an operator confirms payments. No
// other may have it.
const manualProcessor = "manual"

// TopUp implements gatehouse.Money. While one is pending it is the answer,
// whatever the amount, and the processor is reminded of it.
func (c *Caller) TopUp(ctx context.Context, team gatehouse.ID, amount gatehouse.Ticks) (*gatehouse.TopUp, error) {
	id := gatehouse.NewID()
	t, err := mutate(ctx, c, mutation[*gatehouse.TopUp]{
		op: gatehouse.TopUpOrGetExistingPendingChange, target: team.String(),
		run: func(tx store.Tx, who *principal) (*gatehouse.TopUp, error) {
			if c.s.Processor == nil {
				return nil, gatehouse.Errorf(gatehouse.Unimplemented, "this installation takes no payments")
			}
			t, err := liveTeam(tx, who, who.home(team))
			if err != nil {
				return nil, err
			}
			pending, err := found(tx.PendingTopUp(t.ID))
			if err != nil {
				return nil, err
			}
			if pending != nil {
				return pending, tx.Record(seen(gatehouse.TopUpOrGetExistingPendingChange, t.ID, reading("top_up.read", gatehouse.KindTopUp, pending.ID.String())))
			}
			return c.s.openTopUp(tx, who, id, t.ID, amount)
		},
	})
	if err != nil {
		return nil, err
	}
	return c.s.askFor(ctx, t)
}

// seen is the leaf of an act that found everything as it should be.
func seen(op gatehouse.Operation, team gatehouse.ID, act gatehouse.Act) gatehouse.Act {
	act.Operation, act.TeamID, act.Result = string(op), team, gatehouse.Read
	act.Description = string(op) + " was called and changed nothing"
	return act
}

// openTopUp writes a pending top-up.
func (s *Service) openTopUp(tx store.Tx, who *principal, id, team gatehouse.ID, amount gatehouse.Ticks) (*gatehouse.TopUp, error) {
	if amount < 0 {
		amount = -amount // the sign is disregarded (wire.md §3)
	}
	var bad gatehouse.Violations
	checkCents("amount", amount, &bad)
	if amount < gatehouse.MinTopUp || amount > gatehouse.MaxTopUp {
		bad.Addf("amount", "must be from %s to %s", gatehouse.MinTopUp, gatehouse.MaxTopUp)
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	if err := roomFor(tx, team, amount); err != nil {
		return nil, err
	}
	t := &gatehouse.TopUp{
		ID: id, TeamID: team, Amount: amount, Status: gatehouse.TopUpPending, Processor: s.Processor.Name(),
		UserID: who.UserID, CreateTime: utc(who.now),
	}
	act := done(gatehouse.TopUpOrGetExistingPendingChange, "top_up.created", team, gatehouse.KindTopUp, id.String(), "A top-up of "+amount.String()+" was asked for")
	act.Details = changes{"amount": amount.String(), "processor": t.Processor}
	return t, tx.PutTopUp(t, act)
}

// roomFor bounds what a team has paid ahead.
func roomFor(v store.View, team gatehouse.ID, amount gatehouse.Ticks) error {
	left, _, err := creditOf(v, team)
	if err != nil {
		return err
	}
	if left > maxCredit-amount {
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "amount: the credit may be at most %s, and %s are left", maxCredit, left)
	}
	return nil
}

// askFor asks the processor for a pending payment, and keeps its name for it. The
// top-up stays pending when it cannot be reached; asking again finds it.
func (s *Service) askFor(ctx context.Context, t *gatehouse.TopUp) (*gatehouse.TopUp, error) {
	if s.Processor == nil || t.Status != gatehouse.TopUpPending || t.Processor != s.Processor.Name() || t.External != "" {
		return t, nil
	}
	external, err := s.Processor.Ask(ctx, t)
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.Unavailable, "the top-up is pending, and its payment processor could not be asked; try again").Because(err)
	}
	if external == "" {
		return t, nil
	}
	_, err = s.Store.Update(store.System(ctx), s.system("payment processor "+t.Processor), func(tx store.Tx) error {
		now, err := tx.TopUp(t.ID)
		if err != nil {
			return err
		}
		if t = now; t.External != "" || t.Status != gatehouse.TopUpPending {
			return nil
		}
		asked := *now
		asked.External = external
		t = &asked
		return tx.PutTopUp(t, done(gatehouse.TopUpOrGetExistingPendingChange, "top_up.asked", t.TeamID, gatehouse.KindTopUp, t.ID.String(),
			"The payment processor was asked for a top-up of "+t.Amount.String()))
	})
	return t, err
}

// ListTopUps implements gatehouse.Treasury: oldest first; a zero team lists all.
func (c *Caller) ListTopUps(ctx context.Context, team gatehouse.ID, page gatehouse.Page) ([]*gatehouse.TopUp, string, error) {
	return pageOf(ctx, c, gatehouse.ListTopUps, reading("top_up.listed", gatehouse.KindTopUp, ""), team, page, store.View.TopUps,
		func(t *gatehouse.TopUp) place { return place{Time: t.CreateTime, ID: t.ID.String()} })
}
