package sqlindex

import (
	"context"
	"database/sql"
	"math/bits"
	"slices"

	"gatehouse"
	"gatehouse/internal/library/index"
)

// Entries implements [index.Index].
func (s *Store) Entries(ctx context.Context, after int64, limit int) (out []index.Entry, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		out = nil
		return s.sql("SELECT d.id, d.uuid, c.team, c.uuid FROM index_documents d JOIN index_collections c ON c.id = d.collection WHERE c.gone = 0 AND d.id > ? ORDER BY d.id LIMIT ?", after, limit).
			Each(ctx, tx, func(scan func(...any) error) error {
				var e index.Entry
				var document, team, collection []byte
				err := scan(&e.Row, &document, &team, &collection)
				copy(e.Document[:], document)
				copy(e.Team[:], team)
				copy(e.Collection[:], collection)
				out = append(out, e)
				return err
			})
	})
	return out, err
}

// Lacks implements [index.Index].
func (s *Store) Lacks(ctx context.Context, team, collection gatehouse.ID, of []index.Edition) ([]index.Edition, error) {
	if len(of) == 0 {
		return nil, nil
	}
	has := make(map[index.Edition]bool, len(of))
	err := s.read(ctx, func(tx *sql.Tx) error {
		q := s.sql("SELECT d.uuid, d.generation FROM index_collections c JOIN index_documents d ON d.collection = c.id WHERE c.team = ? AND c.uuid = ? AND c.gone = 0 AND d.uuid IN (",
			id(team), id(collection))
		// Few lengths of the list are described: it is filled up with its last.
		for i := range 1<<bits.Len(uint(len(of))) - 1 {
			q.Add("?, ", id(of[min(i, len(of)-1)].Document))
		}
		return q.Add("?)", id(of[0].Document)).Each(ctx, tx, func(scan func(...any) error) error {
			var e index.Edition
			var document []byte
			err := scan(&document, &e.Generation)
			copy(e.Document[:], document)
			has[e] = true
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(of), func(e index.Edition) bool { return has[e] }), nil
}

// DeleteEntry implements [index.Index].
func (s *Store) DeleteEntry(ctx context.Context, e index.Entry) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		c, found, err := s.locked(ctx, tx, e.Team, e.Collection)
		if err != nil || !found {
			return err
		}
		d, found, err := s.find(ctx, tx, c, e.Document)
		if err != nil || !found || d.row != e.Row {
			return err
		}
		return s.drop(ctx, tx, c, d)
	})
}
