package control_test

import (
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// A list says when keys were last used to whoever asks for it.
func TestAListShowsLastUse(t *testing.T) {
	h := open(t)
	m := h.key(t)
	at := h.clock.Now().UTC().Truncate(time.Second)
	err := h.store.Work(t.Context(), func(w store.Work) error {
		return w.TouchKeys([]store.LastUse{{KeyID: m.Key.ID, Last4: m.Key.Last4(), Time: at}})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, asked := range []bool{true, false} {
		keys, _, err := h.root().ListKeys(t.Context(), gatehouse.KeyQuery{LastUse: asked})
		if err != nil || len(keys) != 1 || keys[0].Secrets[0].LastUse.Equal(at) != asked {
			t.Errorf("asked %v: %+v, %v", asked, keys, err)
		}
	}
	foreign := gatehouse.KeyQuery{TeamID: gatehouse.NewID(), LastUse: true}
	_, _, err = h.root().ListKeys(t.Context(), foreign)
	wantCode(t, gatehouse.NotFound, err)
}

// An address finds what its owner did, and nobody else's acts: of nobody there
// are none.
func TestEventsAreFoundByAddress(t *testing.T) {
	h := open(t)
	ada, err := h.root().CreateUser(t.Context(), &gatehouse.User{GivenName: "Ada", Email: "Ada@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	m := h.manager(t, gatehouse.NewManagementKey{Name: "ada", ACL: []string{gatehouse.ScopeFor("*")}, UserID: ada.ID})
	h.key(t)
	if _, err := h.As(&gatehouse.Call{Token: m.Token}).CreateKey(t.Context(), gatehouse.NewKey{Name: "hers", ACL: all}); err != nil {
		t.Fatal(err)
	}
	for email, want := range map[string]int{"ada@example.com": 1, "eve@example.com": 0} {
		events, _, err := h.root().ListEvents(t.Context(), gatehouse.EventFilter{Email: email, Action: "api_key.created"}, gatehouse.Page{})
		if err != nil || len(events) != want {
			t.Errorf("%s: %d events, %v", email, len(events), err)
		}
	}
}

// The scope of the billing summary opens its parts within it, and no part alone.
func TestTheSummaryNeedsItsOwnScopeAlone(t *testing.T) {
	h := open(t)
	m := h.manager(t, gatehouse.NewManagementKey{Name: "m", ACL: []string{gatehouse.ScopeFor(gatehouse.GetBillingSummary)}})
	for op, want := range map[gatehouse.Operation]gatehouse.Code{gatehouse.GetBillingSummary: "", gatehouse.GetBillingInfo: gatehouse.PermissionDenied} {
		c := h.As(&gatehouse.Call{Token: m.Token, Operation: op})
		_, account := c.BillingAccount(t.Context(), gatehouse.ID{})
		_, limits := c.SpendingLimits(t.Context(), gatehouse.ID{})
		_, preview := c.PreviewInvoice(t.Context(), gatehouse.ID{})
		for _, err := range []error{account, limits, preview} {
			if gatehouse.CodeOf(err) != want {
				t.Errorf("%s: %v, want %q", op, err, want)
			}
		}
	}
}

// No id is the caller's own team, or the one that the route names.
func TestNoTeamIsTheCallersOwn(t *testing.T) {
	h := open(t)
	other, err := h.root().CreateTeam(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	for named, want := range map[gatehouse.ID]gatehouse.ID{{}: h.first.TeamID, other.ID: other.ID} {
		got, err := h.As(&gatehouse.Call{Token: h.first.Token, TeamID: named}).GetTeam(t.Context(), gatehouse.ID{})
		if err != nil || got.ID != want {
			t.Errorf("%v: %+v, %v", named, got, err)
		}
	}
}
