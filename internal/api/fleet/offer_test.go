package fleet_test

import (
	"context"
	"reflect"
	"testing"

	"gatehouse"
	"gatehouse/internal/feed"
)

// After a restore a gateway is asked for the deletions that it knows, and they
// cross the wire as they are.
func TestDeletionsAreOfferedOverTheNetwork(t *testing.T) {
	h := newHouse(t)
	var got []feed.Tombstone
	var from gatehouse.ID
	h.source.Rebury = func(_ context.Context, gateway gatehouse.ID, tombstones []feed.Tombstone) error {
		from, got = gateway, tombstones
		return nil
	}
	m := h.join(t)
	db := h.store.(interface {
		NewEpoch(context.Context) (gatehouse.Revision, error)
	})
	before, err := db.NewEpoch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := m.poll()
	p.Ready, p.Enforced = true, before
	_, err = m.Pull(t.Context(), p)
	code(t, "a poll out of the epoch before", err, gatehouse.FailedPrecondition)
	p.Offer = &feed.Offer{Tombstones: []feed.Tombstone{
		{ID: gatehouse.NewID(), Revision: gatehouse.Revision{Epoch: 1, N: 900}}, {ID: gatehouse.NewID(), Revision: gatehouse.Revision{Epoch: 1, N: 7}},
	}}
	if _, err := m.Pull(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if from != m.id.Gateway || !reflect.DeepEqual(got, p.Offer.Tombstones) {
		t.Errorf("from %s: %v, want %v", from, got, p.Offer.Tombstones)
	}
}
