package postgres_test

import (
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// TestARenameWaitsForAWorker: a file that is renamed while a worker notes how far
// a document of it has come. Neither transaction has to be ended for the other.
func TestARenameWaitsForAWorker(t *testing.T) {
	_, dsn := database(t)
	a, b := open(t, dsn), open(t, dsn)
	team := gatehouse.NewID()
	c := &gatehouse.Collection{ID: gatehouse.NewID(), TeamID: team, CreateTime: march}
	f := newFile(team, keptBlob(t, a, team), "f")
	d := &gatehouse.Document{CollectionID: c.ID, FileID: f.ID, TeamID: team, CreateTime: march, Generation: 1}
	_, err := a.Update(system, gatehouse.Cause{}, func(tx store.Tx) error {
		return firstOf(tx.PutCollection(c, act(team, "c")), tx.PutFile(f, act(team, "f")), tx.PutDocument(d, act(team, "d")))
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
		time.Sleep(300 * time.Millisecond)
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

func firstOf(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}
