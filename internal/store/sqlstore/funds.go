package sqlstore

import (
	"database/sql"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

const (
	selectSpent query = `SELECT ticks FROM fund_spent WHERE budget = ? AND start_s = ? AND subject = ?`
	// selectFunds reads holds by the beginning of their funds' names.
	selectFunds query = `SELECT team_id, subject, ticks, 0 FROM fund_spent WHERE budget = ? AND start_s = ? UNION ALL
SELECT team_id, substr(fund, CAST(? AS INTEGER)), 0, CAST(SUM(drawn - returned - ingested) AS BIGINT) FROM holds
WHERE fund >= ? AND fund < ? AND ` + openHold + ` GROUP BY team_id, fund`
	// trimSpent forgets periods but that which never ends.
	trimSpent query = `DELETE FROM fund_spent WHERE (budget, start_s, subject) IN
(SELECT budget, start_s, subject FROM fund_spent WHERE start_s <> 0 AND start_s < ? ORDER BY start_s LIMIT ?)`

	// spentKept is how long after its beginning what was spent in a period of a
	// budget is kept: a year and what may still be shipped or rated again of it.
	spentKept = 400 * 24 * time.Hour
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
	prefix := gatehouse.Fund{Budget: budget, Start: start}.String() // ends with a slash, after which 0 comes next
	args := []any{budget.String(), start, len(prefix) + 1, prefix, prefix[:len(prefix)-1] + "0"}
	err := v.sess.each(v.ctx, selectFunds, args, func(rows *sql.Rows) (bool, error) {
		f := gatehouse.Fund{Budget: budget, Start: start}
		var team string
		var use store.FundUse
		if err := rows.Scan(&team, &f.Of, &use.Spent, &use.Held); err != nil {
			return false, err
		}
		err := f.Team.UnmarshalText([]byte(team))
		use.Spent, use.Held = use.Spent+out[f].Spent, use.Held+out[f].Held
		out[f] = use
		return true, err
	})
	return out, failed(err)
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
