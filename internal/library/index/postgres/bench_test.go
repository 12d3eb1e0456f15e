package postgres_test

import (
	"testing"

	"gatehouse/internal/library/index/sqlindex"
	"gatehouse/internal/library/indextest"
)

// BenchmarkSearch is one collection of 100,000 chunks, compared exactly.
func BenchmarkSearch(b *testing.B) {
	indextest.Bench(b, open(b, as(b, migrated(b)), sqlindex.Options{}), 100_000)
}

// BenchmarkSearchWithPgvector is the same by the graph.
func BenchmarkSearchWithPgvector(b *testing.B) {
	withExtension(b)
	indextest.Bench(b, open(b, fresh(b), sqlindex.Options{}), 100_000)
}
