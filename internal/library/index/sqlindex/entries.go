package sqlindex

import (
	"context"
	"database/sql"

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
