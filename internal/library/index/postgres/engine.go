package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
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
	m := index.Methods{Keyword: "PostgreSQL tsvector, ranked by ts_rank_cd"}
	if e.pgvector != "" {
		m.Semantic = fmt.Sprintf("pgvector %s: HNSW of half precision, the best rescored in full; exact up to %d vectors", e.pgvector, compareWhole)
	}
	return m
}

func (*engine) Among(q *sqlindex.Statement, column string, ids []int64) string {
	return column + " = ANY(" + q.Bind(ids) + "::bigint[])"
}

// putAtOnce is how many chunks one statement stores.
const putAtOnce = 500

func (e *engine) PutChunks(ctx context.Context, tx *sql.Tx, c sqlindex.Collection, chunks []sqlindex.Row) error {
	for some := range slices.Chunk(chunks, putAtOnce) {
		n := len(some)
		ids, uuids, pages, texts, vectors, words := make([]int64, n), make([][]byte, n), make([]int64, n), make([]string, n), make([][]byte, n), make([]string, n)
		for i, r := range some {
			ids[i], uuids[i], pages[i], texts[i], vectors[i], words[i] = r.ID, r.UUID, int64(r.Page), r.Text, sqlindex.Pack(r.Vector), lexemes(r.Words)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO index_chunks (id, uuid, page, text, vector, words)
SELECT id, uuid, page, text, vector, words::tsvector FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::text[], $5::bytea[], $6::text[]) c (id, uuid, page, text, vector, words)`,
			ids, uuids, pages, texts, vectors, words); err != nil {
			return err
		}
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

// manyMatches is how many chunks one query may rank: each is read to be ranked.
const manyMatches = 4000

// Keyword ranks the chunks that have all the words; where these are too few
// also those that lack one; and then those that have any.
func (*engine) Keyword(ctx context.Context, tx *sql.Tx, terms []string, where sqlindex.Where, n int) (hits []sqlindex.Hit, err error) {
	seen := map[int64]bool{}
	for i, query := range tiers(terms) {
		found, err := ranked(ctx, tx, query, where, n)
		if err != nil {
			return nil, err
		}
		for _, h := range found {
			if !seen[h.Chunk] {
				seen[h.Chunk] = true
				// ts_rank_cd is below the number of words, whatever the tier.
				h.Score += float64((len(terms) + 1) * (3 - i))
				hits = append(hits, h)
			}
		}
		if len(hits) >= n {
			break
		}
	}
	return hits[:min(len(hits), n)], nil
}

// tiers are queries from the narrowest to the widest.
func tiers(terms []string) []string {
	quoted := make([]string, len(terms))
	for i, t := range terms {
		quoted[i] = "'" + t + "'"
	}
	if len(terms) == 1 {
		return quoted
	}
	out := []string{strings.Join(quoted, " & ")}
	if n := len(terms); n > 2 && n <= 10 {
		var lacking []string
		for i := range quoted {
			rest := slices.Delete(slices.Clone(quoted), i, i+1)
			lacking = append(lacking, "("+strings.Join(rest, " & ")+")")
		}
		out = append(out, strings.Join(lacking, " | "))
	}
	return append(out, strings.Join(quoted, " | "))
}

func ranked(ctx context.Context, tx *sql.Tx, query string, where sqlindex.Where, n int) ([]sqlindex.Hit, error) {
	q := sqlindex.NewStatement(filter.Postgres).Add("SELECT id, ts_rank_cd(words, ?::tsquery, 1)::float8 AS score FROM (SELECT c.id, c.words FROM index_chunks c", query)
	if where.Filter != nil {
		q.Add(" JOIN index_documents d ON d.id = " + sqlindex.DocumentOf("c.id"))
	}
	q.Add(" WHERE c.words @@ ?::tsquery", query)
	if where.Filter != nil {
		q.Add(" AND ")
		where.Add(q)
	}
	return q.Add(" LIMIT ?) matched ORDER BY score DESC, id LIMIT ?", manyMatches, n).Hits(ctx, tx)
}
