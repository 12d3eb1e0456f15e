package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"strings"

	"gatehouse/internal/library/filter"
	"gatehouse/internal/library/index"
	"gatehouse/internal/library/index/sqlindex"
)

// engine implements [sqlindex.Engine].
type engine struct{}

func (engine) Dialect() filter.Dialect { return filter.SQLite }

func (engine) Methods() index.Methods { return index.Methods{Keyword: "SQLite FTS5, ranked by bm25"} }

// Among passes the ids as one parameter: there may be more than parameters can be.
func (engine) Among(q *sqlindex.Statement, column string, ids []int64) string {
	if ids == nil {
		ids = []int64{}
	}
	list, _ := json.Marshal(ids)
	return column + " IN (SELECT value FROM json_each(" + q.Bind(string(list)) + "))"
}

func (engine) PutChunks(ctx context.Context, tx *sql.Tx, _ sqlindex.Collection, chunks []sqlindex.Row) error {
	chunk, err := tx.PrepareContext(ctx, "INSERT INTO index_chunks (id, uuid, page, text, vector) VALUES (?, ?, ?, ?, ?)")
	if err != nil {
		return err
	}
	defer chunk.Close()
	words, err := tx.PrepareContext(ctx, "INSERT INTO index_words (rowid, words) VALUES (?, ?)")
	if err != nil {
		return err
	}
	defer words.Close()
	var text strings.Builder
	for _, c := range chunks {
		text.Reset()
		for _, w := range c.Words {
			text.WriteString(w.Text)
			text.WriteByte(' ')
		}
		if _, err := chunk.ExecContext(ctx, c.ID, c.UUID, c.Page, c.Text, sqlindex.Pack(c.Vector)); err != nil {
			return err
		}
		if _, err := words.ExecContext(ctx, c.ID, text.String()); err != nil {
			return err
		}
	}
	return nil
}

func (engine) DropChunks(ctx context.Context, tx *sql.Tx, _ sqlindex.Collection, first, last int64) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM index_words WHERE rowid BETWEEN ? AND ?", first, last)
	return err
}

// Nearest leaves it to the scan: see the package's comment.
func (engine) Nearest(context.Context, *sql.Tx, sqlindex.Collection, []float32, sqlindex.Where, int) ([]int64, bool, error) {
	return nil, false, nil
}

// manyMatches is how many chunks one query may rank: each takes 2 µs. Looking
// for how often a word occurs, or whether it does in a chunk that is ranked
// anyway, takes a fiftieth of that.
const manyMatches = 12_000

// manyOccurrences bounds the words that only add to scores.
const manyOccurrences = 60_000

// term is a word and about how many chunks have it.
type term struct {
	word  string
	count int64
}

// Keyword ranks the chunks that have any of the rarer words by all of them.
// Where even the rarest is common, chunks that have the two rarest go first.
func (e engine) Keyword(ctx context.Context, tx *sql.Tx, words []string, where sqlindex.Where, n int) ([]sqlindex.Hit, error) {
	terms, err := counted(ctx, tx, words)
	if err != nil || len(terms) == 0 {
		return nil, err
	}
	if len(terms) > 1 && terms[0].count > manyMatches {
		hits, err := e.ranked(ctx, tx, quoted(terms[:1])+" AND "+quoted(terms[1:2]), where, n)
		if err != nil || len(hits) >= n {
			return hits, err
		}
	}
	return e.ranked(ctx, tx, expression(terms), where, n)
}

// counted reads how common words are, rarest first; those that no chunk has are
// left out.
func counted(ctx context.Context, tx *sql.Tx, words []string) (out []term, err error) {
	for _, w := range words {
		t := term{word: w}
		err := tx.QueryRowContext(ctx, "SELECT doc FROM index_counts WHERE term = ?", w).Scan(&t.count)
		if err == sql.ErrNoRows {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	slices.SortStableFunc(out, func(a, b term) int { return int(a.count - b.count) })
	return out, nil
}

// expression asks for any of the rarer terms, and lets the others add to the
// score of what has one. bm25 sums over every mention of a term: each is
// mentioned twice, so the sum is twice what it would be.
func expression(terms []term) string {
	rare, matches := 1, terms[0].count
	for rare < len(terms) && matches+terms[rare].count <= manyMatches {
		matches += terms[rare].count
		rare++
	}
	all, occurrences := rare, int64(0)
	for all < len(terms) && occurrences+terms[all].count <= manyOccurrences {
		occurrences += terms[all].count
		all++
	}
	if all == rare {
		return quoted(terms[:rare])
	}
	common := quoted(terms[rare:all])
	return "(" + quoted(terms[:rare]) + ") AND (" + quoted(terms[:all]) + " OR " + common + ")"
}

// quoted is terms as strings of FTS5's grammar: they hold letters, digits and
// "_", and so no quotes.
func quoted(terms []term) string {
	var b strings.Builder
	for i, t := range terms {
		if i > 0 {
			b.WriteString(" OR ")
		}
		b.WriteString(`"` + t.word + `"`)
	}
	return b.String()
}

// ranked asks the full-text index. It yields rows in the order of rank, and so
// looks at no more documents than a filter makes it; CROSS JOIN keeps that order.
func (e engine) ranked(ctx context.Context, tx *sql.Tx, expression string, where sqlindex.Where, n int) ([]sqlindex.Hit, error) {
	q := sqlindex.NewStatement(filter.SQLite).Add("SELECT w.rowid, -w.rank FROM index_words w")
	if where.Filter != nil {
		q.Add(" CROSS JOIN index_documents d ON d.id = " + sqlindex.DocumentOf("w.rowid"))
	}
	q.Add(" WHERE w.index_words MATCH ?", expression)
	if where.Filter != nil {
		q.Add(" AND ")
		where.Add(q)
	}
	return q.Add(" ORDER BY w.rank LIMIT ?", n).Hits(ctx, tx)
}
