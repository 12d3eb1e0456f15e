package indextest

import (
	"fmt"
	"slices"
	"strings"

	"gatehouse"
	"gatehouse/internal/library/index"
)

// findPromises are about what a search finds.
var findPromises = []promise{
	{"words are found whatever their case, accents and number", func(b *bench) {
		b.put("one", nil, text("Les CAFÉS d'Éthiopie"), text("companies' policies"), text("東京都は日本の首都です"), text("ключи"), text("v2 of x86_64"))
		for query, want := range map[string]string{
			"cafe": "Les CAFÉS d'Éthiopie", "ETHIOPIE": "Les CAFÉS d'Éthiopie", "company policy": "companies' policies", "首都": "東京都は日本の首都です",
			"Ключи": "ключи", "x86": "v2 of x86_64",
		} {
			b.finds(b.query(query), want)
		}
	}},
	{"nothing in a query is an operator", func(b *bench) {
		b.put("one", nil, text("apple"), text("plain text"))
		for _, query := range []string{`"apple`, `apple"`, `apple*`, `^apple`, `apple AND`, `NOT apple`, `(apple`, `apple)`, `words:apple`, `apple NEAR(`, `-apple`, `'apple'`, `apple \`,
			`apple:*`, `apple & `, `!apple`, `apple | `, `<-> apple`, "apple\x00", "apple\xff", `{words}:apple`, `"apple" + `, `'; DROP TABLE index_chunks; -- apple`} {
			b.finds(b.query(query), "apple")
		}
	}},
	{"a query without a word finds nothing", func(b *bench) {
		b.put("one", nil, text("the and of apple ..."))
		for _, query := range []string{"", " ", "...", "the", "The AND of", `"`, `""`, "*", "()", "🙂", "\x00", "\xff", "'s"} {
			b.finds(b.query(query))
		}
	}},
	{"a rarer word and more words count more", func(b *bench) {
		for i := range 20 {
			b.put("noise", nil, text(fmt.Sprintf("gate number%d of the town", i)))
		}
		b.put("both", nil, text("the gate of the drawbridge of our town"))
		found := b.search(b.query("what is the drawbridge gate"))
		if len(found) < 2 || !strings.Contains(found[0].Text, "drawbridge") {
			b.Errorf("%+v", found)
		}
	}},
	{"words need no vectors", func(b *bench) {
		b.put("one", nil, text("apple"))
		for _, mode := range []index.Mode{"", index.Hybrid, index.Keyword} {
			q := b.query("apple")
			q.Mode = mode
			b.finds(q, "apple")
		}
		q := b.query("apple")
		q.Mode = index.Semantic
		b.finds(q)
	}},
	{"the nearest goes first under each metric", func(b *bench) {
		for metric, want := range map[index.Metric][]string{
			index.Cosine:       {"far ahead", "beside", "ahead", "behind"},
			index.Euclidean:    {"ahead", "beside", "behind", "far ahead"},
			index.InnerProduct: {"far ahead", "beside", "ahead", "behind"},
		} {
			b.collection = b.make(index.Collection{Metric: metric, Dimension: 2})
			b.put("one", nil, point("far ahead", 10, 0), point("ahead", 1, 0.3), point("beside", 1.2, 0.1), point("behind", -1, 0), text("no vector"))
			q := b.query("", 0.9, 0.25)
			if metric == index.Cosine {
				q = b.query("", 1, 0)
			}
			q.Mode = index.Semantic
			b.finds(q, want...)
		}
	}},
	{"a vector without direction is near nothing", func(b *bench) {
		b.put("one", nil, point("zero", 0, 0), point("one", 1, 0))
		b.finds(b.query("", 1, 0), "one")
		b.finds(b.query("", 0, 0))
		b.finds(b.query("zero"), "zero")
	}},
	{"the exact order is that of all vectors", func(b *bench) {
		for _, metric := range []index.Metric{index.Cosine, index.Euclidean, index.InnerProduct} {
			b.exact(metric)
		}
	}},
	{"a filter narrows before anything is cut off", func(b *bench) {
		for i := range 150 {
			b.put("noise", map[string]string{"kind": "noise", "n": fmt.Sprint(i)}, point("apple apple apple", 1, 0))
		}
		b.put("needle", map[string]string{"kind": "needle", "n": "1000"}, point("apple of my eye", -1, 0.5))
		for _, f := range []string{`kind = needle`, `kind != noise`, `NOT fields.kind:noise`, `n > 999`, `name:needle AND n:1000..2000`, `size_bytes = 6`} {
			for _, mode := range []index.Mode{index.Hybrid, index.Semantic, index.Keyword} {
				q := b.query("apple", 1, 0)
				q.Mode, q.Limit, q.Multiplier, q.Filter = mode, 3, 1, b.filter(f, "kind", "n")
				b.finds(q, "apple of my eye")
			}
		}
		q := b.query("apple", 1, 0)
		q.Filter = b.filter(`kind = nothing OR created_at > 2030-01-01`, "kind")
		b.finds(q)
	}},
	{"groups are each represented by their best", func(b *bench) {
		for i := range 3 {
			fields := map[string]string{"author": []string{"Kim", "Kim", "Lee"}[i]}
			chunks := []index.Chunk{point(fmt.Sprintf("apple pear %d", i), 1, float32(i))}
			for j := range 120 { // more than the candidates first looked at
				chunks = append(chunks, point(fmt.Sprintf("apple pear filler%d filler", j), 1, float32(i)+0.01))
			}
			b.put("doc", fields, chunks...)
		}
		b.put("lone", nil, point("apple", -1, 0))
		for by, want := range map[string]int{index.ByDocument: 4, "author": 3, "": 4} {
			q := b.query("apple pear", 1, 0)
			q.GroupBy, q.Limit, q.Multiplier = by, 4, 1
			found := b.search(q)
			if len(found) != want || by == "author" && (!slices.ContainsFunc(found, author("Lee")) || !slices.ContainsFunc(found, author(""))) {
				b.Errorf("%q: %d matches: %+v", by, len(found), found)
			}
		}
	}},
	{"a search that cannot be is refused, all at once", func(b *bench) {
		_, err := b.ix.Search(b.ctx, b.team, index.Query{Mode: "guess", Limit: -1, Multiplier: 101, Fusion: index.Fusion{K: -1}})
		b.fails(err, gatehouse.InvalidArgument)
		for _, field := range []string{"retrieval_mode", "limit", "search_multiplier", "reciprocal_rank_fusion", "collection_ids"} {
			if !strings.Contains(err.Error(), field) {
				b.Errorf("%v does not name %s", err, field)
			}
		}
	}},
}

func author(name string) func(index.Match) bool {
	return func(m index.Match) bool { return m.Fields["author"] == name }
}

// exact compares searches with the order of all vectors computed here, while
// documents come and go.
func (b *bench) exact(metric index.Metric) {
	const dimension = 24
	b.collection = b.make(index.Collection{Metric: metric})
	vectors := NewClusters(7, 10, dimension)
	here := map[string][]float32{}
	var documents []index.Document
	var names [][]string
	for i := range 30 {
		var chunks []index.Chunk
		names = append(names, nil)
		for j := range 20 {
			v, name := vectors.Draw(), fmt.Sprintf("chunk %d %d", i, j)
			chunks = append(chunks, point(name, v...))
			here[name], names[i] = v, append(names[i], name)
		}
		documents = append(documents, b.put("doc", nil, chunks...))
		if i%7 == 6 {
			b.ok(b.ix.DeleteDocument(b.ctx, b.team, b.collection, documents[i-3].ID))
			for _, n := range names[i-3] {
				delete(here, n)
			}
		}
		query := vectors.Draw()
		q := b.query("", query...)
		q.Mode = index.Semantic
		b.finds(q, nearest(metric, here, query, 10)...)
	}
}
