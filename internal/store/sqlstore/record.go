package sqlstore

import (
	"context"
	"encoding/json"
	"errors"

	jsonv1 "github.com/go-json-experiment/json/v1"

	"gatehouse"
)

// row is a record as a table holds it.
type row struct {
	id, team, user, name      string
	created, expire           int64
	disabled                  bool
	deleted                   int64
	rev                       gatehouse.Revision
	version                   int64
	record, sealed, signature []byte
}

const (
	rowColumns = ` id, team_id, user_id, name, created_us, expire_us, disabled, deleted_us, epoch, n, version, record, sealed, mac `
	upsertRow  = ` (` + rowColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET team_id = excluded.team_id, user_id = excluded.user_id, name = excluded.name,
created_us = excluded.created_us, expire_us = excluded.expire_us, disabled = excluded.disabled,
deleted_us = excluded.deleted_us, epoch = excluded.epoch, n = excluded.n, version = excluded.version,
record = excluded.record, sealed = excluded.sealed, mac = excluded.mac`
)

// into are the targets of a scan, in the order of rowColumns.
func (r *row) into() []any {
	return []any{&r.id, &r.team, &r.user, &r.name, &r.created, &r.expire, &r.disabled, &r.deleted,
		&r.rev.Epoch, &r.rev.N, &r.version, &r.record, &r.sealed, &r.signature}
}

// values are a row's parameters, in the order of rowColumns.
func (r *row) values() []any {
	disabled := 0
	if r.disabled {
		disabled = 1
	}
	return []any{r.id, r.team, r.user, r.name, r.created, r.expire, disabled, r.deleted,
		r.rev.Epoch, r.rev.N, r.version, r.record, r.sealed, r.signature}
}

// mac authenticates what grants authority, with the place it is for: the table
// by the domain of the MAC, the rest framed. The columns that repeat the record
// need not be in it, since decode compares them.
func (r *row) mac(s *Store, table string) []byte {
	return s.opts.Guard.MAC(table, r.framed())
}

// authentic reports whether the row's MAC is of its content, and whether it is
// of the generation that is written with.
func (r *row) authentic(s *Store, table string) (ok, current bool) {
	return s.opts.Guard.CheckMAC(table, r.framed(), r.signature)
}

func (r *row) framed() []byte {
	return frame(make([]byte, 0, len(r.record)+len(r.sealed)+128), r.id, r.rev.Epoch, r.rev.N, r.version, r.record, r.sealed)
}

// fill sets the columns that repeat the record.
func (r *row) fill(f facts) {
	r.id, r.team, r.user, r.name = f.id, f.team, f.user, f.name
	r.created, r.expire, r.disabled, r.deleted = micros(f.created), micros(f.expire), f.disabled, micros(f.deleted)
}

// repeats reports whether the columns still say what the record says. Without
// it, SQL could move a key into another team's lists and leave its MAC whole.
func (r *row) repeats(f facts) bool {
	var want row
	want.fill(f)
	return r.id == want.id && r.team == want.team && r.user == want.user && r.name == want.name &&
		r.created == want.created && r.expire == want.expire && r.disabled == want.disabled && r.deleted == want.deleted
}

// encode makes the row of v at a revision.
func encode[T any](s *Store, a *authority[T], v *T, rev gatehouse.Revision, version int64) (*row, error) {
	*a.revision(v) = rev
	bare, secret := a.bare(v)
	r := &row{rev: rev, version: version, sealed: []byte{}}
	r.fill(a.facts(v))
	for _, text := range []string{r.id, r.team, r.user, r.name} {
		if !holds(text) {
			return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "a %s has text that is not UTF-8, or has a NUL in it", a.kind)
		}
	}
	var err error
	if r.record, err = json.Marshal(&bare); err != nil {
		return nil, err
	}
	if secret != nil {
		if r.sealed, err = s.opts.Guard.Seal(a.place(v), secret); err != nil {
			return nil, err
		}
	}
	r.signature = r.mac(s, a.table)
	return r, nil
}

// decode returns the record of a row that verifies, else why it does not.
func decode[T any](v *view, a *authority[T], r *row) (*T, string) {
	if ok, _ := r.authentic(v.s, a.table); !ok {
		return nil, "its MAC does not verify"
	}
	out := new(T)
	// It reads as encoding/json does, in half of the time: a snapshot for a gateway
	// reads every key.
	if err := jsonv1.Unmarshal(r.record, out); err != nil {
		return nil, "its record does not parse"
	}
	if !r.repeats(a.facts(out)) {
		return nil, "its columns differ from its record"
	}
	if *a.revision(out) != r.rev {
		return nil, "its revision differs from its record's"
	}
	if why := v.headProblem(headOf(a.kind, r.id), r.rev); why != "" {
		return nil, why
	}
	if len(r.sealed) == 0 {
		return out, ""
	}
	if a.place == nil {
		return nil, "it holds secrets, and its kind has none"
	}
	secret, err := v.s.opts.Guard.Open(a.place(out), r.sealed)
	if err != nil || a.dress(out, secret) != nil {
		return nil, "its secrets do not open"
	}
	return out, ""
}

// headProblem compares a row's revision with the audit log's last for it.
func (v *view) headProblem(k headKey, rev gatehouse.Revision) string {
	head, known := v.head(k)
	switch {
	case !known:
		return "the audit log does not know it"
	case head == rev:
		return ""
	}
	// The record may have changed since this snapshot was taken: then the log
	// is ahead of what the snapshot can see, and the row is as old as it should be.
	if seen, err := v.Revision(); err == nil && seen.Less(head) && !seen.Less(rev) {
		return ""
	}
	return "its revision is not the audit log's last"
}

// find reads one record, tombstones included; NotFound when there is none that
// verifies.
func find[T any](v *view, a *authority[T], id string) (*T, error) {
	out, _, err := findRow(v, a, id)
	return out, err
}

// findRow is find with the row, which is there even when it does not verify.
// A record that the log knows and the table lacks was deleted by SQL, unless its
// kind leaves no tombstones.
func findRow[T any](v *view, a *authority[T], id string) (*T, *row, error) {
	if err := v.catchUp(); err != nil {
		return nil, nil, failed(err)
	}
	var r row
	q := query(`SELECT` + rowColumns + `FROM ` + a.table + ` WHERE id = ?`)
	found, err := v.sess.one(q, []any{id}, r.into()...)
	if err != nil {
		return nil, nil, failed(err)
	}
	if !found {
		// Within a team's scope a row may be there and not be seen.
		if head, known := v.head(headOf(a.kind, id)); known && !a.dropped && (v.s.d.Scope == "" || v.sess.scope == everyTeam) {
			if seen, err := v.Revision(); err == nil && !seen.Less(head) {
				v.s.damaged(a.kind, id, "the audit log knows it, and its row is gone")
			}
		}
		return nil, nil, absent(a.kind)
	}
	out, why := decode(v, a, &r)
	if why != "" {
		v.s.damaged(a.kind, id, why)
		return nil, &r, absent(a.kind)
	}
	return out, &r, nil
}

// absent says the same of what never was and of what is not served: whoever
// edits rows learns nothing from the answer.
func absent(kind gatehouse.Kind) error {
	return gatehouse.Errorf(gatehouse.NotFound, "no such %s", kind)
}

// failed classifies an engine's error; what is classified, and a context's end,
// passes as it is.
func failed(err error) error {
	var known *gatehouse.Error
	if err == nil || errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return gatehouse.Errorf(gatehouse.Unavailable, "the database cannot answer").Because(err)
}

// spare is how many refused rows a page may hold before it comes out short:
// a page that is short for another reason than the end would stop its reader.
const spare = 100

// list reads what follows FROM table, at most limit records that verify; no
// limit when it is negative.
func list[T any](v *view, a *authority[T], rest string, args []any, limit int) ([]*T, error) {
	return listFrom(v, a, `SELECT`+rowColumns+`FROM `+a.table+` `+rest, args, limit)
}

// listFrom is list for a statement of the caller's own.
func listFrom[T any](v *view, a *authority[T], q string, args []any, limit int) ([]*T, error) {
	if limit == 0 {
		return nil, nil
	}
	if limit > 0 {
		q, args = q+` LIMIT ?`, append(args, limit+spare)
	}
	var out []*T
	err := walk(v, a, v.sess.rows, query(q), args, func(x *T) (bool, error) {
		out = append(out, x)
		return len(out) != limit, nil
	})
	return out, err
}

// walk calls yield for every record that verifies. Where yield comes from a
// caller it may read more, and scan must be the session's scan.
func walk[T any](v *view, a *authority[T], scan scan, q query, args []any, yield func(*T) (more bool, err error)) error {
	if err := v.catchUp(); err != nil {
		return failed(err)
	}
	var own error
	err := scan(v.ctx, q, args, func(rows scanner) (bool, error) {
		var r row
		if err := rows.Scan(r.into()...); err != nil {
			return false, err
		}
		x, why := decode(v, a, &r)
		if why != "" {
			v.s.damaged(a.kind, r.id, why)
			return true, nil
		}
		var more bool
		more, own = yield(x)
		return more && own == nil, nil
	})
	if own != nil {
		return own
	}
	return failed(err)
}
