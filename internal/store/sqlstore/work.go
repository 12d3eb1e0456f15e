package sqlstore

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// work is the door for bookkeeping.
type work struct {
	sess *session
	now  time.Time
	s    *Store
	// teams are those that draws have read: a thousand budgets take milliseconds to
	// verify, and a gateway asks for many funds of a team at once.
	teams map[gatehouse.ID]*gatehouse.Team
}

var _ store.Work = work{}

// Work implements [store.Store].
func (s *Store) Work(ctx context.Context, f func(store.Work) error) error {
	return s.performBy(ctx, s.small, func(w *session) error { return f(work{w, s.opts.Now(), s, map[gatehouse.ID]*gatehouse.Team{}}) })
}

const (
	// A member keeps the time it joined. Seen again it is awaited again: what an
	// operator forgot and then came back enforces keys. One whose membership ended
	// does not come back: what is seen of it is of a poll that was open then.
	// What another control node said of when a member was last heard, and until when
	// it may hold a lease, is never taken back: nodes write late and by clocks of
	// their own.
	upsertGateway query = `INSERT INTO gateways (id, cluster, version, joined_us, seen_us, epoch, n, problem, lease_us, forgotten)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET cluster = excluded.cluster, version = excluded.version,
seen_us = CASE WHEN excluded.seen_us > gateways.seen_us THEN excluded.seen_us ELSE gateways.seen_us END,
epoch = excluded.epoch, n = excluded.n, problem = excluded.problem,
lease_us = CASE WHEN excluded.lease_us > gateways.lease_us THEN excluded.lease_us ELSE gateways.lease_us END,
forgotten = CASE WHEN EXISTS (SELECT 1 FROM memberships WHERE memberships.id = gateways.id AND memberships.deleted_us <> 0)
THEN gateways.forgotten ELSE excluded.forgotten END`
	touchKey query = `INSERT INTO key_last_use (key_id, last4, time_us) VALUES (?, ?, ?)
ON CONFLICT (key_id, last4) DO UPDATE SET time_us = excluded.time_us WHERE key_last_use.time_us < excluded.time_us`
	putCheckpoint query = `INSERT INTO checkpoints (size, note) VALUES (?, ?) ON CONFLICT (size) DO UPDATE SET note = excluded.note`
	// Trim takes whole revisions, oldest first, so that what is left has no
	// holes; the floor says where it begins.
	selectTrim query = `SELECT epoch, n FROM (SELECT epoch, n, time_us FROM changes ORDER BY epoch, n LIMIT ?) AS oldest
WHERE time_us < ? ORDER BY epoch DESC, n DESC LIMIT 1`
	trimChanges query = `DELETE FROM changes WHERE epoch < ? OR (epoch = ? AND n <= ?)`
	raiseFloor  query = `UPDATE installation SET floor_epoch = ?, floor_n = ? WHERE id = 1`
	trimMemory  query = `DELETE FROM remembered WHERE id IN (SELECT id FROM remembered WHERE expire_us < ? ORDER BY expire_us LIMIT ?)`

	// trimMax bounds the rows of one call, to keep within the door's ten
	// milliseconds; the job comes again.
	trimMax = 1000
)

// SeenGateway implements [store.Work].
func (w work) SeenGateway(g *gatehouse.Gateway) error {
	forgotten := 0
	if g.Forgotten {
		forgotten = 1
	}
	_, err := w.sess.exec(upsertGateway, g.ID.String(), g.Cluster, g.Version, micros(g.Joined), micros(g.LastSeen),
		g.Enforced.Epoch, g.Enforced.N, g.Problem, micros(g.Lease), forgotten)
	return failed(err)
}

// TouchKeys implements [store.Work].
func (w work) TouchKeys(uses []store.LastUse) error {
	// In one order, or two nodes that touch the same keys wait for each other.
	uses = slices.SortedFunc(slices.Values(uses), func(a, b store.LastUse) int {
		return cmp.Or(bytes.Compare(a.KeyID[:], b.KeyID[:]), cmp.Compare(a.Last4, b.Last4))
	})
	for _, u := range uses {
		if _, err := w.sess.exec(touchKey, u.KeyID.String(), u.Last4, micros(u.Time)); err != nil {
			return failed(err)
		}
	}
	return nil
}

// PutCheckpoint implements [store.Work].
func (w work) PutCheckpoint(size int64, note []byte) error {
	_, err := w.sess.exec(putCheckpoint, size, note)
	return failed(err)
}

// Trim implements [store.Work].
func (w work) Trim(before time.Time) error {
	var last gatehouse.Revision
	found, err := w.sess.one(selectTrim, []any{trimMax, micros(before)}, &last.Epoch, &last.N)
	if err != nil {
		return failed(err)
	}
	if found {
		if _, err := w.sess.exec(trimChanges, last.Epoch, last.Epoch, last.N); err != nil {
			return failed(err)
		}
		if _, err := w.sess.exec(raiseFloor, last.Epoch, last.N); err != nil {
			return failed(err)
		}
	}
	// Memory goes by its own time: what carries a secret was promised to last minutes.
	if _, err = w.sess.exec(trimMemory, micros(w.now), trimMax); err != nil {
		return failed(err)
	}
	// A gateway may come back to a hold's totals until it has forgotten them.
	idle := micros(w.now.Add(-holdsIdle))
	if _, err = w.sess.exec(trimHolds, idle, idle, trimMax); err != nil {
		return failed(err)
	}
	return w.trimMoney(before)
}

// trimMoney forgets what nobody asks for any more: alerts, and what was spent in
// periods of budgets that are long over.
func (w work) trimMoney(before time.Time) error {
	old := micros(earlier(before, w.now.Add(-alertsKept)))
	_, err := w.sess.exec(trimAlerts, old, trimMax)
	if err == nil {
		_, err = w.sess.exec(trimSent, old, trimMax)
	}
	if err == nil {
		_, err = w.sess.exec(trimSpent, earlier(before, w.now.Add(-spentKept)).Unix(), trimMax)
	}
	return failed(err)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
