package control_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

func wantCode(t *testing.T, code gatehouse.Code, err error) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Fatalf("got %v, want %s", err, code)
	}
}

// leaves is how many leaves the log has.
func (h *house) leaves(t *testing.T) (n int64) {
	t.Helper()
	err := h.store.View(t.Context(), func(v store.View) error {
		tree, err := v.Tree()
		n = tree.Size
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (h *house) newest(t *testing.T) gatehouse.Event {
	t.Helper()
	var out gatehouse.Event
	err := h.store.View(t.Context(), func(v store.View) error {
		tree, err := v.Tree()
		if err != nil {
			return err
		}
		events, err := v.Events(gatehouse.EventFilter{After: tree.Size, Limit: 1})
		if err == nil {
			out = events[0]
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// T35: the snapshot said yes, then the key was revoked, then the transaction
// began. Nothing but the refusal may follow.
func TestAKeyRevokedInTheMiddleOfAMutationStopsIt(t *testing.T) {
	h := open(t)
	m := h.manager(t, gatehouse.NewManagementKey{Name: "m", ACL: []string{gatehouse.ScopeFor("*")}})
	c := h.As(&gatehouse.Call{Token: m.Token})
	h.store.before = func() {
		if err := h.root().RevokeManagementKey(t.Context(), m.Key.ID); err != nil {
			t.Error(err)
		}
	}
	_, err := c.CreateKey(t.Context(), gatehouse.NewKey{Name: "successor", ACL: all})
	wantCode(t, gatehouse.Unauthenticated, err)
	keys, _, err := h.root().ListKeys(t.Context(), gatehouse.KeyQuery{})
	if err != nil || len(keys) != 0 {
		t.Errorf("a revoked key minted %v, %v", keys, err)
	}
}

func TestADeniedCallOfAKnownKeyLeavesExactlyOneLeaf(t *testing.T) {
	h := open(t)
	one := int32(1)
	m := h.manager(t, gatehouse.NewManagementKey{
		Name: "weak", ACL: []string{gatehouse.ScopeFor(gatehouse.CreateApiKey)}, Grant: &gatehouse.Grant{MaxQPS: &one},
		IPRanges: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
	})
	inside := h.As(&gatehouse.Call{Token: m.Token, IP: netip.MustParseAddr("192.0.2.7"), RequestID: "r"})
	outside := h.As(&gatehouse.Call{Token: m.Token, IP: netip.MustParseAddr("198.51.100.7")})
	for name, do := range map[string]func() error{
		"scope": func() error { return inside.DeleteKey(t.Context(), gatehouse.NewID()) },
		"ceiling": func() error {
			_, err := inside.CreateKey(t.Context(), gatehouse.NewKey{Name: "x", ACL: all})
			return err
		},
		"address": func() error { _, err := outside.Self(t.Context()); return err },
		"asked":   func() error { return inside.Authorize(t.Context(), gatehouse.DeleteApiKey) },
	} {
		before := h.leaves(t)
		wantCode(t, gatehouse.PermissionDenied, do())
		if n := h.leaves(t) - before; n != 1 {
			t.Errorf("%s: %d leaves", name, n)
		}
		if e := h.newest(t); e.Result != gatehouse.Denied || e.Actor.KeyID != m.Key.ID || e.TeamID != h.first.TeamID {
			t.Errorf("%s: leaf %+v", name, e)
		}
	}
}

func TestWhoProvesNothingWritesNothingButALogLine(t *testing.T) {
	h := open(t)
	before := h.leaves(t)
	for _, token := range []gatehouse.Token{
		{}, gatehouse.MintToken("gth", gatehouse.Management, gatehouse.NewID()), gatehouse.MintToken("gth", gatehouse.Management, h.first.KeyID),
		gatehouse.MintToken("gth", gatehouse.Inference, h.first.KeyID),
	} {
		c := h.As(&gatehouse.Call{Token: token, RequestID: "seen-in-the-log"})
		wantCode(t, gatehouse.Unauthenticated, c.Authenticate(t.Context()))
		wantCode(t, gatehouse.Unauthenticated, c.DeleteKey(t.Context(), gatehouse.NewID()))
		if !token.IsZero() && strings.Contains(h.log.String(), token.Reveal()) {
			t.Error("a credential is in the log")
		}
	}
	if n := h.leaves(t) - before; n != 0 {
		t.Errorf("%d leaves", n)
	}
	if !strings.Contains(h.log.String(), "seen-in-the-log") {
		t.Error("no log line")
	}
}

func TestManagementKeysEndWithTheirTimeAndTheirAddress(t *testing.T) {
	h := open(t)
	m := h.manager(t, gatehouse.NewManagementKey{Name: "m", ExpireTime: h.clock.Now().Add(time.Hour)})
	c := h.As(&gatehouse.Call{Token: m.Token})
	if _, err := c.Self(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.clock.advance(time.Hour)
	wantCode(t, gatehouse.Unauthenticated, c.Authenticate(t.Context()))
}

func TestARotatedManagementSecretEndsWithItsOverlap(t *testing.T) {
	h := open(t)
	m := h.manager(t, gatehouse.NewManagementKey{Name: "m"})
	next, err := h.root().RotateManagementKey(t.Context(), gatehouse.KeyRotation{ID: m.Key.ID, OldSecretExpire: h.clock.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	old := h.As(&gatehouse.Call{Token: m.Token})
	if err := old.Authenticate(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.clock.advance(2 * time.Hour)
	wantCode(t, gatehouse.Unauthenticated, old.Authenticate(t.Context()))
	if err := h.As(&gatehouse.Call{Token: next.Token}).Authenticate(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestEveryReadLeavesOneLeafEvenWhenItFindsNothing(t *testing.T) {
	h := open(t)
	k := h.key(t)
	for name, do := range map[string]func() error{
		"found": func() error { _, err := h.root().GetKey(t.Context(), k.Key.ID); return err },
		"missing": func() error {
			_, err := h.root().GetKey(t.Context(), gatehouse.NewID())
			return ignore(err, gatehouse.NotFound)
		},
		"list": func() error { _, _, err := h.root().ListKeys(t.Context(), gatehouse.KeyQuery{}); return err },
		"events": func() error {
			_, _, err := h.root().ListEvents(t.Context(), gatehouse.EventFilter{}, gatehouse.Page{})
			return err
		},
		"usage": func() error {
			_, err := h.root().AnalyzeUsage(t.Context(), gatehouse.NewID(), gatehouse.UsageQuery{})
			return ignore(err, gatehouse.NotFound)
		},
	} {
		before := h.leaves(t)
		if err := do(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := h.leaves(t) - before; n != 1 {
			t.Errorf("%s: %d leaves", name, n)
		}
		if e := h.newest(t); e.Result != gatehouse.Read || e.Operation == "" || e.RequestID != "req-1" {
			t.Errorf("%s: leaf %+v", name, e)
		}
	}
}

func ignore(err error, code gatehouse.Code) error {
	if errors.Is(err, code) {
		return nil
	}
	return err
}

func TestAChildCannotComeFromFurtherThanItsMaker(t *testing.T) {
	h := open(t)
	m := h.manager(t, gatehouse.NewManagementKey{
		Name: "near", ACL: []string{gatehouse.ScopeFor("*")}, IPRanges: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	})
	c := h.As(&gatehouse.Call{Token: m.Token, IP: netip.MustParseAddr("10.1.1.1")})
	for ranges, allowed := range map[string]bool{"10.2.0.0/16": true, "10.0.0.0/8": true, "10.0.0.0/7": false, "11.0.0.0/8": false, "": false} {
		n := gatehouse.NewManagementKey{Name: "child"}
		if ranges != "" {
			n.IPRanges = []netip.Prefix{netip.MustParsePrefix(ranges)}
		}
		if _, err := c.CreateManagementKey(t.Context(), n); (err == nil) != allowed {
			t.Errorf("%q: %v", ranges, err)
		}
	}
}

// A key of the organization whose home is a team is not that team's: a team's
// key that could rotate it would become it.
func TestATeamsKeyDoesNotSeeTheOrganizationsKeys(t *testing.T) {
	h := open(t)
	m := h.manager(t, gatehouse.NewManagementKey{Name: "m", ACL: []string{gatehouse.ScopeFor("*")}})
	c := h.As(&gatehouse.Call{Token: m.Token})
	_, err := c.RotateManagementKey(t.Context(), gatehouse.KeyRotation{ID: h.first.KeyID})
	wantCode(t, gatehouse.NotFound, err)
	wantCode(t, gatehouse.NotFound, c.RevokeManagementKey(t.Context(), h.first.KeyID))
	keys, _, err := c.ListManagementKeys(t.Context(), gatehouse.ID{}, gatehouse.Page{})
	if err != nil || len(keys) != 1 || keys[0].ID != m.Key.ID {
		t.Errorf("it sees %v, %v", keys, err)
	}
}

// The route names a team and a record: they must belong together, also for a
// caller who reaches both.
func TestATeamInTheRouteMustBeTheRecords(t *testing.T) {
	h := open(t)
	k := h.key(t)
	other, err := h.root().CreateTeam(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	through := func(team gatehouse.ID) error {
		c := h.As(&gatehouse.Call{Token: h.first.Token, TeamID: team})
		_, err := c.GetKey(t.Context(), k.Key.ID)
		return err
	}
	if err := through(h.first.TeamID); err != nil {
		t.Error(err)
	}
	wantCode(t, gatehouse.NotFound, through(other.ID))
	wantCode(t, gatehouse.NotFound, h.As(&gatehouse.Call{Token: h.first.Token, TeamID: other.ID}).DeleteKey(t.Context(), k.Key.ID))
}

func TestTheRoutesOperationDecidesBetweenCreateAndUpdate(t *testing.T) {
	h := open(t)
	put := func(op gatehouse.Operation, m gatehouse.Model, fields ...string) error {
		_, err := h.As(&gatehouse.Call{Token: h.first.Token, Operation: op, Fields: fields}).PutModel(t.Context(), &m)
		return err
	}
	m := gatehouse.Model{Name: "m", Type: gatehouse.LanguageModel, Owner: "me", ContextLength: 5}
	wantCode(t, gatehouse.NotFound, put(gatehouse.UpdateModel, m))
	if err := put(gatehouse.CreateModel, m); err != nil {
		t.Fatal(err)
	}
	wantCode(t, gatehouse.AlreadyExists, put(gatehouse.CreateModel, m))
	if err := put(gatehouse.UpdateModel, gatehouse.Model{Name: "m", Owner: "you"}, "owner"); err != nil {
		t.Fatal(err)
	}
	if got, err := h.root().GetModel(t.Context(), "m"); err != nil || got.Owner != "you" || got.ContextLength != 5 || got.Type != gatehouse.LanguageModel {
		t.Errorf("after an update of one member: %+v, %v", got, err)
	}
}

func TestAnUpstreamUpdateOfOneMemberKeepsItsCredential(t *testing.T) {
	h := open(t)
	u, err := h.root().PutUpstream(t.Context(), declared().Upstreams[0])
	if err == nil {
		t.Fatalf("an unknown cluster was accepted: %+v", u)
	}
	n := declared().Upstreams[0]
	n.Clusters = nil
	if u, err = h.root().PutUpstream(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	c := h.As(&gatehouse.Call{Token: h.first.Token, Operation: gatehouse.UpdateUpstream, Fields: []string{"disabled"}})
	got, err := c.PutUpstream(t.Context(), &gatehouse.Upstream{ID: u.ID, Disabled: true})
	if err != nil || !got.Disabled || !got.HasCredential || got.BaseURL != u.BaseURL {
		t.Errorf("%+v, %v", got, err)
	}
	wantCode(t, gatehouse.NotFound, second(c.PutUpstream(t.Context(), &gatehouse.Upstream{Disabled: true})))
}

func second[T any](_ T, err error) error { return err }
