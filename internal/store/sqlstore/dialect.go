package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
)

// query is a portable statement with ? for parameters.
type query string

// Dialect is what an engine does differently.
type Dialect struct {
	// Dollar numbers the placeholders: $1 for ?.
	Dollar bool
	// Begin and BeginRead start a transaction that writes, and a snapshot.
	Begin, BeginRead string
	// Index files the words of an audit event, and Match joins the events whose
	// words match an expression of quoted tokens, * for a prefix, joined by AND.
	Index, Match string
	// Overrides replaces portable statements by their text.
	Overrides map[string]string
}

func (d *Dialect) text(q query) string {
	if s, ok := d.Overrides[string(q)]; ok {
		return s
	}
	if !d.Dollar {
		return string(q)
	}
	return dollars(string(q))
}

// dollars rewrites placeholders. No statement of ours has a ? in a literal.
func dollars(s string) string {
	var b strings.Builder
	for n := 1; ; n++ {
		before, after, found := strings.Cut(s, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("$" + strconv.Itoa(n))
		s = after
	}
}

// session is one connection with its prepared statements. One goroutine at a
// time uses it.
type session struct {
	conn  *sql.Conn
	d     *Dialect
	stmts map[query]*sql.Stmt
	open  map[query]bool // being iterated over
}

// stmtsMax bounds a session's cache: filters make a few dozen texts, and a
// caller that varies the number of values must not make it grow for ever.
const stmtsMax = 400

func newSession(ctx context.Context, db *sql.DB, d *Dialect) (*session, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, d: d, stmts: map[query]*sql.Stmt{}, open: map[query]bool{}}, nil
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

// exec runs a short statement. It takes no context: interrupting a write in
// the middle of a group would fail strangers.
func (s *session) exec(q query, args ...any) (sql.Result, error) {
	st, err := s.prepare(q)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(context.Background(), args...)
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
	st, err := s.prepare(q)
	if err != nil {
		return false, err
	}
	err = st.QueryRowContext(context.Background(), args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// borrow lends a statement for an iteration. A callback that iterates over the
// same text gets another: run twice at once, a statement starts over.
func (s *session) borrow(q query) (st *sql.Stmt, release func(), err error) {
	if s.open[q] {
		st, err = s.conn.PrepareContext(context.Background(), s.d.text(q))
		return st, func() { st.Close() }, err
	}
	st, err = s.prepare(q)
	if err != nil {
		return nil, nil, err
	}
	s.open[q] = true
	return st, func() { delete(s.open, q) }, nil
}

// each calls row for every row until it returns false. Scans that may be long
// pass the caller's context.
func (s *session) each(ctx context.Context, q query, args []any, row func(*sql.Rows) (more bool, err error)) error {
	st, release, err := s.borrow(q)
	if err != nil {
		return err
	}
	defer release()
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		more, err := row(rows)
		if err != nil || !more {
			return err
		}
	}
	return rows.Err()
}

func (s *session) close() error {
	s.forget()
	return s.conn.Close()
}
