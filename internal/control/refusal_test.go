package control_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/control"
	"gatehouse/internal/secret"
	"gatehouse/internal/store"
	"gatehouse/internal/store/sqlite"
)

// The holder of an expired key is refused before any limit on requests is
// asked. However often they come, a log that forgets nothing must not grow so.
func TestAKeyThatIsGoodForNothingCannotFillTheLog(t *testing.T) {
	h := open(t)
	m := h.manager(t, gatehouse.NewManagementKey{Name: "m", ExpireTime: h.clock.Now().Add(time.Hour)})
	h.clock.advance(time.Hour)
	before := h.leaves(t)
	knock := func() {
		t.Helper()
		wantCode(t, gatehouse.Unauthenticated, h.As(&gatehouse.Call{Token: m.Token, RequestID: "knock"}).Authenticate(t.Context()))
	}
	for range 20 {
		knock()
	}
	if n := h.leaves(t) - before; n != 1 || !strings.Contains(h.log.String(), "knock") {
		t.Errorf("%d leaves, log %s", n, h.log)
	}
	h.clock.advance(time.Second)
	if knock(); h.leaves(t)-before != 2 {
		t.Error("a later denial left no leaf")
	}
}

// Who tries to change what is another team's is answered as if it were not
// there, and is written down.
func TestAnAttemptOnAForeignIDLeavesALeaf(t *testing.T) {
	h := open(t)
	team, err := h.root().CreateTeam(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := h.root().CreateKey(t.Context(), gatehouse.NewKey{TeamID: team.ID, Name: "k", ACL: all})
	if err != nil {
		t.Fatal(err)
	}
	m := h.manager(t, gatehouse.NewManagementKey{Name: "m", ACL: []string{gatehouse.ScopeFor("*")}})
	before := h.leaves(t)
	wantCode(t, gatehouse.NotFound, h.As(&gatehouse.Call{Token: m.Token}).DeleteKey(t.Context(), theirs.Key.ID))
	e := h.newest(t)
	if h.leaves(t)-before != 1 || e.Result != gatehouse.Denied || e.Action != "access.missed" || e.TeamID != h.first.TeamID || e.Details["target"] != theirs.Key.ID.String() {
		t.Errorf("leaf %+v", e)
	}
}

// A key that was pasted where a model's name goes must not stay in the log.
func TestWhatWasLookedForInVainIsNotKeptWhole(t *testing.T) {
	h := open(t)
	pasted := h.key(t).Token.Reveal()
	_, err := h.root().GetModel(t.Context(), pasted)
	wantCode(t, gatehouse.NotFound, err)
	for range 2 {
		e := h.newest(t)
		if strings.Contains(e.Subject+e.Description+e.Details["target"], pasted) {
			t.Errorf("leaf %+v", e)
		}
		wantCode(t, gatehouse.NotFound, h.root().DeleteModel(t.Context(), pasted))
	}
}

// A team's key has one page of teams, and no token of a second.
func TestATeamsKeyMayNotMakeUpPageTokens(t *testing.T) {
	h := open(t)
	m := h.manager(t, gatehouse.NewManagementKey{Name: "m", ACL: []string{gatehouse.ScopeFor("*")}})
	_, _, err := h.As(&gatehouse.Call{Token: m.Token}).ListTeams(t.Context(), gatehouse.Page{Token: "made-up"})
	wantCode(t, gatehouse.InvalidArgument, err)
}

// A wait of a minute does not hold up a stop: it is told how things stand.
func TestAStopEndsEveryWait(t *testing.T) {
	h := open(t)
	stopping := make(chan struct{})
	h.Stopping = stopping
	m := h.key(t)
	if _, err := h.root().PutCluster(t.Context(), &gatehouse.Cluster{Name: "empty"}); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, func() { close(stopping) })
	began := time.Now()
	state, err := h.root().Propagation(t.Context(), m.Key.ID, time.Minute)
	if err != nil || state["empty"] || len(state) == 0 || time.Since(began) > 20*time.Second {
		t.Errorf("%v, %v after %s", state, err, time.Since(began))
	}
}

// A first key that could not be kept is not made: the next start is the first.
func TestAFirstKeyThatCannotBeKeptIsNotMade(t *testing.T) {
	dir := t.TempDir()
	keys, err := secret.LoadOrCreate(dir + "/secrets")
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), dir+"/truth.db", sqlite.Options{Guard: keys})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := control.New(control.Config{Store: db, Now: time.Now, Sealer: keys})
	full := errors.New("disk full")
	if _, made, err := s.Bootstrap(t.Context(), func(control.Bootstrapped) error { return full }); made || !errors.Is(err, full) {
		t.Fatalf("made %v, %v", made, err)
	}
	var kept control.Bootstrapped
	_, made, err := s.Bootstrap(t.Context(), func(b control.Bootstrapped) error { kept = b; return nil })
	if !made || err != nil {
		t.Fatalf("made %v, %v", made, err)
	}
	err = db.View(t.Context(), func(v store.View) error { _, err := v.ManagementKey(kept.KeyID); return err })
	if err != nil {
		t.Errorf("the kept key: %v", err)
	}
}

// A credential goes when it is named and null, and not when something else is.
func TestACredentialIsTakenAwayByName(t *testing.T) {
	h := open(t)
	up, err := h.root().PutUpstream(t.Context(), &gatehouse.Upstream{
		Name: "up", Kind: gatehouse.OpenAI, BaseURL: "https://api.example.com/v1", Credential: "sk-1", Serves: []gatehouse.Serve{{Model: "*"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	patch := func(fields ...string) *gatehouse.Upstream {
		t.Helper()
		call := gatehouse.Call{Token: h.first.Token, Operation: gatehouse.UpdateUpstream, Fields: fields}
		out, err := h.As(&call).PutUpstream(t.Context(), &gatehouse.Upstream{ID: up.ID, Disabled: true})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := patch("disabled"); !got.HasCredential || !got.Disabled {
		t.Errorf("another member was named: %+v", got)
	}
	if got := patch("credential"); got.HasCredential || got.Name != "up" {
		t.Errorf("the credential was named: %+v", got)
	}
	last := false
	err = h.root().ExportAudit(t.Context(), 0, 1000, func(l gatehouse.AuditLeaf) error {
		last = last || bytes.Contains(l.Body, []byte(`"credential":"removed"`))
		return nil
	})
	if err != nil || !last {
		t.Errorf("the log does not say that it was removed: %v", err)
	}
}
