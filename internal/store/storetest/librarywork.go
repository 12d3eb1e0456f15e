package storetest

import (
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

var taskPromises = []promise{
	{"a new document leaves a task, which one holder works to its end", taskRuns},
	{"a document that changes while it is worked on has one holder, and is worked on again", taskChanges},
	{"a holder that died frees its task when its time ends", taskOutlives},
	{"a node that starts frees what it held, and nobody else's", taskFreed},
	{"what cannot be done now is done later, and its attempts are counted until it changes", taskLater},
	{"a dropped document is taken out of the index, and a dropped collection as a whole", tasksOfTheDropped},
	{"a document that comes back is not passed off as the one before", taskComesBack},
	{"what was indexed while it was dropped comes out again", taskLate},
	{"what is indexed is listed by collection and file, of all teams, and nothing else", processedAreListed},
	{"what the index lost is indexed anew, and neither its record nor the log knows", lostIsIndexedAnew},
	{"what is worked on, changed or gone is not indexed anew", lostNoMore},
	{"many who claim at once get a task each", tasksApart},
}

var blobPromises = []promise{
	{"bytes that a team has are found by their hash once they are whole", blobsAreFound},
	{"a file refuses bytes that are not its team's, not whole, or condemned", filesRefuseBlobs},
	{"a blob is condemned when no file refers to it and nobody holds it, for ever", blobsAreSwept},
}

func (b *bench) claim(holder string, at time.Time) (t *store.Task) {
	b.Helper()
	b.work(func(w store.Work) (err error) {
		t, err = w.ClaimTask(holder, at, at.Add(time.Minute))
		return err
	})
	return t
}

func (b *bench) noTask(at time.Time) {
	b.Helper()
	b.is(b.s.Work(b.ctx, func(w store.Work) error { _, err := w.ClaimTask("x", at, at); return err }), gatehouse.NotFound)
}

func (b *bench) end(t *store.Task, s *gatehouse.DocumentState) (done bool) {
	b.Helper()
	b.work(func(w store.Work) (err error) { done, err = w.EndTask(t, s); return err })
	return done
}

func (b *bench) hold(t *store.Task, until time.Time, s *gatehouse.DocumentState) (held bool) {
	b.Helper()
	b.work(func(w store.Work) (err error) { held, err = w.HoldTask(t, until, s); return err })
	return held
}

func (b *bench) state(d *gatehouse.Document) gatehouse.DocumentState {
	b.Helper()
	var got *gatehouse.Document
	b.view(func(v store.View) (err error) { got, err = v.Document(d.CollectionID, d.FileID); return err })
	return got.State
}

func (b *bench) again(d *gatehouse.Document) {
	b.Helper()
	d.Generation++
	b.update(func(tx store.Tx) error {
		return tx.PutDocument(d, b.act("document.updated", "a document"))
	})
}

// soon is when whatever was just put is due, by the store's clock.
func soon() time.Time { return time.Now().Add(time.Second) }

func taskRuns(b *bench) {
	d := b.add(b.collection("c"), b.putFile(b.file("f", 1)), nil)
	now := soon()
	t := b.claim("one", now)
	b.equal(*t, store.Task{Team: b.team, Collection: d.CollectionID, File: d.FileID, Kind: store.TaskIndex, Generation: 1, Holder: "one"})
	b.noTask(now)
	half := gatehouse.DocumentState{Status: gatehouse.DocumentChunked, Chunks: 4, ChunksDone: 1, Problem: "slow"}
	b.equal(b.hold(t, now.Add(2*time.Minute), &half), true)
	b.equal(b.state(d), half)
	b.equal(b.hold(t, now.Add(2*time.Minute), nil), true)
	b.noTask(now.Add(90 * time.Second))
	whole := gatehouse.DocumentState{Status: gatehouse.DocumentProcessed, Chunks: 4, ChunksDone: 4, IndexTime: start}
	b.equal(b.end(t, &whole), true)
	b.equal(b.state(d), whole)
	b.noTask(now.Add(time.Hour))
	b.equal(b.end(t, &whole), false)
	b.again(d)
	b.equal(b.state(d), gatehouse.DocumentState{Status: gatehouse.DocumentProcessing, IndexTime: start})
	b.equal(b.claim("one", soon()).Generation, int64(2))
}

func taskChanges(b *bench) {
	d := b.add(b.collection("c"), b.putFile(b.file("f", 1)), nil)
	t := b.claim("one", soon())
	same := *d // nothing of it has to be indexed anew
	b.update(func(tx store.Tx) error { return tx.PutDocument(&same, b.act("document.updated", "same")) })
	b.equal(b.hold(t, soon().Add(time.Minute), nil), true)
	b.again(d)
	b.noTask(soon())
	state := gatehouse.DocumentState{Status: gatehouse.DocumentProcessed}
	b.equal(b.hold(t, soon().Add(time.Minute), &state), false)
	b.noTask(soon())
	b.equal(b.end(t, &state), false)
	b.equal(b.state(d).Status, gatehouse.DocumentProcessing)
	next := b.claim("two", soon())
	b.equal([]int64{next.Generation, int64(next.Attempts)}, []int64{2, 0})
	b.equal(b.end(next, &state), true)
}

func taskFreed(b *bench) {
	c := b.collection("c")
	for _, name := range []string{"f", "g"} {
		b.add(c, b.putFile(b.file(name, 1)), nil)
	}
	now := soon()
	dead, living := b.claim("node-1/a", now), b.claim("node-10/b", now)
	b.noTask(now)
	b.work(func(w store.Work) error { return w.FreeTasks("node-1/", now) })
	b.equal(b.hold(living, now.Add(time.Hour), nil), true)
	b.equal(b.hold(dead, now.Add(time.Hour), nil), false)
	next := b.claim("node-1/c", now)
	b.equal(next.File, dead.File)
	b.equal(next.Attempts, 1)
	b.noTask(now)
}

func taskOutlives(b *bench) {
	b.add(b.collection("c"), b.putFile(b.file("f", 1)), nil)
	now := soon()
	dead := b.claim("one", now)
	b.noTask(now.Add(59 * time.Second))
	next := b.claim("two", now.Add(time.Minute))
	b.equal(next.Attempts, 1)
	b.equal(b.hold(dead, now.Add(time.Hour), nil), false)
	b.equal(b.end(dead, nil), false)
	b.work(func(w store.Work) error { return w.LaterTask(dead, now, nil) })
	b.noTask(now.Add(time.Minute))
	b.equal(b.end(next, &gatehouse.DocumentState{Status: gatehouse.DocumentFailed}), true)
}

func taskLater(b *bench) {
	d := b.add(b.collection("c"), b.putFile(b.file("f", 1)), nil)
	now := soon()
	t := b.claim("one", now)
	problem := gatehouse.DocumentState{Status: gatehouse.DocumentProcessing, Problem: "away"}
	b.work(func(w store.Work) error { return w.LaterTask(t, now.Add(time.Hour), &problem) })
	b.equal(b.state(d).Problem, "away")
	b.noTask(now.Add(59 * time.Minute))
	t = b.claim("one", now.Add(time.Hour))
	b.equal(t.Attempts, 1)
	b.work(func(w store.Work) error { return w.LaterTask(t, now.Add(2*time.Hour), nil) })
	b.again(d) // due at once, and from the beginning
	t = b.claim("one", soon())
	b.equal(t.Attempts, 0)
	b.again(d)
	b.work(func(w store.Work) error { return w.LaterTask(t, now.Add(9*time.Hour), &problem) })
	b.equal(b.state(d).Problem, "")
	b.equal(b.claim("two", soon()).Generation, int64(3))
}

func tasksOfTheDropped(b *bench) {
	c := b.collection("c")
	d, e := b.add(c, b.putFile(b.file("f", 1)), nil), b.add(c, b.putFile(b.file("g", 1)), nil)
	for range 2 {
		b.equal(b.end(b.claim("one", soon()), &gatehouse.DocumentState{Status: gatehouse.DocumentProcessed}), true)
	}
	b.remove(d.CollectionID, d.FileID)
	t := b.claim("one", soon())
	b.equal([]any{t.Kind, t.File, t.Collection}, []any{store.TaskUnindex, d.FileID, c.ID})
	b.equal(b.end(t, nil), true)
	b.again(e)
	b.dropCollection(c)
	b.sweep() // the task to index e is not worth doing
	t = b.claim("one", soon())
	b.equal([]any{t.Kind, t.File, t.Collection, t.Team}, []any{store.TaskPurge, gatehouse.ID{}, c.ID, b.team})
	b.noTask(soon())
	b.equal(b.hold(t, soon().Add(time.Minute), nil), true)
	b.equal(b.end(t, nil), true)
	b.noTask(soon().Add(time.Hour))
	b.work(func(w store.Work) error {
		n, err := w.TasksLeft()
		b.equal(n, int64(0))
		return err
	})
}

func taskComesBack(b *bench) {
	c, f := b.collection("c"), b.putFile(b.file("f", 1))
	d := b.add(c, f, nil)
	t := b.claim("one", soon())
	b.remove(d.CollectionID, d.FileID)
	b.noTask(soon()) // one works on it still
	next := b.add(c, f, map[string]string{"k": "v"})
	b.equal(b.end(t, &gatehouse.DocumentState{Status: gatehouse.DocumentProcessed}), false)
	b.equal(b.state(next).Status, gatehouse.DocumentProcessing)
	t = b.claim("two", soon())
	b.equal([]any{t.Kind, t.Generation}, []any{store.TaskIndex, next.Generation})
	b.equal(b.end(t, &gatehouse.DocumentState{Status: gatehouse.DocumentProcessed}), true)
}

func taskLate(b *bench) {
	c := b.collection("c")
	d := b.add(c, b.putFile(b.file("f", 1)), nil)
	t := b.claim("one", soon())
	b.dropCollection(c)
	b.equal(b.hold(t, soon().Add(time.Minute), nil), false)
	purge := b.claim("two", soon())
	b.equal(purge.Kind, store.TaskPurge)
	b.equal(b.end(purge, nil), true)
	b.equal(b.end(t, &gatehouse.DocumentState{Status: gatehouse.DocumentProcessed}), false)
	b.sweep()
	t = b.claim("one", soon())
	b.equal([]any{t.Kind, t.File}, []any{store.TaskUnindex, d.FileID})
	b.equal(b.end(t, nil), true)
	b.noTask(soon().Add(time.Hour))
}

func tasksApart(b *bench) {
	c := b.collection("c")
	for range 12 {
		b.add(c, b.putFile(b.file("f", 1)), nil)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := map[gatehouse.ID]int{}
	for range 12 {
		wg.Go(func() {
			var t *store.Task
			err := b.s.Work(b.ctx, func(w store.Work) (err error) {
				t, err = w.ClaimTask("one", soon(), soon().Add(time.Hour))
				return err
			})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				got[t.File]++
			}
		})
	}
	wg.Wait()
	b.equal(len(got), 12)
}

func blobsAreFound(b *bench) {
	x := store.Blob{Name: "blob-" + gatehouse.NewID().String(), Team: b.team, Hash: "h", Size: 3}
	take := func(team gatehouse.ID) (name string) {
		b.work(func(w store.Work) error {
			n, found, err := w.TakeBlob(team, "h", start.Add(time.Hour))
			b.equal(found, n != "")
			name = n
			return err
		})
		return name
	}
	b.equal(take(b.team), "")
	b.work(func(w store.Work) error { return w.PlanBlob(x, start) })
	b.is(b.s.Work(b.ctx, func(w store.Work) error { return w.PlanBlob(x, start) }), gatehouse.AlreadyExists)
	b.equal(take(b.team), "")
	b.work(func(w store.Work) error { return w.StoredBlob(x.Name, start) })
	b.equal(take(b.team), x.Name)
	b.equal(take(gatehouse.NewID()), "")
	b.equal(b.swept(start.Add(59*time.Minute)), []string(nil))
	b.equal(b.swept(start.Add(time.Hour)), []string{x.Name})
	b.equal(take(b.team), "")
}

func (b *bench) swept(at time.Time) (names []string) {
	b.Helper()
	b.work(func(w store.Work) (err error) { names, err = w.SweepBlobs(at, 10); return err })
	return names
}

func filesRefuseBlobs(b *bench) {
	f := b.file("f", 1)
	try := func(name string) error {
		g := *f
		g.ID, g.Blob = gatehouse.NewID(), name
		_, err := b.s.Update(b.ctx, b.cause(), func(tx store.Tx) error { return tx.PutFile(&g, b.act("file.created", "f")) })
		return err
	}
	b.is(try("absent"), gatehouse.Conflict)
	b.is(try(b.blob(gatehouse.NewID()).Name), gatehouse.Conflict)
	planned := store.Blob{Name: "planned" + gatehouse.NewID().String(), Team: b.team, Hash: "h"}
	b.work(func(w store.Work) error { return w.PlanBlob(planned, start) })
	b.is(try(planned.Name), gatehouse.Conflict)
	b.equal(b.swept(start), []string{planned.Name}) // an upload that died
	b.is(b.s.Work(b.ctx, func(w store.Work) error { return w.StoredBlob(planned.Name, start) }), gatehouse.Conflict)
	b.is(try(planned.Name), gatehouse.Conflict)
	b.ok(try(f.Blob))
	b.keeps(1, 1)
}

func blobsAreSwept(b *bench) {
	late := time.Now().Add(24 * time.Hour)
	c := b.collection("c")
	f, owned := b.putFile(b.file("f", 1)), b.own(c, "owned", 1)
	twin := *f
	twin.ID = gatehouse.NewID()
	b.putFile(&twin)
	first, next := f.Blob, b.blob(b.team)
	b.equal(b.swept(time.Now()), []string(nil)) // next is held
	b.dropCollection(c)
	b.sweep()
	b.dropFile(f)
	f2 := &twin
	f2.Blob = next.Name
	b.equal(b.swept(start), []string(nil))
	b.putFile(f2)
	b.equal(b.swept(late), []string{first}) // the owned one's file is not swept yet
	b.equal(b.swept(late), []string{first})
	b.dropFile(owned)
	b.equal(len(b.swept(late)), 2)
	b.work(func(w store.Work) error { return w.ForgetBlobs([]string{first, next.Name}) })
	b.equal(b.swept(late), []string{owned.Blob})
	b.view(func(v store.View) error { // what a file refers to was neither condemned nor forgotten
		got, err := v.File(f2.ID)
		b.ok(err)
		b.equal(got.Blob, next.Name)
		return nil
	})
	b.putFile(func() *gatehouse.File { g := *f2; g.ID = gatehouse.NewID(); return &g }())
}
