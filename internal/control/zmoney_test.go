package control_test

import (
	"testing"
	"time"

	"gatehouse"
)

// Store: a re-rating of what was spent before a budget gives the budget money.
func TestZRerateBeforeBudget(t *testing.T) {
	b := openBank(t, gatehouse.BillingPostpaid)
	c, ctx := b.root(), t.Context()
	b.price(t, gatehouse.Cent)
	b.use(t, 3*gatehouse.Cent, 1000) // $30, before there is a budget
	b.to(b.clock.Now().Add(time.Minute))
	if _, err := c.PutBudget(ctx, b.team, lunch(func(x *gatehouse.Budget) { x.Period = gatehouse.BudgetMonth; x.Zone = "UTC" })); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RerateUsage(ctx, b.team, november); err != nil {
		t.Fatal(err)
	}
	states, err := c.BudgetStates(ctx, b.team)
	if err != nil || len(states) != 1 || states[0].Spent != 0 {
		t.Errorf("%+v %v", states, err)
	}
}

func (b *bank) price(t *testing.T, p gatehouse.Ticks) {
	t.Helper()
	if _, err := b.root().PutModel(t.Context(), &gatehouse.Model{Name: "grok-4", Type: gatehouse.LanguageModel, Owner: "me"}); err != nil {
		t.Fatal(err)
	}
	_, err := b.root().PutPrice(t.Context(), &gatehouse.Price{
		Model: "grok-4", Effective: november.Start(), Source: "operator",
		Units: map[string]gatehouse.Ticks{gatehouse.PromptText.String(): p, gatehouse.CompletionText.String(): 1},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Store: portions of a re-rating of a closed month give metered usage back as credit.
func TestZRerateClosedInPortions(t *testing.T) {
	b := openBank(t, gatehouse.BillingMetering)
	c, ctx := b.root(), t.Context()
	b.price(t, gatehouse.Cent)
	for range 399 {
		b.use(t, 2*gatehouse.Cent, 10) // $0.20, metered only
	}
	if _, err := c.UpdateTeam(ctx, gatehouse.TeamUpdate{ID: b.team, Billing: gatehouse.Some(gatehouse.BillingPrepaid)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GrantCredit(ctx, b.team, 10*gatehouse.Cent*2, ""); err != nil {
		t.Fatal(err)
	}
	b.use(t, 2*gatehouse.Cent, 10) // $0.20 of credit
	b.to(november.End())
	if _, err := c.CloseBillingCycle(ctx, b.team, november); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RerateUsage(ctx, b.team, november); err != nil {
		t.Fatal(err)
	}
	trial := b.balanced(t)
	t.Log(trial)
	if credit := -trial[gatehouse.AccountCredit]; credit > 20*gatehouse.Cent {
		t.Errorf("a team that paid $0.20 has %s", credit)
	}
}

// Usage of a metered time that arrives after the switch is billed.
func TestZLateMetered(t *testing.T) {
	b := openBank(t, gatehouse.BillingMetering)
	c, ctx := b.root(), t.Context()
	b.price(t, 3*gatehouse.Cent)
	b.use(t, 2*gatehouse.Cent, 10)
	b.to(december.Start().Add(time.Hour))
	if _, err := c.UpdateTeam(ctx, gatehouse.TeamUpdate{ID: b.team, Billing: gatehouse.Some(gatehouse.BillingPostpaid)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RerateUsage(ctx, b.team, november); err != nil {
		t.Fatal(err)
	}
	trial := b.balanced(t)
	if trial[gatehouse.AccountReceivable] != 0 {
		t.Errorf("a month that was metered only is owed: %v", trial)
	}
}
