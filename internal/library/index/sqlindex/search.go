package sqlindex

import (
	"context"
	"database/sql"
	"slices"

	"gatehouse"
	"gatehouse/internal/library/index"
)

// searched is a collection under search.
type searched struct {
	Collection
	id     gatehouse.ID
	vector []float32
}

// Search implements [index.Index].
func (s *Store) Search(ctx context.Context, team gatehouse.ID, q index.Query) (out []index.Match, err error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	err = s.read(ctx, func(tx *sql.Tx) error {
		in, err := s.searched(ctx, tx, team, q)
		if err != nil || len(in) == 0 {
			return err
		}
		hits, err := s.best(ctx, tx, in, q)
		if err != nil {
			return err
		}
		out, err = s.fetch(ctx, tx, in, hits)
		return err
	})
	return out, err
}

// searched reads the collections that the team has.
func (s *Store) searched(ctx context.Context, tx *sql.Tx, team gatehouse.ID, q index.Query) (out []searched, err error) {
	for i, uuid := range q.Collections {
		if slices.Contains(q.Collections[:i], uuid) {
			continue
		}
		c, found, err := s.collection(ctx, tx, team, uuid)
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		in := searched{Collection: c, id: uuid, vector: q.Vectors[uuid]}
		if c.Dimension != 0 {
			if err := checkVector("query", in.vector, c.Dimension); err != nil {
				return nil, err
			}
		}
		out = append(out, in)
	}
	return out, nil
}

// best is the hits of the answer. Grouping may leave too few, and then more
// candidates are looked at.
func (s *Store) best(ctx context.Context, tx *sql.Tx, in []searched, q index.Query) ([]Hit, error) {
	for n := min(max(q.Limit*q.Multiplier, index.MinCandidates), index.MaxCandidates); ; n = min(4*n, index.MaxCandidates) {
		hits, cut, err := s.candidates(ctx, tx, in, q, n)
		if err == nil && q.GroupBy != "" {
			hits, err = s.group(ctx, tx, q.GroupBy, hits)
		}
		if err != nil {
			return nil, err
		}
		if len(hits) >= q.Limit || !cut || n == index.MaxCandidates {
			return hits[:min(len(hits), q.Limit)], nil
		}
	}
}

// candidates is n hits by each way of the mode, as one list; cut tells that
// there may be more.
func (s *Store) candidates(ctx context.Context, tx *sql.Tx, in []searched, q index.Query, n int) (hits []Hit, cut bool, err error) {
	byWord, byMeaning := newTop(n), newTop(n)
	for _, c := range in {
		if q.Mode != index.Semantic {
			if err := s.byWord(ctx, tx, c, q, n, byWord); err != nil {
				return nil, false, err
			}
		}
		if q.Mode != index.Keyword && c.vector != nil {
			found, err := s.semantic(ctx, tx, c.Collection, c.vector, q.Filter, n)
			if err != nil {
				return nil, false, err
			}
			byMeaning.add(found)
		}
	}
	words, meanings := byWord.sorted(), byMeaning.sorted()
	cut = len(words) == n || len(meanings) == n
	switch q.Mode {
	case index.Keyword:
		return words, cut, nil
	case index.Semantic:
		return meanings, cut, nil
	}
	return fuse(q.Fusion, words, meanings), cut, nil
}

func (s *Store) byWord(ctx context.Context, tx *sql.Tx, c searched, q index.Query, n int, best *top) error {
	marked := terms(q.Text)
	if len(marked) == 0 {
		return nil
	}
	for i := range marked {
		marked[i] = marker(c.Row) + marked[i]
	}
	found, err := s.engine.Keyword(ctx, tx, marked, Where{c.Collection, q.Filter}, n)
	best.add(found)
	return err
}

func (t *top) add(hits []Hit) {
	for _, h := range hits {
		t.push(h)
	}
}

// fuse is reciprocal-rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009),
// with weights. A list of weight 0 contributes no chunk.
func fuse(f index.Fusion, words, meanings []Hit) (out []Hit) {
	place := map[int64]int{}
	add := func(hits []Hit, weight float64) {
		for rank, h := range hits {
			at, seen := place[h.Chunk]
			if weight == 0 {
				break
			}
			if !seen {
				at, place[h.Chunk] = len(out), len(out)
				out = append(out, Hit{Chunk: h.Chunk})
			}
			out[at].Score += weight / (f.K + float64(rank+1))
		}
	}
	add(words, f.KeywordWeight)
	add(meanings, f.SemanticWeight)
	slices.SortFunc(out, better)
	return out
}

// group keeps the first hit of each document or value of a field.
func (s *Store) group(ctx context.Context, tx *sql.Tx, by string, hits []Hit) (out []Hit, err error) {
	values := map[int64]string{}
	if by != index.ByDocument {
		q := s.sql("SELECT document, value FROM index_fields WHERE key = ? AND ", by)
		condition := s.engine.Among(q, "document", documentsOf(hits))
		q.WriteString(condition)
		err = q.Each(ctx, tx, func(scan func(...any) error) error {
			var doc int64
			var value string
			err := scan(&doc, &value)
			values[doc] = value
			return err
		})
	}
	type key struct {
		document int64
		value    string
	}
	seen := map[key]bool{}
	for _, h := range hits {
		k := key{document: Document(h.Chunk)}
		if value, has := values[k.document]; has {
			k = key{value: value}
		}
		if !seen[k] {
			seen[k] = true
			out = append(out, h)
		}
	}
	return out, err
}

func documentsOf(hits []Hit) (out []int64) {
	for _, h := range hits {
		out = append(out, Document(h.Chunk))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
