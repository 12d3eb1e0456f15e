package library

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/library/extract"
	"gatehouse/internal/library/index"
	"gatehouse/internal/store"
)

// world does things at random, and some of them in the middle of a worker's
// work: before and after everything that it does to the index, and while it
// extracts. It runs on one goroutine, so a seed is one history.
type world struct {
	*workshop
	r           *rand.Rand
	collections []*gatehouse.Collection
	files       []*gatehouse.File
	edition     int
	live        map[*hold]time.Time // when it was last renewed
	dead        map[*hold]bool
	depth       int
	killing     bool // workers may die
}

// TestTheIndexFollowsTheTruth: whatever is added, changed, removed, deleted,
// killed, delayed or lost in between, in the end the index has exactly what the
// store has, in its last edition, and the blobs are those of its files. The
// comparison, which would mend it, does not run.
func TestTheIndexFollowsTheTruth(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, seed)
			for range 60 {
				w.something()
			}
			w.settleDown()
			w.compareWithTruth()
		})
	}
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{r: rand.New(rand.NewPCG(seed, 7)), live: map[*hold]time.Time{}, dead: map[*hold]bool{}, killing: true}
	w.workshop = newWorkshop(t, func(c *Config) { c.Index, c.Extract = &between{c.Index, w}, meanwhile{w} })
	w.parsing = make(chan struct{}, 8) // a worker within a worker does not wait
	w.collections = []*gatehouse.Collection{w.collect(nil), w.collect(nil)}
	return w
}

func (w *world) chance(percent int) bool { return w.r.IntN(100) < percent }

func pick[T any](w *world, of []T) T { return of[w.r.IntN(len(of))] }

// something is the next thing that happens.
func (w *world) something() {
	switch n := w.r.IntN(100); {
	case n < 15 || len(w.files) == 0:
		w.add()
	case n < 30:
		w.change()
	case n < 42:
		w.remove()
	case n < 47:
		w.deleteFile()
	case n < 50:
		w.deleteCollection()
	case n < 80:
		w.worker()
	case n < 90:
		w.later([]time.Duration{time.Second, 20 * time.Second, leaseLength + time.Second}[w.r.IntN(3)])
	default:
		w.sweep(w.ctx)
	}
}

// try does what may be refused because somebody was there before.
func (w *world) try(f func(store.Tx) error) {
	w.Helper()
	_, err := w.Store.Update(w.ctx, gatehouse.Cause{}, f)
	if err != nil && !errors.Is(err, gatehouse.NotFound) {
		w.Fatal(err)
	}
}

func (w *world) content() string {
	w.edition++
	return fmt.Sprintf("edition%d of the common words", w.edition)
}

// add adds a file: a new one, that the collection owns or not, or one that is
// there.
func (w *world) add() {
	c := pick(w, w.collections)
	if len(w.files) > 3 || len(w.files) > 0 && w.chance(50) {
		f := pick(w, w.files)
		w.try(func(tx store.Tx) error {
			if _, err := tx.File(f.ID); err != nil {
				return err
			}
			if _, err := tx.Document(c.ID, f.ID); err == nil {
				return nil
			}
			return tx.PutDocument(&gatehouse.Document{CollectionID: c.ID, FileID: f.ID, TeamID: w.team, CreateTime: w.clock()}, w.act("document.added"))
		})
		return
	}
	f := w.newFile("a.txt", w.content())
	if f.Owned = w.chance(50); w.chance(20) {
		f.ExpireTime = w.clock().Add(time.Minute)
	}
	w.files = append(w.files, f)
	w.upload(c, f, nil)
}

// change gives a file other bytes, and has its documents indexed anew.
func (w *world) change() {
	f := pick(w, w.files)
	blob, hash := w.keepBytes(w.content())
	w.try(func(tx store.Tx) error {
		now, err := tx.File(f.ID)
		if err != nil {
			return err
		}
		now.Blob, now.Hash = blob, hash
		now.Size = int64(len(fmt.Sprintf("edition%d of the common words", w.edition)))
		holders, err := tx.CollectionsOf(f.ID)
		if err == nil {
			err = tx.PutFile(now, w.act("file.updated"))
		}
		for _, c := range holders {
			d, e := tx.Document(c, f.ID)
			if err = errors.Join(err, e); err == nil {
				d.Generation++
				err = tx.PutDocument(d, w.act("document.updated"))
			}
		}
		return err
	})
}

func (w *world) remove() {
	f, c := pick(w, w.files), pick(w, w.collections)
	w.try(func(tx store.Tx) error { return tx.DropDocument(c.ID, f.ID, w.act("document.removed")) })
}

func (w *world) deleteFile() {
	i := w.r.IntN(len(w.files))
	f := w.files[i]
	w.files = slices.Delete(w.files, i, i+1)
	w.try(func(tx store.Tx) error { return tx.DropFile(f.ID, w.act("file.deleted")) })
}

func (w *world) deleteCollection() {
	i := w.r.IntN(len(w.collections))
	c := w.collections[i]
	w.try(func(tx store.Tx) error { return tx.DropCollection(c.ID, w.act("collection.deleted")) })
	w.collections[i] = w.collect(nil)
}

// later lets time pass. A worker that has heard nothing for so long has stopped:
// its timer is the machine's, and is moved on here.
func (w *world) later(d time.Duration) {
	w.pass(d)
	for h, since := range w.live {
		if w.clock().Sub(since) >= workTime {
			h.cancel(errLost)
		}
	}
}

// worker claims a task and works on it, unless it dies on the way.
func (w *world) worker() {
	if w.depth > 2 {
		return
	}
	w.depth++
	defer func() { w.depth-- }()
	at := w.clock()
	h, err := w.claim(w.ctx)
	if errors.Is(err, gatehouse.NotFound) {
		return
	}
	w.must(err)
	w.live[h] = at
	state, err := h.attempt()
	if !w.dead[h] && w.killing && w.chance(10) {
		w.dead[h] = true
	}
	if w.dead[h] {
		h.letGo()
	} else {
		h.settle(state, err)
	}
	delete(w.live, h)
}

// moment is one between two steps of a worker: others act, time passes, it dies.
func (w *world) moment(ctx context.Context) error {
	if !w.killing {
		return ctx.Err()
	}
	for w.chance(30) {
		w.something()
	}
	for h := range w.live {
		if h.ctx == ctx && w.chance(6) {
			w.dead[h] = true
			h.cancel(errors.New("killed"))
		}
	}
	return ctx.Err()
}

// settleDown works and sweeps until nothing is left to do.
func (w *world) settleDown() {
	w.killing = false
	for range 12 {
		w.later(longestWait)
		w.drain()
		w.sweep(w.ctx)
		w.drain()
	}
	w.must(w.Store.Work(w.ctx, func(work store.Work) error {
		n, err := work.TasksLeft()
		if n != 0 {
			w.Errorf("%d tasks are left", n)
		}
		return err
	}))
}

func (w *world) compareWithTruth() {
	w.Helper()
	want, got := map[string]bool{}, map[string]bool{}
	blobs, kept := map[string]bool{}, map[string]bool{}
	w.must(w.Store.View(w.ctx, func(v store.View) error {
		files, err := v.Files(store.LibraryList{Team: w.team, Sort: gatehouse.SortByAge, Limit: 1000})
		for _, f := range files {
			blobs[f.Blob] = true
		}
		for _, c := range w.collections {
			documents, e := v.Documents(store.LibraryList{Team: w.team, Collection: c.ID, Sort: gatehouse.SortByAge, Limit: 1000})
			err = errors.Join(err, e)
			for _, d := range documents {
				want[fmt.Sprint(c.ID, d.FileID)] = true
				if d.State.Status != gatehouse.DocumentProcessed || d.State.Problem != "" {
					w.Errorf("%+v", d.State)
				}
				w.hasEdition(c.ID, d)
			}
		}
		return err
	}))
	for _, e := range w.entries() {
		got[fmt.Sprint(e.Collection, e.Document)] = true
	}
	if !maps.Equal(got, want) {
		w.Errorf("the index has %d documents, the store %d:\n%v\n%v", len(got), len(want), got, want)
	}
	w.must(w.blobs.List(w.ctx, func(name string) error { kept[name] = true; return nil }))
	if !maps.Equal(kept, blobs) {
		w.Errorf("%d blobs are kept, and files have %d", len(kept), len(blobs))
	}
}

// hasEdition checks that what is found of a document is what its blob says.
func (w *world) hasEdition(c gatehouse.ID, d *gatehouse.Document) {
	w.Helper()
	body, err := w.openBlob(w.ctx, d.File, 0)
	w.must(err)
	defer body.Close()
	_, err = plain{}.Extract(w.ctx, extract.Document{Body: body}, func(p extract.Part) error {
		if got := w.finds(c, p.Text[:len(p.Text)-len(" of the common words")]); !slices.Contains(got, p.Text) {
			w.Errorf("%q is not found: %q", p.Text, got)
		}
		return nil
	})
	w.must(err)
}

// between is the index, with moments before and after every change.
type between struct {
	index.Index
	w *world
}

func (b *between) around(ctx context.Context, f func() error) error {
	if err := b.w.moment(ctx); err != nil {
		return err
	}
	return errors.Join(f(), b.w.moment(ctx))
}

func (b *between) PutCollection(ctx context.Context, team gatehouse.ID, c index.Collection) error {
	return b.around(ctx, func() error { return b.Index.PutCollection(ctx, team, c) })
}

func (b *between) DeleteCollection(ctx context.Context, team, collection gatehouse.ID) error {
	return b.around(ctx, func() error { return b.Index.DeleteCollection(ctx, team, collection) })
}

func (b *between) PutDocument(ctx context.Context, team, collection gatehouse.ID, d index.Document, chunks iter.Seq2[index.Chunk, error]) error {
	return b.around(ctx, func() error { return b.Index.PutDocument(ctx, team, collection, d, chunks) })
}

func (b *between) DeleteDocument(ctx context.Context, team, collection, document gatehouse.ID) error {
	return b.around(ctx, func() error { return b.Index.DeleteDocument(ctx, team, collection, document) })
}

// meanwhile extracts, and other things happen.
type meanwhile struct{ w *world }

func (m meanwhile) Extract(ctx context.Context, d extract.Document, yield func(extract.Part) error) (extract.Result, error) {
	if err := m.w.moment(ctx); err != nil {
		return extract.Result{}, err
	}
	return plain{}.Extract(ctx, d, yield)
}

// onPut does something once, before a collection is put.
type onPut struct {
	index.Index
	before func()
}

func (o *onPut) PutCollection(ctx context.Context, team gatehouse.ID, c index.Collection) error {
	if f := o.before; f != nil {
		o.before = nil
		f()
	}
	return o.Index.PutCollection(ctx, team, c)
}

// TestADeadWorkerLeavesNothingOfADeletedCollection: a worker that is about to
// write when the collection is deleted and purged makes it in the index again;
// what it leaves is taken out, whether it ends or dies.
func TestADeadWorkerLeavesNothingOfADeletedCollection(t *testing.T) {
	for _, dies := range []bool{false, true} {
		at := &onPut{}
		w := newWorkshop(t, func(c *Config) { at.Index, c.Index = c.Index, at; c.Workers = 1 })
		w.parsing = make(chan struct{}, 2)
		c := w.collect(nil)
		w.upload(c, w.newFile("a.txt", "words"), nil)
		at.before = func() {
			w.update(func(tx store.Tx) error { return tx.DropCollection(c.ID, w.act("collection.deleted")) })
			w.drain()
		}
		h, err := w.claim(w.ctx)
		w.must(err)
		state, err := h.attempt()
		if len(w.entries()) != 1 {
			t.Fatal("the case is not what it is to be")
		}
		if dies {
			h.letGo()
		} else {
			h.settle(state, err)
		}
		w.pass(leaseLength + time.Second)
		w.sweep(w.ctx)
		w.drain()
		if _, err := w.Index.Stats(w.ctx, w.team, c.ID); len(w.entries()) != 0 || !errors.Is(err, gatehouse.NotFound) {
			t.Errorf("dies %v: %v", dies, w.entries())
		}
	}
}
