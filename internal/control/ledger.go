package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// ListPostings implements gatehouse.Ledger.
func (c *Caller) ListPostings(ctx context.Context, team gatehouse.ID, page gatehouse.Page) ([]*gatehouse.Posting, string, error) {
	out, err := ofTeam(ctx, c, gatehouse.ListPostings, gatehouse.Act{Action: "posting.listed"}, team,
		func(v store.View, who *principal, t *gatehouse.Team) (out listed[*gatehouse.Posting], err error) {
			p, err := c.pager(gatehouse.ListPostings, t.ID, "", page)
			if err != nil {
				return out, err
			}
			items, err := v.Postings(t.ID, p.cursor(), p.size+1)
			if err != nil {
				return out, err
			}
			return cut(p, items, func(p *gatehouse.Posting) place { return place{Time: p.Time, ID: p.ID.String()} })
		})
	return out.unpack(err)
}

// Trial implements gatehouse.Ledger.
func (c *Caller) Trial(ctx context.Context, team gatehouse.ID) (map[gatehouse.Account]gatehouse.Ticks, error) {
	return ofTeam(ctx, c, gatehouse.GetTrialBalance, gatehouse.Act{Action: "trial_balance.read"}, team,
		func(v store.View, who *principal, t *gatehouse.Team) (map[gatehouse.Account]gatehouse.Ticks, error) {
			return v.Balances(t.ID)
		})
}

// ListHolds implements gatehouse.Ledger: oldest first; a zero team lists all.
func (c *Caller) ListHolds(ctx context.Context, team gatehouse.ID, page gatehouse.Page) ([]*gatehouse.Hold, string, error) {
	return pageOf(ctx, c, gatehouse.ListHolds, reading("hold.listed", gatehouse.KindBilling, ""), team, page, store.View.Holds,
		func(h *gatehouse.Hold) place { return place{Time: h.Since, ID: h.ID.String()} })
}

// WriteOffHold implements gatehouse.Ledger. One that has ended stays as it is.
func (c *Caller) WriteOffHold(ctx context.Context, id gatehouse.ID) (*gatehouse.Hold, error) {
	const op = gatehouse.WriteOffHold
	return mutate(ctx, c, mutation[*gatehouse.Hold]{
		op: op, target: id.String(),
		run: func(tx store.Tx, who *principal) (*gatehouse.Hold, error) {
			h, err := found(tx.Hold(id))
			if err != nil {
				return nil, err
			}
			if h == nil || !who.reaches(h.TeamID) {
				return nil, missing("hold")
			}
			if h.Open() == 0 {
				return h, tx.Record(seen(op, h.TeamID, reading("hold.read", gatehouse.KindBilling, h.ID.String())))
			}
			act := done(op, "hold.written_off", h.TeamID, gatehouse.KindBilling, "", "A hold of "+h.Open().String()+" was written off")
			act.Details = changes{"hold": id.String(), "fund": short(h.Fund), "gateway": h.Gateway.String(), "amount": h.Open().String()}
			if err := tx.Record(act); err != nil {
				return nil, err
			}
			if err := tx.EndHold(id); err != nil {
				return nil, err
			}
			return tx.Hold(id)
		},
	})
}

// rerateAtOnce is how many rows one transaction of ingest prices again: what
// takes about ten milliseconds.
const rerateAtOnce = 200

// RerateUsage implements gatehouse.Ledger. It goes in portions, and what is
// priced right already stays, so one that was cut short is simply done again.
func (c *Caller) RerateUsage(ctx context.Context, team gatehouse.ID, cycle gatehouse.Cycle) (gatehouse.RerateReport, error) {
	const op = gatehouse.RerateUsage
	caller, err := c.identify(ctx, op)
	if err != nil {
		return gatehouse.RerateReport{}, err
	}
	t, err := mutate(ctx, c, mutation[*gatehouse.Team]{
		op: op, target: team.String() + "/" + cycle.String(),
		run: func(tx store.Tx, who *principal) (*gatehouse.Team, error) {
			t, err := liveTeam(tx, who, who.home(team))
			if err != nil {
				return nil, err
			}
			if err := rerateable(tx, cycle, who.now); err != nil {
				return nil, err
			}
			return t, tx.Record(rerated(cycle, done(op, "usage.rerate_begun", t.ID, gatehouse.KindTeam, "", "Usage of "+cycle.String()+" is priced again"), nil))
		},
	})
	if err != nil {
		return gatehouse.RerateReport{}, err
	}
	return c.rerate(ctx, caller, t.ID, cycle)
}

// rerateable refuses cycles of which there are no rows to be priced.
func rerateable(v store.View, cycle gatehouse.Cycle, now time.Time) error {
	var bad gatehouse.Violations
	if checkCycle("billingCycle", cycle, &bad); len(bad) > 0 {
		return bad.Err()
	}
	if cycle.Start().After(now) {
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "the billing cycle %s has not begun", cycle)
	}
	floor, err := v.UsageFloor()
	if err == nil && cycle.Start().Before(floor) {
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "usage before %s is kept as sums alone, which cannot be priced again", floor.UTC().Format(time.RFC3339))
	}
	return err
}

// rerate goes through the rows. Its end is written down whole or cut short.
func (c *Caller) rerate(ctx context.Context, who *principal, team gatehouse.ID, cycle gatehouse.Cycle) (sum gatehouse.RerateReport, err error) {
	var after store.Cursor
	for whole := false; !whole && err == nil; {
		var part gatehouse.RerateReport
		var last store.Cursor
		err = c.s.Store.Ingest(store.System(ctx), func(in store.Ingest) (err error) {
			part, last, whole, err = in.Rerate(team, cycle.Start(), cycle.End(), after, rerateAtOnce)
			return err
		})
		if err == nil {
			after = last
			sum.Rows, sum.Changed = sum.Rows+part.Rows, sum.Changed+part.Changed
			sum.Before, sum.After = sum.Before+part.Before, sum.After+part.After
		}
		if err == nil && !whole {
			err = ctx.Err()
		}
	}
	return sum, errors.Join(err, c.tellRerated(ctx, who, team, cycle, sum, err == nil))
}

// tellRerated writes down what a re-rating came to, whole or cut short, also for
// a caller who has left.
func (c *Caller) tellRerated(ctx context.Context, who *principal, team gatehouse.ID, cycle gatehouse.Cycle, sum gatehouse.RerateReport, whole bool) error {
	told := context.WithoutCancel(ctx)
	_, err := c.s.Store.Update(store.System(told), c.cause(who), func(tx store.Tx) error {
		act := done(gatehouse.RerateUsage, "usage.rerated", team, gatehouse.KindTeam, "", "Usage of "+cycle.String()+" was priced again")
		if !whole {
			act.Description += " in part"
		}
		return tx.Record(rerated(cycle, act, &sum))
	})
	return err
}

// rerated adds what a re-rating came to.
func rerated(cycle gatehouse.Cycle, act gatehouse.Act, r *gatehouse.RerateReport) gatehouse.Act {
	act.Details = changes{"cycle": cycle.String()}
	if r != nil {
		act.Details["rows"], act.Details["changed"] = fmt.Sprint(r.Rows), fmt.Sprint(r.Changed)
		act.Details["before"], act.Details["after"] = r.Before.String(), r.After.String()
	}
	return act
}
