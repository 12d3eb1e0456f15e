package sqlindex

import (
	"context"
	"database/sql"

	"gatehouse"
	"gatehouse/internal/library/index"
)

const selectCollection = "SELECT id, metric, dimension, version FROM index_collections WHERE team = ? AND uuid = ? AND gone = 0"

// collection reads a team's collection; found is false for another team's.
func (s *Store) collection(ctx context.Context, tx *sql.Tx, team, uuid gatehouse.ID) (c Collection, found bool, err error) {
	found, err = s.sql(selectCollection, id(team), id(uuid)).One(ctx, tx, &c.Row, &c.Metric, &c.Dimension, &c.version)
	return c, found, err
}

// locked is collection for a change of its documents: one at a time, under the
// next version.
func (s *Store) locked(ctx context.Context, tx *sql.Tx, team, uuid gatehouse.ID) (c Collection, found bool, err error) {
	found, err = s.sql("UPDATE index_collections SET version = version + 1 WHERE team = ? AND uuid = ? AND gone = 0 RETURNING id, metric, dimension, version",
		id(team), id(uuid)).One(ctx, tx, &c.Row, &c.Metric, &c.Dimension, &c.version)
	return c, found, err
}

func noCollection() error {
	return gatehouse.Errorf(gatehouse.NotFound, "the document index has no such collection")
}

// PutCollection implements [index.Index].
func (s *Store) PutCollection(ctx context.Context, team gatehouse.ID, c index.Collection) error {
	if c.Metric == "" {
		c.Metric = index.Cosine
	}
	if err := checkCollection(c); err != nil {
		return err
	}
	return s.write(ctx, func(tx *sql.Tx) error {
		err := s.sql("INSERT INTO index_collections (team, uuid, metric, dimension, version, gone) VALUES (?, ?, ?, ?, 1, 0) ON CONFLICT DO NOTHING",
			id(team), id(c.ID), string(c.Metric), c.Dimension).Exec(ctx, tx)
		if err != nil {
			return err
		}
		there, found, err := s.collection(ctx, tx, team, c.ID)
		if err != nil || !found {
			return err
		}
		if there.Metric != c.Metric || c.Dimension != 0 && there.Dimension != 0 && there.Dimension != c.Dimension {
			return gatehouse.Errorf(gatehouse.FailedPrecondition, "the collection is indexed by %s in %d dimensions: delete it to change that", there.Metric, there.Dimension)
		}
		return nil
	})
}

func checkCollection(c index.Collection) error {
	var bad gatehouse.Violations
	if c.Metric != index.Cosine && c.Metric != index.Euclidean && c.Metric != index.InnerProduct {
		bad.Addf("metric_space", "is cosine, euclidean or inner_product, not %q", c.Metric)
	}
	if c.Dimension < 0 || c.Dimension > maxDimension {
		bad.Addf("dimension", "is 0 to %d, not %d", maxDimension, c.Dimension)
	}
	return bad.Err()
}

// DeleteCollection implements [index.Index].
func (s *Store) DeleteCollection(ctx context.Context, team, collection gatehouse.ID) error {
	var c Collection
	found := false
	err := s.write(ctx, func(tx *sql.Tx) (err error) {
		found, err = s.sql("UPDATE index_collections SET gone = 1 WHERE team = ? AND uuid = ? AND gone = 0 RETURNING id, metric, dimension", id(team), id(collection)).
			One(ctx, tx, &c.Row, &c.Metric, &c.Dimension)
		return err
	})
	if err != nil || !found {
		return err
	}
	return s.remove(ctx, c)
}

// Sweep implements [index.Index].
func (s *Store) Sweep(ctx context.Context) error {
	var gone []Collection
	err := s.read(ctx, func(tx *sql.Tx) error {
		return s.sql("SELECT id, metric, dimension FROM index_collections WHERE gone = 1").Each(ctx, tx, func(scan func(...any) error) error {
			gone = append(gone, Collection{})
			c := &gone[len(gone)-1]
			return scan(&c.Row, &c.Metric, &c.Dimension)
		})
	})
	for _, c := range gone {
		if err == nil {
			err = s.remove(ctx, c)
		}
	}
	return err
}

// removeAtOnce is how many chunks one transaction of a removal takes out, but
// for a document that has more: others wait for no more than that.
const removeAtOnce = 2000

// remove takes out a collection that nobody finds any more.
func (s *Store) remove(ctx context.Context, c Collection) error {
	s.vectors.forget(c.Row)
	for more := true; more; {
		err := s.write(ctx, func(tx *sql.Tx) (err error) {
			if more, err = s.removeSome(ctx, tx, c); err != nil || more {
				return err
			}
			return s.sql("DELETE FROM index_collections WHERE id = ?", c.Row).Exec(ctx, tx)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) removeSome(ctx context.Context, tx *sql.Tx, c Collection) (more bool, err error) {
	var docs []document
	err = s.sql("SELECT id, chunks FROM index_documents WHERE collection = ? ORDER BY id LIMIT 200", c.Row).Each(ctx, tx, func(scan func(...any) error) error {
		docs = append(docs, document{})
		return scan(&docs[len(docs)-1].row, &docs[len(docs)-1].chunks)
	})
	room := int64(removeAtOnce)
	for _, d := range docs {
		if err == nil && room > 0 {
			err = s.drop(ctx, tx, c, d)
		}
		room -= d.chunks
	}
	return len(docs) > 0, err
}

// Stats implements [index.Index].
func (s *Store) Stats(ctx context.Context, team, collection gatehouse.ID) (out index.Stats, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		c, found, err := s.collection(ctx, tx, team, collection)
		if err != nil {
			return err
		}
		if !found {
			return noCollection()
		}
		_, err = s.sql(`SELECT COUNT(*), CAST(COALESCE(SUM(chunks), 0) AS BIGINT), CAST(COALESCE(SUM(vectors), 0) AS BIGINT), CAST(COALESCE(SUM(bytes), 0) AS BIGINT)
FROM index_documents WHERE collection = ?`, c.Row).One(ctx, tx, &out.Documents, &out.Chunks, &out.Vectors, &out.Bytes)
		return err
	})
	return out, err
}
