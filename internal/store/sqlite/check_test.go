package sqlite_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
	"gatehouse/internal/store/sqlite"
	"gatehouse/internal/store/storetest"
)

// closedFile makes a file with a key and usage and closes it in order.
func closedFile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "truth.db")
	v := &vault{T: t, path: path, team: gatehouse.NewID()}
	v.must(v.open())
	v.put(benchKey(v.team, 1))
	for n := range 4 {
		v.ingest(v.usageBatch(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), n))
	}
	v.must(v.db.Close())
	return path
}

// rot overwrites a table's root page, and makes it look as if nobody had been
// there when unseen is set: that is what a failing disk does.
func rot(t *testing.T, path, table string, unseen bool) {
	raw, err := sql.Open("sqlite", "file:"+path+"?mode=ro&immutable=1")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	var page, size int64
	if err := raw.QueryRow("SELECT rootpage FROM sqlite_schema WHERE name = ?", table).Scan(&page); err != nil {
		t.Fatal(err)
	}
	if err := raw.QueryRow("PRAGMA page_size").Scan(&size); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 64), (page-1)*size); err != nil {
		t.Fatal(err)
	}
	at := info.ModTime()
	if !unseen {
		at = at.Add(time.Second)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func reopen(path string, damaged chan<- string) (*sqlite.DB, error) {
	return sqlite.Open(context.Background(), path, sqlite.Options{Guard: storetest.NewGuard("test"), Damaged: func(_ gatehouse.Kind, _, why string) { damaged <- why }})
}

// A file that somebody touched, or that holds damaged authority, is refused
// before anything is served from it.
func TestADamagedFileIsRefused(t *testing.T) {
	for _, c := range []struct {
		table  string
		unseen bool
	}{{"usage_rows", false}, {"api_keys", false}, {"api_keys", true}, {"audit", true}} {
		path := closedFile(t)
		rot(t, path, c.table, c.unseen)
		if db, err := reopen(path, make(chan string, 9)); gatehouse.CodeOf(err) != gatehouse.Unavailable {
			t.Errorf("%+v: %v", c, err)
			db.Close()
		}
	}
}

// Damage to usage that left no trace is found after opening, said, and refused
// the next time.
func TestDamageToUsageIsFoundInTheBackground(t *testing.T) {
	path := closedFile(t)
	rot(t, path, "usage_rows", true)
	said := make(chan string, 9)
	db, err := reopen(path, said)
	if err != nil {
		t.Fatal(err)
	}
	<-said
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if _, err := reopen(path, said); gatehouse.CodeOf(err) != gatehouse.Unavailable {
		t.Errorf("opened again: %v", err)
	}
}

// Closing does not wait for the check, and what was interrupted is not damage.
func TestClosingInterruptsTheCheck(t *testing.T) {
	path, said := closedFile(t), make(chan string, 9)
	for range 3 {
		db, err := reopen(path, said)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.View(t.Context(), func(v store.View) error { _, err := v.Revision(); return err }); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(said) > 0 {
		t.Error(<-said)
	}
}
