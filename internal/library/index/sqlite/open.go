package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"gatehouse"
	"gatehouse/internal/library/index/sqlindex"
)

//go:embed migrations/*.sql
var migrations embed.FS

// readers is how many searches run at once.
const readers = 4

// Open opens the index in the file at path, making it when there is none, and
// brings its schema up to date. Several processes may have it open.
func Open(ctx context.Context, path string, opts sqlindex.Options) (_ *sqlindex.Store, err error) {
	if err := private(path); err != nil {
		return nil, cannot("create it", err)
	}
	writer, err := pool(ctx, path, 1, pragmas("cache_size(-16384)"), "immediate")
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, writer); err != nil {
		writer.Close()
		return nil, err
	}
	reader, err := pool(ctx, path, readers, pragmas("cache_size(-8192)", "query_only(on)"), "deferred")
	if err != nil {
		writer.Close()
		return nil, err
	}
	return sqlindex.New(engine{}, writer, reader, nil, opts), nil
}

// private makes the file before the engine would, for its owner alone.
func private(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// pragmas are set on every connection, busy_timeout first so that the others
// wait for a lock instead of failing. An acknowledged document survives a power
// failure (synchronous); an I/O error is an error, not a signal (mmap_size).
func pragmas(more ...string) []string {
	return append([]string{"busy_timeout(30000)", "journal_mode(wal)", "synchronous(full)", "mmap_size(0)", "trusted_schema(off)",
		"cell_size_check(on)", "temp_store(memory)"}, more...)
}

func pool(ctx context.Context, path string, n int, pragmas []string, begin string) (*sql.DB, error) {
	q := url.Values{"_pragma": pragmas, "_txlock": {begin}}
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, cannot("open it", err)
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	if err := assert(ctx, db); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// assert reads back what durability rests on: a typing error in a connection
// string is otherwise silent.
func assert(ctx context.Context, db *sql.DB) error {
	for name, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "30000"} {
		var got string
		if err := db.QueryRowContext(ctx, "PRAGMA "+name).Scan(&got); err != nil {
			return cannot("open it", err)
		}
		if got != want {
			return cannot("use it", fmt.Errorf("PRAGMA %s is %q, want %q", name, got, want))
		}
	}
	return nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return cannot("read the migrations", err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return cannot("read the migrations", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return cannot("bring its schema up to date", err)
	}
	return nil
}

func cannot(what string, err error) error {
	return gatehouse.Errorf(gatehouse.Unavailable, "the document index: cannot %s", what).Because(err)
}
