package control

import (
	"context"

	"gatehouse"
	"gatehouse/internal/billing"
	"gatehouse/internal/store"
)

// creditOf is the prepaid money of a team: what is left, negative when a payment
// was taken back after it was spent, and what of it no gateway has drawn.
func creditOf(v store.View, team gatehouse.ID) (left, free gatehouse.Ticks, err error) {
	balances, err := v.Balances(team)
	if err != nil {
		return 0, 0, err
	}
	left = -balances[gatehouse.AccountCredit]
	held, err := v.HeldBy(gatehouse.Fund{Team: team})
	return left, left - held, err
}

// booksOf is what a cycle of a team stands at. A cycle in which all that was used
// was metered only is no bill, and neither is an idle one of a team that is
// metered: then the books are empty, and billed is false.
func booksOf(v store.View, t *gatehouse.Team, account *gatehouse.BillingAccount, cycle gatehouse.Cycle) (b billing.Books, billed bool, err error) {
	b.TaxBasisPoints = account.TaxBasisPoints
	spent, err := v.CycleSpend(t.ID)
	if err != nil {
		return b, false, err
	}
	b.Spent = spent[cycle]
	if b.Owed, err = v.CycleBalance(t.ID, gatehouse.AccountReceivable, cycle); err != nil {
		return b, false, err
	}
	if b.Metered, err = v.CycleBalance(t.ID, gatehouse.AccountMetered, cycle); err != nil {
		return b, false, err
	}
	if b.Spent == 0 && b.Owed == 0 && (b.Metered != 0 || !pays(t)) {
		return billing.Books{TaxBasisPoints: account.TaxBasisPoints}, false, nil
	}
	if b.Charges, err = v.Charges(t.ID, cycle); err != nil {
		return b, false, err
	}
	_, b.Left, err = creditOf(v, t.ID)
	return b, true, err
}

// ofTeam is a survey of one team's books. It is a survey since whoever reads
// them in a writing transaction keeps usage from being posted meanwhile.
func ofTeam[T any](ctx context.Context, c *Caller, op gatehouse.Operation, act gatehouse.Act, team gatehouse.ID,
	run func(v store.View, who *principal, t *gatehouse.Team) (T, error)) (T, error) {
	act.Kind, act.TeamID = gatehouse.KindBilling, team
	return survey(ctx, c, query[T]{
		op: op, act: act,
		check: func(v store.View, who *principal) error {
			_, err := liveTeam(v, who, who.home(team))
			return err
		},
		run: func(v store.View, who *principal) (out T, err error) {
			t, err := liveTeam(v, who, who.home(team))
			if err != nil {
				return out, err
			}
			return run(v, who, t)
		},
	})
}

// pageOf lists what an operator may see of one team, or of all.
func pageOf[T any](ctx context.Context, c *Caller, op gatehouse.Operation, act gatehouse.Act, team gatehouse.ID, page gatehouse.Page,
	list func(store.View, gatehouse.ID, store.Cursor, int) ([]T, error), at func(T) place) ([]T, string, error) {
	act.TeamID = team
	exists := func(v store.View, who *principal) error {
		if team.IsZero() {
			return nil
		}
		_, err := liveTeam(v, who, team)
		return err
	}
	out, err := survey(ctx, c, query[listed[T]]{
		op: op, act: act, check: exists,
		run: func(v store.View, who *principal) (out listed[T], err error) {
			p, err := c.pager(op, team, "", page)
			if err != nil {
				return out, err
			}
			items, err := list(v, team, p.cursor(), p.size+1)
			if err != nil {
				return out, err
			}
			return cut(p, items, at)
		},
	})
	return out.unpack(err)
}
