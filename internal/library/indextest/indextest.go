// Package indextest is the conformance suite of index.Index. Every engine's
// tests call [Run] with a factory; each case gets an index of its own.
package indextest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/library/filter"
	"gatehouse/internal/library/index"
)

// Factory opens an empty index, with a clock, and closes it with the test.
type Factory func(t testing.TB) index.Index

type promise struct {
	name string
	keep func(*bench)
}

// Run checks every promise of the contract.
func Run(t *testing.T, factory Factory) {
	for _, list := range [][]promise{keepPromises, findPromises, fusePromises, together} {
		for _, p := range list {
			t.Run(p.name, func(t *testing.T) {
				b := newBench(t, factory)
				p.keep(b)
			})
		}
	}
}

// bench is one case's index and collection, with shorthands.
type bench struct {
	testing.TB
	ix         index.Index
	ctx        context.Context
	team       gatehouse.ID
	collection gatehouse.ID
}

func newBench(t testing.TB, factory Factory) *bench {
	b := &bench{TB: t, ix: factory(t), ctx: context.Background(), team: gatehouse.NewID()}
	b.collection = b.make(index.Collection{})
	return b
}

// make makes a collection, with an id of its own where it has none.
func (b *bench) make(c index.Collection) gatehouse.ID {
	b.Helper()
	if c.ID.IsZero() {
		c.ID = gatehouse.NewID()
	}
	b.ok(b.ix.PutCollection(b.ctx, b.team, c))
	return c.ID
}

func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) fails(err error, want gatehouse.Code) {
	b.Helper()
	if gatehouse.CodeOf(err) != want {
		b.Fatalf("%v, want %s", err, want)
	}
}

// put puts a document whose name is its first word.
func (b *bench) put(name string, fields map[string]string, chunks ...index.Chunk) index.Document {
	b.Helper()
	d := document(name, fields)
	b.ok(b.ix.PutDocument(b.ctx, b.team, b.collection, d, index.Of(chunks...)))
	return d
}

func document(name string, fields map[string]string) index.Document {
	return index.Document{ID: gatehouse.NewID(), Name: name, ContentType: "text/plain", Size: int64(len(name)), Created: start, Fields: fields}
}

var start = time.Date(2026, 3, 12, 12, 0, 0, 0, time.UTC)

// text is a chunk of words alone, point one with a vector too.
func text(s string) index.Chunk { return index.Chunk{Text: s} }

func point(s string, v ...float32) index.Chunk { return index.Chunk{Text: s, Vector: v} }

func (b *bench) query(text string, vector ...float32) index.Query {
	q := index.Query{Text: text, Collections: []gatehouse.ID{b.collection}}
	if vector != nil {
		q.Vectors = map[gatehouse.ID][]float32{b.collection: vector}
	}
	return q
}

func (b *bench) search(q index.Query) []index.Match {
	b.Helper()
	found, err := b.ix.Search(b.ctx, b.team, q)
	b.ok(err)
	return found
}

// finds checks the texts of an answer, in order.
func (b *bench) finds(q index.Query, want ...string) []index.Match {
	b.Helper()
	found := b.search(q)
	got := make([]string, len(found))
	for i, m := range found {
		got[i] = m.Text
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || len(got) != len(want) {
		b.Fatalf("found %q, want %q", got, want)
	}
	return found
}

func (b *bench) filter(text string, keys ...string) *filter.Filter {
	b.Helper()
	f, err := filter.Parse("filter", text, index.Schema(keys...))
	b.ok(err)
	return f
}

// Clusters draws vectors as embeddings are: around a number of centres, all of
// length one. Equal seeds draw equal vectors.
type Clusters struct {
	r       *rand.Rand
	centres [][]float32
}

// NewClusters makes centres in so many dimensions.
func NewClusters(seed uint64, centres, dimension int) *Clusters {
	c := &Clusters{r: rand.New(rand.NewPCG(seed, 1))}
	for range centres {
		v := make([]float32, dimension)
		for i := range v {
			v[i] = float32(c.r.NormFloat64())
		}
		c.centres = append(c.centres, v)
	}
	return c
}

// Draw is a vector near one of the centres.
func (c *Clusters) Draw() []float32 {
	centre := c.centres[c.r.IntN(len(c.centres))]
	v := make([]float32, len(centre))
	for i := range v {
		v[i] = centre[i] + 0.6*float32(c.r.NormFloat64())
	}
	return v
}
