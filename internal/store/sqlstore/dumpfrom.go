package sqlstore

import (
	"context"
	"database/sql"
	"io"

	"gatehouse"
)

// DumpFrom is [Store.Dump] of a database that another process may have open for
// writing: it reads one snapshot and verifies nothing but the installation's
// row, since whoever serves from it has verified the rest.
func DumpFrom(ctx context.Context, reader *sql.DB, d *Dialect, opts Options, w io.Writer) (Summary, error) {
	s := &Store{opts: opts.withDefaults(), d: d, quit: make(chan struct{}), readers: make(chan *session, 1)}
	sess, err := newSession(ctx, reader, d)
	if err != nil {
		return Summary{}, gatehouse.Errorf(gatehouse.Unavailable, "the database cannot be opened").Because(err)
	}
	defer sess.close()
	s.readers <- sess
	return s.Dump(ctx, w)
}
