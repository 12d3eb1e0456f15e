package storetest

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// indexed works on what is due, to its end.
func (b *bench) indexed(n int) {
	b.Helper()
	for range n {
		t := b.claim("one", soon())
		b.equal(b.end(t, &gatehouse.DocumentState{Status: gatehouse.DocumentProcessed, Chunks: 3, ChunksDone: 3, IndexTime: start}), true)
	}
}

// ref is what the index is asked about.
func ref(d *gatehouse.Document) store.DocumentRef {
	return store.DocumentRef{Team: d.TeamID, Collection: d.CollectionID, File: d.FileID, Generation: d.Generation}
}

// processed pages through what is indexed.
func (b *bench) processed(limit int) (out []store.DocumentRef) {
	b.Helper()
	var last store.DocumentRef
	for {
		var page []store.DocumentRef
		b.view(func(v store.View) (err error) { page, err = v.DocumentsProcessed(last, limit); return err })
		if out = append(out, page...); len(page) < limit {
			return out
		}
		last = page[len(page)-1]
	}
}

func (b *bench) anew(refs ...store.DocumentRef) (n int64) {
	b.Helper()
	b.work(func(w store.Work) (err error) { n, err = w.IndexAnew(refs); return err })
	return n
}

func processedAreListed(b *bench) {
	var want []store.DocumentRef
	add := func(c *gatehouse.Collection) *gatehouse.Document {
		d := b.add(c, b.putFile(b.file("f", 1)), nil)
		want = append(want, ref(d))
		return d
	}
	mine := b.team
	for range 2 {
		b.team = gatehouse.NewID()
		for range 2 {
			c := b.collection("c")
			add(c)
			add(c)
		}
	}
	b.team = mine
	c, gone := b.collection("c"), b.collection("gone")
	dropped, fileless := b.add(gone, b.putFile(b.file("f", 1)), nil), b.file("f", 1)
	b.add(c, b.putFile(fileless), nil)
	changed := b.add(c, b.putFile(b.file("f", 1)), nil)
	b.equal(len(b.processed(3)), 0)
	b.indexed(len(want) + 3)
	b.equal(slices.Contains(b.processed(3), ref(dropped)), true)
	b.dropCollection(gone)
	b.dropFile(fileless)
	b.again(changed)
	b.add(c, b.putFile(b.file("f", 1)), nil)
	slices.SortFunc(want, func(x, y store.DocumentRef) int {
		return cmp.Or(bytes.Compare(x.Collection[:], y.Collection[:]), bytes.Compare(x.File[:], y.File[:]))
	})
	b.equal(b.processed(3), want)
	b.equal(b.processed(100), want)
}

func lostIsIndexedAnew(b *bench) {
	c := b.collection("c")
	var all []store.DocumentRef
	var one *gatehouse.Document
	for range 40 {
		one = b.add(c, b.putFile(b.file("f", 1)), nil)
		all = append(all, ref(one))
	}
	b.indexed(len(all))
	before := b.revision()
	b.equal(b.anew(all...), int64(len(all)))
	b.equal(b.anew(all...), int64(0))
	b.equal(b.anew(), int64(0))
	b.equal(b.revision(), before)
	b.equal(len(b.processed(100)), 0)
	b.equal(b.state(one), gatehouse.DocumentState{Status: gatehouse.DocumentProcessing, IndexTime: start})
	b.indexed(len(all))
	b.noTask(soon().Add(time.Hour))
	b.equal(len(b.processed(100)), len(all))
	b.is(b.s.Work(b.ctx, func(w store.Work) error { _, err := w.IndexAnew(make([]store.DocumentRef, 201)); return err }), gatehouse.InvalidArgument)
}

func lostNoMore(b *bench) {
	c, other := b.collection("c"), b.collection("other")
	failed, changed := b.add(c, b.putFile(b.file("f", 1)), nil), b.add(c, b.putFile(b.file("g", 1)), nil)
	file := b.putFile(b.file("h", 1))
	removed, fileless, homeless := b.add(c, b.putFile(b.file("i", 1)), nil), b.add(c, file, nil), b.add(other, b.putFile(b.file("j", 1)), nil)
	held := b.add(c, b.putFile(b.file("k", 1)), nil)
	all := []store.DocumentRef{ref(failed), ref(changed), ref(removed), ref(fileless), ref(homeless), ref(held), {Collection: c.ID, File: gatehouse.NewID()}}
	for range 6 {
		t, state := b.claim("one", soon()), gatehouse.DocumentState{Status: gatehouse.DocumentProcessed}
		switch t.File {
		case held.FileID:
			b.equal(b.hold(t, soon().Add(time.Hour), &state), true)
			continue
		case failed.FileID:
			state.Status = gatehouse.DocumentFailed
		}
		b.equal(b.end(t, &state), true)
	}
	b.again(changed)
	b.indexed(1)
	b.remove(removed.CollectionID, removed.FileID)
	b.equal(b.end(b.claim("one", soon()), nil), true)
	b.dropFile(file)
	b.dropCollection(other)
	b.equal(b.end(b.claim("one", soon()), nil), true)
	b.equal(b.anew(all...), int64(0))
	b.equal(b.state(held).Status, gatehouse.DocumentProcessed)
	b.equal(b.state(changed).Status, gatehouse.DocumentProcessed)
	b.noTask(soon())
}
