package sqlite_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"gatehouse/internal/library/index"
	"gatehouse/internal/library/index/sqlindex"
	"gatehouse/internal/library/index/sqlite"
	"gatehouse/internal/library/indextest"
)

func open(t testing.TB, path string, opts sqlindex.Options) *sqlindex.Store {
	t.Helper()
	ix, err := sqlite.Open(context.Background(), path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ix.Close() })
	return ix
}

func TestContract(t *testing.T) {
	indextest.Run(t, func(t testing.TB) index.Index {
		return open(t, filepath.Join(t.TempDir(), "index.db"), sqlindex.Options{})
	})
}

// TestContractWithoutMemory: a collection whose copy does not fit is searched
// from the database, with the same answers.
func TestContractWithoutMemory(t *testing.T) {
	indextest.Run(t, func(t testing.TB) index.Index {
		return open(t, filepath.Join(t.TempDir(), "index.db"), sqlindex.Options{CacheBytes: 1})
	})
}

// TestAnotherProcessIsSeen: what one process changes, the copy of vectors in
// another's memory follows, also through many deletions.
func TestAnotherProcessIsSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	indextest.TwoNodes(t, open(t, path, sqlindex.Options{}), open(t, path, sqlindex.Options{}))
}

// TestACrashedDeletionIsFinished: the collection is not found from the first
// moment on, and Sweep leaves nothing of it.
func TestACrashedDeletionIsFinished(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	ix := open(t, path, sqlindex.Options{})
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	indextest.CrashedDeletion(t, ix, func(statement string) (n int, err error) {
		err = raw.QueryRow(statement).Scan(&n)
		return n, err
	})
}
