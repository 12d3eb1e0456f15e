package feed_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse"
	"gatehouse/internal/feed"
)

// What Settled is for: a member uses its base share only when no other can
// still divide the limit without it. The model is the lists that gateways hold:
// each got one with the newest batch that it applied.
func TestASettledMemberIsOnEverybodysList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var joined []*gatehouse.Membership
		var gateways []*gatehouse.Gateway
		known := map[gatehouse.ID]map[gatehouse.ID]bool{} // whose list has whom
		at := int64(1)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if n := len(joined); n == 0 || n < 5 && rapid.IntRange(0, 3).Draw(t, "joins") == 0 {
				at++
				id := testID(n + 1)
				joined = append(joined, &gatehouse.Membership{ID: id, Revision: rev(at), CreateTime: start})
				gateways = append(gateways, &gatehouse.Gateway{ID: id})
				continue
			}
			at += int64(rapid.IntRange(0, 1).Draw(t, "other changes"))
			// One gateway applies a batch, which tells it the members of now, and perhaps
			// gets to acknowledging it.
			g := gateways[rapid.IntRange(0, len(gateways)-1).Draw(t, "who")]
			known[g.ID] = map[gatehouse.ID]bool{}
			for _, m := range feed.Members(joined, gateways) {
				known[g.ID][m.ID] = true
			}
			if rapid.Bool().Draw(t, "acknowledged") {
				g.Enforced = rev(at)
			}
		}
		for _, m := range feed.Members(joined, gateways) {
			for holder, list := range known {
				if m.Settled && !list[m.ID] {
					t.Fatalf("%s is settled, and %s divides without it", m.ID, holder)
				}
			}
		}
	})
}

func TestWhoIsAMember(t *testing.T) {
	own := &gatehouse.Gateway{ID: testID(9), Joined: start.Add(-time.Hour), Enforced: rev(7)}
	late := &gatehouse.Gateway{ID: testID(8), Joined: start.Add(time.Hour), Enforced: rev(7)}
	gone := &gatehouse.Gateway{ID: testID(7), Forgotten: true}
	network := &gatehouse.Membership{ID: testID(1), Revision: rev(5), CreateTime: start}
	got := feed.Members([]*gatehouse.Membership{network}, []*gatehouse.Gateway{own, late, gone})
	want := map[gatehouse.ID]bool{testID(1): true, testID(8): false, testID(9): true}
	if len(got) != len(want) {
		t.Fatalf("members %v", got)
	}
	for _, m := range got {
		if settled, ok := want[m.ID]; !ok || m.Settled != settled {
			t.Errorf("%+v", m)
		}
	}
}
