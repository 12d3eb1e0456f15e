package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

var updatePromises = []promise{
	{"revisions are gapless and in commit order under 32 writers", serialRevisions},
	{"a closure's error leaves no row, leaf, change, head or memory", errorLeavesNothing},
	{"an error strikes only its own member of a group", errorStrikesAlone},
	{"what records nothing uses up no revision", nothingUsesNothing},
	{"a closure reads what it and those before it wrote", readsOwnWrites},
	{"a cancelled context does not run the closure", cancelledDoesNotRun},
	{"a context that ends inside the closure does not undo the act", lateCancelStands},
	{"a panic reaches its caller and stops nobody else", panicIsTheCallers},
	{"a snapshot does not move", snapshotStandsStill},
	{"changes are deduplicated, whole and in order", changesInOrder},
	{"trimmed changes ask for a snapshot", trimmedChanges},
	{"Changed wakes after a change and not after a mere record", changedWakes},
	{"what is remembered is recalled until it expires", remembers},
	{"a closed store refuses", closedRefuses},
}

func serialRevisions(b *bench) {
	const writers, each = 32, 8
	var mu sync.Mutex
	seen := map[gatehouse.Revision]bool{}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				k := b.key(fmt.Sprintf("%d-%d", w, i), start)
				rev, err := b.s.Update(b.ctx, b.cause(), func(tx store.Tx) error {
					return tx.PutKey(k, b.act("api_key.created", "made"))
				})
				mu.Lock()
				if err != nil || seen[rev] || k.Revision != rev {
					b.Errorf("revision %s, key's %s, repeated %t: %v", rev, k.Revision, seen[rev], err)
				}
				seen[rev] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for n := int64(1); n <= writers*each; n++ {
		if !seen[gatehouse.Revision{Epoch: 1, N: n}] {
			b.Fatalf("revision 1.%d is missing", n)
		}
	}
	// The log is in commit order: its revisions must rise with its indexes.
	for i, e := range b.events(gatehouse.EventFilter{After: -1, Ascending: true}) {
		b.equal(e.Revision, gatehouse.Revision{Epoch: 1, N: int64(i) + 1})
	}
}

func errorLeavesNothing(b *bench) {
	b.putKey(b.key("first", start))
	before, rev := b.tree(), b.revision()
	k := b.key("second", start)
	mine := errors.New("mine")
	_, err := b.s.Update(b.ctx, b.cause(), func(tx store.Tx) error {
		b.ok(tx.PutKey(k, b.act("api_key.created", "unborn")))
		b.ok(tx.Record(b.act("x", "unborn")))
		b.ok(tx.Remember("m", []byte("v"), start.Add(time.Hour)))
		return mine
	})
	if !errors.Is(err, mine) {
		b.Fatalf("got %v, want the closure's own error", err)
	}
	b.equal(b.tree(), before)
	b.equal(b.revision(), rev)
	b.equal(len(b.events(gatehouse.EventFilter{TeamID: b.team, After: -1, Query: "unborn"})), 0)
	changes, _, _ := b.changes(rev, 10)
	b.equal(len(changes), 0)
	b.view(func(v store.View) error {
		_, err := v.Key(k.ID)
		b.is(err, gatehouse.NotFound)
		_, found, err := v.Recall("m", start)
		b.equal(found, false)
		return err
	})
	// The id was never used, so it can still be.
	b.equal(b.putKey(k), gatehouse.Revision{Epoch: 1, N: rev.N + 1})
}

func errorStrikesAlone(b *bench) {
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			k := b.key(fmt.Sprint(i), start)
			_, err := b.s.Update(b.ctx, b.cause(), func(tx store.Tx) error {
				if err := tx.PutKey(k, b.act("api_key.created", "x")); err != nil {
					return err
				}
				if i%2 == 0 {
					return gatehouse.Errorf(gatehouse.Conflict, "even")
				}
				return nil
			})
			if (i%2 == 0) != errors.Is(err, gatehouse.Conflict) || i%2 == 1 && err != nil {
				b.Errorf("writer %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	b.equal(b.revision(), gatehouse.Revision{Epoch: 1, N: 32})
	b.equal(b.tree().Size, int64(32))
}

func nothingUsesNothing(b *bench) {
	rev := b.update(func(tx store.Tx) error { return tx.Remember("k", []byte("v"), start.Add(time.Hour)) })
	b.equal(rev, gatehouse.Revision{})
	b.equal(b.revision(), gatehouse.Revision{Epoch: 1})
	b.equal(b.putKey(b.key("a", start)), gatehouse.Revision{Epoch: 1, N: 1})
}

func readsOwnWrites(b *bench) {
	k := b.key("a", start)
	b.update(func(tx store.Tx) error {
		b.ok(tx.PutKey(k, b.act("api_key.created", "a")))
		got, err := tx.Key(k.ID)
		b.ok(err)
		b.equal(got, k)
		b.equal(got.Revision, tx.At())
		got.Name = "b"
		b.ok(tx.PutKey(got, b.act("api_key.updated", "b")))
		got, err = tx.Key(k.ID)
		b.ok(err)
		b.equal(got.Name, "b")
		keys, err := tx.Keys(store.KeyList{Team: b.team, Limit: 10})
		b.equal(names(keys), []string{"b"})
		return err
	})
	b.equal(b.revision(), gatehouse.Revision{Epoch: 1, N: 1})
	b.equal(b.tree().Size, int64(2))
}

func cancelledDoesNotRun(b *bench) {
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	ran := false
	_, err := b.s.Update(ctx, b.cause(), func(store.Tx) error { ran = true; return nil })
	if !errors.Is(err, context.Canceled) || ran {
		b.Fatalf("err %v, ran %t", err, ran)
	}
	if err := b.s.Ingest(ctx, func(store.Ingest) error { ran = true; return nil }); !errors.Is(err, context.Canceled) || ran {
		b.Fatalf("err %v, ran %t", err, ran)
	}
}

func lateCancelStands(b *bench) {
	ctx, cancel := context.WithCancel(b.ctx)
	k := b.key("a", start)
	rev, err := b.s.Update(ctx, b.cause(), func(tx store.Tx) error {
		cancel()
		return tx.PutKey(k, b.act("api_key.created", "a"))
	})
	b.ok(err)
	b.equal(rev, b.revision())
}

func panicIsTheCallers(b *bench) {
	func() {
		defer func() { b.equal(recover(), "mine") }()
		b.s.Update(b.ctx, b.cause(), func(tx store.Tx) error {
			b.ok(tx.PutKey(b.key("a", start), b.act("api_key.created", "a")))
			panic("mine")
		})
	}()
	b.equal(b.putKey(b.key("b", start)), gatehouse.Revision{Epoch: 1, N: 1})
}

func snapshotStandsStill(b *bench) {
	k := b.key("a", start)
	b.putKey(k)
	b.view(func(v store.View) error {
		first, err := v.Key(k.ID)
		b.ok(err)
		later := *k
		later.Name = "b"
		b.putKey(&later)
		b.putKey(b.key("c", start))
		again, err := v.Key(k.ID)
		b.ok(err)
		b.equal(again, first)
		keys, err := v.Keys(store.KeyList{Team: b.team, Limit: 9})
		b.equal(names(keys), []string{"a"})
		rev, _ := v.Revision()
		b.equal(rev.N, int64(1))
		return err
	})
	b.view(func(v store.View) error {
		now, err := v.Key(k.ID)
		b.equal(now.Name, "b")
		return err
	})
}

func changesInOrder(b *bench) {
	k1, k2 := b.key("1", start), b.key("2", start)
	b.putKey(k1)
	r2 := b.putKey(k2)
	r3 := b.putKey(k1)
	r4 := b.update(func(tx store.Tx) error {
		b.ok(tx.PutModel(&gatehouse.Model{Name: "m1"}, b.act("model.created", "m1")))
		b.ok(tx.PutModel(&gatehouse.Model{Name: "m2"}, b.act("model.created", "m2")))
		return tx.PutModel(&gatehouse.Model{Name: "m1"}, b.act("model.updated", "m1"))
	})
	all, upTo, ok := b.changes(gatehouse.Revision{}, 100)
	b.equal(ok, true)
	b.equal(upTo, r4)
	b.equal(all, []gatehouse.Change{
		{Revision: r2, Kind: gatehouse.KindKey, ID: k2.ID.String()},
		{Revision: r3, Kind: gatehouse.KindKey, ID: k1.ID.String()},
		{Revision: r4, Kind: gatehouse.KindModel, ID: "m1"},
		{Revision: r4, Kind: gatehouse.KindModel, ID: "m2"},
	})
	page, upTo, _ := b.changes(r2, 2)
	b.equal(len(page), 3) // 1.3, then both of 1.4, which is never split
	b.equal(upTo, r4)
	page, upTo, _ = b.changes(gatehouse.Revision{Epoch: 1, N: 1}, 1)
	b.equal(len(page), 1)
	b.equal(upTo, r2)
	none, upTo, ok := b.changes(r4, 10)
	b.equal(len(none), 0)
	b.equal(upTo, r4)
	b.equal(ok, true)
	_, _, ok = b.changes(gatehouse.Revision{Epoch: 2, N: 1}, 10)
	b.equal(ok, false) // from a future that this timeline does not have
}

func trimmedChanges(b *bench) {
	first := b.putKey(b.key("a", start))
	b.work(func(w store.Work) error { return w.Trim(time.Now().Add(time.Hour)) })
	second := b.putKey(b.key("b", start))
	_, _, ok := b.changes(gatehouse.Revision{}, 10)
	b.equal(ok, false)
	changes, upTo, ok := b.changes(first, 10)
	b.equal(ok, true)
	b.equal(len(changes), 1)
	b.equal(upTo, second)
	b.work(func(w store.Work) error { return w.Trim(time.Now().Add(-time.Hour)) })
	_, _, ok = b.changes(first, 10)
	b.equal(ok, true)
}

func changedWakes(b *bench) {
	ch := b.s.Changed()
	b.update(func(tx store.Tx) error { return tx.Record(b.act("x", "y")) })
	select {
	case <-ch:
		b.Fatal("woke without a change")
	default:
	}
	b.putKey(b.key("a", start))
	select {
	case <-ch:
	default:
		b.Fatal("the change woke nobody before Update returned")
	}
}

func remembers(b *bench) {
	b.update(func(tx store.Tx) error {
		b.ok(tx.Remember("k", []byte("one"), start.Add(time.Minute)))
		return tx.Remember("k", []byte("two"), start.Add(time.Hour))
	})
	recall := func(key string, now time.Time) (value []byte, found bool) {
		b.view(func(v store.View) (err error) { value, found, err = v.Recall(key, now); return err })
		return value, found
	}
	value, found := recall("k", start.Add(time.Minute))
	b.equal(string(value), "two")
	b.equal(found, true)
	_, found = recall("k", start.Add(time.Hour))
	b.equal(found, false)
	_, found = recall("other", start)
	b.equal(found, false)
}

func closedRefuses(b *bench) {
	b.ok(b.s.Close())
	_, err := b.s.Update(b.ctx, b.cause(), func(store.Tx) error { return nil })
	b.is(err, gatehouse.Unavailable)
	b.is(b.s.View(b.ctx, func(store.View) error { return nil }), gatehouse.Unavailable)
	b.is(b.s.Work(b.ctx, func(store.Work) error { return nil }), gatehouse.Unavailable)
}
