package sqlindex

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"gatehouse"
	"gatehouse/internal/library/index"
)

// document is what taking one out needs.
type document struct{ row, chunks int64 }

// first and last are the ids that its chunks may have.
func (d document) first() int64 { return d.row << placeBits }
func (d document) last() int64  { return d.first() + max(d.chunks, 1) - 1 }

// PutDocument implements [index.Index].
func (s *Store) PutDocument(ctx context.Context, team, collection gatehouse.ID, d index.Document, chunks []index.Chunk) error {
	if err := checkChunks(chunks); err != nil {
		return err
	}
	return s.write(ctx, func(tx *sql.Tx) error {
		c, found, err := s.locked(ctx, tx, team, collection)
		if err == nil && !found {
			err = noCollection()
		}
		if err == nil {
			err = s.settle(ctx, tx, &c, chunks)
		}
		if err == nil {
			err = s.dropNamed(ctx, tx, c, d.ID)
		}
		if err != nil {
			return err
		}
		return s.insert(ctx, tx, c, d, chunks)
	})
}

func checkChunks(chunks []index.Chunk) error {
	var bad gatehouse.Violations
	if len(chunks) > index.MaxChunks {
		bad.Addf("chunks", "are %d; a document has at most %d: make them larger", len(chunks), index.MaxChunks)
		return bad.Err()
	}
	for i, c := range chunks {
		if len(c.Text) > index.MaxChunk {
			bad.Addf(fmt.Sprintf("chunks[%d]", i), "has %d bytes; at most %d are allowed", len(c.Text), index.MaxChunk)
		}
		if len(bad) == 10 {
			break
		}
	}
	return bad.Err()
}

// settle sees that the vectors are of the collection's dimension, which the
// first one sets where it is open.
func (s *Store) settle(ctx context.Context, tx *sql.Tx, c *Collection, chunks []index.Chunk) error {
	before := c.Dimension
	for i, chunk := range chunks {
		if c.Dimension == 0 {
			c.Dimension = len(chunk.Vector)
		}
		if err := checkVector(fmt.Sprintf("chunks[%d].vector", i), chunk.Vector, c.Dimension); err != nil {
			return err
		}
	}
	if c.Dimension == before {
		return nil
	}
	return s.sql("UPDATE index_collections SET dimension = ? WHERE id = ?", c.Dimension, c.Row).Exec(ctx, tx)
}

// putAtOnce is how many chunks are cut into words at a time: words take several
// times the memory of the text.
const putAtOnce = 200

func (s *Store) insert(ctx context.Context, tx *sql.Tx, c Collection, d index.Document, chunks []index.Chunk) error {
	var doc, vectors, bytes int64
	_, err := s.sql("INSERT INTO index_documents (collection, uuid, name, content_type, size, created_us, chunks, vectors, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0) RETURNING id",
		c.Row, id(d.ID), clean(d.Name), clean(d.ContentType), d.Size, d.Created.UnixMicro(), len(chunks)).One(ctx, tx, &doc)
	if err != nil {
		return err
	}
	if err := s.putFields(ctx, tx, doc, d.Fields); err != nil {
		return err
	}
	next := doc << placeBits
	for some := range slices.Chunk(chunks, putAtOnce) {
		rows := s.rows(c, next, some)
		next += int64(len(rows))
		for _, r := range rows {
			bytes += int64(len(r.Text))
			vectors += int64(min(len(r.Vector), 1))
		}
		if err := s.engine.PutChunks(ctx, tx, c, rows); err != nil {
			return err
		}
	}
	return s.sql("UPDATE index_documents SET vectors = ?, bytes = ? WHERE id = ?", vectors, bytes, doc).Exec(ctx, tx)
}

// maxWords is how many bytes of words a chunk is found by: a tsvector holds a
// megabyte, with places.
const maxWords = 512 << 10

func (s *Store) rows(c Collection, first int64, chunks []index.Chunk) []Row {
	mark, now := marker(c.Row), s.now()
	rows := make([]Row, len(chunks))
	for i, chunk := range chunks {
		r := Row{ID: first + int64(i), UUID: id(gatehouse.NewTimeID(now)), Page: chunk.Page, Text: clean(chunk.Text), Vector: ready(c.Metric, chunk.Vector)}
		room := maxWords
		words(r.Text, func(w string, position int) {
			if room -= len(mark) + len(w); room >= 0 {
				r.Words = append(r.Words, Word{mark + w, position})
			}
		})
		rows[i] = r
	}
	return rows
}

func (s *Store) putFields(ctx context.Context, tx *sql.Tx, doc int64, fields map[string]string) error {
	for k, v := range fields {
		if err := s.sql("INSERT INTO index_fields (document, key, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", doc, clean(k), clean(v)).Exec(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

// UpdateFields implements [index.Index].
func (s *Store) UpdateFields(ctx context.Context, team, collection, doc gatehouse.ID, fields map[string]string) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		c, found, err := s.locked(ctx, tx, team, collection)
		if err == nil && !found {
			err = noCollection()
		}
		if err != nil {
			return err
		}
		d, found, err := s.find(ctx, tx, c, doc)
		if err == nil && !found {
			err = gatehouse.Errorf(gatehouse.NotFound, "the document index has no such document")
		}
		if err == nil {
			err = s.sql("DELETE FROM index_fields WHERE document = ?", d.row).Exec(ctx, tx)
		}
		if err != nil {
			return err
		}
		return s.putFields(ctx, tx, d.row, fields)
	})
}

// DeleteDocument implements [index.Index].
func (s *Store) DeleteDocument(ctx context.Context, team, collection, doc gatehouse.ID) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		c, found, err := s.locked(ctx, tx, team, collection)
		if err != nil || !found {
			return err
		}
		return s.dropNamed(ctx, tx, c, doc)
	})
}

func (s *Store) find(ctx context.Context, tx *sql.Tx, c Collection, uuid gatehouse.ID) (d document, found bool, err error) {
	found, err = s.sql("SELECT id, chunks FROM index_documents WHERE collection = ? AND uuid = ?", c.Row, id(uuid)).One(ctx, tx, &d.row, &d.chunks)
	return d, found, err
}

func (s *Store) dropNamed(ctx context.Context, tx *sql.Tx, c Collection, uuid gatehouse.ID) error {
	d, found, err := s.find(ctx, tx, c, uuid)
	if err != nil || !found {
		return err
	}
	return s.drop(ctx, tx, c, d)
}

// drop takes a document out with all that is of it.
func (s *Store) drop(ctx context.Context, tx *sql.Tx, c Collection, d document) error {
	if err := s.engine.DropChunks(ctx, tx, c, d.first(), d.last()); err != nil {
		return err
	}
	for _, statement := range []*Statement{
		s.sql("DELETE FROM index_chunks WHERE id BETWEEN ? AND ?", d.first(), d.last()),
		s.sql("DELETE FROM index_fields WHERE document = ?", d.row),
		s.sql("DELETE FROM index_documents WHERE id = ?", d.row),
	} {
		if err := statement.Exec(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}
