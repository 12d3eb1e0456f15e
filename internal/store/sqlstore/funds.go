package sqlstore

import (
	"database/sql"
	"slices"

	"gatehouse"
)

const (
	selectSpent query = `SELECT ticks FROM fund_spent WHERE budget = ? AND start_s = ? AND subject = ?`
	selectFunds query = `SELECT team_id, subject, ticks FROM fund_spent WHERE budget = ? AND start_s = ?`
)

func addSpent(marks string) query {
	return query(`INSERT INTO fund_spent (budget, start_s, subject, team_id, ticks) VALUES ` + marks + `
ON CONFLICT (budget, start_s, subject) DO UPDATE SET ticks = fund_spent.ticks + excluded.ticks`)
}

// Spent implements [store.BillingView].
func (v *view) Spent(f gatehouse.Fund) (gatehouse.Ticks, error) {
	return v.amount(selectSpent, f.Budget.String(), f.Start, f.Of)
}

// BudgetFunds implements [store.BillingView].
func (v *view) BudgetFunds(budget gatehouse.ID, start int64) (map[gatehouse.Fund]store.FundUse, error) {
	out := map[gatehouse.Fund]store.FundUse{}
	each := func(q query, args []any, add func(of string, ticks gatehouse.Ticks) (string, store.FundUse)) error {
		return failed(v.sess.each(v.ctx, q, args, func(rows *sql.Rows) (bool, error) {
			f := gatehouse.Fund{Budget: budget, Start: start}
			var team string
			var ticks int64
			err := cmp.Or(rows.Scan(&team, &f.Of, &ticks), f.Team.UnmarshalText([]byte(team)))
			return true, err
		}))
	}
	return out, nil
}

// budgets finds those of a team's that may apply to a record: a team may have a
// thousand, and a request is of one key.
type budgets struct {
	always []*gatehouse.Budget            // of the team, and for each key or owner
	of     map[string][]*gatehouse.Budget // by Value
}

func newBudgets(team *gatehouse.Team) *budgets {
	if team == nil || len(team.Budgets) == 0 {
		return nil
	}
	b := &budgets{of: map[string][]*gatehouse.Budget{}}
	for n := range team.Budgets {
		x := &team.Budgets[n]
		if x.Subject == gatehouse.BudgetTeam || x.Value == "*" {
			b.always = append(b.always, x)
		} else {
			b.of[x.Value] = append(b.of[x.Value], x)
		}
	}
	return b
}

// funds yields what a record pays from beside its team's money.
func (b *budgets) funds(u *gatehouse.UsageRecord, yield func(gatehouse.Fund)) {
	try := func(some []*gatehouse.Budget) {
		for _, x := range some {
			// A budget counts from its creation, also what arrives or is priced later.
			if of, ok := x.Applies(u.KeyID, u.UserID, u.Tags); ok && !u.Start.Before(x.CreateTime) {
				yield(x.Fund(u.TeamID, cleaned(of), u.Start))
			}
		}
	}
	try(b.always)
	if len(b.of) == 0 {
		return
	}
	try(b.of[u.KeyID.String()])
	try(b.of[u.UserID.String()])
	for name, value := range u.Tags {
		try(b.of[name+"="+value])
		if value != "*" {
			try(b.of[name+"=*"])
		}
	}
}

// spending is what is added to funds.
type spending map[gatehouse.Fund]gatehouse.Ticks

// rows are the values of addSpent.
func (s spending) rows() (out [][]any) {
	for f, ticks := range s {
		if !f.Budget.IsZero() && ticks != 0 {
			out = append(out, []any{f.Budget.String(), f.Start, f.Of, f.Team.String(), int64(ticks)})
		}
	}
	slices.SortFunc(out, func(a, b []any) int {
		return slices.Compare([]string{a[0].(string), a[2].(string)}, []string{b[0].(string), b[2].(string)})
	})
	return out
}
