package sqlite

import (
	"context"
	"io"
	"os"

	"gatehouse/internal/store/sqlstore"
)

// Dump writes a snapshot of the file at path, which may be in use by another
// process: it takes no lock and writes nothing.
func Dump(ctx context.Context, path string, opts Options, w io.Writer) (sqlstore.Summary, error) {
	if _, err := os.Stat(path); err != nil {
		return sqlstore.Summary{}, cannot("find it", err)
	}
	db := &DB{path: path}
	defer db.closePools()
	reader, err := db.pool(ctx, path, true, 1)
	if err != nil {
		return sqlstore.Summary{}, err
	}
	return sqlstore.DumpFrom(ctx, reader, dialect(), opts, w)
}
