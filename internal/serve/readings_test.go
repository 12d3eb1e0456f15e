package serve

import (
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
)

// Who follows is a little behind at every look; who is stuck is behind the same
// thing at all of them.
func TestOnlyWhoIsStuckIsLate(t *testing.T) {
	now, follows, stuck := time.Now(), lag{}, lag{}
	for n := range int64(100) {
		now = now.Add(10 * time.Second)
		if d := follows.at(now, false, n-1 >= follows.want, n); d > 20*time.Second {
			t.Fatalf("who is one behind is late by %s", d)
		}
		if d := stuck.at(now, false, 0 > stuck.want, n+1); d != time.Duration(n)*10*time.Second {
			t.Fatalf("who is stuck since %d looks is late by %s", n, d)
		}
	}
	if d := stuck.at(now, true, true, 100); d != 0 {
		t.Errorf("who has arrived is late by %s", d)
	}
}

func TestAForgottenOrDeadGatewayIsNotAwaited(t *testing.T) {
	now, head := time.Now(), gatehouse.Revision{Epoch: 1, N: 9}
	behind := gatehouse.Revision{Epoch: 1, N: 3}
	f := &fleetReading{}
	look := func(at time.Time, gateways ...*gatehouse.Gateway) fleetState {
		f.seen = fleetState{}
		member := map[gatehouse.ID]*lag{}
		for _, g := range gateways {
			f.gateway(g, head, at, member)
		}
		f.member = member
		return f.seen
	}
	awaited := &gatehouse.Gateway{ID: gatehouse.NewID(), LastSeen: now, Enforced: behind}
	dead := &gatehouse.Gateway{ID: gatehouse.NewID(), LastSeen: now.Add(-feed.MaxStale - time.Second), Enforced: behind}
	gone := &gatehouse.Gateway{ID: gatehouse.NewID(), LastSeen: now, Enforced: behind, Forgotten: true}
	look(now, awaited, dead, gone)
	if s := look(now.Add(time.Minute), awaited, dead, gone); s.awaited != time.Minute || s.silent != 2 || s.live != 0 {
		t.Errorf("%+v", s)
	}
	if s := look(now.Add(2*time.Minute), dead, gone); s.awaited != 0 || s.silent != 1 {
		t.Errorf("without it: %+v", s)
	}
}
