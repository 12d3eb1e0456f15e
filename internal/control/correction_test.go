package control_test

import (
	"testing"
	"time"

	"gatehouse"
)

// price sets what a prompt token of November's usage costs.
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

func (b *bank) billing(t *testing.T, mode gatehouse.BillingMode) *gatehouse.Team {
	t.Helper()
	team, err := b.root().UpdateTeam(t.Context(), gatehouse.TeamUpdate{ID: b.team, Billing: gatehouse.Some(mode)})
	if err != nil {
		t.Fatal(err)
	}
	return team
}

func (b *bank) rerate(t *testing.T) {
	t.Helper()
	if _, err := b.root().RerateUsage(t.Context(), b.team, november); err != nil {
		t.Fatal(err)
	}
}

// What was used before there was a budget gives it no money when it turns out to
// have cost less.
func TestPricingAgainGivesABudgetNothing(t *testing.T) {
	b := openBank(t, gatehouse.BillingPostpaid)
	b.price(t, gatehouse.Cent)
	b.use(t, 3*gatehouse.Cent, 1000)
	b.to(b.clock.Now().Add(time.Minute))
	_, err := b.root().PutBudget(t.Context(), b.team, lunch(func(x *gatehouse.Budget) { x.Period, x.Zone = gatehouse.BudgetMonth, "UTC" }))
	if err != nil {
		t.Fatal(err)
	}
	b.rerate(t)
	states, err := b.root().BudgetStates(t.Context(), b.team)
	if err != nil || len(states) != 1 || states[0].Spent != 0 {
		t.Errorf("%+v, %v", states, err)
	}
}

// A closed month that is priced again, in as many portions as it takes, gives
// back what was paid for it, and nothing for what was metered only.
func TestPricingAClosedMonthAgainMakesNoMoney(t *testing.T) {
	b := openBank(t, gatehouse.BillingMetering)
	b.price(t, gatehouse.Cent)
	for range 399 {
		b.use(t, 2*gatehouse.Cent, 10) // $0.20, metered only
	}
	b.billing(t, gatehouse.BillingPrepaid)
	if _, err := b.root().GrantCredit(t.Context(), b.team, 20*gatehouse.Cent, ""); err != nil {
		t.Fatal(err)
	}
	b.use(t, 2*gatehouse.Cent, 10) // $0.20 of credit
	b.to(november.End())
	if _, err := b.root().CloseBillingCycle(t.Context(), b.team, november); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b.rerate(t)
		trial := b.balanced(t)
		if trial[gatehouse.AccountCredit] != -10*gatehouse.Cent || trial[gatehouse.AccountReceivable] != 0 || trial[gatehouse.AccountMetered] != 399*10*gatehouse.Cent {
			t.Errorf("books %v", trial)
		}
	}
}

// What was used while a team was only metered is on no bill, also when it
// arrives, or turns out to have cost more, after the team came to pay.
func TestAMonthThatWasMeteredStaysMetered(t *testing.T) {
	b := openBank(t, gatehouse.BillingMetering)
	b.price(t, 3*gatehouse.Cent)
	made := b.use(t, 2*gatehouse.Cent, 10).Start
	b.to(december.Start().Add(time.Hour))
	b.billing(t, gatehouse.BillingPostpaid)
	b.rerate(t)
	b.useAt(t, made, 3*gatehouse.Cent, 10)
	if trial := b.balanced(t); trial[gatehouse.AccountReceivable] != 0 || trial[gatehouse.AccountMetered] != 60*gatehouse.Cent {
		t.Errorf("books %v", trial)
	}
}

// What was used while a team paid is paid, also when it arrives, or is priced
// again, after the team went back to being metered.
func TestAMonthThatWasPaidStaysPaid(t *testing.T) {
	b := openBank(t, gatehouse.BillingPrepaid)
	b.price(t, gatehouse.Cent)
	b.pay(t, 10*gatehouse.USD)
	made := b.use(t, 2*gatehouse.Cent, 100).Start
	b.billing(t, gatehouse.BillingMetering)
	b.use(t, 2*gatehouse.Cent, 100)
	b.useAt(t, made, 2*gatehouse.Cent, 100)
	if trial := b.balanced(t); trial[gatehouse.AccountCredit] != -6*gatehouse.USD || trial[gatehouse.AccountMetered] != 2*gatehouse.USD {
		t.Errorf("books %v", trial)
	}
	b.rerate(t)
	if trial := b.balanced(t); trial[gatehouse.AccountCredit] != -8*gatehouse.USD || trial[gatehouse.AccountMetered] != gatehouse.USD {
		t.Errorf("books priced again %v", trial)
	}
}

// A team's record does not grow with every change of mind, and from one way to
// pay to the other is no turn.
func TestTurnsOfATeamsBillingAreBounded(t *testing.T) {
	b := openBank(t, gatehouse.BillingMetering)
	for _, mode := range []gatehouse.BillingMode{gatehouse.BillingPrepaid, gatehouse.BillingPostpaid, gatehouse.BillingPostpaid} {
		if team := b.billing(t, mode); len(team.BillingTurns) != 1 {
			t.Errorf("%v", team.BillingTurns)
		}
	}
	var team *gatehouse.Team
	for range gatehouse.MaxBillingTurns {
		b.billing(t, gatehouse.BillingMetering)
		team = b.billing(t, gatehouse.BillingPrepaid)
	}
	last := team.BillingTurns[len(team.BillingTurns)-1]
	if len(team.BillingTurns) != gatehouse.MaxBillingTurns || !team.PaysAt(last) || team.PaysAt(last.Add(-time.Nanosecond)) {
		t.Errorf("%d turns, the last %s", len(team.BillingTurns), last)
	}
}
