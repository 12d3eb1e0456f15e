package postgres_test

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// keptBlob is a blob that a file may refer to.
func keptBlob(t testing.TB, s store.Store, team gatehouse.ID) store.Blob {
	t.Helper()
	id := gatehouse.NewID().String()
	b := store.Blob{Name: id, Team: team, Hash: "h" + id, Size: 3}
	err := s.Work(system, func(w store.Work) error {
		return errors.Join(w.PlanBlob(b, march.AddDate(9, 0, 0)), w.StoredBlob(b.Name, march.AddDate(9, 0, 0)))
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newFile(team gatehouse.ID, b store.Blob, name string) *gatehouse.File {
	return &gatehouse.File{ID: gatehouse.NewID(), TeamID: team, Name: name, Size: b.Size, Hash: b.Hash, Blob: b.Name, CreateTime: march}
}

// shelve gives a team something in every table of the library. It is seven acts.
func shelve(t testing.TB, s store.Store, team gatehouse.ID) *gatehouse.Collection {
	t.Helper()
	c := &gatehouse.Collection{ID: gatehouse.NewID(), TeamID: team, Name: "c", Chunks: []byte(`{}`), Metric: "cosine", CreateTime: march}
	gone := &gatehouse.Collection{ID: gatehouse.NewID(), TeamID: team, Name: "gone", Chunks: []byte(`{}`), CreateTime: march}
	f, owned := newFile(team, keptBlob(t, s, team), "f"), newFile(team, keptBlob(t, s, team), "owned")
	f.Link, f.LinkURL, f.ExpireTime, owned.Owned = gatehouse.DigestOf("l"), "https://files.example/l", march.AddDate(0, 0, 9), true
	_, err := s.Update(system, gatehouse.Cause{}, func(tx store.Tx) error {
		return errors.Join(
			tx.PutCollection(c, act(team, "c")), tx.PutCollection(gone, act(team, "c")), tx.PutFile(f, act(team, "f")), tx.PutFile(owned, act(team, "f")),
			tx.PutDocument(&gatehouse.Document{CollectionID: c.ID, FileID: f.ID, TeamID: team, Fields: map[string]string{"k": "v"}, CreateTime: march}, act(team, "d")),
			tx.PutDocument(&gatehouse.Document{CollectionID: gone.ID, FileID: owned.ID, TeamID: team, CreateTime: march}, act(team, "d")),
			tx.DropCollection(gone.ID, act(team, "c")))
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// shelf is all that a store says of a team's library.
func shelf(t *testing.T, s store.Store, c *gatehouse.Collection) map[string]any {
	t.Helper()
	out := map[string]any{}
	q := store.LibraryList{Team: c.TeamID, Collection: c.ID, Sort: gatehouse.SortByName, Limit: 9}
	err := s.View(system, func(v store.View) error {
		keep := func(name string, what any, err error) {
			if out[name] = what; err != nil || reflect.ValueOf(what).IsZero() {
				t.Errorf("%s: %v, %v", name, what, err)
			}
		}
		files, err := v.Files(q)
		keep("files", files, err)
		collections, err := v.Collections(q)
		keep("collections", collections, err)
		documents, err := v.Documents(q)
		keep("documents", documents, err)
		gone, err := v.DocumentsGone(9)
		keep("gone", gone, err)
		unheld, err := v.FilesUnheld(9)
		keep("unheld", unheld, err)
		with, err := v.DocumentWith(c.ID, "k", "v")
		keep("with", with, err)
		n, size, err := v.LibrarySize(c.TeamID)
		keep("size", []int64{int64(n), size}, err)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	err = s.Work(system, func(w store.Work) (err error) {
		left, err := w.TasksLeft()
		out["tasks"] = left
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return out
}

// TestNodesClaimTasksApart: a task is one node's, however many ask at once.
func TestNodesClaimTasksApart(t *testing.T) {
	_, dsn := database(t)
	nodes := []store.Store{open(t, dsn), open(t, dsn), open(t, dsn)}
	team, blob := gatehouse.NewID(), store.Blob{}
	c := &gatehouse.Collection{ID: gatehouse.NewID(), TeamID: team, CreateTime: march}
	blob = keptBlob(t, nodes[0], team)
	const all = 60
	_, err := nodes[0].Update(system, gatehouse.Cause{}, func(tx store.Tx) error {
		err := tx.PutCollection(c, act(team, "c"))
		for range all {
			f := newFile(team, blob, "f")
			err = errors.Join(err, tx.PutFile(f, act(team, "f")), tx.PutDocument(&gatehouse.Document{CollectionID: c.ID, FileID: f.ID, TeamID: team, CreateTime: march}, act(team, "d")))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Add(time.Minute)
	var mu sync.Mutex
	var wg sync.WaitGroup
	claimed := map[gatehouse.ID]int{}
	for n, node := range nodes {
		wg.Go(func() {
			for {
				var k *store.Task
				err := node.Work(system, func(w store.Work) (err error) {
					k, err = w.ClaimTask(fmt.Sprint(n), now, now.Add(time.Hour))
					return err
				})
				if gatehouse.CodeOf(err) == gatehouse.NotFound {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				claimed[k.File]++
				mu.Unlock()
				done := false
				err = node.Work(system, func(w store.Work) (err error) {
					done, err = w.EndTask(k, &gatehouse.DocumentState{Status: gatehouse.DocumentProcessed})
					return err
				})
				if !done || err != nil {
					t.Errorf("ended %t: %v", done, err)
				}
			}
		})
	}
	wg.Wait()
	for id, n := range claimed {
		if n != 1 {
			t.Errorf("%s was claimed %d times", id, n)
		}
	}
	if len(claimed) != all {
		t.Errorf("%d of %d were claimed", len(claimed), all)
	}
}

// TestASweepLeavesWhatAFileTakes: a node sweeps while another puts files. Either
// the file is refused, or its blob stays.
func TestASweepLeavesWhatAFileTakes(t *testing.T) {
	_, dsn := database(t)
	a, b := open(t, dsn), open(t, dsn)
	team := gatehouse.NewID()
	condemned := map[string]bool{}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			err := b.Work(system, func(w store.Work) error {
				names, err := w.SweepBlobs(march.AddDate(99, 0, 0), 100)
				for _, name := range names {
					condemned[name] = true
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	var kept []*gatehouse.File
	refused := 0
	for range 60 {
		var blob store.Blob
		err := a.Work(system, func(w store.Work) error {
			blob = store.Blob{Name: gatehouse.NewID().String(), Team: team}
			return errors.Join(w.PlanBlob(blob, march), w.StoredBlob(blob.Name, march))
		})
		if err != nil {
			t.Fatal(err)
		}
		f := newFile(team, blob, "f")
		_, err = a.Update(system, gatehouse.Cause{}, func(tx store.Tx) error { return tx.PutFile(f, act(team, "f")) })
		switch {
		case err == nil:
			kept = append(kept, f)
		case gatehouse.CodeOf(err) == gatehouse.Conflict:
			refused++
		default:
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
	for _, f := range kept {
		if condemned[f.Blob] {
			t.Error("a file's blob was condemned")
		}
	}
	t.Logf("%d kept, %d refused, %d condemned", len(kept), refused, len(condemned))
}

// TestATeamsScopeHidesLibraries: reads by id that forgot the team.
func TestATeamsScopeHidesLibraries(t *testing.T) {
	_, dsn := database(t)
	db := open(t, dsn)
	c := shelve(t, db, gatehouse.NewID())
	file := shelf(t, db, c)["with"].(gatehouse.ID)
	for team, there := range map[gatehouse.ID]bool{c.TeamID: true, gatehouse.NewID(): false} {
		err := db.View(store.ForTeam(t.Context(), team), func(v store.View) error {
			_, noFile := v.File(file)
			_, noCollection := v.Collection(c.ID)
			_, noDocument := v.Document(c.ID, file)
			for _, err := range []error{noFile, noCollection, noDocument} {
				if (err == nil) != there {
					t.Errorf("there %t: %v", there, err)
				}
			}
			with, err := v.DocumentWith(c.ID, "k", "v")
			having, err2 := v.DocumentsHaving(c.ID, "k", 9)
			of, err3 := v.CollectionsOf(file)
			n, _, err4 := v.CollectionSize(c.ID)
			gone, err5 := v.DocumentsGone(9)
			for _, seen := range []bool{!with.IsZero(), len(having) > 0, len(of) > 0, n > 0, len(gone) > 0} {
				if seen != there {
					t.Errorf("seen %t, want %t", seen, there)
				}
			}
			return errors.Join(err, err2, err3, err4, err5)
		})
		if err != nil {
			t.Error(err)
		}
	}
	_, err := db.Update(store.ForTeam(t.Context(), c.TeamID), gatehouse.Cause{}, func(tx store.Tx) error {
		return errors.Join(tx.DropFile(file, act(c.TeamID, "f")), tx.DropDocument(c.ID, file, act(c.TeamID, "d")), tx.DropCollection(c.ID, act(c.TeamID, "c")))
	})
	if err != nil {
		t.Error(err)
	}
}

// TestARenameWaitsForAWorker: a file that is renamed while a worker notes how far
// a document of it has come. Neither transaction has to be ended for the other.
func TestARenameWaitsForAWorker(t *testing.T) {
	admin, dsn := database(t)
	a, b := open(t, dsn), open(t, dsn)
	team := gatehouse.NewID()
	c := &gatehouse.Collection{ID: gatehouse.NewID(), TeamID: team, CreateTime: march}
	f := newFile(team, keptBlob(t, a, team), "f")
	d := &gatehouse.Document{CollectionID: c.ID, FileID: f.ID, TeamID: team, CreateTime: march, Generation: 1}
	_, err := a.Update(system, gatehouse.Cause{}, func(tx store.Tx) error {
		return errors.Join(tx.PutCollection(c, act(team, "c")), tx.PutFile(f, act(team, "f")), tx.PutDocument(d, act(team, "d")))
	})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Add(time.Minute)
	var k *store.Task
	err = b.Work(system, func(w store.Work) (err error) { k, err = w.ClaimTask("n", now, now.Add(time.Hour)); return err })
	if err != nil {
		t.Fatal(err)
	}
	renamed, noted, runs, notes := make(chan bool, 9), make(chan error, 1), 0, 0
	go func() {
		<-renamed
		noted <- b.Work(system, func(w store.Work) error {
			notes++
			_, err := w.HoldTask(k, now.Add(time.Hour), &gatehouse.DocumentState{Status: gatehouse.DocumentChunked})
			return err
		})
	}()
	_, err = a.Update(system, gatehouse.Cause{}, func(tx store.Tx) error {
		runs++
		g := *f
		g.Name = "g"
		if err := tx.PutFile(&g, act(team, "f")); err != nil {
			return err
		}
		renamed <- true
		waits(t, admin)
		e := *d
		e.Generation = 2
		return tx.PutDocument(&e, act(team, "d"))
	})
	if err != nil {
		t.Error(err)
	}
	if err := <-noted; err != nil {
		t.Error(err)
	}
	if runs != 1 || notes != 1 {
		t.Errorf("the rename ran %d times, the note %d times", runs, notes)
	}
}
