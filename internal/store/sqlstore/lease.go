package sqlstore

import (
	"context"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

const (
	// takeLease lets one holder have a job until its time is over.
	takeLease query = `INSERT INTO leases (name, holder, until_us) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder, until_us = excluded.until_us WHERE leases.holder = excluded.holder OR leases.until_us <= ?`
	dropLease    query = `DELETE FROM leases WHERE name = ? AND holder = ?`
	selectFrozen query = `SELECT until_us FROM leases WHERE name = '` + freezeLease + `' AND until_us > ?`

	// freezeLease is the job of him who keeps the truth from changing.
	freezeLease = "freeze"
)

// Lease implements [store.Work].
func (w work) Lease(name, holder string, now, until time.Time) (held bool, err error) {
	held, err = w.sess.affects(takeLease, name, holder, micros(until), micros(now))
	return held, failed(err)
}

// Freeze keeps every process's Updates out until then, or until thaw: they are
// answered with Unavailable and when to come again. Ingest and Work go on.
// Updates that had begun are committed before Freeze returns. Called again by
// the same holder it moves the end; another holder's freeze is
// FailedPrecondition. That it ends by itself is what saves an installation
// whose operator's terminal was closed.
func (s *Store) Freeze(ctx context.Context, holder string, until time.Time) (thaw func(context.Context) error, err error) {
	held := false
	err = s.perform(ctx, func(w *session) (err error) {
		// The lock is what Updates hold while they run.
		if _, err := s.readState(w, lockState); err != nil {
			return failed(err)
		}
		held, err = work{sess: w}.Lease(freezeLease, holder, s.opts.Now(), until)
		return err
	})
	if err == nil && !held {
		err = gatehouse.Errorf(gatehouse.FailedPrecondition, "changes are already held back by somebody else")
	}
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		return s.perform(ctx, func(w *session) error { _, err := w.exec(dropLease, freezeLease, holder); return failed(err) })
	}, nil
}

// thawed refuses a group while changes are frozen. It runs under the lock, so a
// freeze is seen by all that begin after it.
func (s *Store) thawed() error {
	now := s.opts.Now()
	var until int64
	frozen, err := s.writer.one(selectFrozen, []any{micros(now)}, &until)
	if err != nil || !frozen {
		return err
	}
	// Most freezes end long before they would by themselves.
	wait := min(fromMicros(until).Sub(now), 5*time.Second)
	return verdict{gatehouse.Errorf(gatehouse.Unavailable, "changes are held back while the database is moved or copied").After(wait)}
}

var _ store.Work = work{}
