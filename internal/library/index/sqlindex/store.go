package sqlindex

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/library/index"
)

// Options are those of both engines.
type Options struct {
	// Now is the clock of chunks' ids; nil is the system's.
	Now func() time.Time
	// CacheBytes bounds the copies of vectors in memory; 0 is 512 MiB. A collection
	// whose copy would be larger is scanned from the database.
	CacheBytes int64
}

// defaultCache holds a million vectors of 384 dimensions.
const defaultCache = 512 << 20

// Store implements [index.Index] over an engine.
type Store struct {
	engine         Engine
	writer, reader *sql.DB
	snapshot       *sql.TxOptions
	now            func() time.Time
	vectors        *shelf
}

var _ index.Index = (*Store)(nil)

// New makes the index of an open, migrated database. snapshot is how a reading
// transaction that sees one state is begun.
func New(engine Engine, writer, reader *sql.DB, snapshot *sql.TxOptions, opts Options) *Store {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.CacheBytes == 0 {
		opts.CacheBytes = defaultCache
	}
	return &Store{engine: engine, writer: writer, reader: reader, snapshot: snapshot, now: opts.Now, vectors: newShelf(opts.CacheBytes)}
}

// Methods implements [index.Index].
func (s *Store) Methods() index.Methods {
	m := s.engine.Methods()
	if m.Semantic == "" {
		m.Semantic = "exact: vectors of one byte a dimension scanned in memory, the best rescored in full"
	}
	return m
}

// Close implements [index.Index].
func (s *Store) Close() error { return errors.Join(s.reader.Close(), s.writer.Close()) }

// sql is a statement in the engine's dialect.
func (s *Store) sql(piece string, args ...any) *Statement {
	return NewStatement(s.engine.Dialect()).Add(piece, args...)
}

// write runs f in a transaction of its own and commits it durably.
func (s *Store) write(ctx context.Context, f func(*sql.Tx) error) error {
	return inside(ctx, s.writer, nil, f)
}

// read runs f on a snapshot.
func (s *Store) read(ctx context.Context, f func(*sql.Tx) error) error {
	return inside(ctx, s.reader, s.snapshot, f)
}

func inside(ctx context.Context, db *sql.DB, opts *sql.TxOptions, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return cannot(err)
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return cannot(err)
	}
	return cannot(tx.Commit())
}

// cannot leaves an error that says what it is as it is.
func cannot(err error) error {
	var known *gatehouse.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return gatehouse.Errorf(gatehouse.Unavailable, "the document index does not answer").Because(err)
}

// Exec runs a statement.
func (s *Statement) Exec(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, s.String(), s.Args...)
	return err
}

// One reads one row; found is false when there is none.
func (s *Statement) One(ctx context.Context, tx *sql.Tx, into ...any) (found bool, err error) {
	err = tx.QueryRowContext(ctx, s.String(), s.Args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// Each calls row for every row, which reads it by scan.
func (s *Statement) Each(ctx context.Context, tx *sql.Tx, row func(scan func(...any) error) error) error {
	rows, err := tx.QueryContext(ctx, s.String(), s.Args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Hits reads rows of chunk and score.
func (s *Statement) Hits(ctx context.Context, tx *sql.Tx) (out []Hit, err error) {
	err = s.Each(ctx, tx, func(scan func(...any) error) error {
		out = append(out, Hit{})
		return scan(&out[len(out)-1].Chunk, &out[len(out)-1].Score)
	})
	return out, err
}

// IDs reads rows of one number.
func (s *Statement) IDs(ctx context.Context, tx *sql.Tx) (out []int64, err error) {
	err = s.Each(ctx, tx, func(scan func(...any) error) error {
		out = append(out, 0)
		return scan(&out[len(out)-1])
	})
	return out, err
}

// clean makes text that both engines can store: UTF-8 without NUL.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// id copies an ID for a driver, which keeps what it is given.
func id(id gatehouse.ID) []byte { return slices.Clone(id[:]) }
