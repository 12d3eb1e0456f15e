package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"

	"gatehouse/internal/library/filter"
	"gatehouse/internal/library/index"
	"gatehouse/internal/library/index/sqlindex"
)

// compareWhole, which tests change, is up to how many vectors are compared one by one: about the
// time that the graph of a large table takes with its rescoring.
var compareWhole int64 = 10_000

// maxDimension is that of an HNSW index of half precision.
const maxDimension = 4000

// table is the name of the collection's table of vectors; ok is false where
// there is none.
func (e *engine) table(ctx context.Context, tx *sql.Tx, c sqlindex.Collection) (name string, ok bool, err error) {
	if e.pgvector == "" || c.Dimension == 0 || c.Dimension > maxDimension {
		return "", false, nil
	}
	name = tableName(c)
	err = tx.QueryRowContext(ctx, "SELECT to_regclass($1) IS NOT NULL", name).Scan(&ok)
	return name, ok, err
}

func tableName(c sqlindex.Collection) string {
	return fmt.Sprintf("index_vectors_%d_%s", c.Dimension, way(c))
}

// way is how the table compares. Vectors under the cosine have length one.
func way(c sqlindex.Collection) string {
	if c.Metric == index.Euclidean {
		return "l2"
	}
	return "ip"
}

// putVectors copies the vectors to the table of their dimension, which it makes.
func (e *engine) putVectors(ctx context.Context, tx *sql.Tx, c sqlindex.Collection, chunks []sqlindex.Row) error {
	var ids []int64
	var vectors []string
	for _, r := range chunks {
		if r.Vector != nil {
			ids, vectors = append(ids, r.ID), append(vectors, halves(r.Vector))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if e.pgvector == "" || c.Dimension > maxDimension {
		_, err := tx.ExecContext(ctx, "UPDATE index_collections SET flat = true WHERE id = $1 AND NOT flat", c.Row)
		return err
	}
	if _, err := tx.ExecContext(ctx, "SELECT gatehouse_index_vectors($1, $2)", c.Dimension, way(c)); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s (id, collection, embedding) SELECT id, $1, embedding::halfvec(%d) FROM unnest($2::bigint[], $3::text[]) v (id, embedding)",
		tableName(c), c.Dimension), c.Row, ids, vectors)
	return err
}

// halves writes a vector as the extension reads it, within the range of half
// precision.
func halves(v []float32) string {
	b := []byte{'['}
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(min(max(x, -65504), 65504)), 'g', 5, 32)
	}
	return string(append(b, ']'))
}

// Nearest asks the graph where the collection is large, and compares all where
// it is small or a filter makes it so: a graph that is shared with other
// collections would pass by most of a small one.
func (e *engine) Nearest(ctx context.Context, tx *sql.Tx, c sqlindex.Collection, vector []float32, where sqlindex.Where, n int) ([]int64, bool, error) {
	name, ok, err := e.table(ctx, tx, c)
	if err != nil || !ok {
		return nil, false, err
	}
	var flat bool
	if err := tx.QueryRowContext(ctx, "SELECT flat FROM index_collections WHERE id = $1", c.Row).Scan(&flat); err != nil || flat {
		return nil, false, err
	}
	q := statement("SELECT CAST(COALESCE(SUM(d.vectors), 0) AS BIGINT) FROM index_documents d WHERE ")
	var matching int64
	if _, err := where.Add(q).One(ctx, tx, &matching); err != nil {
		return nil, false, err
	}
	find := walked
	if matching <= compareWhole {
		find = compared
	}
	ids, err := find(ctx, tx, name, halves(vector), where, n)
	return ids, true, err
}

// operators are the extension's, smaller for what is nearer.
var operators = map[string]string{"ip": "<#>", "l2": "<->"}

func statement(piece string, args ...any) *sqlindex.Statement {
	return sqlindex.NewStatement(filter.Postgres).Add(piece, args...)
}

// compared sorts all that match. OFFSET 0 has each document's vectors looked up
// by their ids; MATERIALIZED keeps the graph out.
func compared(ctx context.Context, tx *sql.Tx, name, query string, where sqlindex.Where, n int) ([]int64, error) {
	q := statement("WITH matching AS MATERIALIZED (SELECT v.id, v.embedding FROM index_documents d CROSS JOIN LATERAL (SELECT id, embedding FROM " + name +
		" WHERE id >= " + sqlindex.FirstOf("d.id") + " AND id < " + sqlindex.FirstOf("d.id + 1") + " OFFSET 0) v WHERE ")
	where.Add(q).Add(") SELECT id FROM matching ORDER BY embedding "+operators[way(where.Collection)]+" ?::text::halfvec LIMIT ?", query, n)
	return q.IDs(ctx, tx)
}

// walked follows the graph until enough of what it meets matches. The planner,
// which knows little of a new table, would rather sort it all.
func walked(ctx context.Context, tx *sql.Tx, name, query string, where sqlindex.Where, n int) ([]int64, error) {
	q := statement("SELECT v.id FROM "+name+" v WHERE v.collection = ?", where.Collection.Row)
	if where.Filter != nil {
		ids, err := where.Add(statement("SELECT d.id FROM index_documents d WHERE ")).IDs(ctx, tx)
		if err != nil {
			return nil, err
		}
		q.Add(" AND "+sqlindex.DocumentOf("v.id")+" = ANY(?::bigint[])", ids)
	}
	q.Add(" ORDER BY v.embedding "+operators[way(where.Collection)]+" ?::text::halfvec LIMIT ?", query, n)
	if err := prefer(ctx, tx, "off", n); err != nil {
		return nil, err
	}
	ids, err := q.IDs(ctx, tx)
	if err != nil {
		return nil, err
	}
	return ids, prefer(ctx, tx, "on", n)
}

// prefer sets, for the transaction, how far a walk goes and whether there is
// anything but it. The longer the list, the sooner it leaves the cluster that it
// comes upon first; of 1,000, the most there is, it finds 0.987 of the ten nearest
// in a million clustered vectors (make verify-search).
func prefer(ctx context.Context, tx *sql.Tx, others string, n int) error {
	_, err := tx.ExecContext(ctx, `SELECT set_config('enable_seqscan', $1, true), set_config('enable_sort', $1, true), set_config('hnsw.ef_search', $2, true),
set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.max_scan_tuples', '200000', true)`, others, strconv.Itoa(min(max(4*n, 100), 1000)))
	return err
}
