package control_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/control"
	"gatehouse/internal/store"
)

// idempotent is a call under an Idempotency-Key.
func (h *house) idempotent(token gatehouse.Token, key, body string) (*control.Caller, *gatehouse.Call) {
	call := &gatehouse.Call{Token: token, IdempotencyKey: key, RequestID: "r"}
	copy(call.BodyHash[:], body)
	return h.As(call), call
}

func TestAReplayAnswersWhatTheFirstDidAndDoesNothingElse(t *testing.T) {
	h := open(t)
	create := func(body string) (gatehouse.MintedKey, *gatehouse.Call, error) {
		c, call := h.idempotent(h.first.Token, "once", body)
		m, err := c.CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: gatehouse.ACL{"api-key:model:future", "api-key:endpoint:*"}})
		return m, call, err
	}
	one, call, err := create("body")
	if err != nil || call.Committed == nil || call.Committed.IsZero() {
		t.Fatalf("%v %v", err, call.Committed)
	}
	two, again, err := create("body")
	if err != nil {
		t.Fatal(err)
	}
	if two.Token.Reveal() != one.Token.Reveal() || two.Key.ID != one.Key.ID || *again.Committed != *call.Committed {
		t.Error("the replay is another answer")
	}
	if fmt.Sprint(two.Warnings) != fmt.Sprint(one.Warnings) || len(two.Warnings) != 1 {
		t.Errorf("warnings %v, then %v", one.Warnings, two.Warnings)
	}
	if _, _, err = create("another body"); gatehouse.CodeOf(err) != gatehouse.Unprocessable {
		t.Errorf("another body: %v", err)
	}
	c, _ := h.idempotent(h.first.Token, "once", "body")
	if _, err := c.RotateKey(t.Context(), gatehouse.KeyRotation{ID: one.Key.ID}); gatehouse.CodeOf(err) != gatehouse.Unprocessable {
		t.Errorf("another operation: %v", err)
	}
	keys, _, err := h.root().ListKeys(t.Context(), gatehouse.KeyQuery{})
	if err != nil || len(keys) != 1 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	h.clock.advance(11 * time.Minute)
	if three, _, err := create("body"); err != nil || three.Key.ID == one.Key.ID {
		t.Errorf("an answer with a secret was kept for longer than ten minutes: %v", err)
	}
}

func TestAnAnswerWithoutASecretIsKeptForADay(t *testing.T) {
	h := open(t)
	id := h.key(t).Key.ID
	remove := func() error {
		c, _ := h.idempotent(h.first.Token, "once", "")
		return c.DeleteKey(t.Context(), id)
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	h.clock.advance(23 * time.Hour)
	if err := remove(); err != nil {
		t.Errorf("a replayed deletion: %v", err)
	}
	h.clock.advance(2 * time.Hour)
	wantCode(t, gatehouse.NotFound, remove())
}

func TestAReplayIsForTheCallerAndTheSecretThatAsked(t *testing.T) {
	h := open(t)
	m := h.manager(t, gatehouse.NewManagementKey{Name: "m", ACL: []string{gatehouse.ScopeFor("*")}})
	create := func(token gatehouse.Token) (gatehouse.MintedKey, error) {
		c, _ := h.idempotent(token, "once", "b")
		return c.CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: all})
	}
	one, err := create(m.Token)
	if err != nil {
		t.Fatal(err)
	}
	if other, err := create(h.first.Token); err != nil || other.Key.ID == one.Key.ID {
		t.Errorf("another caller's key: %v", err)
	}
	next, err := h.root().RotateManagementKey(t.Context(), gatehouse.KeyRotation{ID: m.Key.ID})
	if err != nil {
		t.Fatal(err)
	}
	_, err = create(next.Token)
	wantCode(t, gatehouse.FailedPrecondition, err)
}

// The twin is started from inside the first request, whose transaction has not
// begun: it cannot know the answer yet and must not do the work twice.
func TestATwinOfARunningRequestIsRefused(t *testing.T) {
	h := open(t)
	create := func() error {
		c, _ := h.idempotent(h.first.Token, "once", "b")
		_, err := c.CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: all})
		return err
	}
	var twin error
	h.store.before = func() { twin = create() }
	if err := create(); err != nil {
		t.Fatal(err)
	}
	wantCode(t, gatehouse.AlreadyExists, twin)
	if err := create(); err != nil {
		t.Errorf("the replay afterwards: %v", err)
	}
}

func TestARevokedCallerGetsNoReplay(t *testing.T) {
	h := open(t)
	m := h.manager(t, gatehouse.NewManagementKey{Name: "m", ACL: []string{gatehouse.ScopeFor("*")}})
	c, _ := h.idempotent(m.Token, "once", "b")
	if _, err := c.CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: all}); err != nil {
		t.Fatal(err)
	}
	h.store.before = func() {
		if err := h.root().RevokeManagementKey(t.Context(), m.Key.ID); err != nil {
			t.Error(err)
		}
	}
	_, err := c.CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: all})
	wantCode(t, gatehouse.Unauthenticated, err)
}

func TestIfMatchOfTheCallIsHeldAgainstTheStoredRevision(t *testing.T) {
	h := open(t)
	k := h.key(t)
	old := k.Key.Revision
	c := h.As(&gatehouse.Call{Token: h.first.Token, IfMatch: old})
	if _, err := c.UpdateKey(t.Context(), gatehouse.KeyUpdate{ID: k.Key.ID, Name: gatehouse.Some("new")}); err != nil {
		t.Fatal(err)
	}
	_, err := c.RotateKey(t.Context(), gatehouse.KeyRotation{ID: k.Key.ID})
	wantCode(t, gatehouse.Conflict, err)
	wantCode(t, gatehouse.Conflict, c.DeleteKey(t.Context(), k.Key.ID))
}

// Everything the log and the leaves say, after secrets went through every
// door that takes or makes one.
func TestNoSecretIsInTheLogOrTheLeaves(t *testing.T) {
	h := open(t)
	const canary = "sk-canary-0815"
	k := h.key(t)
	rotated, err := h.root().RotateKey(t.Context(), gatehouse.KeyRotation{ID: k.Key.ID})
	if err != nil {
		t.Fatal(err)
	}
	c, _ := h.idempotent(h.first.Token, "once", "b")
	kept, err := c.CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: all})
	if err != nil {
		t.Fatal(err)
	}
	up := &gatehouse.Upstream{Name: "u", Kind: gatehouse.OpenAI, BaseURL: "https://x.example/v1", Credential: canary, Serves: []gatehouse.Serve{{Model: "*"}}}
	if _, err := h.root().PutUpstream(t.Context(), up); err != nil {
		t.Fatal(err)
	}
	text := h.log.String()
	err = h.store.View(t.Context(), func(v store.View) error {
		return v.Leaves(0, func(l store.Leaf) error { text += string(l.Body) + string(l.Personal); return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{canary, k.Token.Reveal(), rotated.Token.Reveal(), kept.Token.Reveal(), h.first.Token.Reveal()} {
		if strings.Contains(text, secret) {
			t.Errorf("a secret ending in %s is written down", secret[len(secret)-4:])
		}
	}
}

// A webhook's secret is shown again like a token, and a budget that was made is
// not made twice, though neither had an id when it was asked for.
func TestWhatMoneyIsWatchedByIsMadeOnce(t *testing.T) {
	h := open(t)
	var hooks []*gatehouse.AlertHook
	var budgets []*gatehouse.Budget
	for range 2 {
		c, _ := h.idempotent(h.first.Token, "hook", "body")
		hook, err := c.CreateAlertHook(t.Context(), gatehouse.AlertHook{URL: "https://example.com/hook"})
		if err != nil {
			t.Fatal(err)
		}
		c, _ = h.idempotent(h.first.Token, "budget", "body")
		b, err := c.PutBudget(t.Context(), gatehouse.ID{}, lunch(nil))
		if err != nil {
			t.Fatal(err)
		}
		hooks, budgets = append(hooks, hook), append(budgets, b)
	}
	if hooks[0].ID != hooks[1].ID || hooks[0].Secret == "" || hooks[0].Secret != hooks[1].Secret {
		t.Error("the replay shows another hook")
	}
	if budgets[0].ID != budgets[1].ID {
		t.Error("the replay shows another budget")
	}
}
