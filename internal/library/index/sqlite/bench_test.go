package sqlite_test

import (
	"path/filepath"
	"testing"

	"gatehouse/internal/library/index/sqlindex"
	"gatehouse/internal/library/indextest"
)

// BenchmarkSearch is one collection of 100,000 chunks.
func BenchmarkSearch(b *testing.B) {
	indextest.Bench(b, open(b, filepath.Join(b.TempDir(), "index.db"), sqlindex.Options{}), 100_000)
}
