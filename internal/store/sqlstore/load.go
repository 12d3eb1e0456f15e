package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/bits"
	"slices"
	"strings"

	"gatehouse"
	"gatehouse/internal/audit"
)

// loadRows is how many rows go with one statement, a power of two.
const loadRows = 32

// Load fills an empty, migrated database from a dump in one transaction, and
// compares it with the dump's summary: the rows of every table, and the root of
// the audit log computed from the leaves as the database gives them back. The
// engines' Load functions make the database and call this. Whether the secrets
// at hand are those of the dump shows when the database is opened.
func Load(ctx context.Context, db *sql.DB, d *Dialect, r io.Reader) (sum Summary, err error) {
	u, err := newUndumper(r)
	if err != nil {
		return sum, err
	}
	sess, err := newSession(ctx, db, d)
	if err != nil {
		return sum, failed(err)
	}
	defer sess.close()
	sess.writes = true
	l := &loader{sess: sess, ctx: ctx, in: u, days: map[int64]bool{}}
	err = sess.within(ctx, d.Begin, func() error {
		if err := l.empty(); err != nil {
			return err
		}
		if sum, err = l.load(); err != nil {
			return err
		}
		for _, statement := range d.Loaded {
			if _, err := sess.exec(query(statement)); err != nil {
				return err
			}
		}
		return l.compare(sum)
	})
	return sum, failed(err)
}

// loader fills one database.
type loader struct {
	sess *session
	ctx  context.Context
	in   *undumper
	at   table
	rows [][]any // of at, not yet written
	days map[int64]bool
}

// empty refuses a database that somebody uses.
func (l *loader) empty() error {
	for _, t := range dumped() {
		if n, err := l.count(t); err != nil || n > 0 {
			if err == nil {
				err = gatehouse.Errorf(gatehouse.FailedPrecondition, "the database to load into is not empty: %s has %d rows", t.Name, n)
			}
			return err
		}
	}
	return nil
}

func (l *loader) count(t table) (n int64, err error) {
	_, err = l.sess.one(query("SELECT COUNT(*) FROM "+t.Name), nil, &n)
	return n, err
}

// load reads frames to the end of the dump.
func (l *loader) load() (sum Summary, err error) {
	for {
		if err := l.ctx.Err(); err != nil {
			return sum, err
		}
		kind, payload, err := l.in.next()
		if err != nil {
			return sum, err
		}
		switch kind {
		case frameTable:
			err = l.table(payload)
		case frameRow:
			err = l.row(payload)
		case frameEnd:
			if err = l.flush(); err == nil {
				err = l.in.checked()
			}
			if err == nil && json.Unmarshal(payload, &sum) != nil {
				err = badDump(nil)
			}
			return sum, err
		default:
			err = badDump(nil)
		}
		if err != nil {
			return sum, err
		}
	}
}

// table begins a table. Its name and columns become SQL, so only those that
// this program dumps itself are taken: a later program's dump is refused.
func (l *loader) table(payload []byte) error {
	if err := l.flush(); err != nil {
		return err
	}
	var t table
	if err := json.Unmarshal(payload, &t); err != nil {
		return badDump(err)
	}
	if len(t.columns()) == 0 {
		return badDump(nil)
	}
	known := dumped()
	i := slices.IndexFunc(known, func(k table) bool { return k.Name == t.Name })
	if i < 0 {
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "the dump was made by another version: it has a table that this one does not know")
	}
	for _, c := range t.columns() {
		if !slices.Contains(known[i].columns(), c) {
			return gatehouse.Errorf(gatehouse.FailedPrecondition, "the dump was made by another version: %s has columns that this one does not know", t.Name)
		}
	}
	l.at = t
	return nil
}

func (l *loader) row(payload []byte) error {
	row, err := values(payload, len(l.at.columns()))
	if err != nil || l.at.Name == "" {
		return badDump(err)
	}
	if l.rows = append(l.rows, row); len(l.rows) < loadRows {
		return nil
	}
	return l.flush()
}

// flush writes the rows at hand.
func (l *loader) flush() error {
	for len(l.rows) > 0 {
		n := 1 << (bits.Len(uint(len(l.rows))) - 1)
		if err := l.prepare(l.rows[:n]); err != nil {
			return err
		}
		mark := "(" + strings.Repeat("?, ", len(l.at.columns())-1) + "?)"
		q := "INSERT INTO " + l.at.Name + " (" + l.at.list() + ") VALUES " + mark + strings.Repeat(", "+mark, n-1)
		if _, err := l.sess.exec(query(q), slices.Concat(l.rows[:n]...)...); err != nil {
			return err
		}
		l.rows = l.rows[n:]
	}
	l.rows = l.rows[:0]
	return nil
}

// prepare does what rows need beside themselves: words for those of the log,
// and room for those of usage.
func (l *loader) prepare(rows [][]any) error {
	for _, row := range rows {
		switch l.at.Name {
		case "audit":
			body, _ := l.value(row, "body").([]byte)
			personal, _ := l.value(row, "personal").([]byte)
			e, err := audit.Decode(body, personal)
			if err != nil {
				return badDump(err)
			}
			if _, err := l.sess.exec(query(l.sess.d.Index), e.Index, words(e)); err != nil {
				return err
			}
		case "usage_rows":
			d, _ := l.value(row, "day").(int64)
			if l.sess.d.AddDay == "" || l.days[d] {
				continue
			}
			if _, err := l.sess.exec(query(l.sess.d.AddDay), d); err != nil {
				return err
			}
			l.days[d] = true
		}
	}
	return nil
}

func (l *loader) value(row []any, column string) any {
	if i := slices.Index(l.at.columns(), column); i >= 0 {
		return row[i]
	}
	return nil
}

// compare reads back what was loaded.
func (l *loader) compare(sum Summary) error {
	for _, t := range dumped() {
		n, err := l.count(t)
		if err != nil {
			return err
		}
		if n != sum.Rows[t.Name] {
			return gatehouse.Errorf(gatehouse.Internal, "%d rows of %s were dumped, and %d are there", sum.Rows[t.Name], t.Name, n)
		}
	}
	r := audit.NewReplayer()
	err := l.sess.each(l.ctx, `SELECT idx, body FROM audit ORDER BY idx`, nil, func(rows *sql.Rows) (bool, error) {
		var leaf audit.Leaf
		if err := rows.Scan(&leaf.Index, &leaf.Body); err != nil {
			return false, err
		}
		return true, r.Add(leaf)
	})
	if err != nil {
		return err
	}
	root, err := r.Root()
	if err != nil {
		return err
	}
	if r.Size() != sum.Leaves || hex.EncodeToString(root[:]) != sum.Root {
		return gatehouse.Errorf(gatehouse.Internal, "the audit log has another root than when it was dumped")
	}
	return nil
}
