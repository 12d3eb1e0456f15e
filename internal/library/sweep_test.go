package library

import (
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/library/index"
	"gatehouse/internal/store"
)

// expired puts in a file whose time comes.
func (w *workshop) expiring(c *gatehouse.Collection, after time.Duration) *gatehouse.File {
	f := w.newFile("gone.txt", "words")
	f.ExpireTime = w.clock().Add(after)
	w.upload(c, f, nil)
	return f
}

// What expired or has no collection any more is dropped with its documents and
// bytes, and said in the audit log as the system's own act.
func TestTheSweeperDropsWhatIsGone(t *testing.T) {
	w := newWorkshop(t, nil)
	c, other := w.collect(nil), w.collect(nil)
	kept, owned := w.newFile("kept.txt", "kept words"), w.newFile("owned.txt", "owned words")
	owned.Owned = true
	w.upload(c, kept, nil)
	w.upload(other, owned, nil)
	w.expiring(c, time.Minute)
	w.drain()
	w.update(func(tx store.Tx) error { return tx.DropCollection(other.ID, w.act("collection.deleted")) })
	w.pass(2 * time.Minute) // blobs were held for one
	w.sweep(w.ctx)
	w.drain()
	if all := w.entries(); len(all) != 1 || all[0].Document != kept.ID {
		t.Errorf("%v", all)
	}
	var left []string
	w.must(w.blobs.List(w.ctx, func(name string) error { left = append(left, name); return nil }))
	if len(left) != 1 || left[0] != kept.Blob {
		t.Errorf("%v", left)
	}
	for action, want := range map[string]string{"file.expired": "File 'gone.txt' expired", "file.deleted": "File 'owned.txt' was deleted with the last collection that had it"} {
		w.must(w.Store.View(w.ctx, func(v store.View) error {
			events, err := v.Events(gatehouse.EventFilter{TeamID: w.team, Action: action, After: -1, Ascending: true, Limit: 10})
			if err == nil && (len(events) != 1 || events[0].Actor.Kind != gatehouse.ActorSystem || events[0].Description != want) {
				t.Errorf("%s: %+v", action, events)
			}
			return err
		}))
	}
}

// A file whose time has come is not indexed, though nobody has swept it yet.
func TestAnExpiredFileIsNotIndexed(t *testing.T) {
	w := newWorkshop(t, nil)
	w.expiring(w.collect(nil), time.Minute)
	w.pass(time.Minute)
	w.drain()
	if all := w.entries(); len(all) != 0 {
		t.Errorf("%v", all)
	}
}

// The comparison takes out what the store does not know, and nothing else.
func TestTheIndexIsComparedWithTheStore(t *testing.T) {
	w := newWorkshop(t, nil)
	c := w.collect(nil)
	kept := w.newFile("kept.txt", "kept words")
	w.upload(c, kept, nil)
	w.drain()
	stray, lost := gatehouse.NewID(), gatehouse.NewID()
	w.must(w.Index.PutDocument(w.ctx, w.team, c.ID, index.Document{ID: stray}, index.Of(index.Chunk{Text: "stray"})))
	w.must(w.Index.PutCollection(w.ctx, w.team, index.Collection{ID: lost}))
	w.must(w.Index.PutDocument(w.ctx, w.team, lost, index.Document{ID: kept.ID}, index.Of(index.Chunk{Text: "stray"})))
	w.must(w.compare(w.ctx))
	if all := w.entries(); len(all) != 1 || all[0].Document != kept.ID || all[0].Collection != c.ID {
		t.Errorf("%v", all)
	}
	if _, err := w.Index.Stats(w.ctx, w.team, lost); gatehouse.CodeOf(err) != gatehouse.NotFound {
		t.Errorf("the collection is left: %v", err)
	}
}

// A blob that cannot be deleted is tried again by the next sweep.
func TestABlobThatCannotBeDeletedIsNextTimes(t *testing.T) {
	w := newWorkshop(t, nil)
	name, _ := w.keepBytes("nobody's")
	w.pass(2 * time.Minute)
	w.Blobs = stubborn{w.Blobs}
	if err := w.sweepBlobs(w.ctx); gatehouse.CodeOf(err) != gatehouse.Unavailable {
		t.Fatal(err)
	}
	w.Blobs = w.blobs
	w.must(w.sweepBlobs(w.ctx))
	if _, err := w.blobs.Open(w.ctx, name, 0); gatehouse.CodeOf(err) != gatehouse.NotFound {
		t.Errorf("%v", err)
	}
}
