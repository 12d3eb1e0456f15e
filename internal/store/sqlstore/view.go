package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// view reads in one transaction: a snapshot, or the writer's own.
type view struct {
	s    *Store
	ctx  context.Context
	sess *session
	at   state // read when first asked for
	read bool
	own  *group // the transaction in the making, when this view belongs to it

	current bool // the heads are no older than this snapshot
}

var _ store.View = (*view)(nil)

// state is where the revision and the log stand in this snapshot.
func (v *view) state() (state, error) {
	switch {
	case v.own != nil:
		return v.own.state, nil
	case v.read:
		return v.at, nil
	}
	st, err := v.s.readState(v.sess, selectState)
	if err != nil {
		return st, failed(err)
	}
	v.at, v.read = st, true
	return st, nil
}

// Revision implements [store.View].
func (v *view) Revision() (gatehouse.Revision, error) {
	st, err := v.state()
	return st.rev, err
}

const (
	selectFloor   query = `SELECT floor_epoch, floor_n FROM installation WHERE id = 1`
	selectChanges query = `SELECT epoch, n, kind, id FROM changes WHERE epoch > ? OR (epoch = ? AND n > ?) ORDER BY epoch, n, kind, id`
	selectMemory  query = `SELECT value FROM remembered WHERE id = ? AND expire_us > ?`
)

// Changes implements [store.View]. A revision is never split: the last one
// reached comes whole even beyond the limit.
func (v *view) Changes(after gatehouse.Revision, limit int) (changes []gatehouse.Change, upTo gatehouse.Revision, ok bool, err error) {
	var floor gatehouse.Revision
	if _, err := v.sess.one(selectFloor, nil, &floor.Epoch, &floor.N); err != nil {
		return nil, upTo, false, failed(err)
	}
	now, err := v.Revision()
	if err != nil || after.Less(floor) || now.Less(after) {
		return nil, now, false, err
	}
	upTo = now
	var all []gatehouse.Change
	err = v.sess.each(v.ctx, selectChanges, []any{after.Epoch, after.Epoch, after.N}, func(rows *sql.Rows) (bool, error) {
		var c gatehouse.Change
		if err := rows.Scan(&c.Revision.Epoch, &c.Revision.N, &c.Kind, &c.ID); err != nil {
			return false, err
		}
		if n := len(all); limit > 0 && n >= limit && all[n-1].Revision != c.Revision {
			upTo = all[n-1].Revision
			return false, nil
		}
		all = append(all, c)
		return true, nil
	})
	return newest(all), upTo, err == nil, failed(err)
}

// newest keeps the last change of each record: the feed reads records, not
// changes, so an earlier one would only make it read twice.
func newest(all []gatehouse.Change) []gatehouse.Change {
	type record struct {
		kind gatehouse.Kind
		id   string
	}
	last := make(map[record]int, len(all))
	for i, c := range all {
		last[record{c.Kind, c.ID}] = i
	}
	out := all[:0]
	for i, c := range all {
		if last[record{c.Kind, c.ID}] == i {
			out = append(out, c)
		}
	}
	return out
}

// Recall implements [store.View].
func (v *view) Recall(key string, now time.Time) (value []byte, found bool, err error) {
	found, err = v.sess.one(selectMemory, []any{key, micros(now)}, &value)
	return value, found, failed(err)
}
