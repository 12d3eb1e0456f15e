package sqlstore

import (
	"database/sql"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// Key implements [store.KeyView].
func (v *view) Key(id gatehouse.ID) (*gatehouse.Key, error) { return find(v, &keyTable, id.String()) }

// ManagementKey implements [store.KeyView].
func (v *view) ManagementKey(id gatehouse.ID) (*gatehouse.ManagementKey, error) {
	return find(v, &managementKeyTable, id.String())
}

// Team implements [store.KeyView].
func (v *view) Team(id gatehouse.ID) (*gatehouse.Team, error) {
	return find(v, &teamTable, id.String())
}

// User implements [store.KeyView].
func (v *view) User(id gatehouse.ID) (*gatehouse.User, error) {
	return find(v, &userTable, id.String())
}

// filter builds a WHERE clause; every value is a parameter.
type filter struct {
	terms []string
	args  []any
}

func (f *filter) add(term string, args ...any) {
	f.terms, f.args = append(f.terms, term), append(f.args, args...)
}

// after continues a list ordered by (created_us, id).
func (f *filter) after(c store.Cursor, prefix string) {
	if c != (store.Cursor{}) {
		f.add("("+prefix+"created_us, "+prefix+"id) > (?, ?)", micros(c.Time), c.ID)
	}
}

func (f *filter) where() string { return "WHERE " + strings.Join(f.terms, " AND ") }

// keyColumns are rowColumns of api_keys k: two tables of a join have an id.
const keyColumns = ` k.id, k.team_id, k.user_id, k.name, k.created_us, k.expire_us, k.disabled, k.deleted_us, k.epoch, k.n, k.version, k.record, k.sealed, k.mac `

// Keys implements [store.KeyView].
func (v *view) Keys(q store.KeyList) ([]*gatehouse.Key, error) {
	var f filter
	f.add("k.deleted_us = 0")
	f.add("k.team_id = ?", q.Team.String())
	if !q.User.IsZero() {
		f.add("k.user_id = ?", q.User.String())
	}
	if q.ActiveOnly {
		f.add("k.disabled = 0 AND (k.expire_us = 0 OR k.expire_us > ?)", micros(q.Now))
	}
	if len(q.ACL) > 0 {
		return v.keysByACL(q, f)
	}
	f.after(q.After, "k.")
	sql := `SELECT` + keyColumns + `FROM api_keys k ` + f.where() + ` ORDER BY k.created_us, k.id`
	return listFrom(v, &keyTable, sql, f.args, q.Limit)
}

// keysByACL walks the list of keys that hold the rarest entry, in page order,
// and asks the same lists for the others.
func (v *view) keysByACL(q store.KeyList, f filter) ([]*gatehouse.Key, error) {
	acl, err := v.rarestFirst(q)
	if err != nil {
		return nil, err
	}
	f.add("a.team_id = ? AND a.entry = ?", q.Team.String(), acl[0])
	for _, entry := range acl[1:] {
		f.add(`EXISTS (SELECT 1 FROM api_key_acls b WHERE b.team_id = a.team_id AND b.entry = ? AND b.created_us = a.created_us AND b.id = a.id)`, entry)
	}
	f.after(q.After, "a.")
	// CROSS JOIN keeps SQLite from starting with the keys, and the order with it.
	sql := `SELECT` + keyColumns + `FROM api_key_acls a CROSS JOIN api_keys k ` + f.where() + ` AND k.id = a.id ORDER BY a.created_us, a.id`
	return listFrom(v, &keyTable, sql, f.args, q.Limit)
}

// commonACL is from how many keys on an entry counts as common: between two
// common ones it hardly matters which leads.
const commonACL = 1000

// rarestFirst orders a filter's entries by how many of the team's keys hold
// them.
func (v *view) rarestFirst(q store.KeyList) ([]string, error) {
	counts := map[string]int{}
	for _, entry := range q.ACL {
		var n int
		if _, err := v.sess.one(countACL, []any{q.Team.String(), entry, commonACL}, &n); err != nil {
			return nil, failed(err)
		}
		counts[entry] = n
	}
	return slices.SortedStableFunc(slices.Values(q.ACL), func(a, b string) int { return counts[a] - counts[b] }), nil
}

const (
	countACL  query = `SELECT COUNT(*) FROM (SELECT 1 FROM api_key_acls WHERE team_id = ? AND entry = ? LIMIT ?) AS counted`
	deleteACL query = `DELETE FROM api_key_acls WHERE team_id = ? AND entry = ? AND created_us = ? AND id = ?`
	insertACL       = `INSERT INTO api_key_acls (team_id, entry, created_us, id) VALUES (?, ?, ?, ?)`
	// aclRows bounds the rows of one insert, and so the number of statements
	// prepared for it.
	aclRows = 8
)

// fileACL files a key under its ACL entries. A tombstone is under none. before
// is the record that is replaced, nil when there is none.
func fileACL(t *tx, before, k *gatehouse.Key) error {
	w := t.sess
	var had, has gatehouse.ACL
	if before != nil && !before.Deleted() {
		had = before.ACL.Normal()
	}
	if !k.Deleted() {
		has = k.ACL.Normal()
	}
	for _, entry := range without(had, has) {
		if _, err := w.exec(deleteACL, before.TeamID.String(), entry, micros(before.CreateTime), before.ID.String()); err != nil {
			return err
		}
	}
	for fresh := without(has, had); len(fresh) > 0; {
		n := min(len(fresh), aclRows)
		var args []any
		for _, entry := range fresh[:n] {
			args = append(args, k.TeamID.String(), entry, micros(k.CreateTime), k.ID.String())
		}
		// The row may be there only when somebody wrote it by SQL.
		q := insertACL + strings.Repeat(", (?, ?, ?, ?)", n-1) + " ON CONFLICT DO NOTHING"
		if _, err := w.exec(query(q), args...); err != nil {
			return err
		}
		fresh = fresh[n:]
	}
	return nil
}

// without is what of a is not in b.
func without(a, b gatehouse.ACL) gatehouse.ACL {
	in := make(map[string]bool, len(b))
	for _, s := range b {
		in[s] = true
	}
	var out gatehouse.ACL
	for _, s := range a {
		if !in[s] {
			out = append(out, s)
		}
	}
	return out
}

// AllKeys implements [store.KeyView]. They come in the order of the table: by id,
// each row would be looked for through an index, which costs a million keys
// several seconds.
func (v *view) AllKeys(yield func(*gatehouse.Key) error) error {
	q := query(`SELECT` + rowColumns + `FROM api_keys`)
	return sweep(v, &keyTable, q, yield)
}

const selectLastUse query = `SELECT last4, time_us FROM key_last_use WHERE key_id = ?`

// LastUse implements [store.KeyView].
func (v *view) LastUse(id gatehouse.ID) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	err := v.sess.each(v.ctx, selectLastUse, []any{id.String()}, func(rows *sql.Rows) (bool, error) {
		var last4 string
		var us int64
		err := rows.Scan(&last4, &us)
		out[last4] = fromMicros(us)
		return true, err
	})
	return out, failed(err)
}

// ManagementKeys implements [store.KeyView].
func (v *view) ManagementKeys(team gatehouse.ID, after store.Cursor, limit int) ([]*gatehouse.ManagementKey, error) {
	return byTime(v, &managementKeyTable, team, after, limit)
}

// Teams implements [store.KeyView].
func (v *view) Teams(after store.Cursor, limit int) ([]*gatehouse.Team, error) {
	return byTime(v, &teamTable, gatehouse.ID{}, after, limit)
}

// Users implements [store.KeyView].
func (v *view) Users(team gatehouse.ID, after store.Cursor, limit int) ([]*gatehouse.User, error) {
	return byTime(v, &userTable, team, after, limit)
}

// byTime lists live records by (create time, id); a zero team lists all.
func byTime[T any](v *view, a *authority[T], team gatehouse.ID, after store.Cursor, limit int) ([]*T, error) {
	var f filter
	f.add("deleted_us = 0")
	if !team.IsZero() {
		f.add("team_id = ?", team.String())
	}
	f.after(after, "")
	return list(v, a, f.where()+" ORDER BY created_us, id", f.args, limit)
}
