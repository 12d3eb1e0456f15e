package sqlstore

import (
	"database/sql"
	"math/bits"
	"slices"
	"strings"

	"gatehouse"
)

// now reads records as they are at this moment, tombstones included: what of
// the table, as r, follows WHERE. In a job each statement may see what was
// committed since the one before, so the log that the rows are judged by comes
// with the same statement as the rows: else a row that was just written would
// look as if somebody had forged it.
func now[T any](v *view, a *authority[T], where string, args ...any) ([]*T, error) {
	q := `SELECT r.` + strings.ReplaceAll(strings.TrimSpace(rowColumns), ", ", ", r.") + `, i.epoch, i.n, i.tree_size, i.frontier, i.late_us, i.mac
FROM ` + a.table + ` r CROSS JOIN installation i WHERE i.id = 1 AND ` + where
	var rows []row
	var st state
	var frontier, mac []byte
	err := v.sess.each(v.ctx, query(q), args, func(at *sql.Rows) (bool, error) {
		var r row
		err := at.Scan(append(r.into(), &st.rev.Epoch, &st.rev.N, &st.tree.Size, &frontier, &st.late, &mac)...)
		rows = append(rows, r)
		return true, err
	})
	if err != nil || len(rows) == 0 {
		return nil, failed(err)
	}
	if st, err = v.s.prove(st, frontier, mac); err != nil {
		return nil, err
	}
	w := &view{s: v.s, ctx: v.ctx, sess: v.sess, at: st, read: true, own: v.own}
	if err := w.catchUp(); err != nil {
		return nil, failed(err)
	}
	var out []*T
	for n := range rows {
		x, why := decode(w, a, &rows[n])
		if why != "" {
			v.s.damaged(a.kind, rows[n].id, why)
			continue
		}
		out = append(out, x)
	}
	return out, nil
}

// manyRows is how many rows go with one statement, a power of two.
const manyRows = 32

// many runs a statement for rows, some at a time: text makes it of the marks of
// their values. Few lengths are prepared: whole, a power of two, and so on down.
// What follows the rows are values behind them.
func (s *session) many(text func(marks string) query, rows [][]any, behind ...any) error {
	for len(rows) > 0 {
		n := min(manyRows, 1<<(bits.Len(uint(len(rows)))-1))
		if _, err := s.exec(text(marks(len(rows[0]), n)), append(slices.Concat(rows[:n]...), behind...)...); err != nil {
			return failed(err)
		}
		rows = rows[n:]
	}
	return nil
}

// marks are the placeholders of rows of values.
func marks(columns, rows int) string {
	row := "(" + strings.Repeat("?, ", columns-1) + "?)"
	return row + strings.Repeat(", "+row, rows-1)
}

// inParts calls f for values, some at a time, with as many marks.
func inParts(values []any, f func(marks string, part []any) error) error {
	for len(values) > 0 {
		n := min(manyRows, 1<<(bits.Len(uint(len(values)))-1))
		if err := f(marks(n, 1), values[:n:n]); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}

// lockBooks keeps others from a team's money until the transaction ends. Teams
// are locked before anything of their money is read or written, several in the
// order of their numbers.
func (s *session) lockBooks(teams ...gatehouse.ID) error {
	if s.d.LockBooks == "" || len(teams) == 0 {
		return nil
	}
	books := make([]int64, len(teams))
	for n, team := range teams {
		books[n] = bookOf(team)
	}
	slices.Sort(books)
	_, err := s.exec(query(s.d.LockBooks), slices.Compact(books))
	return failed(err)
}

// bookOf numbers a team's books; two that share a number merely wait for each
// other.
func bookOf(team gatehouse.ID) (n int64) {
	for _, b := range team[8:] {
		n = n<<8 | int64(b)
	}
	return n
}
