package sqlite_test

import (
	"errors"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// shelved is a vault with a collection, a file and a document.
type shelved struct {
	*vault
	collection *gatehouse.Collection
	file       *gatehouse.File
}

func newShelved(t *testing.T) *shelved {
	v := newVault(t)
	s := &shelved{v, &gatehouse.Collection{ID: gatehouse.NewID(), TeamID: v.team, Name: "c", CreateTime: time.Now().UTC()}, nil}
	s.file = &gatehouse.File{ID: gatehouse.NewID(), TeamID: v.team, Name: "secret name", Blob: "blob", Size: 1, LinkURL: "https://files.example/hidden", CreateTime: time.Now().UTC()}
	v.must(v.db.Work(t.Context(), func(w store.Work) error {
		return errors.Join(w.PlanBlob(store.Blob{Name: "blob", Team: v.team}, time.Now()), w.StoredBlob("blob", time.Now()))
	}))
	s.update(func(tx store.Tx) error {
		return errors.Join(tx.PutCollection(s.collection, created(v.team, "c")), tx.PutFile(s.file, created(v.team, "f")),
			tx.PutDocument(&gatehouse.Document{CollectionID: s.collection.ID, FileID: s.file.ID, TeamID: v.team, Fields: map[string]string{"k": "v"}, CreateTime: time.Now().UTC()}, created(v.team, "d")))
	})
	return s
}

func (s *shelved) update(f func(store.Tx) error) {
	s.Helper()
	_, err := s.db.Update(s.Context(), gatehouse.Cause{}, f)
	s.must(err)
}

// nothing checks that none of it is served.
func (s *shelved) nothing() {
	s.Helper()
	s.must(s.db.View(s.Context(), func(v store.View) error {
		_, file := v.File(s.file.ID)
		_, collection := v.Collection(s.collection.ID)
		_, document := v.Document(s.collection.ID, s.file.ID)
		for _, err := range []error{file, collection, document} {
			if !errors.Is(err, gatehouse.NotFound) {
				s.Errorf("served: %v", err)
			}
		}
		q := store.LibraryList{Team: s.team, Collection: s.collection.ID, Sort: gatehouse.SortByAge, Limit: 9}
		files, err := v.Files(q)
		collections, err2 := v.Collections(q)
		documents, err3 := v.Documents(q)
		of, err4 := v.CollectionsOf(s.file.ID)
		if len(files)+len(collections)+len(documents)+len(of) > 0 {
			s.Error("listed")
		}
		return errors.Join(err, err2, err3, err4)
	}))
}

// Whoever can write SQL must not bring back what somebody deleted.
func TestDroppedRowsThatAreRevivedAreNotServed(t *testing.T) {
	s := newShelved(t)
	tables := []string{"files", "collections", "documents", "library_files", "library_collections", "library_documents", "library_fields"}
	for _, table := range tables {
		s.exec("CREATE TABLE stolen_" + table + " AS SELECT * FROM " + table)
	}
	s.update(func(tx store.Tx) error {
		return errors.Join(tx.DropDocument(s.collection.ID, s.file.ID, created(s.team, "d")), tx.DropFile(s.file.ID, created(s.team, "f")), tx.DropCollection(s.collection.ID, created(s.team, "c")))
	})
	s.said = nil
	s.nothing()
	if len(s.said) > 0 {
		t.Errorf("what was dropped is reported: %q", s.said)
	}
	for _, table := range tables {
		s.exec("INSERT INTO " + table + " SELECT * FROM stolen_" + table)
	}
	s.nothing()
	s.must(s.reopen())
	s.nothing()
	if len(s.said) == 0 {
		t.Error("nothing was reported")
	}
}

// A name is a person's, and a link opens the file: neither may be left behind.
func TestDroppedRowsLeaveNoName(t *testing.T) {
	s := newShelved(t)
	var sealed []byte
	s.must(s.raw.QueryRow("SELECT sealed FROM files").Scan(&sealed))
	if len(sealed) == 0 {
		t.Error("the link is not sealed")
	}
	s.update(func(tx store.Tx) error {
		return errors.Join(tx.DropFile(s.file.ID, created(s.team, "f")), tx.DropDocument(s.collection.ID, s.file.ID, created(s.team, "d")), tx.DropCollection(s.collection.ID, created(s.team, "c")))
	})
	for _, table := range []string{"files", "collections", "documents", "library_files", "library_collections", "library_documents", "library_fields", "library_gone"} {
		var n int
		s.must(s.raw.QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n))
		if n > 0 {
			t.Errorf("%d rows of %s are left", n, table)
		}
	}
}

// Columns that lists go by have no MAC: moved to another team they show nothing.
func TestFilesMovedToAnotherTeamAreNotListed(t *testing.T) {
	s := newShelved(t)
	other := gatehouse.NewID()
	for _, table := range []string{"library_files", "library_collections", "library_documents"} {
		s.exec("UPDATE "+table+" SET team_id = ?", other.String())
	}
	s.must(s.db.View(t.Context(), func(v store.View) error {
		q := store.LibraryList{Team: other, Collection: s.collection.ID, Sort: gatehouse.SortByAge, Limit: 9}
		files, err := v.Files(q)
		collections, err2 := v.Collections(q)
		documents, err3 := v.Documents(q)
		if len(files)+len(collections)+len(documents) > 0 {
			t.Error("another team's library is listed")
		}
		return errors.Join(err, err2, err3)
	}))
}
