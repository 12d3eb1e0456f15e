package storetest

import (
	"errors"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

var workPromises = []promise{
	{"work and ingest touch neither revision nor log", workTouchesNothing},
	{"work that fails leaves nothing", workIsAtomic},
	{"an update goes before the jobs that wait", updatesGoFirst},
	{"a lease is one holder's until it runs out", leases},
	{"text that some engine cannot hold is refused in records, and replaced in what comes from outside", unholdable},
}

func workTouchesNothing(b *bench) {
	rev, tree := b.putKey(b.key("a", start)), b.tree()
	ch := b.s.Changed()
	b.insert(b.usage(start))
	b.work(func(w store.Work) error {
		b.ok(w.TouchKeys([]store.LastUse{{KeyID: gatehouse.NewID(), Last4: "a", Time: start}}))
		b.ok(w.SeenGateway(&gatehouse.Gateway{ID: gatehouse.NewID()}))
		return w.PutCheckpoint(1, []byte("n"))
	})
	b.equal(b.revision(), rev)
	b.equal(b.tree(), tree)
	select {
	case <-ch:
		b.Fatal("work woke the feed")
	default:
	}
}

func workIsAtomic(b *bench) {
	mine, k := errors.New("mine"), gatehouse.NewID()
	err := b.s.Work(b.ctx, func(w store.Work) error {
		b.ok(w.TouchKeys([]store.LastUse{{KeyID: k, Last4: "a", Time: start}}))
		return mine
	})
	if !errors.Is(err, mine) {
		b.Fatalf("got %v", err)
	}
	b.view(func(v store.View) error {
		use, err := v.LastUse(k)
		b.equal(len(use), 0)
		return err
	})
}

// updatesGoFirst holds the writer in one job while more jobs and an update
// queue up, and looks at who comes next.
func updatesGoFirst(b *bench) {
	var order []string // written by the writer alone
	held, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		b.s.Work(b.ctx, func(store.Work) error { close(held); <-release; return nil })
	})
	<-held
	for range 8 {
		wg.Go(func() {
			b.s.Ingest(b.ctx, func(store.Ingest) error { order = append(order, "job"); return nil })
		})
	}
	queued := make(chan struct{})
	wg.Go(func() {
		close(queued)
		b.s.Update(b.ctx, b.cause(), func(store.Tx) error { order = append(order, "update"); return nil })
	})
	<-queued
	// The update cannot say that it is in the queue; it gets there long before
	// this deadline, and a slow machine can only make the case pass.
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	wg.Wait()
	b.equal(len(order), 9)
	b.equal(order[0], "update")
}

func leases(b *bench) {
	take := func(holder string, at time.Duration) (held bool) {
		b.work(func(w store.Work) (err error) {
			held, err = w.Lease("job", holder, start.Add(at), start.Add(at+time.Minute))
			return err
		})
		return held
	}
	b.equal(take("a", 0), true)
	b.equal(take("b", 59*time.Second), false)
	b.equal(take("a", 30*time.Second), true)
	b.equal(take("b", 89*time.Second), false)
	b.equal(take("b", 90*time.Second), true)
	b.equal(take("a", 91*time.Second), false)
}

func unholdable(b *bench) {
	for _, text := range []string{"a\x00b", "a\xffb"} {
		k := b.key(text, start)
		_, err := b.s.Update(b.ctx, b.cause(), func(tx store.Tx) error { return tx.PutKey(k, b.act("x", "x")) })
		b.is(err, gatehouse.InvalidArgument)
		u := b.usage(start)
		u.Model, u.ClientIP = text, text
		b.equal(b.insert(u), []bool{true})
		b.ingest(func(i store.Ingest) error {
			return i.PutObjects([]store.Object{{ID: text, TeamID: b.team, UpstreamID: b.team, Model: text, CreateTime: start}})
		})
		b.work(func(w store.Work) error {
			return w.SeenGateway(&gatehouse.Gateway{ID: gatehouse.NewID(), Problem: text})
		})
		b.putKey(b.key("after", start))
	}
	for _, u := range b.rows(store.UsageScan{}) {
		b.equal(u.Model, "a\uFFFDb")
	}
}
