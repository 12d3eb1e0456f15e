package indextest

import (
	"context"
	"fmt"
	"testing"

	"gatehouse"
	"gatehouse/internal/library/index"
)

// TwoNodes checks that two openings of one index see each other's changes.
func TwoNodes(t *testing.T, one, two index.Index) {
	b := newBench(t, func(testing.TB) index.Index { return one })
	there := *b
	there.ix = two
	var documents []index.Document
	for i := range 40 {
		chunks := make([]index.Chunk, 60)
		for j := range chunks {
			chunks[j] = point(fmt.Sprint(i), float32(i), 50)
		}
		documents = append(documents, b.put("doc", nil, chunks...))
	}
	newest := b.query("", 100, 1)
	newest.GroupBy, newest.Mode = index.ByDocument, index.Semantic
	there.finds(newest, "39", "38", "37", "36", "35", "34", "33", "32", "31", "30")
	for i := 39; i > 4; i-- {
		b.ok(b.ix.DeleteDocument(b.ctx, b.team, b.collection, documents[i].ID))
		if i%10 == 5 {
			there.finds(newest, firstBelow(i)...)
		}
	}
	b.ok(b.ix.PutDocument(b.ctx, b.team, b.collection, documents[2], index.Of(point("new", 1, 0))))
	there.finds(newest, "new", "4", "3", "1", "0")
	b.ok(b.ix.DeleteCollection(b.ctx, b.team, b.collection))
	there.finds(newest)
}

// firstBelow is the ten numbers below n, or as many as there are.
func firstBelow(n int) (out []string) {
	for i := n - 1; i >= 0 && len(out) < 10; i-- {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

// CrashedDeletion leaves a collection as a process does that is killed after the
// first step of its deletion. one runs a statement and reads its one number.
func CrashedDeletion(t *testing.T, ix index.Index, one func(statement string) (int, error)) {
	b := newBench(t, func(testing.TB) index.Index { return ix })
	for range 250 { // more than one step takes out
		b.put("doc", map[string]string{"k": "v"}, point("apple", 1, 0))
	}
	keep := b.make(index.Collection{})
	b.ok(ix.PutDocument(b.ctx, b.team, keep, document("kept", map[string]string{"k": "v"}), index.Of(point("apple", 1, 0))))
	if _, err := one("UPDATE index_collections SET gone = 1 WHERE id = 1 RETURNING id"); err != nil {
		t.Fatal(err)
	}
	b.finds(b.query("apple", 1, 0))
	b.fails(ix.PutDocument(b.ctx, b.team, b.collection, document("late", nil), index.Of()), gatehouse.NotFound)
	b.make(index.Collection{ID: b.collection})
	b.ok(ix.Sweep(context.Background()))
	for table, want := range map[string]int{"index_collections": 2, "index_documents": 1, "index_fields": 1, "index_chunks": 1} {
		if n, err := one("SELECT COUNT(*) FROM " + table); err != nil || n != want {
			t.Errorf("%s has %d rows, want %d: %v", table, n, want, err)
		}
	}
	b.collection = keep
	b.finds(b.query("apple", 1, 0), "apple")
}
