package control_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/control"
	"gatehouse/internal/store"
)

func lunch(change func(*gatehouse.Budget)) gatehouse.Budget {
	b := gatehouse.Budget{Name: "lunch", Subject: gatehouse.BudgetTeam, Amount: 10 * gatehouse.USD, Period: gatehouse.BudgetDay, Zone: "Europe/Berlin"}
	if change != nil {
		change(&b)
	}
	return b
}

func TestABudgetIsJudgedWhole(t *testing.T) {
	h := open(t)
	if _, err := h.root().PutBudget(t.Context(), gatehouse.ID{}, lunch(nil)); err != nil {
		t.Fatal(err)
	}
	for field, b := range map[string]gatehouse.Budget{
		"name":        lunch(nil), // taken
		"amountCents": lunch(func(b *gatehouse.Budget) { b.Name, b.Amount = "x", -1 }),
		"zone":        lunch(func(b *gatehouse.Budget) { b.Name, b.Zone = "x", "Mars/Olympus" }),
		"period":      lunch(func(b *gatehouse.Budget) { b.Name, b.Period = "x", "decade" }),
		"subject":     lunch(func(b *gatehouse.Budget) { b.Name, b.Subject = "x", "planet" }),
		"value": lunch(func(b *gatehouse.Budget) {
			b.Name, b.Subject, b.Value = "x", gatehouse.BudgetKey, gatehouse.NewID().String()
		}),
		"alertAt": lunch(func(b *gatehouse.Budget) { b.Name, b.AlertAt = "x", []int{0, 101} }),
	} {
		_, err := h.root().PutBudget(t.Context(), gatehouse.ID{}, b)
		if gatehouse.CodeOf(err) != gatehouse.InvalidArgument || !strings.Contains(gatehouse.Public(err), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// Under a ceiling nobody spends more than its maker allowed, nor gets rid of a
// bound.
func TestABudgetStaysWithinItsMakersCeiling(t *testing.T) {
	h := open(t)
	most := 5 * gatehouse.USD
	m := h.manager(t, gatehouse.NewManagementKey{Name: "capped", ACL: []string{"team-token:endpoint:*"}, Grant: &gatehouse.Grant{MaxBudget: &most}})
	capped := h.As(&gatehouse.Call{Token: m.Token})
	if _, err := capped.PutBudget(t.Context(), gatehouse.ID{}, lunch(nil)); gatehouse.CodeOf(err) != gatehouse.PermissionDenied {
		t.Errorf("beyond the ceiling: %v", err)
	}
	b, err := capped.PutBudget(t.Context(), gatehouse.ID{}, lunch(func(b *gatehouse.Budget) { b.Amount = most }))
	if err != nil {
		t.Fatal(err)
	}
	raised := *b
	raised.Amount++
	if _, err := capped.PutBudget(t.Context(), gatehouse.ID{}, raised); gatehouse.CodeOf(err) != gatehouse.PermissionDenied {
		t.Errorf("raised beyond the ceiling: %v", err)
	}
	if err := capped.DeleteBudget(t.Context(), gatehouse.ID{}, b.ID); gatehouse.CodeOf(err) != gatehouse.PermissionDenied {
		t.Errorf("removed under a ceiling: %v", err)
	}
	if err := h.root().DeleteBudget(t.Context(), gatehouse.ID{}, b.ID); err != nil {
		t.Error(err)
	}
}

// postbox takes alerts, or refuses them.
type postbox struct {
	refuse bool
	got    []string
}

func (p *postbox) Notify(_ context.Context, h *gatehouse.AlertHook, a *gatehouse.Alert) error {
	if p.refuse {
		return errors.New("closed")
	}
	p.got = append(p.got, h.URL+h.Email+": "+a.Title)
	return nil
}

func (h *house) spend(t *testing.T, cost gatehouse.Ticks) {
	t.Helper()
	r := gatehouse.UsageRecord{ID: gatehouse.NewTimeID(h.clock.Now()), Start: h.clock.Now(), TeamID: h.first.TeamID, Model: "grok-4", Endpoint: "chat", Cluster: "local"}
	r.Usage[gatehouse.PromptText], r.Costs[gatehouse.PromptText] = 1, cost
	err := h.store.Ingest(store.System(t.Context()), func(i store.Ingest) error {
		_, err := i.InsertUsage([]gatehouse.UsageRecord{r})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (h *house) alertsTo(box *postbox) func(*testing.T) {
	h.Service.Notifier = box
	return func(t *testing.T) {
		t.Helper()
		if err := h.CheckAlerts(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnAlertIsSentOnceAndUntilItArrives(t *testing.T) {
	h, box := open(t), &postbox{refuse: true}
	check := h.alertsTo(box)
	if _, err := h.root().CreateAlertHook(t.Context(), gatehouse.AlertHook{Email: "ops@example.com"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.root().PutBudget(t.Context(), gatehouse.ID{}, lunch(nil)); err != nil {
		t.Fatal(err)
	}
	h.spend(t, 8*gatehouse.USD)
	check(t)
	box.refuse = false
	check(t) // too early for another try
	h.clock.now = h.clock.now.Add(2 * time.Minute)
	check(t)
	check(t)
	if len(box.got) != 1 || box.got[0] != "ops@example.com: Budget 'lunch' has reached 80 %" {
		t.Errorf("%q", box.got)
	}
	h.spend(t, 2*gatehouse.USD)
	check(t)
	if len(box.got) != 2 || !strings.HasSuffix(box.got[1], "100 %") {
		t.Errorf("%q", box.got)
	}
	h.clock.now = h.clock.now.Add(24 * time.Hour) // another day, another period
	h.spend(t, 5*gatehouse.USD)
	check(t)
	if len(box.got) != 3 || !strings.HasSuffix(box.got[2], "50 %") {
		t.Errorf("%q", box.got)
	}
	alerts, _, err := h.root().ListAlerts(t.Context(), gatehouse.ID{}, gatehouse.Page{})
	if err != nil || len(alerts) != 3 || len(alerts[2].Pending) != 0 {
		t.Errorf("%+v %v", alerts, err)
	}
}

func TestAnHourFarAboveTheUsualIsToldOf(t *testing.T) {
	h, box := open(t), &postbox{}
	check := h.alertsTo(box)
	if _, err := h.root().CreateAlertHook(t.Context(), gatehouse.AlertHook{URL: "https://example.com/hook"}); err != nil {
		t.Fatal(err)
	}
	for range 48 {
		h.spend(t, gatehouse.USD)
		h.clock.now = h.clock.now.Add(time.Hour)
		check(t)
	}
	if len(box.got) != 0 {
		t.Fatalf("an even load is odd: %q", box.got)
	}
	h.spend(t, 6*gatehouse.USD)
	h.clock.now = h.clock.now.Add(time.Hour)
	check(t)
	check(t)
	if len(box.got) != 1 || !strings.Contains(box.got[0], "far above") {
		t.Errorf("%q", box.got)
	}
}

func TestAlertHooksLeadOutside(t *testing.T) {
	h := open(t)
	for _, bad := range []gatehouse.AlertHook{
		{}, {URL: "https://example.com", Email: "a@example.com"}, {URL: "http://example.com"}, {URL: "ftp://example.com"},
		{URL: "https://user:pass@example.com"}, {Email: "no address"}, {Email: "A <a@example.com>"},
		{URL: "http://127.example.com"}, {URL: "http://127.0.0.1.example.com"}, {Email: strings.Repeat("a", 250) + "@example.com"},
	} {
		if _, err := h.root().CreateAlertHook(t.Context(), bad); gatehouse.CodeOf(err) != gatehouse.InvalidArgument {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	made, err := h.root().CreateAlertHook(t.Context(), gatehouse.AlertHook{URL: "https://example.com/hook"})
	if err != nil || made.Secret == "" {
		t.Fatal(made, err)
	}
	list, err := h.root().ListAlertHooks(t.Context(), gatehouse.ID{})
	if err != nil || len(list) != 1 || list[0].Secret != "" {
		t.Errorf("%+v %v", list, err)
	}
	if err := h.root().DeleteAlertHook(t.Context(), gatehouse.ID{}, made.ID); err != nil {
		t.Error(err)
	}
	if list, err = h.root().ListAlertHooks(t.Context(), gatehouse.ID{}); err != nil || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}
}

// A budget is a part of its team's record and has its revision; a hook has one
// of its own.
func TestIfMatchHoldsForBudgetsAndHooks(t *testing.T) {
	h, ctx := open(t), t.Context()
	call := &gatehouse.Call{Token: h.first.Token}
	b, err := h.As(call).PutBudget(ctx, gatehouse.ID{}, lunch(nil))
	if err != nil {
		t.Fatal(err)
	}
	hook, err := h.root().CreateAlertHook(ctx, gatehouse.AlertHook{Email: "ops@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	match := func(rev gatehouse.Revision) *control.Caller {
		return h.As(&gatehouse.Call{Token: h.first.Token, IfMatch: rev})
	}
	stale := gatehouse.Revision{Epoch: 1, N: 1}
	wantCode(t, gatehouse.Conflict, second(match(stale).PutBudget(ctx, gatehouse.ID{}, *b)))
	wantCode(t, gatehouse.Conflict, match(stale).DeleteBudget(ctx, gatehouse.ID{}, b.ID))
	wantCode(t, gatehouse.Conflict, match(stale).DeleteAlertHook(ctx, gatehouse.ID{}, hook.ID))
	if err := match(*call.Committed).DeleteBudget(ctx, gatehouse.ID{}, b.ID); err != nil {
		t.Error(err)
	}
	if err := match(hook.Revision).DeleteAlertHook(ctx, gatehouse.ID{}, hook.ID); err != nil {
		t.Error(err)
	}
}

// Whoever looks at a team's money from outside is in that team's log, however
// the call names the team.
func TestAReadIsInTheLogOfTheTeamThatItIsOf(t *testing.T) {
	h := open(t)
	other, err := h.root().CreateTeam(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	b, err := h.root().PutBudget(t.Context(), other.ID, lunch(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.root().GetBudget(t.Context(), other.ID, b.ID); err != nil {
		t.Fatal(err)
	}
	if e := h.newest(t); e.Action != "budget.read" || e.TeamID != other.ID {
		t.Errorf("%+v", e)
	}
	byPath := h.As(&gatehouse.Call{Token: h.first.Token, TeamID: other.ID})
	if _, err := byPath.Balance(t.Context(), gatehouse.ID{}); err != nil {
		t.Fatal(err)
	}
	if e := h.newest(t); e.Action != "balance.read" || e.TeamID != other.ID {
		t.Errorf("%+v", e)
	}
}

// letterBox counts what arrives, and takes nothing for one address.
type letterBox map[string]int

func (b letterBox) Notify(_ context.Context, h *gatehouse.AlertHook, _ *gatehouse.Alert) error {
	if b[h.Email]++; h.Email == "dead@example.com" {
		return errors.New("nobody answers")
	}
	return nil
}

// Others do not wait for one who does not answer, whatever waits for it; and
// what waits is sent however much came after it.
func TestNoAlertIsInTheWayOfOthers(t *testing.T) {
	h, box := open(t), letterBox{}
	h.Service.Notifier = box
	var hooks []gatehouse.ID
	for _, to := range []string{"dead@example.com", "ops@example.com"} {
		made, err := h.root().CreateAlertHook(t.Context(), gatehouse.AlertHook{Email: to})
		if err != nil {
			t.Fatal(err)
		}
		hooks = append(hooks, made.ID)
	}
	const many = 1100
	err := h.store.Work(store.System(t.Context()), func(w store.Work) (err error) {
		for i := 0; i < many && err == nil; i++ {
			at := h.clock.Now().Add(-time.Duration(i) * time.Second)
			err = w.PutAlert(gatehouse.Alert{ID: gatehouse.NewTimeID(at), TeamID: h.first.TeamID, Time: at, Kind: "budget", Pending: hooks})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.CheckAlerts(t.Context()); err != nil {
		t.Fatal(err)
	}
	if box["ops@example.com"] != many || box["dead@example.com"] != 1 {
		t.Errorf("tried %v", box)
	}
}
