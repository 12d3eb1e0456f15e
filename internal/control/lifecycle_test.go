package control_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

func TestARotationDuringAnOverlapRetiresTheOlderSecret(t *testing.T) {
	h := open(t)
	m := h.key(t)
	digests := []gatehouse.Digest{m.Token.Digest()}
	for range 2 {
		m, err := h.root().RotateKey(t.Context(), gatehouse.KeyRotation{ID: m.Key.ID})
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, m.Token.Digest())
	}
	k := h.stored(t, m.Key.ID)
	if len(k.Secrets) != 2 || k.Secrets[0].Digest != digests[2] || k.Secrets[1].Digest != digests[1] {
		t.Fatalf("stored secrets %+v", k.Secrets)
	}
	if left := k.Secrets[1].ExpireTime.Sub(h.clock.Now()); left > gatehouse.DefaultOverlap || left < gatehouse.DefaultOverlap-time.Second {
		t.Errorf("the old secret works for another %s", left)
	}
}

func TestAnExpiredSecretGoesAtTheNextWriteAndNeverComesBack(t *testing.T) {
	h := open(t)
	m := h.key(t)
	if _, err := h.root().RotateKey(t.Context(), gatehouse.KeyRotation{ID: m.Key.ID, OldSecretExpire: h.clock.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	h.clock.advance(2 * time.Hour)
	if _, err := h.root().UpdateKey(t.Context(), gatehouse.KeyUpdate{ID: m.Key.ID, Name: gatehouse.Some("n")}); err != nil {
		t.Fatal(err)
	}
	if k := h.stored(t, m.Key.ID); len(k.Secrets) != 1 || k.Secrets[0].Digest == m.Token.Digest() {
		t.Errorf("secrets %+v", k.Secrets)
	}
}

// The old secret of an expired key proved nothing any more; a rotation that
// gives the key a later end must not change that.
func TestRotatingAnExpiredKeyDoesNotReviveItsOldSecret(t *testing.T) {
	h := open(t)
	m, err := h.root().CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: all, ExpireTime: h.clock.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	h.clock.advance(2 * time.Hour)
	if _, err := h.root().RotateKey(t.Context(), gatehouse.KeyRotation{ID: m.Key.ID, ExpireTime: gatehouse.Some(time.Time{})}); err != nil {
		t.Fatal(err)
	}
	if k := h.stored(t, m.Key.ID); len(k.Secrets) != 1 || k.Secrets[0].Digest == m.Token.Digest() {
		t.Errorf("secrets %+v", k.Secrets)
	}
}

func TestATombstoneHoldsNoSecret(t *testing.T) {
	h := open(t)
	m := h.key(t)
	if err := h.root().DeleteKey(t.Context(), m.Key.ID); err != nil {
		t.Fatal(err)
	}
	if k := h.stored(t, m.Key.ID); !k.Deleted() || len(k.Secrets) != 0 || k.Name != "k" {
		t.Errorf("tombstone %+v", k)
	}
}

// join makes a gateway a member that enforces rev.
func (h *house) join(t *testing.T, id gatehouse.ID, rev gatehouse.Revision) {
	t.Helper()
	now := h.clock.Now()
	err := h.store.Work(context.WithoutCancel(t.Context()), func(w store.Work) error {
		return w.SeenGateway(&gatehouse.Gateway{ID: id, Cluster: "east", Joined: now, LastSeen: now, Enforced: rev})
	})
	if err != nil {
		t.Error(err)
	}
}

func TestPropagationIsTrueWhenEveryMemberSaysSo(t *testing.T) {
	h := open(t)
	if _, err := h.root().PutCluster(t.Context(), &gatehouse.Cluster{Name: "east", Address: "east.example.com"}); err != nil {
		t.Fatal(err)
	}
	gw := gatehouse.NewID()
	m := h.key(t)
	ask := func(wait time.Duration) bool {
		t.Helper()
		state, err := h.root().Propagation(t.Context(), m.Key.ID, wait)
		if err != nil || len(state) != 1 {
			t.Fatalf("%v %v", state, err)
		}
		return state["east.example.com"]
	}
	if ask(0) {
		t.Error("a cluster without gateways enforces nothing")
	}
	h.join(t, gw, gatehouse.Revision{})
	if ask(0) || ask(60*time.Millisecond) {
		t.Error("true before the gateway said so")
	}
	go h.join(t, gw, h.stored(t, m.Key.ID).Revision)
	if !ask(10 * time.Second) {
		t.Error("false after the gateway said so")
	}
	if err := h.root().DeleteKey(t.Context(), m.Key.ID); err != nil {
		t.Fatal(err)
	}
	if ask(0) {
		t.Error("true for a tombstone that the gateway has not seen")
	}
	h.clock.advance(time.Minute)
	if ask(0) {
		t.Error("a silent member was left out of a removal")
	}
	h.join(t, gw, h.stored(t, m.Key.ID).Revision)
	if !ask(0) {
		t.Error("false for a tombstone that every gateway enforces")
	}
	h.clock.advance(31 * 24 * time.Hour)
	_, err := h.root().Propagation(t.Context(), m.Key.ID, 0)
	wantCode(t, gatehouse.NotFound, err)
}

func TestAWaitIsBoundedAndEndsWithItsRequest(t *testing.T) {
	h := open(t)
	m := h.key(t)
	_, err := h.root().Propagation(t.Context(), m.Key.ID, 2*time.Minute)
	wantCode(t, gatehouse.InvalidArgument, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err = h.root().Propagation(ctx, m.Key.ID, time.Minute); err == nil || errors.Is(err, gatehouse.NotFound) {
		t.Errorf("a request that ended was answered: %v", err)
	}
}

func TestAGatewayThatServesIsNotForgotten(t *testing.T) {
	h := open(t)
	gw := gatehouse.NewID()
	h.join(t, gw, gatehouse.Revision{})
	wantCode(t, gatehouse.FailedPrecondition, h.root().ForgetGateway(t.Context(), gw))
	h.clock.advance(time.Minute)
	if err := h.root().ForgetGateway(t.Context(), gw); err != nil {
		t.Fatal(err)
	}
	if e := h.newest(t); e.Action != "gateway.forgotten" {
		t.Errorf("leaf %+v", e)
	}
	wantCode(t, gatehouse.NotFound, h.root().ForgetGateway(t.Context(), gw))
}

// A cluster goes once nobody may serve in it, and its members can be looked up
// for as long as they are listed.
func TestAClusterWithMembersStays(t *testing.T) {
	h := open(t)
	gw := gatehouse.NewID()
	h.join(t, gw, gatehouse.Revision{})
	g, err := h.root().GetGateway(t.Context(), gw)
	if err != nil || g.ID != gw || g.Forgotten {
		t.Fatalf("gateway %+v, %v", g, err)
	}
	if _, err := h.root().PutCluster(t.Context(), &gatehouse.Cluster{Name: g.Cluster}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, gatehouse.FailedPrecondition, h.root().DeleteCluster(t.Context(), g.Cluster))
	h.clock.advance(time.Minute)
	wantCode(t, gatehouse.FailedPrecondition, h.root().DeleteCluster(t.Context(), g.Cluster))
	if err := h.root().ForgetGateway(t.Context(), gw); err != nil {
		t.Fatal(err)
	}
	if err := h.root().DeleteCluster(t.Context(), g.Cluster); err != nil {
		t.Fatal(err)
	}
	if e := h.newest(t); e.Action != "cluster.deleted" || e.Operation != string(gatehouse.DeleteCluster) {
		t.Errorf("leaf %+v", e)
	}
	if g, err = h.root().GetGateway(t.Context(), gw); err != nil || !g.Forgotten {
		t.Errorf("a forgotten gateway is shown as %+v, %v", g, err)
	}
	if e := h.newest(t); e.Action != "gateway.read" || e.Subject != gw.String() {
		t.Errorf("leaf %+v", e)
	}
}

// The answer about one key says when it was last used, whether it was read or
// changed: a script that changes it need not ask again.
func TestAChangedKeyShowsItsLastUse(t *testing.T) {
	h := open(t)
	m := h.key(t)
	at := h.clock.Now().UTC().Truncate(time.Second)
	err := h.store.Work(t.Context(), func(w store.Work) error {
		return w.TouchKeys([]store.LastUse{{KeyID: m.Key.ID, Last4: m.Key.Last4(), Time: at}})
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.root().UpdateKey(t.Context(), gatehouse.KeyUpdate{ID: m.Key.ID, Name: gatehouse.Some("y")})
	if err != nil || !got.Key.Secrets[0].LastUse.Equal(at) {
		t.Errorf("last used %+v, %v", got.Key, err)
	}
	if read, err := h.root().GetKey(t.Context(), m.Key.ID); err != nil || !read.Secrets[0].LastUse.Equal(at) {
		t.Errorf("last used %+v, %v", read, err)
	}
}

func TestADeletedTeamsKeysProveNothing(t *testing.T) {
	h := open(t)
	team, err := h.root().CreateTeam(t.Context(), "gone")
	if err != nil {
		t.Fatal(err)
	}
	m := h.manager(t, gatehouse.NewManagementKey{TeamID: team.ID, Name: "m", ACL: []string{gatehouse.ScopeFor("*")}})
	_, err = h.store.Update(t.Context(), gatehouse.Cause{}, func(tx store.Tx) error {
		team.DeleteTime = h.clock.Now()
		return tx.PutTeam(team, gatehouse.Act{Action: "team.deleted"})
	})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, gatehouse.Unauthenticated, h.As(&gatehouse.Call{Token: m.Token}).Authenticate(t.Context()))
	_, err = h.root().CreateKey(t.Context(), gatehouse.NewKey{TeamID: team.ID, Name: "k", ACL: all})
	wantCode(t, gatehouse.NotFound, err)
}

func TestTheFirstStartHappensOnceAndRecoveryAddsAKey(t *testing.T) {
	h := open(t)
	if _, made, err := h.Bootstrap(t.Context(), nil); made || err != nil {
		t.Fatalf("a second first start: %v %v", made, err)
	}
	again, err := h.Recover(t.Context())
	if err != nil || again.TeamID != h.first.TeamID || again.UserID != h.first.UserID || again.KeyID == h.first.KeyID {
		t.Fatalf("recovered %+v, %v", again, err)
	}
	if e := h.newest(t); e.Actor.Kind != gatehouse.ActorOperator || e.Action != "management_key.created" {
		t.Errorf("leaf %+v", e)
	}
	if _, err := h.As(&gatehouse.Call{Token: again.Token}).CreateTeam(t.Context(), "t"); err != nil {
		t.Errorf("the recovered key: %v", err)
	}
}
