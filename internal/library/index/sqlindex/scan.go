package sqlindex

import (
	"cmp"
	"context"
	"database/sql"
	"runtime"
	"slices"
	"sync"

	"gatehouse/internal/library/filter"
	"gatehouse/internal/library/index"
)

// semantic is the n chunks of a collection nearest to a vector, best first,
// with their exact scores.
func (s *Store) semantic(ctx context.Context, tx *sql.Tx, c Collection, query []float32, f *filter.Filter, n int) ([]Hit, error) {
	query = ready(c.Metric, query)
	if query == nil || c.Dimension == 0 {
		return nil, nil
	}
	where := Where{c, f}
	// The coarse order is nearly the exact one: what belongs to the first n is
	// within twice as many and some.
	candidates, ok, err := s.engine.Nearest(ctx, tx, c, query, where, 2*n+64)
	if err == nil && !ok {
		candidates, ok, err = s.scan(ctx, tx, c, query, where, 2*n+64)
	}
	if err != nil {
		return nil, err
	}
	best := newTop(n)
	if !ok {
		err = s.stream(ctx, tx, c, query, where, best)
	} else {
		err = s.rescore(ctx, tx, c, query, candidates, best)
	}
	return best.sorted(), err
}

// allowed is the documents that pass a filter; nil is all.
func (s *Store) allowed(ctx context.Context, tx *sql.Tx, where Where) (map[int64]bool, error) {
	if where.Filter == nil {
		return nil, nil
	}
	q := s.sql("SELECT d.id FROM index_documents d WHERE ")
	ids, err := where.Add(q).IDs(ctx, tx)
	out := make(map[int64]bool, len(ids))
	for _, id := range ids {
		out[id] = true
	}
	return out, err
}

// scan looks through the copy in memory; ok is false when there is no room for one.
func (s *Store) scan(ctx context.Context, tx *sql.Tx, c Collection, query []float32, where Where, n int) (chunks []int64, ok bool, err error) {
	allowed, err := s.allowed(ctx, tx, where)
	if err != nil {
		return nil, false, err
	}
	vectors := int64(0)
	if _, err := s.sql("SELECT CAST(COALESCE(SUM(vectors), 0) AS BIGINT) FROM index_documents WHERE collection = ?", c.Row).One(ctx, tx, &vectors); err != nil {
		return nil, false, err
	}
	v := s.vectors.take(c, vectors)
	if v == nil {
		return nil, false, nil
	}
	if err := v.refresh(ctx, s, tx, c); err != nil {
		return nil, false, err
	}
	for _, h := range v.nearest(c, query, allowed, n) {
		chunks = append(chunks, h.Chunk)
	}
	return chunks, true, nil
}

// atOnce is how many slots are worth a goroutine of their own.
const atOnce = 25_000

// nearest scans the copy, in parallel when it is large.
func (v *vectorCopy) nearest(c Collection, query []float32, allowed map[int64]bool, n int) []Hit {
	v.mu.RLock()
	defer v.mu.RUnlock()
	q := newProbe(c, query)
	workers := max(1, min(runtime.GOMAXPROCS(0), len(v.chunks)/atOnce, len(v.spans)))
	tops := make([]*top, workers)
	var wg sync.WaitGroup
	for w := range workers {
		tops[w] = newTop(n)
		part := v.spans[len(v.spans)*w/workers : len(v.spans)*(w+1)/workers]
		wg.Go(func() { v.scanSpans(q, part, allowed, tops[w]) })
	}
	wg.Wait()
	for _, t := range tops[1:] {
		for _, h := range t.hits {
			tops[0].push(h)
		}
	}
	return tops[0].sorted()
}

// probe is the query as slots are compared with it.
type probe struct {
	bytes    []int8
	scale    float32
	distance bool
}

func newProbe(c Collection, query []float32) probe {
	q := probe{bytes: make([]int8, len(query)), distance: c.Metric == index.Euclidean}
	q.scale = coarse(query, q.bytes)
	return q
}

func (v *vectorCopy) scanSpans(q probe, spans []span, allowed map[int64]bool, best *top) {
	d := len(q.bytes)
	for _, s := range spans {
		if allowed != nil && !allowed[s.document] {
			continue
		}
		for i := s.from; i < s.to; i++ {
			score := v.scale[i] * q.scale * float32(dotCoarse(v.data[i*d:(i+1)*d], q.bytes))
			if q.distance { // -|a-b|² but for |b|², which is the same for all
				score = 2*score - v.square[i]
			}
			best.push(Hit{v.chunks[i], float64(score)})
		}
	}
}

// rescore compares the candidates that the snapshot has by their full vectors.
func (s *Store) rescore(ctx context.Context, tx *sql.Tx, c Collection, query []float32, candidates []int64, best *top) error {
	q := s.sql("SELECT id, vector FROM index_chunks WHERE vector IS NOT NULL AND ")
	condition := s.engine.Among(q, "id", candidates)
	q.WriteString(condition)
	return compare(ctx, tx, q, c, query, best)
}

// stream compares every vector, as the database gives them.
func (s *Store) stream(ctx context.Context, tx *sql.Tx, c Collection, query []float32, where Where, best *top) error {
	// CROSS JOIN, since SQLite takes what stands first to loop over.
	q := s.sql("SELECT c.id, c.vector FROM index_documents d CROSS JOIN index_chunks c WHERE " + DocumentOf("c.id") + " = d.id AND c.vector IS NOT NULL AND ")
	return compare(ctx, tx, where.Add(q), c, query, best)
}

func compare(ctx context.Context, tx *sql.Tx, q *Statement, c Collection, query []float32, best *top) error {
	full := make([]float32, len(query))
	var raw sql.RawBytes
	return q.Each(ctx, tx, func(scan func(...any) error) error {
		var h Hit
		if err := scan(&h.Chunk, &raw); err != nil {
			return err
		}
		if unpack(raw, full) {
			h.Score = similarity(c.Metric, query, full)
			best.push(h)
		}
		return nil
	})
}

// top keeps the n best hits.
type top struct {
	n     int
	hits  []Hit // at most 2n
	floor float64
	full  bool // floor is that of n hits
}

func newTop(n int) *top { return &top{n: n} }

// better orders hits; equal ones by their chunks, so that answers repeat.
func better(a, b Hit) int {
	return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Chunk, b.Chunk))
}

func (t *top) push(h Hit) {
	if t.full && h.Score < t.floor {
		return
	}
	if t.hits = append(t.hits, h); len(t.hits) == 2*t.n {
		t.sorted()
	}
}

// sorted drops all but the n best and returns them, best first.
func (t *top) sorted() []Hit {
	slices.SortFunc(t.hits, better)
	if len(t.hits) >= t.n {
		t.hits, t.full, t.floor = t.hits[:t.n], true, t.hits[t.n-1].Score
	}
	return t.hits
}
