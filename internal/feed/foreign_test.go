package feed_test

import (
	"testing"

	"gatehouse"
	"gatehouse/internal/feed"
)

// Credentials of another shape are worth a look-up while some key has one, and
// no longer: the count follows imports, rotations and deletions.
func TestAReplicaKnowsWhetherItHoldsForeignKeys(t *testing.T) {
	r := feed.NewReplica("local")
	if some, known := r.Foreign(); some || known {
		t.Errorf("unready: %v, %v", some, known)
	}
	foreign := func(k *gatehouse.Key) { k.Secrets[0].Foreign = true }
	n := int64(1)
	apply := func(snapshot bool, keys ...*gatehouse.Key) {
		t.Helper()
		b := &feed.Batch{Snapshot: snapshot, To: rev(n + 1), Time: start, Lease: feed.LeaseLength}
		if !snapshot {
			b.From = rev(n)
		}
		n++
		for _, k := range keys {
			k.Revision = rev(n)
			rec, err := feed.KeyRecord(k)
			if err != nil {
				t.Fatal(err)
			}
			b.Records = append(b.Records, rec)
		}
		if err := r.Apply(b, start); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(want bool) {
		t.Helper()
		if some, known := r.Foreign(); some != want || !known {
			t.Errorf("holds foreign keys: %v, %v; want %v", some, known, want)
		}
	}
	apply(true, testKey(1), testKey(2, foreign))
	holds(true)
	apply(false, testKey(2, foreign, func(k *gatehouse.Key) { k.Name = "renamed" }))
	holds(true)
	apply(false, testKey(3, foreign))
	apply(false, testKey(2)) // rotated, and the old secret gone
	holds(true)
	apply(false, testKey(3, func(k *gatehouse.Key) { k.DeleteTime = start }))
	holds(false)
	apply(true, testKey(1, foreign))
	holds(true)
}
