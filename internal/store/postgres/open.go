package postgres

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"gatehouse"
	"gatehouse/internal/store"
	"gatehouse/internal/store/sqlstore"
)

// Options are those of every engine, and how to be told of changes.
type Options struct {
	sqlstore.Options
	// ListenDSN is where LISTEN works: the server itself, where requests go
	// through a pooler. Empty: the DSN of requests. "-": not at all, and what
	// other nodes change is seen when the feed polls.
	ListenDSN string
}

// DB is an open database.
type DB struct {
	*sqlstore.Store
	node     string // tells its own announcements from others'
	pools    []*sql.DB
	stop     context.CancelFunc // of the listener
	stopped  chan struct{}
	warnings []string
}

var _ store.Store = (*DB)(nil)

// Open opens a migrated database as the request role. It refuses a server that
// is too old, one that may lose what it acknowledged, another schema than this
// program's or a later one's, and a damaged audit log.
func Open(ctx context.Context, dsn string, opts Options) (_ *DB, err error) {
	db := &DB{node: rand.Text()}
	defer func() {
		if err != nil {
			db.closePools()
		}
	}()
	if opts.Readers <= 0 {
		opts.Readers = 8
	}
	pool, err := db.pool(dsn, opts.Readers+1)
	if err != nil {
		return nil, err
	}
	if db.warnings, err = inspect(ctx, pool); err != nil {
		return nil, err
	}
	if db.Store, err = sqlstore.Open(ctx, pool, pool, dialect(db.node), opts.Options); err != nil {
		return nil, err
	}
	listen := opts.ListenDSN
	if listen == "" {
		listen = dsn
	}
	if listen != "-" {
		if err := db.listen(listen); err != nil {
			db.Store.Close()
			return nil, err
		}
	}
	return db, nil
}

// Warnings are what is wrong with the server and does not keep it from being
// used: for the log, the readiness page and the doctor.
func (db *DB) Warnings() []string { return db.warnings }

// Close implements [store.Store].
func (db *DB) Close() error {
	if db.stop != nil {
		db.stop()
		<-db.stopped
	}
	return errors.Join(db.Store.Close(), db.closePools())
}

func (db *DB) closePools() error {
	var errs []error
	for _, p := range db.pools {
		errs = append(errs, p.Close())
	}
	db.pools = nil
	return errors.Join(errs...)
}

func (db *DB) pool(dsn string, n int) (*sql.DB, error) {
	config, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	pool := stdlib.OpenDB(*config)
	db.pools = append(db.pools, pool)
	pool.SetMaxOpenConns(n)
	pool.SetMaxIdleConns(n)
	return pool, nil
}

// parse reads a DSN and sets what must not be left to it. The error of a DSN
// that does not parse may quote its password, so it is not passed on.
func parse(dsn string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "the database address is not one of PostgreSQL: want postgres://user:password@host:port/database")
	}
	// Descriptions of statements are kept here and nothing is kept at the server:
	// behind a pooler the next transaction may be on another connection of it.
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	config.StatementCacheCapacity = 0
	config.DescriptionCacheCapacity = 512
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	config.DialFunc = dialer(config.ConnectTimeout).DialContext
	return config, nil
}

// dialer notices within half a minute that the host of the server is gone: a
// node that is cut off must stop to believe what it last read.
func dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{
		Timeout:         timeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control:         giveUp,
	}
}

func cannot(what string, err error) error {
	return gatehouse.Errorf(gatehouse.Unavailable, "the database: cannot %s", what).Because(err)
}
