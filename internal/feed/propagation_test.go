package feed_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse"
	"gatehouse/internal/feed"
)

func TestPropagationSaysWhatIsProven(t *testing.T) {
	ago := func(d time.Duration) time.Time { return start.Add(-d) }
	member := func(n int64, seen time.Duration) *gatehouse.Gateway {
		return &gatehouse.Gateway{Cluster: "east", Enforced: rev(n), LastSeen: ago(seen)}
	}
	gone := member(1, time.Minute)
	gone.Forgotten = true
	newer := member(1, 0)
	newer.Enforced = gatehouse.Revision{Epoch: 2, N: 1}
	for _, c := range []struct {
		name          string
		gateways      []*gatehouse.Gateway
		adds, removes bool
	}{
		{"nobody", nil, false, false},
		{"enforced", []*gatehouse.Gateway{member(5, 0), member(6, 0)}, true, true},
		{"one live member behind", []*gatehouse.Gateway{member(5, 0), member(4, 0)}, false, false},
		{"a member silent for a while", []*gatehouse.Gateway{member(5, 0), member(4, 11*time.Second)}, true, false},
		{"silent beyond its lease", []*gatehouse.Gateway{member(5, 0), member(4, 17*time.Second)}, true, false},
		{"silent for almost a day", []*gatehouse.Gateway{member(5, 0), member(4, 24*time.Hour)}, true, false},
		{"silent for more than a day", []*gatehouse.Gateway{member(5, 0), member(4, 24*time.Hour+time.Minute)}, true, true},
		{"a forgotten member", []*gatehouse.Gateway{member(5, 0), gone}, true, true},
		{"nobody live, one enforcing", []*gatehouse.Gateway{member(5, time.Minute)}, false, false},
		{"a later epoch", []*gatehouse.Gateway{newer}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			clusters := []*gatehouse.Cluster{{Name: "east", Address: "us-east-1.example"}}
			adds := feed.Propagated(c.gateways, clusters, rev(5), false, start)
			removes := feed.Propagated(c.gateways, clusters, rev(5), true, start)
			for _, m := range []struct {
				what string
				got  map[string]bool
				want bool
			}{{"addition", adds, c.adds}, {"removal", removes, c.removes}} {
				if got, ok := m.got["us-east-1.example"]; !ok || got != m.want || len(m.got) != 1 {
					t.Errorf("%s: %v, want %v under the cluster's address alone", m.what, m.got, m.want)
				}
			}
		})
	}
}

// I6: true for a removal means that each member either enforces it, or refuses
// by itself, or was given up by an operator; and time alone never takes it back.
func TestPropagatedRemovalsAreEnforcedEverywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clusters := []*gatehouse.Cluster{{Name: "a"}, {Name: "b"}, {Name: "gone", DeleteTime: start}}
		var gateways []*gatehouse.Gateway
		for range rapid.IntRange(0, 5).Draw(t, "members") {
			gateways = append(gateways, &gatehouse.Gateway{
				Cluster:   rapid.SampledFrom([]string{"a", "b", "other"}).Draw(t, "cluster"),
				Enforced:  rev(rapid.Int64Range(1, 9).Draw(t, "enforced")),
				LastSeen:  start.Add(-time.Duration(rapid.Int64Range(0, int64(26*time.Hour)).Draw(t, "silence"))),
				Forgotten: rapid.IntRange(0, 4).Draw(t, "forgotten") == 0,
			})
		}
		at := rev(rapid.Int64Range(1, 9).Draw(t, "revision"))
		removed := feed.Propagated(gateways, clusters, at, true, start)
		added := feed.Propagated(gateways, clusters, at, false, start)
		if len(removed) != 2 {
			t.Fatalf("clusters %v", removed)
		}
		for name, ok := range removed {
			if ok && !added[name] {
				t.Fatal("a removal is proven where an addition is not")
			}
			live := false
			for _, g := range gateways {
				if g.Cluster != name || g.Forgotten {
					continue
				}
				live = live || start.Sub(g.LastSeen) <= feed.Silence
				if ok && g.Enforced.Less(at) && start.Sub(g.LastSeen) <= feed.MaxStale {
					t.Fatalf("%+v may still serve what was removed", g)
				}
			}
			if ok && !live {
				t.Fatal("a cluster without live gateways is true")
			}
		}
	})
}

// Who knows that a key is strict refuses it when its lease is out, and by
// nobody's clock before that.
func TestAStrictKeyIsAwaitedForAsLongAsALease(t *testing.T) {
	clusters := []*gatehouse.Cluster{{Name: "east"}}
	live := &gatehouse.Gateway{Cluster: "east", Enforced: rev(9), LastSeen: start}
	for _, c := range []struct {
		name     string
		enforced int64
		since    gatehouse.Revision
		over     time.Duration // since the lease's written end
		want     bool
	}{
		{"its lease runs", 5, rev(3), -time.Second, false},
		{"its lease ended by a clock that may be wrong", 5, rev(3), feed.Drift, false},
		{"its lease is out", 5, rev(3), feed.Drift + time.Second, true},
		{"it does not know yet that the key is strict", 2, rev(3), time.Hour, false},
		{"the key is not strict", 5, gatehouse.Revision{}, time.Hour, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cut := &gatehouse.Gateway{Cluster: "east", Enforced: rev(c.enforced), LastSeen: start.Add(-time.Minute), Lease: start.Add(-c.over)}
			change := feed.Change{At: rev(8), Removal: true, StrictSince: c.since}
			if got := change.Propagated([]*gatehouse.Gateway{live, cut}, clusters, start)["east"]; got != c.want {
				t.Errorf("propagated %v, want %v", got, c.want)
			}
		})
	}
}
