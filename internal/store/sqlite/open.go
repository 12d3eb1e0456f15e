package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"gatehouse"
	"gatehouse/internal/store"
	"gatehouse/internal/store/sqlstore"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options are those of every engine.
type Options = sqlstore.Options

// dialect is what SQLite does its own way.
func dialect() *sqlstore.Dialect {
	return &sqlstore.Dialect{
		// Immediate: taking the write lock later could fail in the middle.
		Begin:     "BEGIN IMMEDIATE",
		BeginRead: "BEGIN",
		Index:     "INSERT INTO audit_words (rowid, words) VALUES (?, ?)",
		Match:     match,
		Blocks:    true,
	}
}

// DB is an open file.
type DB struct {
	*sqlstore.Store
	pools   []*sql.DB
	lock    *os.File
	path    string
	check   background // of what opening did not wait for
	copying *checkpointer
}

var _ store.Store = (*DB)(nil)

// Open opens the file at path, making it when there is none, and brings its
// schema up to date. It refuses a file that another process has open, an engine
// too old, a setting that did not take, a damaged file and a damaged audit log.
//
// The file's structure is checked while the audit log is replayed. When the last
// process closed the file in order and nobody touched it since, opening waits
// for the tables of authority and the log alone: months of usage are checked
// afterwards, and damage there is reported.
func Open(ctx context.Context, path string, opts Options) (_ *DB, err error) {
	db := &DB{path: path}
	defer func() {
		if err != nil {
			db.release()
		}
	}()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, cannot("create its directory", err)
	}
	if db.lock, err = lock(path + ".lock"); err != nil {
		return nil, err
	}
	clean := db.closedInOrder()
	if err := private(path); err != nil {
		return nil, err
	}
	writer, err := db.pool(ctx, path, false, 1)
	if err != nil {
		return nil, err
	}
	if opts.Readers <= 0 {
		opts.Readers = 4
	}
	reader, err := db.pool(ctx, path, true, opts.Readers)
	if err != nil {
		return nil, err
	}
	checker, err := db.pool(ctx, path, true, 1)
	if err != nil {
		return nil, err
	}
	done, err := prepare(ctx, writer, checker, clean)
	if err != nil {
		return nil, err
	}
	db.Store, err = sqlstore.Open(ctx, writer, reader, dialect(), opts)
	// A damaged file explains a log that cannot be read, not the reverse.
	if damage := <-done; damage != nil {
		if err == nil {
			db.Store.Close()
		}
		return nil, damage
	}
	if err != nil {
		return nil, err
	}
	copier, err := db.pool(ctx, path, true, 1)
	if err != nil {
		db.Store.Close()
		return nil, err
	}
	db.copying = startCheckpoints(copier, opts.Logger)
	if clean {
		db.checkLater(checker, opts)
	}
	return db, nil
}

// Close implements [store.Store].
func (db *DB) Close() error {
	sound := db.check.stop()
	db.copying.stop()
	err := errors.Join(db.Store.Close(), db.closePools())
	if err == nil && sound {
		err = db.markClosed()
	}
	return errors.Join(err, db.release())
}

// private makes the file before the engine would, for its owner alone; the log
// beside it gets the same mode.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return cannot("create it", err)
	}
	return f.Close()
}

// release closes readers before the writer, so that the last connection is one
// that may checkpoint and remove the log, and gives up the lock last of all.
func (db *DB) release() error {
	err := db.closePools()
	if db.lock != nil {
		err = errors.Join(err, db.lock.Close())
	}
	db.lock = nil
	return err
}

func (db *DB) closePools() error {
	var errs []error
	for i := len(db.pools) - 1; i >= 0; i-- {
		errs = append(errs, db.pools[i].Close())
	}
	db.pools = nil
	return errors.Join(errs...)
}

// pool opens n connections at most, and checks one.
func (db *DB) pool(ctx context.Context, path string, readonly bool, n int) (*sql.DB, error) {
	pool, err := sql.Open("sqlite", dsn(path, readonly))
	if err != nil {
		return nil, cannot("open it", err)
	}
	db.pools = append(db.pools, pool)
	pool.SetMaxOpenConns(n)
	pool.SetMaxIdleConns(n)
	return pool, assert(ctx, pool, readonly)
}

func dsn(path string, readonly bool) string {
	q := url.Values{}
	for _, p := range pragmas(readonly) {
		q.Add("_pragma", p.name+"("+p.set+")")
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

// prepare checks the file and migrates it. A check that no migration waits for
// goes on behind it; done tells its result.
func prepare(ctx context.Context, writer, checker *sql.DB, clean bool) (done <-chan error, err error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, cannot("read the migrations", err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, writer, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, cannot("read the migrations", err)
	}
	checked := make(chan error, 1)
	pending, err := p.HasPending(ctx)
	switch {
	case err != nil:
		return nil, errors.Join(checkAll(ctx, checker), cannot("read its version", err))
	case !pending && clean:
		go func() { checked <- checkAuthority(ctx, checker) }()
		return checked, nil
	case !pending:
		go func() { checked <- checkAll(ctx, checker) }()
		return checked, nil
	}
	if err := checkAll(ctx, checker); err != nil {
		return nil, err
	}
	if _, err := p.Up(ctx); err != nil {
		return nil, cannot("bring its schema up to date", err)
	}
	checked <- nil
	return checked, nil
}

func cannot(what string, err error) error {
	return gatehouse.Errorf(gatehouse.Unavailable, "the database: cannot %s", what).Because(err)
}
