package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"gatehouse"
)

// session is one connection, with its prepared statements where the engine
// keeps any. One goroutine at a time uses it.
type session struct {
	pool  *sql.DB
	conn  *sql.Conn
	d     *Dialect
	stmts map[query]*sql.Stmt
	open  map[query]bool // being iterated over
	texts map[query]string

	cursors      map[query]int // numbers of texts that were scanned by cursor
	named, depth int           // the last of them, and how many cursors are open

	writes bool
	scope  string // what the transaction was told
	// sick is the first error since the transaction or savepoint began. Some
	// engines abort the transaction then and answer COMMIT as if all were well.
	sick error
}

// stmtsMax bounds a session's cache: filters make a few dozen texts, and a
// caller that varies the number of values must not make it grow for ever.
const stmtsMax = 400

func newSession(ctx context.Context, db *sql.DB, d *Dialect) (*session, error) {
	s := &session{pool: db, d: d, stmts: map[query]*sql.Stmt{}, open: map[query]bool{}, texts: map[query]string{}, cursors: map[query]int{}}
	return s, s.connect(ctx)
}

func (s *session) connect(ctx context.Context) (err error) {
	s.conn, err = s.pool.Conn(ctx)
	return err
}

// begin starts a transaction. A connection that was lost meanwhile is replaced
// once: nothing was asked of it yet.
func (s *session) begin(ctx context.Context, text string) error {
	s.scope, s.sick = "", nil
	var err error
	if s.conn != nil {
		if _, err = s.exec(query(text)); err == nil || !s.d.Unprepared {
			return err
		}
	}
	s.discard()
	ctx, cancel := s.patience(ctx)
	defer cancel()
	if err := s.connect(ctx); err != nil {
		return err
	}
	s.sick = nil
	_, err = s.exec(query(text))
	return err
}

// within runs f in a transaction that sees all teams.
func (s *session) within(ctx context.Context, begin string, f func() error) error {
	err := s.begin(ctx, begin)
	if err == nil {
		err = s.see(everyTeam)
	}
	if err == nil {
		err = f()
	}
	if err == nil {
		_, err = s.exec("COMMIT")
	}
	if err != nil {
		s.rollback()
	}
	return err
}

// rollback ends a transaction that keeps nothing. A connection that cannot even
// do that must not be used again: it might still be inside.
func (s *session) rollback() {
	if s.conn == nil {
		return
	}
	if _, err := s.exec("ROLLBACK"); err != nil && s.d.Unprepared {
		s.discard()
	}
}

// discard closes the connection instead of giving it back to the pool.
func (s *session) discard() {
	if s.conn == nil {
		return
	}
	s.forget()
	s.conn.Raw(func(any) error { return driver.ErrBadConn })
	s.conn.Close()
	s.conn = nil
}

// patience is a context for a statement nobody waits for by one of their own.
func (s *session) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.d.Patience == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, s.d.Patience)
}

// see tells the transaction whose rows it may see.
func (s *session) see(scope string) error {
	if s.d.Scope == "" || scope == s.scope {
		return nil
	}
	s.scope = scope
	text := s.d.Scope
	if s.writes {
		text = s.d.WriteScope
	}
	_, err := s.exec(query(text), scope)
	return err
}

// mute names the end of patience: the deadline was ours, and whoever is told of
// it as of theirs would not come again.
func mute(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return gatehouse.Errorf(gatehouse.Unavailable, "the database does not answer").Because(err)
	}
	return err
}

func (s *session) note(err error) error {
	if err != nil && s.sick == nil {
		s.sick = err
	}
	return err
}

func (s *session) text(q query) string {
	t, ok := s.texts[q]
	if !ok {
		if len(s.texts) >= stmtsMax {
			clear(s.texts)
		}
		t = s.d.text(q)
		s.texts[q] = t
	}
	return t
}

func (s *session) prepare(q query) (*sql.Stmt, error) {
	if st, ok := s.stmts[q]; ok {
		return st, nil
	}
	// A statement in use must not be closed under its rows.
	if len(s.stmts) >= stmtsMax && len(s.open) == 0 {
		s.forget()
	}
	st, err := s.conn.PrepareContext(context.Background(), s.d.text(q))
	if err == nil {
		s.stmts[q] = st
	}
	return st, err
}

func (s *session) forget() {
	for q, st := range s.stmts {
		st.Close()
		delete(s.stmts, q)
	}
}

// clean replaces what text cannot hold in every engine: bytes that are no UTF-8,
// and NUL. Records with such are refused before (see encode); here it is about
// what comes from outside and must not stop a journal: an upstream's ids, a
// gateway's words.
func clean(args []any) {
	for i, a := range args {
		if s, ok := a.(string); ok && !holds(s) {
			args[i] = cleaned(s)
		}
	}
}

func cleaned(s string) string {
	if holds(s) {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// holds reports whether every engine can hold a text.
func holds(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// exec runs a short statement. It takes no context: interrupting a write in
// the middle of a group would fail strangers.
func (s *session) exec(q query, args ...any) (sql.Result, error) {
	clean(args)
	ctx, cancel := s.patience(context.Background())
	defer cancel()
	if s.d.Unprepared {
		res, err := s.conn.ExecContext(ctx, s.text(q), args...)
		return res, s.note(mute(err))
	}
	st, err := s.prepare(q)
	if err != nil {
		return nil, s.note(err)
	}
	res, err := st.ExecContext(ctx, args...)
	return res, s.note(err)
}

// affects runs a statement and reports whether it changed a row.
func (s *session) affects(q query, args ...any) (bool, error) {
	res, err := s.exec(q, args...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// one scans the first row; found is false when there is none.
func (s *session) one(q query, args []any, into ...any) (found bool, err error) {
	clean(args)
	ctx, cancel := s.patience(context.Background())
	defer cancel()
	if s.d.Unprepared {
		err = mute(s.conn.QueryRowContext(ctx, s.text(q), args...).Scan(into...))
	} else {
		st, prepared := s.prepare(q)
		if prepared != nil {
			return false, s.note(prepared)
		}
		err = st.QueryRowContext(ctx, args...).Scan(into...)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, s.note(err)
}

// query runs a statement of many rows. A callback that iterates over the same
// text gets another statement: run twice at once, one starts over.
func (s *session) query(ctx context.Context, q query, args []any) (rows *sql.Rows, release func(), err error) {
	clean(args)
	if s.d.Unprepared {
		rows, err = s.conn.QueryContext(ctx, s.text(q), args...)
		return rows, func() {}, err
	}
	var st *sql.Stmt
	if s.open[q] {
		if st, err = s.conn.PrepareContext(context.Background(), s.d.text(q)); err != nil {
			return nil, nil, err
		}
		release = func() { st.Close() }
	} else {
		if st, err = s.prepare(q); err != nil {
			return nil, nil, err
		}
		s.open[q] = true
		release = func() { delete(s.open, q) }
	}
	if rows, err = st.QueryContext(ctx, args...); err != nil {
		release()
	}
	return rows, release, err
}

// scanner is a row that is being looked at.
type scanner interface{ Scan(into ...any) error }

// each calls row for every row until it returns false. row must not use the
// session: some connections do one thing at a time; [session.scan] is for that.
// Scans that may be long pass the caller's context.
func (s *session) each(ctx context.Context, q query, args []any, row func(*sql.Rows) (more bool, err error)) error {
	rows, release, err := s.query(ctx, q, args)
	if err != nil {
		return s.note(err)
	}
	defer release()
	defer rows.Close()
	for rows.Next() {
		more, err := row(rows)
		if err != nil || !more {
			return err
		}
	}
	return s.note(rows.Err())
}

// scan is how rows are gone through: session.rows or session.scan.
type scan func(ctx context.Context, q query, args []any, row func(scanner) (more bool, err error)) error

// rows is each for those who do not mind where a row comes from.
func (s *session) rows(ctx context.Context, q query, args []any, row func(scanner) (more bool, err error)) error {
	return s.each(ctx, q, args, func(rows *sql.Rows) (bool, error) { return row(rows) })
}

// pageRows is how many rows of a cursor are held at once.
const pageRows = 256

// scan is each for callbacks that use the session.
func (s *session) scan(ctx context.Context, q query, args []any, row func(scanner) (more bool, err error)) error {
	if !s.d.Cursors {
		return s.rows(ctx, q, args, row)
	}
	name := s.cursor(q)
	if _, err := s.conn.ExecContext(ctx, "DECLARE "+name+" NO SCROLL CURSOR FOR "+s.text(q), args...); err != nil {
		return s.note(err)
	}
	s.depth++
	defer func() {
		s.depth--
		if s.sick == nil {
			s.exec(query("CLOSE " + name))
		}
	}()
	for {
		page, err := s.fetch(ctx, query("FETCH "+strconv.Itoa(pageRows)+" FROM "+name))
		if err != nil {
			return err
		}
		for _, r := range page {
			more, err := row(r)
			if err != nil || !more {
				return err
			}
		}
		if len(page) < pageRows {
			return nil
		}
	}
}

// cursor names a cursor by its statement and its depth: the driver remembers
// what columns a text has, and FETCH is a text of the name alone.
func (s *session) cursor(q query) string {
	n, ok := s.cursors[q]
	if !ok {
		if len(s.cursors) >= stmtsMax {
			clear(s.cursors)
		}
		s.named++
		n = s.named
		s.cursors[q] = n
	}
	return "c" + strconv.Itoa(n) + "_" + strconv.Itoa(s.depth)
}

// fetch takes a page into memory.
func (s *session) fetch(ctx context.Context, q query) (page []held, err error) {
	var targets []any
	err = s.each(ctx, q, nil, func(rows *sql.Rows) (bool, error) {
		if targets == nil {
			columns, err := rows.Columns()
			if err != nil {
				return false, err
			}
			targets = make([]any, len(columns))
		}
		r := make(held, len(targets))
		for i := range r {
			targets[i] = &r[i]
		}
		page = append(page, r)
		return true, rows.Scan(targets...)
	})
	return page, err
}

// held is a row in memory, as the driver gave it.
type held []any

// Scan implements scanner for the types that our rows have.
func (h held) Scan(into ...any) error {
	for i, to := range into {
		if !assign(to, h[i]) {
			return fmt.Errorf("column %d is a %T and was to be a %T", i, h[i], to)
		}
	}
	return nil
}

func assign(to, from any) bool {
	switch v := from.(type) {
	case nil:
		switch to := to.(type) {
		case *[]byte:
			*to = nil
		case *sql.RawBytes:
			*to = nil
		default:
			return false
		}
	case int64:
		switch to := to.(type) {
		case *int64:
			*to = v
		case *bool:
			*to = v != 0
		default:
			return false
		}
	case string:
		switch to := to.(type) {
		case *string:
			*to = v
		case *sql.RawBytes:
			*to = sql.RawBytes(v)
		default:
			return false
		}
	case []byte:
		switch to := to.(type) {
		case *[]byte:
			*to = v
		case *sql.RawBytes:
			*to = v
		default:
			return false
		}
	default:
		return false
	}
	return true
}

func (s *session) close() error {
	s.forget()
	if s.conn == nil {
		return nil
	}
	return s.conn.Close()
}
