package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"gatehouse/internal/library/filter"
	"gatehouse/internal/library/index"
	"gatehouse/internal/library/index/sqlindex"
)

// engine implements [sqlindex.Engine].
type engine struct {
	pgvector string // its version; empty where the server has none
}

func (*engine) Dialect() filter.Dialect { return filter.Postgres }

func (e *engine) Methods() index.Methods {
	m := index.Methods{Keyword: "PostgreSQL tsvector, ranked by the rarity of its words and ts_rank_cd"}
	if e.pgvector != "" {
		m.Semantic = fmt.Sprintf("pgvector %s: HNSW of half precision, the best rescored in full; exact up to %d vectors", e.pgvector, compareWhole)
	}
	return m
}

func (*engine) Among(q *sqlindex.Statement, column string, ids []int64) string {
	return column + " = ANY(" + q.Bind(ids) + "::bigint[])"
}

func (e *engine) PutChunks(ctx context.Context, tx *sql.Tx, c sqlindex.Collection, chunks []sqlindex.Row) error {
	n := len(chunks)
	ids, uuids, pages, texts, vectors, words := make([]int64, n), make([][]byte, n), make([]int64, n), make([]string, n), make([][]byte, n), make([]string, n)
	for i, r := range chunks {
		ids[i], uuids[i], pages[i], texts[i], vectors[i], words[i] = r.ID, r.UUID, int64(r.Page), r.Text, sqlindex.Pack(r.Vector), lexemes(r.Words)
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO index_chunks (id, uuid, page, text, vector, words)
SELECT id, uuid, page, text, vector, words::tsvector FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::text[], $5::bytea[], $6::text[]) c (id, uuid, page, text, vector, words)`,
		ids, uuids, pages, texts, vectors, words); err != nil {
		return err
	}
	return e.putVectors(ctx, tx, c, chunks)
}

// lexemes writes words as a tsvector. They hold letters, digits and "_", and so
// no quotes. The type keeps 256 places of a word, none beyond 16383.
func lexemes(words []sqlindex.Word) string {
	var b strings.Builder
	for _, w := range words {
		fmt.Fprintf(&b, "'%s':%d ", w.Text, min(w.Position, 16_383))
	}
	return b.String()
}

func (e *engine) DropChunks(ctx context.Context, tx *sql.Tx, c sqlindex.Collection, first, last int64) error {
	name, ok, err := e.table(ctx, tx, c)
	if err != nil || !ok {
		return err // the words are in the chunks
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM "+name+" WHERE id BETWEEN $1 AND $2", first, last)
	return err
}
