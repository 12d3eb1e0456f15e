package library

import (
	"context"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/library/index"
	"gatehouse/internal/library/index/sqlindex"
	indexsqlite "gatehouse/internal/library/index/sqlite"
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

// An index that is lost, or older than the truth, costs work and no data: what
// it lacks is found again after the next start, whatever it was.
func TestALostIndexIsMadeAnew(t *testing.T) {
	w := newWorkshop(t, nil)
	one, two := w.collect(nil), w.collect(nil)
	kept, stale, empty := w.newFile("kept.txt", "kept words"), w.newFile("stale.txt", "stale words"), w.newFile("empty.txt", " ")
	w.upload(one, kept, nil)
	w.upload(one, stale, nil)
	w.upload(two, kept, nil)
	w.upload(two, empty, nil) // FAILED, and stays so
	w.update(func(tx store.Tx) error {
		return tx.PutDocument(&gatehouse.Document{CollectionID: one.ID, FileID: kept.ID, TeamID: w.team, CreateTime: w.clock(), Generation: 1 << 50}, w.act("document.updated"))
	})
	w.drain()
	w.must(w.mend(w.ctx))
	if n := w.counts.lost.Load(); n != 0 || w.state(one, kept).Status != gatehouse.DocumentProcessed {
		t.Fatalf("%d documents of a whole index are indexed anew", n)
	}
	old := index.Document{ID: stale.ID, Generation: -1}
	w.must(w.Index.PutDocument(w.ctx, w.team, one.ID, old, index.Of(index.Chunk{Text: "words of before"})))
	w.must(w.mend(w.ctx))
	if n := w.counts.lost.Load(); n != 1 || w.state(one, stale).Status != gatehouse.DocumentProcessing {
		t.Fatalf("%d documents are indexed anew, want the stale one", n)
	}
	found, err := indexsqlite.Open(w.ctx, filepath.Join(t.TempDir(), "index.db"), sqlindex.Options{Now: w.clock})
	w.must(err)
	t.Cleanup(func() { found.Close() })
	w.Index = found // as after the file was deleted, and as the first start on another engine
	w.runUntilIndexed(3)
	for c, want := range map[gatehouse.ID][]string{one.ID: {"kept words", "stale words"}, two.ID: {"kept words"}} {
		if got := w.finds(c, "words"); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if s := w.state(two, empty).Status; s != gatehouse.DocumentFailed {
		t.Errorf("what failed is %s", s)
	}
}

// runUntilIndexed starts the library, and stops it when it has indexed so many
// more documents.
func (w *workshop) runUntilIndexed(n int64) {
	w.Helper()
	ctx, stop := context.WithCancel(w.ctx)
	n += w.counts.indexed.Load()
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	for deadline := time.Now().Add(30 * time.Second); w.counts.indexed.Load() < n && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	stop()
	<-done
}

// More documents than one page holds, over many collections, are walked to the
// end, and a walk that is told to stop does.
func TestTheComparisonWalksInPages(t *testing.T) {
	w := newWorkshop(t, nil)
	f := w.newFile("a.txt", "words")
	const documents = 2*askedAtOnce + 1
	w.update(func(tx store.Tx) error {
		err := tx.PutFile(f, w.act("file.uploaded"))
		for range documents {
			c := &gatehouse.Collection{ID: gatehouse.NewID(), TeamID: w.team, Name: "c", Chunks: []byte("{}"), Metric: "cosine", CreateTime: w.clock()}
			if err == nil {
				err = tx.PutCollection(c, w.act("collection.created"))
			}
			if err == nil {
				err = tx.PutDocument(&gatehouse.Document{CollectionID: c.ID, FileID: f.ID, TeamID: w.team, CreateTime: w.clock()}, w.act("document.added"))
			}
		}
		return err
	})
	w.must(w.Store.Work(w.ctx, func(work store.Work) error {
		for range documents {
			k, err := work.ClaimTask("n/x", w.clock().Add(time.Hour), w.clock().Add(2*time.Hour))
			if err != nil {
				return err
			}
			if _, err := work.EndTask(k, &gatehouse.DocumentState{Status: gatehouse.DocumentProcessed}); err != nil {
				return err
			}
		}
		return nil
	}))
	stopped, stop := context.WithCancel(w.ctx)
	stop()
	if err := w.mend(stopped); err == nil || w.counts.lost.Load() != 0 {
		t.Fatalf("%v, and %d documents", err, w.counts.lost.Load())
	}
	whole := &complete{Index: w.Index}
	w.Index = whole
	w.must(w.mend(w.ctx))
	if n := w.counts.lost.Load(); n != 0 || whole.asked != documents {
		t.Fatalf("%d are indexed anew, and %d of %d were asked for", n, whole.asked, documents)
	}
	w.Index = whole.Index
	w.must(w.mend(w.ctx))
	if n := w.counts.lost.Load(); n != documents {
		t.Errorf("%d of %d documents are indexed anew", n, documents)
	}
}

// complete lacks nothing.
type complete struct {
	index.Index
	asked int
}

func (c *complete) Lacks(_ context.Context, _, _ gatehouse.ID, of []index.Edition) ([]index.Edition, error) {
	c.asked += len(of)
	return nil, nil
}
