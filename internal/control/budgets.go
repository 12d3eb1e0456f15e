package control

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

const budgetNoun = "budget"

// ListBudgets implements gatehouse.Budgets.
func (c *Caller) ListBudgets(ctx context.Context, team gatehouse.ID) ([]gatehouse.Budget, error) {
	return read(ctx, c, query[[]gatehouse.Budget]{
		op: gatehouse.ListBudgets, act: gatehouse.Act{Action: "budget.listed", Kind: gatehouse.KindTeam, TeamID: team},
		run: func(v store.View, who *principal) ([]gatehouse.Budget, error) {
			t, err := liveTeam(v, who, who.home(team))
			if err != nil {
				return nil, err
			}
			return t.Budgets, nil
		},
	})
}

// GetBudget implements gatehouse.Budgets.
func (c *Caller) GetBudget(ctx context.Context, team, id gatehouse.ID) (*gatehouse.Budget, error) {
	return read(ctx, c, query[*gatehouse.Budget]{
		op: gatehouse.GetBudget, act: gatehouse.Act{Action: "budget.read", Kind: gatehouse.KindTeam, Subject: id.String(), TeamID: team},
		run: func(v store.View, who *principal) (*gatehouse.Budget, error) {
			_, b, err := budgetOf(v, who, team, id)
			return b, err
		},
	})
}

// budgetOf finds a budget and its team. An id alone does not say whose it is, so
// an organization's key names the team or means its own.
func budgetOf(v store.View, who *principal, team, id gatehouse.ID) (*gatehouse.Team, *gatehouse.Budget, error) {
	if !who.reaches(who.home(team)) {
		return nil, nil, missing(budgetNoun)
	}
	t, err := liveTeam(v, who, who.home(team))
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(t.Budgets, func(b gatehouse.Budget) bool { return b.ID == id })
	if i < 0 {
		return nil, nil, missing(budgetNoun)
	}
	b := t.Budgets[i]
	return t, &b, nil
}

// PutBudget implements gatehouse.Budgets. A budget counts from its creation on.
// What it is for and when it begins anew cannot be changed: what was spent so
// far would belong to nothing. Its revision is its team's.
func (c *Caller) PutBudget(ctx context.Context, team gatehouse.ID, b gatehouse.Budget) (*gatehouse.Budget, error) {
	op, fresh, target := gatehouse.UpdateBudget, b.ID.IsZero(), team.String()+"/"+b.ID.String()
	if fresh {
		op, b.ID = gatehouse.CreateBudget, gatehouse.NewID()
	}
	return mutate(ctx, c, mutation[*gatehouse.Budget]{
		op: op, target: target,
		run: func(tx store.Tx, who *principal) (*gatehouse.Budget, error) {
			t, before, err := budgetToPut(tx, who, team, b.ID, fresh)
			if err == nil && !fresh {
				err = c.matches(t.Revision)
			}
			if err != nil {
				return nil, err
			}
			now := b
			now.CreateTime = utc(who.now)
			if before != nil {
				now = *gatehouse.Overlay(before, &b, c.call.Fields)
				now.ID, now.CreateTime = before.ID, before.CreateTime
			}
			now.MakerID = who.ID
			if err := judgeBudget(tx, who, t, before, &now); err != nil {
				return nil, err
			}
			act := budgetAct(op, "budget.updated", t, &now)
			if fresh {
				act = budgetAct(op, "budget.created", t, &now)
			}
			return &now, putBudgets(tx, t, with(t.Budgets, now), act)
		},
	})
}

func budgetToPut(v store.View, who *principal, team, id gatehouse.ID, fresh bool) (*gatehouse.Team, *gatehouse.Budget, error) {
	if fresh {
		t, err := liveTeam(v, who, who.home(team))
		return t, nil, err
	}
	return budgetOf(v, who, team, id)
}

// with replaces the budget of the same id, or appends.
func with(all []gatehouse.Budget, b gatehouse.Budget) []gatehouse.Budget {
	out := slices.Clone(all)
	if i := slices.IndexFunc(out, func(x gatehouse.Budget) bool { return x.ID == b.ID }); i >= 0 {
		out[i] = b
		return out
	}
	return append(out, b)
}

func putBudgets(tx store.Tx, t *gatehouse.Team, all []gatehouse.Budget, act gatehouse.Act) error {
	after := *t
	after.Budgets = all
	return tx.PutTeam(&after, act)
}

func budgetAct(op gatehouse.Operation, action string, t *gatehouse.Team, b *gatehouse.Budget) gatehouse.Act {
	act := done(op, action, t.ID, gatehouse.KindTeam, t.ID.String(), fmt.Sprintf("Budget '%s' was %s", b.Name, action[len("budget."):]))
	act.Details = map[string]string{
		"budget": b.ID.String(), "for": strings.TrimSuffix(string(b.Subject)+" "+short(b.Value), " "), "amount": b.Amount.String(), "period": string(b.Period),
	}
	return act
}

// judgeBudget checks all of it at once, then holds it against the ceiling.
func judgeBudget(v store.View, who *principal, t *gatehouse.Team, before, b *gatehouse.Budget) error {
	var bad gatehouse.Violations
	b.Name = name("name", b.Name, &bad)
	if slices.ContainsFunc(t.Budgets, func(x gatehouse.Budget) bool { return x.Name == b.Name && x.ID != b.ID }) {
		bad.Addf("name", "another budget of the team has it, and refusals name budgets by it")
	}
	if before == nil && len(t.Budgets) >= gatehouse.MaxBudgets {
		bad.Addf("body", "a team has at most %d budgets; one for * is one for each", gatehouse.MaxBudgets)
	}
	if b.Amount <= 0 || b.Amount > gatehouse.MaxBudgetAmount {
		bad.Addf("amountCents", "must be more than 0 and at most %s", gatehouse.MaxBudgetAmount)
	}
	checkBudgetPeriod(b, &bad)
	checkAlertAt(b, &bad)
	if err := checkBudgetSubject(v, t, before, b, &bad); err != nil {
		return err
	}
	if before != nil && (b.Subject != before.Subject || b.Value != before.Value || b.Period != before.Period || b.Zone != before.Zone) {
		bad.Addf("body", "subject, value, period and zone of a budget stay as they are: delete it and make another")
	}
	if err := bad.Err(); err != nil {
		return err
	}
	who.Grant.AdmitsBudget(b.Amount, &bad)
	return beyond(bad)
}

func checkBudgetPeriod(b *gatehouse.Budget, bad *gatehouse.Violations) {
	switch b.Period {
	case gatehouse.BudgetDay, gatehouse.BudgetWeek, gatehouse.BudgetMonth, gatehouse.BudgetTotal:
	default:
		bad.Addf("period", "must be day, week, month or total")
	}
	if b.Zone == "" {
		b.Zone = "UTC"
	}
	if _, err := time.LoadLocation(b.Zone); err != nil || b.Zone == "Local" {
		bad.Addf("zone", "is not an IANA time zone, such as Europe/Berlin")
	}
}

// maxAlerts bounds the thresholds of one budget.
const maxAlerts = 10

func checkAlertAt(b *gatehouse.Budget, bad *gatehouse.Violations) {
	slices.Sort(b.AlertAt)
	b.AlertAt = slices.Compact(b.AlertAt)
	if len(b.AlertAt) > maxAlerts {
		bad.Addf("alertAt", "at most %d", maxAlerts)
	}
	if slices.ContainsFunc(b.AlertAt, func(p int) bool { return p < 1 || p > 100 }) {
		bad.Addf("alertAt", "are percents, 1 to 100")
	}
}

// checkBudgetSubject checks what a budget is for. A key or an owner that has
// left since is no reason to refuse a new amount.
func checkBudgetSubject(v store.View, t *gatehouse.Team, before, b *gatehouse.Budget, bad *gatehouse.Violations) error {
	switch b.Subject {
	case gatehouse.BudgetTeam:
		if b.Value != "" {
			bad.Addf("value", "must be empty: the budget is for the whole team")
		}
	case gatehouse.BudgetKey, gatehouse.BudgetOwner:
		if b.Value == "*" || before != nil {
			return nil
		}
		return checkBudgetID(v, t, b, bad)
	case gatehouse.BudgetTag:
		name, value, ok := strings.Cut(b.Value, "=")
		if !ok {
			bad.Addf("value", "must be TAG=VALUE, or TAG=* for one budget for each value")
			return nil
		}
		gatehouse.ValidateTags("value", map[string]string{name: value}, bad)
	default:
		bad.Addf("subject", "must be team, key, owner or tag")
	}
	return nil
}

func checkBudgetID(v store.View, t *gatehouse.Team, b *gatehouse.Budget, bad *gatehouse.Violations) error {
	id, err := gatehouse.ParseID(b.Value)
	if err != nil {
		bad.Addf("value", "must be an id, or * for one budget for each")
		return nil
	}
	b.Value = id.String()
	if b.Subject == gatehouse.BudgetOwner {
		return memberOf(v, "value", id, t.ID, bad)
	}
	k, err := found(v.Key(id))
	if err == nil && (k == nil || k.TeamID != t.ID || !k.DeleteTime.IsZero()) {
		bad.Addf("value", "is not an API key of the team")
	}
	return err
}

// DeleteBudget implements gatehouse.Budgets. Under a ceiling nobody lifts a
// bound: without the budget there would be none.
func (c *Caller) DeleteBudget(ctx context.Context, team, id gatehouse.ID) error {
	_, err := mutate(ctx, c, mutation[struct{}]{
		op: gatehouse.DeleteBudget, target: team.String() + "/" + id.String(),
		run: func(tx store.Tx, who *principal) (none struct{}, err error) {
			t, b, err := budgetOf(tx, who, team, id)
			if err == nil {
				err = c.matches(t.Revision)
			}
			if err != nil {
				return none, err
			}
			if g := who.Grant; g != nil && g.MaxBudget != nil {
				return none, gatehouse.Errorf(gatehouse.PermissionDenied, "This management key has a ceiling for budgets, and may not remove one")
			}
			rest := slices.DeleteFunc(slices.Clone(t.Budgets), func(x gatehouse.Budget) bool { return x.ID == id })
			return none, putBudgets(tx, t, rest, budgetAct(gatehouse.DeleteBudget, "budget.deleted", t, b))
		},
	})
	return err
}

// BudgetStates implements gatehouse.Budgets.
func (c *Caller) BudgetStates(ctx context.Context, team gatehouse.ID) ([]gatehouse.BudgetState, error) {
	return survey(ctx, c, query[[]gatehouse.BudgetState]{
		op: gatehouse.ListBudgetStates, act: gatehouse.Act{Action: "budget.states_read", Kind: gatehouse.KindTeam, TeamID: team},
		run: func(v store.View, who *principal) ([]gatehouse.BudgetState, error) {
			t, err := liveTeam(v, who, who.home(team))
			if err != nil {
				return nil, err
			}
			return budgetStates(v, t, who.now)
		},
	})
}

// budgetStates reads where the running periods of a team's budgets stand, in the
// order of the budgets, and within one by subject.
func budgetStates(v store.View, t *gatehouse.Team, now time.Time) (out []gatehouse.BudgetState, err error) {
	for _, b := range t.Budgets {
		only := b.Fund(t.ID, b.Only(), now)
		funds, err := v.BudgetFunds(b.ID, only.Start)
		if err != nil {
			return nil, err
		}
		if !b.Each() {
			funds[only] = funds[only] // shown before anything was spent
		}
		from := len(out)
		for f, use := range funds {
			out = append(out, gatehouse.BudgetState{Budget: b, Of: f.Of, Spent: use.Spent, Held: use.Held, Start: b.Start(now), End: b.End(now)})
		}
		slices.SortFunc(out[from:], func(x, y gatehouse.BudgetState) int { return strings.Compare(x.Of, y.Of) })
	}
	return out, nil
}
