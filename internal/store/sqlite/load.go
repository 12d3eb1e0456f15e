package sqlite

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"gatehouse/internal/store/sqlstore"
)

// Load makes a file at path from a dump of any engine. A file that is there and
// holds anything is refused.
func Load(ctx context.Context, path string, r io.Reader) (sum sqlstore.Summary, err error) {
	db := &DB{path: path}
	defer func() { err = errors.Join(err, db.release()) }()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return sum, cannot("create its directory", err)
	}
	if db.lock, err = lock(path + ".lock"); err != nil {
		return sum, err
	}
	if err := private(path); err != nil {
		return sum, err
	}
	writer, err := db.pool(ctx, path, false, 1)
	if err != nil {
		return sum, err
	}
	done, err := prepare(ctx, writer, writer, false)
	if err != nil {
		return sum, err
	}
	if err := <-done; err != nil {
		return sum, err
	}
	return sqlstore.Load(ctx, writer, dialect(), r)
}
