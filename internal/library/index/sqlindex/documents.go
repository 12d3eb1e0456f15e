package sqlindex

import (
	"context"
	"database/sql"
	"fmt"
	"iter"

	"gatehouse"
	"gatehouse/internal/library/index"
)

// document is what taking one out needs.
type document struct{ row, chunks int64 }

// first and last are the ids that its chunks may have.
func (d document) first() int64 { return d.row << placeBits }
func (d document) last() int64  { return d.first() + max(d.chunks, 1) - 1 }

// PutDocument implements [index.Index].
func (s *Store) PutDocument(ctx context.Context, team, collection gatehouse.ID, d index.Document, chunks iter.Seq2[index.Chunk, error]) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		c, found, err := s.locked(ctx, tx, team, collection)
		if err == nil && !found {
			err = noCollection()
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

// settle sees that chunks, the first of which has this place in its document,
// are within bounds and that their vectors are of the collection's dimension,
// which the first one sets where it is open.
func (s *Store) settle(ctx context.Context, tx *sql.Tx, c *Collection, place int64, chunks []index.Chunk) error {
	before := c.Dimension
	for i, chunk := range chunks {
		at := fmt.Sprintf("chunks[%d]", place+int64(i))
		if len(chunk.Text) > index.MaxChunk {
			return gatehouse.Violations{{Field: at, Problem: fmt.Sprintf("has %d bytes; at most %d are allowed", len(chunk.Text), index.MaxChunk)}}.Err()
		}
		if c.Dimension == 0 {
			c.Dimension = len(chunk.Vector)
		}
		if err := checkVector(at+".vector", chunk.Vector, c.Dimension); err != nil {
			return err
		}
	}
	if n := place + int64(len(chunks)); n > index.MaxChunks {
		return gatehouse.Violations{{Field: "chunks", Problem: fmt.Sprintf("are more than %d: make them larger", index.MaxChunks)}}.Err()
	}
	if c.Dimension == before {
		return nil
	}
	return s.sql("UPDATE index_collections SET dimension = ? WHERE id = ?", c.Dimension, c.Row).Exec(ctx, tx)
}

// putAtOnce is how many chunks are held and cut into words at a time: words take
// several times the memory of the text. putBytes is how many bytes of them.
const (
	putAtOnce = 200
	putBytes  = 2 << 20
)

// insert writes a document and its chunks, some at a time.
func (s *Store) insert(ctx context.Context, tx *sql.Tx, c Collection, d index.Document, chunks iter.Seq2[index.Chunk, error]) error {
	p := putting{s: s, ctx: ctx, tx: tx, c: c}
	_, err := s.sql("INSERT INTO index_documents (collection, uuid, name, content_type, size, created_us, generation, chunks, vectors, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, 0) RETURNING id",
		c.Row, id(d.ID), clean(d.Name), clean(d.ContentType), d.Size, d.Created.UnixMicro(), d.Generation).One(ctx, tx, &p.doc)
	if err != nil {
		return err
	}
	if err := s.putFields(ctx, tx, p.doc, d.Fields); err != nil {
		return err
	}
	for chunk, err := range chunks {
		if err == nil {
			err = p.add(chunk)
		}
		if err != nil {
			return err
		}
	}
	if err := p.flush(); err != nil {
		return err
	}
	return s.sql("UPDATE index_documents SET chunks = ?, vectors = ?, bytes = ? WHERE id = ?", p.count, p.vectors, p.bytes, p.doc).Exec(ctx, tx)
}

// putting is a document that is being written.
type putting struct {
	s   *Store
	ctx context.Context
	tx  *sql.Tx
	c   Collection
	doc int64

	some                  []index.Chunk // to be written next
	held                  int           // bytes of them
	count, vectors, bytes int64         // written
}

func (p *putting) add(chunk index.Chunk) error {
	p.some = append(p.some, chunk)
	p.held += len(chunk.Text) + 4*len(chunk.Vector)
	if len(p.some) < putAtOnce && p.held < putBytes {
		return nil
	}
	return p.flush()
}

func (p *putting) flush() error {
	if err := p.s.settle(p.ctx, p.tx, &p.c, p.count, p.some); err != nil {
		return err
	}
	rows := p.s.rows(p.c, p.doc<<placeBits+p.count, p.some)
	for _, r := range rows {
		p.bytes += int64(len(r.Text))
		p.vectors += int64(min(len(r.Vector), 1))
	}
	p.count += int64(len(rows))
	p.some, p.held = p.some[:0], 0
	if len(rows) == 0 {
		return nil
	}
	return p.s.engine.PutChunks(p.ctx, p.tx, p.c, rows)
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
