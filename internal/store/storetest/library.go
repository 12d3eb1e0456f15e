package storetest

import (
	"fmt"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

var libraryPromises = []promise{
	{"a file is read as it was put, with its link, and is gone once it is dropped", filesComeAndGo},
	{"files, collections and documents are in the audit log and not in the feed", libraryIsQuiet},
	{"a file that collections own is there while one of them is", ownedFiles},
	{"documents of a dropped collection or file are gone, and wait to be dropped", goneDocuments},
	{"a team's sums follow what comes, grows and goes", librarySums},
	{"a document's fields are found by value, however long, and by name", documentFields},
	{"a document needs a file and a collection of its team", documentNeedsItsOwn},
	{"files whose time has come are listed", filesOver},
	{"an update that fails leaves nothing of the library", libraryIsAtomic},
}

// blob plans and stores a blob for a team, as an upload does.
func (b *bench) blob(team gatehouse.ID) store.Blob {
	b.Helper()
	id := strings.ReplaceAll(gatehouse.NewID().String(), "-", "")
	x := store.Blob{Name: id, Team: team, Hash: "hash" + id, Size: 10}
	b.work(func(w store.Work) error {
		b.ok(w.PlanBlob(x, time.Now().Add(time.Hour)))
		return w.StoredBlob(x.Name, time.Now().Add(time.Hour))
	})
	return x
}

// file makes a file of the bench's team; it is not kept yet.
func (b *bench) file(name string, size int64) *gatehouse.File {
	b.Helper()
	x := b.blob(b.team)
	return &gatehouse.File{ID: gatehouse.NewID(), TeamID: b.team, UserID: b.user, Name: name, ContentType: "text/plain", Size: size, Hash: x.Hash, Blob: x.Name, CreateTime: start}
}

func (b *bench) putFile(f *gatehouse.File) *gatehouse.File {
	b.Helper()
	b.update(func(tx store.Tx) error { return tx.PutFile(f, b.act("file.created", "a file")) })
	return f
}

func (b *bench) collection(name string) *gatehouse.Collection {
	b.Helper()
	c := &gatehouse.Collection{ID: gatehouse.NewID(), TeamID: b.team, Name: name, Chunks: []byte(`{}`), Metric: "cosine", CreateTime: start}
	b.update(func(tx store.Tx) error {
		return tx.PutCollection(c, b.act("collection.created", "a collection"))
	})
	return c
}

func (b *bench) document(c *gatehouse.Collection, f *gatehouse.File, fields map[string]string) *gatehouse.Document {
	return &gatehouse.Document{CollectionID: c.ID, FileID: f.ID, TeamID: b.team, Fields: fields, CreateTime: start, Generation: 1}
}

func (b *bench) add(c *gatehouse.Collection, f *gatehouse.File, fields map[string]string) *gatehouse.Document {
	b.Helper()
	d := b.document(c, f, fields)
	b.update(func(tx store.Tx) error { return tx.PutDocument(d, b.act("document.added", "a document")) })
	return d
}

// own uploads a file through a collection.
func (b *bench) own(c *gatehouse.Collection, name string, size int64) *gatehouse.File {
	b.Helper()
	f := b.file(name, size)
	f.Owned = true
	b.update(func(tx store.Tx) error {
		b.ok(tx.PutFile(f, b.act("file.created", "a file")))
		return tx.PutDocument(b.document(c, f, nil), b.act("document.added", "a document"))
	})
	return f
}

func (b *bench) dropFile(f *gatehouse.File) {
	b.Helper()
	b.update(func(tx store.Tx) error { return tx.DropFile(f.ID, b.act("file.deleted", "a file")) })
}

func (b *bench) dropCollection(c *gatehouse.Collection) {
	b.Helper()
	b.update(func(tx store.Tx) error {
		return tx.DropCollection(c.ID, b.act("collection.deleted", "a collection"))
	})
}

func (b *bench) remove(collection, file gatehouse.ID) {
	b.Helper()
	b.update(func(tx store.Tx) error {
		return tx.DropDocument(collection, file, b.act("document.removed", "a document"))
	})
}

// sweep drops what dropped collections and files left behind.
func (b *bench) sweep() {
	b.Helper()
	var gone []*gatehouse.Document
	b.view(func(v store.View) (err error) { gone, err = v.DocumentsGone(100); return err })
	for _, d := range gone {
		b.remove(d.CollectionID, d.FileID)
	}
	b.view(func(v store.View) error {
		left, err := v.DocumentsGone(100)
		b.equal(len(left), 0)
		return err
	})
}

// keeps checks a team's sums against its lists.
func (b *bench) keeps(files int, bytes int64) {
	b.Helper()
	b.view(func(v store.View) error {
		n, size, err := v.LibrarySize(b.team)
		b.ok(err)
		b.equal([]int64{int64(n), size}, []int64{int64(files), bytes})
		all, err := v.Files(store.LibraryList{Team: b.team, Sort: gatehouse.SortByAge, Limit: 1000})
		b.equal(len(all), files)
		return err
	})
}

func (b *bench) holds(c *gatehouse.Collection, documents int, bytes int64) {
	b.Helper()
	b.view(func(v store.View) error {
		n, size, err := v.CollectionSize(c.ID)
		b.ok(err)
		b.equal([]int64{int64(n), size}, []int64{int64(documents), bytes})
		all, err := v.Documents(store.LibraryList{Team: b.team, Collection: c.ID, Sort: gatehouse.SortByAge, Limit: 1000})
		b.equal(len(all), documents)
		return err
	})
}

func (b *bench) noFile(id gatehouse.ID) {
	b.Helper()
	b.view(func(v store.View) error {
		_, err := v.File(id)
		b.is(err, gatehouse.NotFound)
		return nil
	})
}

func (b *bench) noDocument(c, f gatehouse.ID) {
	b.Helper()
	b.view(func(v store.View) error {
		_, err := v.Document(c, f)
		b.is(err, gatehouse.NotFound)
		of, err := v.CollectionsOf(f)
		for _, id := range of {
			b.equal(id == c, false)
		}
		return err
	})
}

func filesComeAndGo(b *bench) {
	f := b.file("a.txt", 10)
	f.Link, f.LinkURL, f.LinkExpire = gatehouse.DigestOf("l"), "https://files.example/l", start.Add(time.Hour)
	b.putFile(f)
	get := func() (got *gatehouse.File) {
		b.view(func(v store.View) (err error) { got, err = v.File(f.ID); return err })
		return got
	}
	b.equal(get(), f)
	f.Name, f.Link, f.LinkURL, f.LinkExpire = "b.txt", gatehouse.Digest{}, "", time.Time{}
	b.putFile(f)
	b.equal(get(), f)
	b.dropFile(f)
	b.noFile(f.ID)
	b.keeps(0, 0)
	_, err := b.s.Update(b.ctx, b.cause(), func(tx store.Tx) error { return tx.PutFile(f, b.act("file.created", "again")) })
	b.is(err, gatehouse.FailedPrecondition)
	_, err = b.s.Update(b.ctx, b.cause(), func(tx store.Tx) error { return tx.DropFile(f.ID, b.act("file.deleted", "again")) })
	b.is(err, gatehouse.NotFound)
}

func libraryIsQuiet(b *bench) {
	ch := b.s.Changed()
	c, f := b.collection("c"), b.putFile(b.file("f", 1))
	d := b.add(c, f, nil)
	b.remove(c.ID, f.ID)
	b.dropFile(f)
	b.dropCollection(c)
	changes, _, _ := b.changes(gatehouse.Revision{}, 99)
	b.equal(len(changes), 0)
	select {
	case <-ch:
		b.Fatal("the library woke the feed")
	default:
	}
	var got []string
	for _, e := range b.events(gatehouse.EventFilter{After: -1, Ascending: true}) {
		got = append(got, string(e.Kind)+" "+e.Subject)
	}
	doc := "document " + d.CollectionID.String() + "/" + d.FileID.String()
	b.equal(got, []string{"collection " + c.ID.String(), "file " + f.ID.String(), doc, doc, "file " + f.ID.String(), "collection " + c.ID.String()})
}

func ownedFiles(b *bench) {
	one, two := b.collection("one"), b.collection("two")
	f := b.own(one, "f", 7)
	b.keeps(1, 7)
	b.add(two, f, nil)
	b.keeps(1, 7)
	b.dropCollection(one)
	b.keeps(1, 7)
	b.sweep()
	b.remove(two.ID, f.ID)
	b.noFile(f.ID)
	b.keeps(0, 0)
	g := b.own(two, "g", 5)
	b.keeps(1, 5)
	b.dropCollection(two)
	b.noFile(g.ID)
	b.keeps(0, 0)
	unheld := func() (out []*gatehouse.File) {
		b.view(func(v store.View) (err error) { out, err = v.FilesUnheld(10); return err })
		return out
	}
	b.equal(len(unheld()), 2)
	b.sweep()
	b.equal(len(unheld()), 2)
	for _, f := range unheld() {
		b.dropFile(f)
	}
	b.equal(len(unheld()), 0)
	b.keeps(0, 0)
	three := b.collection("three")
	h := b.own(three, "h", 9)
	b.dropCollection(three)
	for _, f := range unheld() { // before its document
		b.equal(f.ID, h.ID)
		b.dropFile(f)
	}
	b.sweep()
	b.keeps(0, 0)
	x, y := b.collection("x"), b.collection("y")
	both := b.own(x, "both", 3)
	b.add(y, both, nil)
	b.dropCollection(x)
	b.dropCollection(y)
	b.noFile(both.ID)
	b.sweep()
	b.keeps(0, 0)
}

func goneDocuments(b *bench) {
	one, two := b.collection("one"), b.collection("two")
	f, g := b.putFile(b.file("f", 1)), b.putFile(b.file("g", 2))
	d := b.add(one, f, map[string]string{"k": "v"})
	b.add(one, g, nil)
	b.add(two, f, nil)
	b.holds(one, 2, 3)
	b.view(func(v store.View) error {
		got, err := v.Document(one.ID, f.ID)
		b.ok(err)
		d.File, d.State = f, gatehouse.DocumentState{Status: gatehouse.DocumentProcessing}
		b.equal(got, d)
		all, err := v.Documents(store.LibraryList{Team: b.team, Collection: one.ID, Sort: gatehouse.SortByName, Ascending: true, Limit: 1})
		b.equal(all, []*gatehouse.Document{d})
		return err
	})
	b.dropFile(f)
	b.noDocument(one.ID, f.ID)
	b.holds(one, 1, 2)
	b.holds(two, 0, 0)
	b.dropCollection(one)
	b.noDocument(one.ID, g.ID)
	b.view(func(v store.View) error {
		gone, err := v.DocumentsGone(10)
		b.equal(len(gone), 3)
		got, err2 := v.DocumentsGone(2)
		b.equal(len(got), 2)
		b.ok(err2)
		_, err3 := v.Collection(one.ID)
		b.is(err3, gatehouse.NotFound)
		list, err3 := v.Documents(store.LibraryList{Team: b.team, Collection: one.ID, Sort: gatehouse.SortByAge, Limit: 9})
		b.equal(len(list), 0)
		b.ok(err3)
		return err
	})
	b.sweep()
	b.holds(two, 0, 0)
	again := b.putFile(b.file("again", 1))
	b.add(two, again, nil)
	b.remove(two.ID, again.ID)
	b.add(two, again, nil) // a file may come back into a collection
	b.holds(two, 1, 1)
}

func librarySums(b *bench) {
	c := b.collection("c")
	f, g := b.putFile(b.file("f", 10)), b.own(c, "g", 5)
	b.add(c, f, nil)
	b.keeps(2, 15)
	b.holds(c, 2, 15)
	next := b.blob(b.team)
	f.Size, f.Blob = 100, next.Name
	g.Size = 50
	b.putFile(f)
	b.putFile(g)
	b.keeps(2, 150)
	b.holds(c, 2, 150)
	b.view(func(v store.View) error {
		n, err := v.CollectionCount(b.team)
		b.equal(n, 1)
		b.ok(err)
		all, err := v.Collections(store.LibraryList{Team: b.team, Sort: gatehouse.SortByName, Limit: 9})
		b.equal(all, []*gatehouse.CollectionView{{Collection: c, Documents: 2, Bytes: 150}})
		return err
	})
	b.remove(c.ID, f.ID)
	b.holds(c, 1, 50)
	b.dropCollection(c)
	b.keeps(1, 100)
	b.view(func(v store.View) error {
		n, err := v.CollectionCount(b.team)
		b.equal(n, 0)
		return err
	})
}

func documentFields(b *bench) {
	c, f, g := b.collection("c"), b.putFile(b.file("f", 1)), b.putFile(b.file("g", 1))
	long := strings.Repeat("x", gatehouse.MaxFieldValue)
	d := b.add(c, f, map[string]string{"isbn": long, "year": "1999"})
	b.add(c, g, map[string]string{"year": "1999"})
	with := func(key, value string) (id gatehouse.ID) {
		b.view(func(v store.View) (err error) { id, err = v.DocumentWith(c.ID, key, value); return err })
		return id
	}
	having := func(key string, limit int) (n int) {
		b.view(func(v store.View) error {
			ids, err := v.DocumentsHaving(c.ID, key, limit)
			n = len(ids)
			return err
		})
		return n
	}
	b.equal(with("isbn", long), f.ID)
	b.equal(with("isbn", long[1:]), gatehouse.ID{})
	b.equal([]int{having("year", 9), having("year", 1), having("isbn", 9), having("none", 9)}, []int{2, 1, 1, 0})
	d.Fields = map[string]string{"year": "2000"}
	b.update(func(tx store.Tx) error { return tx.PutDocument(d, b.act("document.updated", "fields")) })
	b.equal(with("isbn", long), gatehouse.ID{})
	b.equal(with("year", "2000"), f.ID)
	b.dropFile(f)
	b.equal(with("year", "2000"), gatehouse.ID{})
	b.dropCollection(c)
	b.equal(with("year", "1999"), gatehouse.ID{})
	b.equal(having("year", 9), 0)
}

func documentNeedsItsOwn(b *bench) {
	c, f := b.collection("c"), b.putFile(b.file("f", 1))
	put := func(d *gatehouse.Document) error {
		_, err := b.s.Update(b.ctx, b.cause(), func(tx store.Tx) error { return tx.PutDocument(d, b.act("document.added", "d")) })
		return err
	}
	foreign := b.document(c, f, nil)
	foreign.TeamID = gatehouse.NewID()
	b.is(put(foreign), gatehouse.NotFound)
	b.is(put(b.document(c, &gatehouse.File{ID: gatehouse.NewID()}, nil)), gatehouse.NotFound)
	b.is(put(b.document(&gatehouse.Collection{ID: gatehouse.NewID()}, f, nil)), gatehouse.NotFound)
	b.ok(put(b.document(c, f, nil)))
	b.dropFile(f)
	b.is(put(b.document(c, f, nil)), gatehouse.NotFound)
}

func filesOver(b *bench) {
	for i := range 3 {
		f := b.file(fmt.Sprint(i), 1)
		if i > 0 {
			f.ExpireTime = start.Add(time.Duration(i) * time.Hour)
		}
		b.putFile(f)
	}
	over := func(at time.Time) (names []string) {
		b.view(func(v store.View) error {
			all, err := v.FilesOver(at, 9)
			for _, f := range all {
				names = append(names, f.Name)
			}
			return err
		})
		return names
	}
	b.equal(over(start), []string(nil))
	b.equal(over(start.Add(time.Hour)), []string{"1"})
	b.equal(over(start.Add(9*time.Hour)), []string{"1", "2"})
}

func libraryIsAtomic(b *bench) {
	c, f := b.collection("c"), b.file("f", 5)
	_, err := b.s.Update(b.ctx, b.cause(), func(tx store.Tx) error {
		b.ok(tx.PutFile(f, b.act("file.created", "f")))
		b.ok(tx.PutDocument(b.document(c, f, nil), b.act("document.added", "d")))
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "no")
	})
	b.is(err, gatehouse.FailedPrecondition)
	b.noFile(f.ID)
	b.keeps(0, 0)
	b.holds(c, 0, 0)
	b.work(func(w store.Work) error {
		n, err := w.TasksLeft()
		b.equal(n, int64(0))
		return err
	})
	b.putFile(f) // the revision that it tried under left no head behind
}
