package search

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/library/index"
	"gatehouse/internal/library/index/sqlindex"
	"gatehouse/internal/library/index/sqlite"
)

// goal is what an engine is held to where the whole is run.
type goal struct {
	chunks int
	p95    time.Duration
	recall float64 // of the ten nearest, in the mean
}

var goals = map[string]goal{
	"sqlite":   {100_000, 150 * time.Millisecond, 0.95},
	"postgres": {1_000_000, 100 * time.Millisecond, 0.95},
}

// TestSearchAtSize asks so many queries of a collection. A small run holds the
// answers to the goal of recall and leaves time alone: others use the machine.
func TestSearchAtSize(t *testing.T) {
	queries, whole := 20, false
	if n, err := strconv.Atoi(os.Getenv("VERIFY_ROUNDS")); err == nil {
		queries, whole = n, true
	}
	said := ""
	for _, name := range []string{"sqlite", "postgres"} {
		goal := goals[name]
		goal.chunks = size(t, name, goal.chunks, whole)
		t.Run(name, func(t *testing.T) {
			c := newCorpus(goal.chunks)
			ix := opened(t, name, whole)
			collection := filled(t, ix, c)
			if p, ok := ix.(prepared); ok {
				p.ready(t)
			}
			got := measure(t, ix, c, collection, queries)
			got.load = load()
			t.Logf("%s: %v", name, got)
			if got.recall < goal.recall {
				t.Errorf("recall@10 %.3f, want %.2f", got.recall, goal.recall)
			}
			if whole && got.p95["hybrid"] > goal.p95 {
				t.Errorf("p95 %v, want %v", got.p95["hybrid"], goal.p95)
			}
			said += fmt.Sprintf("%s %v; ", name, got)
		})
	}
	t.Logf("%d queries: %s", queries, said)
}

// size is VERIFY_SEARCH_POSTGRES_CHUNKS and the like, or the goal's; a small run has a
// hundredth of it.
func size(t *testing.T, name string, chunks int, whole bool) int {
	t.Helper()
	if !whole {
		chunks = 5000
	}
	if n, err := strconv.Atoi(os.Getenv("VERIFY_SEARCH_CHUNKS")); err == nil && name == "postgres" {
		chunks = n
	}
	return chunks / perDoc * perDoc
}

// identity is the same for the same words.
func identity(words string) (id gatehouse.ID) {
	sum := sha256.Sum256([]byte(words))
	copy(id[:], sum[:])
	return id
}

var team = identity("team")

// prepared is an index that needs something before and after it is filled.
type prepared interface {
	before(t testing.TB, missing int)
	ready(t testing.TB)
}

func opened(t *testing.T, name string, whole bool) index.Index {
	t.Helper()
	if name == "postgres" {
		return openPostgres(t)
	}
	dir := t.TempDir()
	if whole {
		dir = kept(t)
	}
	ix, err := sqlite.Open(t.Context(), filepath.Join(dir, "index.db"), sqlindex.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ix.Close() })
	return ix
}

// kept is where indexes are that are made once.
func kept(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("VERIFY_SEARCH_DIR")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "gatehouse-search")
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// filled puts what is missing of the corpus.
func filled(t *testing.T, ix index.Index, c *corpus) (collection gatehouse.ID) {
	t.Helper()
	ctx := context.Background()
	collection = identity(fmt.Sprint("collection ", version, c.chunks))
	if err := ix.PutCollection(ctx, team, index.Collection{ID: collection}); err != nil {
		t.Fatal(err)
	}
	there, err := ix.Stats(ctx, team, collection)
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := ix.(prepared); ok {
		p.before(t, c.documents()-int(there.Documents))
	}
	type drawn struct {
		d      index.Document
		chunks []index.Chunk
	}
	next := make(chan drawn, 8)
	go func() {
		defer close(next)
		for n := int(there.Documents); n < c.documents(); n++ {
			d, chunks := c.document(n)
			next <- drawn{d, chunks}
		}
	}()
	began, bytes, n := time.Now(), int64(0), 0
	for d := range next {
		if err := ix.PutDocument(ctx, team, collection, d.d, index.Of(d.chunks...)); err != nil {
			t.Fatal(err)
		}
		if bytes, n = bytes+d.d.Size, n+1; n%1000 == 0 {
			fmt.Fprintf(os.Stderr, "%d of %d documents, %.1f MB/s\n", int(there.Documents)+n, c.documents(), float64(bytes)/1e6/time.Since(began).Seconds())
		}
	}
	if n > 0 {
		t.Logf("filled with %d MB of text at %.1f MB/s", bytes/1e6, float64(bytes)/1e6/time.Since(began).Seconds())
	}
	return collection
}

// figures are of one engine.
type figures struct {
	chunks   int
	p50, p95 map[string]time.Duration
	recall   float64
	load     string
}

func (f figures) String() string {
	out := fmt.Sprintf("%d chunks:", f.chunks)
	for _, mode := range []string{"hybrid", "semantic", "keyword"} {
		out += fmt.Sprintf(" %s p50 %.1f p95 %.1f ms,", mode, ms(f.p50[mode]), ms(f.p95[mode]))
	}
	return out + fmt.Sprintf(" recall@10 %.3f, load %s", f.recall, f.load)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func load() string {
	b, _ := os.ReadFile("/proc/loadavg")
	one, _, _ := strings.Cut(string(b), " ")
	return one
}

// measure asks the queries in each mode, after as many others that warm up what
// is cold after a start.
func measure(t *testing.T, ix index.Index, c *corpus, collection gatehouse.ID, n int) figures {
	t.Helper()
	f := figures{chunks: c.chunks, p50: map[string]time.Duration{}, p95: map[string]time.Duration{}}
	r := rand.New(rand.NewPCG(version, 1<<40))
	ask := func(q index.Query, mode index.Mode) ([]index.Match, time.Duration) {
		q.Mode = mode
		began := time.Now()
		found, err := ix.Search(t.Context(), team, q)
		if err != nil {
			t.Fatal(err)
		}
		return found, time.Since(began)
	}
	began := time.Now()
	for range n {
		ask(c.query(r, collection), index.Hybrid)
	}
	t.Logf("warmed up in %v", time.Since(began).Round(time.Millisecond))
	queries := make([]index.Query, n)
	vectors := make([][]float32, n)
	for i := range queries {
		queries[i] = c.query(r, collection)
		vectors[i] = queries[i].Vectors[collection]
	}
	took := map[index.Mode][]time.Duration{}
	found := make([][]index.Match, n)
	for i, q := range queries {
		for _, mode := range []index.Mode{index.Hybrid, index.Keyword, index.Semantic} {
			matches, d := ask(q, mode)
			took[mode] = append(took[mode], d)
			if mode == index.Semantic {
				found[i] = matches
			}
		}
	}
	for mode, all := range took {
		slices.Sort(all)
		f.p50[string(mode)], f.p95[string(mode)] = all[len(all)/2], all[len(all)*95/100]
	}
	hits := 0
	for i, want := range c.nearest(vectors) {
		for _, m := range found[i] {
			if slices.ContainsFunc(want, func(s scored) bool { return s.place == place{m.Name, m.Page} }) {
				hits++
			}
		}
	}
	f.recall = float64(hits) / float64(10*n)
	return f
}
