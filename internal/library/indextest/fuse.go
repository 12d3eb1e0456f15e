package indextest

import (
	"maps"
	"math"
	"slices"

	"gatehouse/internal/library/index"
)

// fusePromises are about hybrid searches.
var fusePromises = []promise{
	{"what both ways find goes first", func(b *bench) {
		b.put("one", nil, point("apple", -1, 0.1), point("fruit", 1, 0), point("apple fruit of a kind", 1, 0.1), point("stone", 0, 1))
		if found := b.search(b.query("apple", 1, 0)); found[0].Text != "apple fruit of a kind" || len(found) != 4 {
			b.Errorf("%+v", found)
		}
	}},
	{"scores are those of reciprocal ranks", func(b *bench) {
		b.put("one", nil, point("apple", 0, 1), point("fruit", 1, 0))
		q := b.query("apple", 1, 0)
		q.Fusion = index.Fusion{K: 10, SemanticWeight: 3, KeywordWeight: 1}
		found := b.finds(q, "apple", "fruit")
		for i, want := range []float64{1.0/11 + 3.0/12, 3.0 / 11} {
			if math.Abs(found[i].Score-want) > 1e-9 {
				b.Errorf("%g, want %g", found[i].Score, want)
			}
		}
	}},
	{"a way without weight finds nothing", func(b *bench) {
		b.put("one", nil, point("apple", 0, 1), point("fruit", 1, 0))
		q := b.query("apple", 1, 0)
		q.Fusion.KeywordWeight = 1
		b.finds(q, "apple")
	}},
	{"the limit holds", func(b *bench) {
		for range 30 {
			b.put("one", nil, point("apple", 1, 0))
		}
		q := b.query("apple", 1, 0)
		if found := b.search(q); len(found) != index.DefaultLimit {
			b.Errorf("%d", len(found))
		}
		q.Limit = 17
		if found := b.search(q); len(found) != 17 {
			b.Errorf("%d", len(found))
		}
	}},
}

// nearest is the texts of the n best vectors, computed plainly.
func nearest(metric index.Metric, here map[string][]float32, query []float32, n int) []string {
	score := func(name string) float64 { return Similarity(metric, here[name], query) }
	names := slices.SortedFunc(maps.Keys(here), func(x, y string) int {
		if score(x) > score(y) {
			return -1
		}
		return 1
	})
	return names[:min(len(names), n)]
}

// Similarity is a metric computed plainly, higher for what is nearer.
func Similarity(metric index.Metric, a, b []float32) float64 {
	var ab, aa, bb, distance float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab, aa, bb, distance = ab+x*y, aa+x*x, bb+y*y, distance+(x-y)*(x-y)
	}
	switch metric {
	case index.Euclidean:
		return -distance
	case index.InnerProduct:
		return ab
	}
	return ab / math.Sqrt(aa*bb)
}
