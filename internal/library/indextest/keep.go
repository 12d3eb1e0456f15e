package indextest

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/library/index"
)

// keepPromises are about what is kept and of whom.
var keepPromises = []promise{
	{"a document is found with all that was put", func(b *bench) {
		d := b.put("report", map[string]string{"author": "Kim"}, text("nothing"), index.Chunk{Text: "The mitochondria are here", Page: 7})
		m := b.finds(b.query("mitochondria"), "The mitochondria are here")[0]
		if m.Document != d.ID || m.Collection != b.collection || m.Page != 7 || m.Name != "report" || !maps.Equal(m.Fields, d.Fields) || m.ChunkID[6]>>4 != 7 || m.Score <= 0 {
			b.Errorf("%+v", m)
		}
	}},
	{"a document put again replaces the old one whole", func(b *bench) {
		d := b.put("one", map[string]string{"a": "1", "b": "2"}, point("apple", 1, 0), point("banana", 0, 1), text("cherry"))
		d.Fields = map[string]string{"a": "3"}
		b.ok(b.ix.PutDocument(b.ctx, b.team, b.collection, d, index.Of(point("damson", 0, 1))))
		b.finds(b.query("apple banana cherry", 1, 0), "damson")
		if m := b.finds(b.query("damson"), "damson")[0]; len(m.Fields) != 1 || m.Fields["a"] != "3" {
			b.Errorf("%v", m.Fields)
		}
		b.counts(index.Stats{Documents: 1, Chunks: 1, Vectors: 1, Bytes: 6})
	}},
	{"a deleted document is found no more", func(b *bench) {
		d := b.put("one", nil, point("apple", 1, 0))
		b.put("two", nil, point("apple pie", 0, 1))
		b.finds(b.query("apple", 1, 0), "apple", "apple pie")
		b.ok(b.ix.DeleteDocument(b.ctx, b.team, b.collection, d.ID))
		b.ok(b.ix.DeleteDocument(b.ctx, b.team, b.collection, d.ID))
		b.finds(b.query("apple", 1, 0), "apple pie")
		b.counts(index.Stats{Documents: 1, Chunks: 1, Vectors: 1, Bytes: 9})
	}},
	{"a deleted collection is empty, and may be made again", func(b *bench) {
		for range 5 {
			b.put("one", nil, point("apple", 1, 0), text("pear"))
		}
		b.ok(b.ix.DeleteCollection(b.ctx, b.team, b.collection))
		b.ok(b.ix.DeleteCollection(b.ctx, b.team, b.collection))
		b.finds(b.query("apple", 1, 0))
		_, err := b.ix.Stats(b.ctx, b.team, b.collection)
		b.fails(err, gatehouse.NotFound)
		b.fails(b.ix.PutDocument(b.ctx, b.team, b.collection, document("x", nil), index.Of()), gatehouse.NotFound)
		b.make(index.Collection{ID: b.collection, Metric: index.Euclidean, Dimension: 3})
		b.finds(b.query("apple pear", 1, 0, 0))
		b.counts(index.Stats{})
		b.ok(b.ix.Sweep(b.ctx))
	}},
	{"another team finds nothing and changes nothing", func(b *bench) {
		d := b.put("one", map[string]string{"k": "v"}, point("apple", 1, 0))
		q, mine := b.query("apple", 1, 0), b.team
		b.team = gatehouse.NewID()
		b.finds(q)
		_, err := b.ix.Stats(b.ctx, b.team, b.collection)
		b.fails(err, gatehouse.NotFound)
		b.fails(b.ix.PutDocument(b.ctx, b.team, b.collection, d, index.Of()), gatehouse.NotFound)
		b.fails(b.ix.UpdateFields(b.ctx, b.team, b.collection, d.ID, nil), gatehouse.NotFound)
		b.ok(b.ix.DeleteDocument(b.ctx, b.team, b.collection, d.ID))
		b.ok(b.ix.DeleteCollection(b.ctx, b.team, b.collection))
		// The same id is another collection in another team.
		b.make(index.Collection{ID: b.collection})
		b.ok(b.ix.PutDocument(b.ctx, b.team, b.collection, d, index.Of(point("apple of another", 0, 1))))
		b.finds(q, "apple of another")
		b.team = mine
		b.finds(q, "apple")
	}},
	{"a document is in one collection and not in another", func(b *bench) {
		d := b.put("one", nil, point("apple", 1, 0))
		first := b.collection
		b.collection = b.make(index.Collection{})
		b.finds(b.query("apple", 1, 0))
		b.ok(b.ix.PutDocument(b.ctx, b.team, b.collection, d, index.Of(point("apple two", 1, 1))))
		q := b.query("apple", 1, 0)
		q.Collections = append(q.Collections, first, first)
		q.Vectors[first] = []float32{1, 0}
		if found := b.search(q); len(found) != 2 || found[0].Collection == found[1].Collection {
			b.Errorf("%+v", found)
		}
	}},
	{"fields are replaced and chunks stay", func(b *bench) {
		d := b.put("one", map[string]string{"a": "1", "b": "2"}, text("apple"))
		b.ok(b.ix.UpdateFields(b.ctx, b.team, b.collection, d.ID, map[string]string{"c": "3"}))
		if m := b.finds(b.query("apple"), "apple")[0]; !maps.Equal(m.Fields, map[string]string{"c": "3"}) {
			b.Errorf("%v", m.Fields)
		}
		b.fails(b.ix.UpdateFields(b.ctx, b.team, b.collection, gatehouse.NewID(), nil), gatehouse.NotFound)
	}},
	{"a collection put again stays as it is", func(b *bench) {
		b.put("one", nil, point("apple", 1, 0))
		b.make(index.Collection{ID: b.collection})
		b.make(index.Collection{ID: b.collection, Metric: index.Cosine, Dimension: 2})
		b.fails(b.ix.PutCollection(b.ctx, b.team, index.Collection{ID: b.collection, Metric: index.Euclidean}), gatehouse.FailedPrecondition)
		b.fails(b.ix.PutCollection(b.ctx, b.team, index.Collection{ID: b.collection, Dimension: 3}), gatehouse.FailedPrecondition)
		b.fails(b.ix.PutCollection(b.ctx, b.team, index.Collection{ID: gatehouse.NewID(), Metric: "manhattan"}), gatehouse.InvalidArgument)
		b.finds(b.query("apple"), "apple")
	}},
	{"what does not fit changes nothing", func(b *bench) {
		d := b.put("one", nil, point("apple", 1, 0))
		for _, bad := range []index.Chunk{point("x", 1), point("x", float32(math.NaN()), 1), point("x", float32(math.Inf(1)), 1), text(strings.Repeat("x", index.MaxChunk+1))} {
			b.fails(b.ix.PutDocument(b.ctx, b.team, b.collection, d, index.Of(text("fine"), bad)), gatehouse.InvalidArgument)
		}
		b.finds(b.query("apple fine x"), "apple")
		_, err := b.ix.Search(b.ctx, b.team, b.query("apple", 1, 2, 3))
		b.fails(err, gatehouse.InvalidArgument)
	}},
	{"chunks that break off change nothing", func(b *bench) {
		d := b.put("one", nil, point("apple", 1, 0))
		b.fails(b.ix.PutDocument(b.ctx, b.team, b.collection, d, broken), gatehouse.Unavailable)
		b.finds(b.query("apple pear"), "apple")
		b.counts(index.Stats{Documents: 1, Chunks: 1, Vectors: 1, Bytes: 5})
	}},
	{"entries are listed and deleted as they stand", func(b *bench) {
		d := b.put("one", nil, text("apple"))
		b.put("two", nil, text("apple pie"))
		gone := b.make(index.Collection{})
		b.ok(b.ix.PutDocument(b.ctx, b.team, gone, d, index.Of(text("apple tart"))))
		old := b.entries()
		if len(old) != 3 || old[0].Team != b.team || old[0].Collection != b.collection || old[0].Document != d.ID || old[2].Collection != gone {
			b.Fatalf("%+v", old)
		}
		b.ok(b.ix.PutDocument(b.ctx, b.team, b.collection, d, index.Of(text("apple again"))))
		b.ok(b.ix.DeleteEntry(b.ctx, old[0]))
		b.finds(b.query("again"), "apple again")
		b.ok(b.ix.DeleteEntry(b.ctx, old[1]))
		b.ok(b.ix.DeleteEntry(b.ctx, old[1]))
		b.finds(b.query("apple"), "apple again")
		b.ok(b.ix.DeleteCollection(b.ctx, b.team, gone))
		if left := b.entries(); len(left) != 1 || left[0].Document != d.ID || left[0].Row == old[0].Row {
			b.Fatalf("%+v", left)
		}
	}},
	{"documents that are lacking, or of another generation, are told", func(b *bench) {
		d := document("one", nil)
		d.Generation = 1 << 50
		b.ok(b.ix.PutDocument(b.ctx, b.team, b.collection, d, index.Of(text("apple"))))
		plain := b.put("two", nil)
		has := []index.Edition{{Document: d.ID, Generation: 1 << 50}, {Document: plain.ID}}
		lost := []index.Edition{{Document: d.ID, Generation: 1<<50 - 1}, {Document: gatehouse.NewID()}, {Document: d.ID, Generation: 1<<50 + 1}}
		b.lacks(b.collection, append(lost[:2:2], has...), lost[:2]...)
		b.lacks(b.collection, append(has[:2:2], lost...), lost...)
		b.lacks(b.collection, has)
		b.lacks(b.collection, nil)
		other := b.make(index.Collection{})
		b.lacks(other, has, has...)
		b.lacks(gatehouse.NewID(), has, has...)
		d.Generation = 1 << 51
		b.ok(b.ix.PutDocument(b.ctx, b.team, b.collection, d, index.Of(text("apple"))))
		b.lacks(b.collection, has, has[0])
		mine := b.team
		b.team = gatehouse.NewID()
		b.lacks(b.collection, has, has...)
		b.team = mine
		b.ok(b.ix.DeleteCollection(b.ctx, b.team, b.collection))
		b.lacks(b.collection, has, has...)
	}},
	{"text that no database takes is mended", func(b *bench) {
		b.put("a\x00\xff", map[string]string{"k\x00": "\xffv"}, text("ap\x00ple \xff pear"), text(""), text("\x00"))
		b.finds(b.query("pear"), "ap\uFFFDple \uFFFD pear")
	}},
	{"a chunk of as many words as can be is taken", func(b *bench) {
		var long strings.Builder
		for r := rune(0x4e00); long.Len() < index.MaxChunk-8; r = 0x4e00 + (r*7+13)%0x5000 {
			long.WriteRune(r)
		}
		b.put("dense", nil, text("apple "+long.String()[:index.MaxChunk-16]), text("apple "+strings.Repeat("\uFDFA ", 60_000)))
		if found := b.search(b.query("apple")); len(found) != 2 {
			b.Errorf("%d chunks", len(found))
		}
	}},
	{"a document without chunks counts", func(b *bench) {
		b.put("empty", nil)
		b.counts(index.Stats{Documents: 1})
		b.finds(b.query("empty", 1, 0))
	}},
}

func (b *bench) counts(want index.Stats) {
	b.Helper()
	got, err := b.ix.Stats(b.ctx, b.team, b.collection)
	b.ok(err)
	if got != want {
		b.Fatalf("%+v, want %+v", got, want)
	}
}

func (b *bench) lacks(collection gatehouse.ID, of []index.Edition, want ...index.Edition) {
	b.Helper()
	got, err := b.ix.Lacks(b.ctx, b.team, collection, of)
	b.ok(err)
	if !slices.Equal(got, want) {
		b.Fatalf("lacks %v, want %v", got, want)
	}
}

// broken is more chunks than are written at a time, and then an error.
func broken(yield func(index.Chunk, error) bool) {
	for range 500 {
		if !yield(text("pear"), nil) {
			return
		}
	}
	yield(index.Chunk{}, gatehouse.Errorf(gatehouse.Unavailable, "broken off"))
}

// entries pages through what the index has.
func (b *bench) entries() (out []index.Entry) {
	b.Helper()
	for after := int64(0); ; {
		page, err := b.ix.Entries(b.ctx, after, 2)
		b.ok(err)
		if len(page) == 0 {
			return out
		}
		out, after = append(out, page...), page[len(page)-1].Row
	}
}

// together are promises about calls at the same time, and calls cut short.
var together = []promise{
	{"a put that is cut short leaves the document as it was or as it is to be", func(b *bench) {
		d := b.put("doc", nil, edition(0)...)
		last := 0
		for n := 1; n <= 30; n++ {
			ctx, cancel := context.WithTimeout(b.ctx, time.Duration(n)*300*time.Microsecond)
			d.Fields = map[string]string{"edition": fmt.Sprint(n)}
			err := b.ix.PutDocument(ctx, b.team, b.collection, d, index.Of(edition(n)...))
			cancel()
			at := b.whole()
			if at != n && (at != last || err == nil) {
				b.Fatalf("edition %d after putting %d over %d: %v", at, n, last, err)
			}
			last = at
		}
	}},
	{"a search sees a document whole while it changes", func(b *bench) {
		d := b.put("doc", nil, edition(0)...)
		done := make(chan error)
		go func() {
			var err error
			for n := 1; n <= 25 && err == nil; n++ {
				d.Fields = map[string]string{"edition": fmt.Sprint(n)}
				err = b.ix.PutDocument(b.ctx, b.team, b.collection, d, index.Of(edition(n)...))
			}
			done <- err
		}()
		for {
			select {
			case err := <-done:
				b.ok(err)
				return
			default:
				b.whole()
			}
		}
	}},
}

// edition is chunks that all name the edition, in text and vector.
func edition(n int) (out []index.Chunk) {
	for i := range 30 {
		out = append(out, point(fmt.Sprintf("edition%d chunk", n), float32(i), 100))
	}
	return out
}

// whole checks that every search finds one edition, all of it and nothing else,
// and returns the last one seen.
func (b *bench) whole() (n int) {
	b.Helper()
	for _, mode := range []index.Mode{index.Keyword, index.Semantic, index.Hybrid} {
		q := b.query("chunk", 1, 100)
		q.Mode, q.Limit = mode, 100
		found := b.search(q)
		if len(found) != 30 {
			b.Fatalf("%s finds %d chunks", mode, len(found))
		}
		for _, m := range found {
			if m.Text != found[0].Text {
				b.Fatalf("%s finds %q beside %q", mode, m.Text, found[0].Text)
			}
		}
		fmt.Sscanf(found[0].Text, "edition%d", &n)
		if n != 0 && found[0].Fields["edition"] != fmt.Sprint(n) {
			b.Fatalf("%q has fields %v", found[0].Text, found[0].Fields)
		}
	}
	return n
}
