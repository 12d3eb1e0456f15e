package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

const (
	referBlob   query = `UPDATE library_blobs SET refs = refs + 1 WHERE name = ? AND team_id = ? AND stored = 1 AND condemned = 0`
	releaseBlob query = `UPDATE library_blobs SET refs = refs - 1 WHERE name = ?`

	takeBlob query = `UPDATE library_blobs SET held_us = CASE WHEN held_us > ? THEN held_us ELSE ? END
WHERE condemned = 0 AND name = (SELECT name FROM library_blobs WHERE team_id = ? AND hash = ? AND stored = 1 AND condemned = 0 ORDER BY name LIMIT 1)
RETURNING name`
	planBlob query = `INSERT INTO library_blobs (name, team_id, hash, size, stored, condemned, refs, held_us) VALUES (?, ?, ?, ?, 0, 0, 0, ?)
ON CONFLICT DO NOTHING`
	storedBlob query = `UPDATE library_blobs SET stored = 1, held_us = ? WHERE name = ? AND condemned = 0`
	// The conditions are said twice: where nodes sweep at once, or a file takes the
	// blob meanwhile, the outer ones are judged again on the row as it is then. The
	// files themselves are asked too, should the count ever be wrong.
	condemnBlobs query = `UPDATE library_blobs SET condemned = 1 WHERE refs = 0 AND condemned = 0 AND held_us <= ? AND name IN (
SELECT b.name FROM library_blobs b WHERE b.refs = 0 AND b.condemned = 0 AND b.held_us <= ?
AND NOT EXISTS (SELECT 1 FROM library_files f WHERE f.blob = b.name) ORDER BY b.held_us, b.name LIMIT ?)`
	selectCondemned query = `SELECT name FROM library_blobs WHERE condemned = 1 ORDER BY name LIMIT ?`
	forgetBlob      query = `DELETE FROM library_blobs WHERE name = ? AND condemned = 1`

	// sweepMax bounds the rows of one call, to keep within the door's ten
	// milliseconds.
	sweepMax = 200
)

// refer counts a file that refers to a blob. One that is not whole, or that the
// sweeper has, is the file's no more.
func (t *tx) refer(f *gatehouse.File) error {
	there, err := t.sess.affects(referBlob, f.Blob, f.TeamID.String())
	if err == nil && !there {
		err = gatehouse.Errorf(gatehouse.Conflict, "the file's bytes are no longer held: upload it again")
	}
	return err
}

// TakeBlob implements [store.LibraryWork].
func (w work) TakeBlob(team gatehouse.ID, hash string, until time.Time) (name string, found bool, err error) {
	found, err = w.sess.one(takeBlob, []any{micros(until), micros(until), team.String(), hash}, &name)
	return name, found, failed(err)
}

// PlanBlob implements [store.LibraryWork].
func (w work) PlanBlob(b store.Blob, until time.Time) error {
	fresh, err := w.sess.affects(planBlob, b.Name, b.Team.String(), b.Hash, b.Size, micros(until))
	if err == nil && !fresh {
		err = gatehouse.Errorf(gatehouse.AlreadyExists, "a blob's name is never used twice")
	}
	return failed(err)
}

// StoredBlob implements [store.LibraryWork].
func (w work) StoredBlob(name string, until time.Time) error {
	there, err := w.sess.affects(storedBlob, micros(until), name)
	if err == nil && !there {
		err = gatehouse.Errorf(gatehouse.Conflict, "the upload took too long: upload it again")
	}
	return failed(err)
}

// SweepBlobs implements [store.LibraryWork].
func (w work) SweepBlobs(now time.Time, limit int) (names []string, err error) {
	limit = max(0, min(limit, sweepMax))
	if _, err := w.sess.exec(condemnBlobs, micros(now), micros(now), limit); err != nil {
		return nil, failed(err)
	}
	err = w.sess.each(context.Background(), selectCondemned, []any{limit}, func(rows *sql.Rows) (bool, error) {
		var name string
		err := rows.Scan(&name)
		names = append(names, name)
		return true, err
	})
	return names, failed(err)
}

// ForgetBlobs implements [store.LibraryWork].
func (w work) ForgetBlobs(names []string) error {
	for _, name := range names {
		if _, err := w.sess.exec(forgetBlob, name); err != nil {
			return failed(err)
		}
	}
	return nil
}
