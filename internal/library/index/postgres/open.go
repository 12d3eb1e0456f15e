package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"gatehouse"
	"gatehouse/internal/library/index/sqlindex"
)

// connections is how many searches and writes run at once.
const connections = 8

// Open opens the index of a migrated database.
func Open(ctx context.Context, dsn string, opts sqlindex.Options) (*sqlindex.Store, error) {
	db, err := pool(dsn, connections)
	if err != nil {
		return nil, err
	}
	e, err := inspect(ctx, db)
	if err != nil {
		db.Close()
		return nil, err
	}
	return sqlindex.New(e, db, db, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}, opts), nil
}

func pool(dsn string, n int) (*sql.DB, error) {
	config, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// parse reads a DSN. The error of one that does not parse may quote its
// password, so it is not passed on.
func parse(dsn string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "the database address is not one of PostgreSQL: want postgres://user:password@host:port/database")
	}
	// Nothing is kept at the server: behind a pooler the next transaction may be
	// on another connection of it.
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	config.StatementCacheCapacity = 0
	config.DescriptionCacheCapacity = 256
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	return config, nil
}

// inspect finds out what the server can do.
func inspect(ctx context.Context, db *sql.DB) (*engine, error) {
	var migrated bool
	e := &engine{}
	err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('index_documents') AND attname = 'generation'),
CASE WHEN to_regprocedure('gatehouse_index_vectors(integer, text)') IS NOT NULL THEN COALESCE((SELECT extversion FROM pg_extension WHERE extname = 'vector'), '') ELSE '' END`).
		Scan(&migrated, &e.pgvector)
	if err != nil {
		return nil, cannot("look at it", err)
	}
	if !migrated {
		return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "the database has no document index, or an older program's: run gatehouse migrate")
	}
	if !recent(e.pgvector) {
		e.pgvector = ""
	}
	return e, nil
}

// recent reports whether a version of the extension has half precision and
// scans that go on until enough rows pass a filter.
func recent(version string) bool {
	var major, minor int
	n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor)
	return n == 2 && (major > 0 || minor >= 8)
}

func cannot(what string, err error) error {
	return gatehouse.Errorf(gatehouse.Unavailable, "the document index: cannot %s", what).Because(err)
}
