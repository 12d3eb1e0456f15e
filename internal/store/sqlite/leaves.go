package sqlite

import (
	"context"
	"database/sql"
	"net/url"

	"gatehouse/internal/store"
)

// ReadLeaves yields the audit log of a file from an index on, as it stands and
// unjudged, without a lock: the file may be in use, and may be damaged in ways
// for which [Open] would refuse it.
func ReadLeaves(ctx context.Context, path string, from int64, yield func(store.Leaf) error) error {
	name := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: "mode=ro&_pragma=query_only(1)&_pragma=busy_timeout(5000)"}).String()
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return cannot("open it", err)
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, "SELECT idx, body, personal, signature FROM audit WHERE idx >= ? ORDER BY idx", from)
	if err != nil {
		return cannot("read the audit log", err)
	}
	defer rows.Close()
	for rows.Next() {
		var l store.Leaf
		if err := rows.Scan(&l.Index, &l.Body, &l.Personal, &l.Signature); err != nil {
			return cannot("read the audit log", err)
		}
		if err := yield(l); err != nil {
			return err
		}
	}
	return rows.Err()
}
