package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/billing"
	"gatehouse/internal/store"
)

// CloseBillingCycle implements gatehouse.Treasury.
func (c *Caller) CloseBillingCycle(ctx context.Context, team gatehouse.ID, cycle gatehouse.Cycle) (*gatehouse.Invoice, error) {
	const op = gatehouse.CloseBillingCycle
	return mutate(ctx, c, mutation[*gatehouse.Invoice]{
		op: op, target: team.String() + "/" + cycle.String(),
		run: func(tx store.Tx, who *principal) (*gatehouse.Invoice, error) {
			t, err := liveTeam(tx, who, who.home(team))
			if err != nil {
				return nil, err
			}
			return c.s.closeCycle(tx, op, t, cycle)
		},
	})
}

// closeCycle makes the invoice of an ended cycle and posts what it adds to the
// books. What is closed already is answered as it is.
func (s *Service) closeCycle(tx store.Tx, op gatehouse.Operation, t *gatehouse.Team, cycle gatehouse.Cycle) (*gatehouse.Invoice, error) {
	if err := closable(t, cycle, s.Now()); err != nil {
		return nil, err
	}
	closed, err := found(tx.InvoiceOf(t.ID, cycle))
	if err != nil {
		return nil, err
	}
	if closed != nil {
		return closed, tx.Record(seen(op, t.ID, reading("invoice.read", gatehouse.KindInvoice, closed.ID.String())))
	}
	account, err := accountOf(tx, t.ID)
	if err != nil {
		return nil, err
	}
	books, billed, err := booksOf(tx, t, account, cycle)
	if err != nil {
		return nil, err
	}
	if !billed {
		return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "the team was only metered in %s: there is nothing to close", cycle)
	}
	inv, err := billing.Build(books)
	if err != nil {
		return nil, err
	}
	inv.ID, inv.TeamID, inv.Cycle, inv.Info, inv.CreateTime = gatehouse.NewID(), t.ID, cycle, account.Info, utc(s.Now())
	inv.Number = billing.Number(inv.ID)
	return &inv, s.issue(tx, op, &inv, books)
}

// closable refuses cycles that are not over, and such as the team never had.
func closable(t *gatehouse.Team, cycle gatehouse.Cycle, now time.Time) error {
	var bad gatehouse.Violations
	if checkCycle("billingCycle", cycle, &bad); len(bad) > 0 {
		return bad.Err()
	}
	switch {
	case now.Before(cycle.End()):
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "the billing cycle %s is not over before %s", cycle, cycle.End().Format(time.RFC3339))
	case cycle.Less(gatehouse.CycleOf(t.CreateTime)):
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "the team is younger than the billing cycle %s", cycle)
	}
	return nil
}

// issue writes an invoice of a cycle, and the posting that closes the cycle.
func (s *Service) issue(tx store.Tx, op gatehouse.Operation, inv *gatehouse.Invoice, books billing.Books) error {
	act := done(op, "invoice.closed", inv.TeamID, gatehouse.KindInvoice, inv.ID.String(), fmt.Sprintf("The billing cycle %s was closed by invoice %s", inv.Cycle, inv.Number))
	act.Details = changes{"cycle": inv.Cycle.String(), "totalCents": fmt.Sprint(inv.Total), "dueCents": fmt.Sprint(billing.Due(inv)), "rounding": inv.Rounding.String()}
	if err := tx.PutInvoice(inv, act); err != nil {
		return err
	}
	entries := billing.Entries(inv, books)
	if len(entries) == 0 {
		return nil
	}
	return s.post(tx, gatehouse.Posting{TeamID: inv.TeamID, Kind: gatehouse.PostClose, Cycle: inv.Cycle, Ref: inv.ID.String(), Entries: entries})
}

const (
	// closeGrace is how long after its end a cycle is closed unasked: gateways have
	// shipped what they metered in it by then. What comes later still counts in the
	// running cycle.
	closeGrace = 24 * time.Hour
	// closeBack is how many cycles are looked back for such as nobody closed, while
	// the program did not run.
	closeBack = 12
)

// CloseDue closes what is due: of every team, the cycles that ended more than a
// day ago and are open. It may run as often as one likes, on several nodes at
// once. What goes wrong with one team keeps no other from its invoice.
func (s *Service) CloseDue(ctx context.Context) error {
	var failed []error
	for after := (store.Cursor{}); ; {
		var teams []*gatehouse.Team
		due := map[gatehouse.ID][]gatehouse.Cycle{}
		err := s.Store.View(store.System(ctx), func(v store.View) (err error) {
			teams, err = v.Teams(after, defaultPage)
			for i := 0; i < len(teams) && err == nil; i++ {
				due[teams[i].ID], err = s.dueOf(v, teams[i])
			}
			return err
		})
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		for _, t := range teams {
			for _, cycle := range due[t.ID] {
				failed = append(failed, s.closeOne(ctx, t.ID, cycle))
			}
		}
		if len(teams) < defaultPage {
			return errors.Join(failed...)
		}
		last := teams[len(teams)-1]
		after = store.Cursor{Time: last.CreateTime, ID: last.ID.String()}
	}
}

// dueOf are the open cycles of a team that are to be closed, oldest first: the
// last one that is over, and earlier ones in which something was to be paid.
func (s *Service) dueOf(v store.View, t *gatehouse.Team) (due []gatehouse.Cycle, err error) {
	now := s.Now()
	last := previous(gatehouse.CycleOf(now.Add(-closeGrace)))
	for cycle := last; last.Number()-cycle.Number() < closeBack && closable(t, cycle, now) == nil; cycle = previous(cycle) {
		closed, err := found(v.InvoiceOf(t.ID, cycle))
		if err != nil {
			return nil, err
		}
		if closed != nil {
			continue // an earlier one may have failed, or been passed over
		}
		books, billed, err := booksOf(v, t, &gatehouse.BillingAccount{}, cycle)
		if err != nil {
			return nil, err
		}
		if billed && (cycle == last || books.Spent != 0 || books.Owed != 0) {
			due = append(due, cycle)
		}
	}
	slices.Reverse(due)
	return due, nil
}

// previous is the cycle before one.
func previous(c gatehouse.Cycle) gatehouse.Cycle {
	return gatehouse.CycleOf(c.Start().AddDate(0, 0, -1))
}

func (s *Service) closeOne(ctx context.Context, team gatehouse.ID, cycle gatehouse.Cycle) error {
	_, err := s.Store.Update(store.System(ctx), s.system("end of a billing cycle"), func(tx store.Tx) error {
		if closed, err := found(tx.InvoiceOf(team, cycle)); err != nil || closed != nil {
			return err // another node was first
		}
		t, err := tx.Team(team)
		if err != nil || !t.DeleteTime.IsZero() {
			return err
		}
		_, err = s.closeCycle(tx, gatehouse.CloseBillingCycle, t, cycle)
		return err
	})
	if err == nil {
		return nil
	}
	s.Logger.ErrorContext(ctx, "billing cycle not closed", slog.String("team", team.String()), slog.String("cycle", cycle.String()), slog.Any("error", err))
	return fmt.Errorf("closing %s of team %s: %w", cycle, team, err)
}
