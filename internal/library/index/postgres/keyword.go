package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"

	"gatehouse/internal/library/filter"
	"gatehouse/internal/library/index/sqlindex"
)

// manyMatches is how many chunks one query may rank: each is read for it, from
// a page of its own where words are common.
const manyMatches = 2000

// sample is one of how many chunks the migration's index of a sample has, and
// sampled how many of these are counted at most. A word of which the sample has
// fewer than few is counted in all chunks, up to rarely: what is rare weighs
// most, and in a small collection the sample says nothing.
const (
	sample  = 64
	sampled = 2 * manyMatches / sample
	few     = 4
	rarely  = 1000
)

// term is a word and about how many chunks have it.
type term struct {
	word  string
	count int64
}

// weight is the word's inverse document frequency in so many chunks.
func (t term) weight(chunks int64) float64 { return math.Log(1 + float64(chunks)/float64(t.count)) }

// Keyword ranks the chunks that have any of the rarer words: by which words a
// chunk has, the rare ones more, and among equals by how near they stand. Where
// even the rarest is common, chunks that have the two rarest go first, and then
// some that have the rarest.
func (*engine) Keyword(ctx context.Context, tx *sql.Tx, words []string, where sqlindex.Where, n int) (hits []sqlindex.Hit, err error) {
	// The planner takes a scan of the table for the shortest way to so many matches
	// of a common word, whatever else is in it.
	if _, err := tx.ExecContext(ctx, "SELECT set_config('enable_seqscan', 'off', true)"); err != nil {
		return nil, err
	}
	hits, err = matching(ctx, tx, words, where, n)
	if err == nil {
		_, err = tx.ExecContext(ctx, "SELECT set_config('enable_seqscan', 'on', true)")
	}
	return hits, err
}

func matching(ctx context.Context, tx *sql.Tx, words []string, where sqlindex.Where, n int) (hits []sqlindex.Hit, err error) {
	terms, chunks, err := counted(ctx, tx, words, where.Collection)
	if err != nil || len(terms) == 0 {
		return nil, err
	}
	if len(terms) > 1 && terms[0].count > manyMatches {
		hits, err = ranked(ctx, tx, quoted(terms[:2], " & "), terms, chunks, where, n)
		if err != nil || len(hits) >= n {
			return hits, err
		}
	}
	rare, matches := 1, terms[0].count
	for rare < len(terms) && matches+terms[rare].count <= manyMatches {
		matches += terms[rare].count
		rare++
	}
	more, err := ranked(ctx, tx, quoted(terms[:rare], " | "), terms, chunks, where, n)
	if len(hits) == 0 {
		return more, err
	}
	return merged(hits, more, n), err
}

// counted estimates how common words are, rarest first and without those that
// no chunk has, and counts the chunks of the collection.
func counted(ctx context.Context, tx *sql.Tx, words []string, c sqlindex.Collection) (out []term, chunks int64, err error) {
	if _, err := statement("SELECT CAST(COALESCE(SUM(chunks), 0) AS BIGINT) FROM index_documents WHERE collection = ?", c.Row).One(ctx, tx, &chunks); err != nil {
		return nil, 0, err
	}
	common, err := counts(ctx, tx, fmt.Sprintf(" AND (hashint8(id) & %d) = 0", sample-1), sampled, words)
	if err != nil {
		return nil, 0, err
	}
	var rare []string
	for _, t := range common {
		if t.count < few {
			rare = append(rare, t.word)
		} else {
			out = append(out, term{t.word, t.count * sample})
		}
	}
	exact, err := counts(ctx, tx, "", rarely, rare)
	for _, t := range exact {
		if t.count > 0 { // else nothing would be looked for by the words that are there
			out = append(out, t)
		}
	}
	slices.SortStableFunc(out, func(a, b term) int { return int(a.count - b.count) })
	return out, chunks, err
}

// counts counts the chunks that have each word, up to most, of those among which
// it looks.
func counts(ctx context.Context, tx *sql.Tx, among string, most int, words []string) (out []term, err error) {
	if len(words) == 0 {
		return nil, nil
	}
	err = statement("SELECT word, (SELECT COUNT(*) FROM (SELECT 1 FROM index_chunks WHERE words @@ ('''' || word || '''')::tsquery"+among+
		" LIMIT ?) found) FROM unnest(?::text[]) AS asked (word)", most, words).Each(ctx, tx, func(scan func(...any) error) error {
		var t term
		err := scan(&t.word, &t.count)
		out = append(out, t)
		return err
	})
	return out, err
}

// quoted is terms as a tsquery: they hold letters, digits and "_", and so no quotes.
func quoted(terms []term, joined string) string {
	out := make([]string, len(terms))
	for i, t := range terms {
		out[i] = "'" + t.word + "'"
	}
	return strings.Join(out, joined)
}

// ranked ranks what matches the query, by all terms.
func ranked(ctx context.Context, tx *sql.Tx, query string, terms []term, chunks int64, where sqlindex.Where, n int) ([]sqlindex.Hit, error) {
	// 1 divides by the logarithm of the length, 32 keeps the rank below one.
	q := sqlindex.NewStatement(filter.Postgres).Add("SELECT id, ts_rank_cd(words, ?::tsquery, 1 | 32)", quoted(terms, " | "))
	for _, t := range terms {
		q.Add(" + CASE WHEN words @@ ?::tsquery THEN ?::float8 ELSE 0 END", quoted([]term{t}, ""), t.weight(chunks))
	}
	q.Add(" AS score FROM (SELECT c.id, c.words FROM index_chunks c")
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

// merged is first and what more adds to it.
func merged(first, more []sqlindex.Hit, n int) []sqlindex.Hit {
	for _, h := range more {
		if len(first) < n && !slices.ContainsFunc(first, func(f sqlindex.Hit) bool { return f.Chunk == h.Chunk }) {
			first = append(first, h)
		}
	}
	return first
}
