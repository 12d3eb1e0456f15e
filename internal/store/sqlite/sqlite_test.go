package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"gatehouse/internal/store"
	"gatehouse/internal/store/sqlite"
	"gatehouse/internal/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return open(t, filepath.Join(t.TempDir(), "truth.db"))
	})
}

func TestTrimming(t *testing.T) {
	storetest.Trims(t, func(now func() time.Time) store.Store {
		db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "truth.db"), sqlite.Options{Guard: storetest.NewGuard("test"), Now: now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	})
}
