package sqlindex

import (
	"context"
	"database/sql"

	"gatehouse"
	"gatehouse/internal/library/index"
)

// fetch reads what an answer tells of its hits.
func (s *Store) fetch(ctx context.Context, tx *sql.Tx, in []searched, hits []Hit) ([]index.Match, error) {
	documents, err := s.documents(ctx, tx, in, documentsOf(hits))
	if err != nil {
		return nil, err
	}
	chunks := make([]int64, len(hits))
	out := make([]index.Match, len(hits))
	place := make(map[int64]int, len(hits))
	for i, h := range hits {
		chunks[i], place[h.Chunk] = h.Chunk, i
		out[i] = documents[Document(h.Chunk)]
		out[i].Score = h.Score
	}
	q := s.sql("SELECT id, uuid, page, text FROM index_chunks WHERE ")
	condition := s.engine.Among(q, "id", chunks)
	q.WriteString(condition)
	err = q.Each(ctx, tx, func(scan func(...any) error) error {
		var chunk int64
		var uuid []byte
		var m index.Match
		if err := scan(&chunk, &uuid, &m.Page, &m.Text); err != nil {
			return err
		}
		at := &out[place[chunk]]
		at.Page, at.Text = m.Page, m.Text
		copy(at.ChunkID[:], uuid)
		return nil
	})
	return out, err
}

// documents reads what matches tell of their documents.
func (s *Store) documents(ctx context.Context, tx *sql.Tx, in []searched, rows []int64) (map[int64]index.Match, error) {
	ids := map[int64]gatehouse.ID{}
	for _, c := range in {
		ids[c.Row] = c.id
	}
	out := make(map[int64]index.Match, len(rows))
	q := s.sql("SELECT id, collection, uuid, name FROM index_documents WHERE ")
	condition := s.engine.Among(q, "id", rows)
	q.WriteString(condition)
	err := q.Each(ctx, tx, func(scan func(...any) error) error {
		var row, collection int64
		var uuid []byte
		m := index.Match{Fields: map[string]string{}}
		if err := scan(&row, &collection, &uuid, &m.Name); err != nil {
			return err
		}
		copy(m.Document[:], uuid)
		m.Collection = ids[collection]
		out[row] = m
		return nil
	})
	if err != nil {
		return nil, err
	}
	q = s.sql("SELECT document, key, value FROM index_fields WHERE ")
	condition = s.engine.Among(q, "document", rows)
	q.WriteString(condition)
	return out, q.Each(ctx, tx, func(scan func(...any) error) error {
		var row int64
		var key, value string
		err := scan(&row, &key, &value)
		if m, ok := out[row]; ok {
			m.Fields[key] = value
		}
		return err
	})
}
