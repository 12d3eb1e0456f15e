package sqlstore

import (
	"errors"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// The kinds of tasks, as columns hold them.
const (
	index   = string(store.TaskIndex)
	unindex = string(store.TaskUnindex)
	purge   = string(store.TaskPurge)
)

// task is what a row of library_tasks begins as.
type task struct {
	collection, file, team, kind string
	generation                   int64
}

const (
	// A hold that lives is left: its holder finds out when it is done, and is the
	// only one until then.
	leaveTask query = `INSERT INTO library_tasks (collection_id, file_id, team_id, kind, generation, attempts, due_us, holder)
VALUES (?, ?, ?, ?, ?, 0, ?, '') ON CONFLICT (collection_id, file_id) DO UPDATE SET kind = excluded.kind, generation = excluded.generation, attempts = 0,
holder = CASE WHEN library_tasks.due_us > excluded.due_us THEN library_tasks.holder ELSE '' END,
due_us = CASE WHEN library_tasks.holder <> '' AND library_tasks.due_us > excluded.due_us THEN library_tasks.due_us ELSE excluded.due_us END`
	selectLiving query = `SELECT id FROM library_collections WHERE id = ?`
	// selectTaskGeneration is of a task whose document is not there.
	selectTaskGeneration query = `SELECT k.generation FROM library_tasks k WHERE k.collection_id = ? AND k.file_id = ?
AND NOT EXISTS (SELECT 1 FROM library_documents d WHERE d.collection_id = k.collection_id AND d.file_id = k.file_id)`
	// Of a dropped collection the purge takes what nobody has begun. A worker may
	// have put its document in behind the purge and died.
	forgetIndex query = `DELETE FROM library_tasks WHERE collection_id = ? AND file_id = ? AND kind = 'index' AND holder = '' AND attempts = 0`
	turnIndex   query = `UPDATE library_tasks SET kind = 'unindex', attempts = 0 WHERE collection_id = ? AND file_id = ? AND kind = 'index'`

	claimTask query = `UPDATE library_tasks SET holder = ?, due_us = ?, attempts = attempts + 1 WHERE (collection_id, file_id) = (
SELECT collection_id, file_id FROM library_tasks WHERE due_us <= ? ORDER BY due_us, collection_id, file_id LIMIT 1)
RETURNING team_id, collection_id, file_id, kind, generation, attempts`
	taskIs          = ` WHERE collection_id = ? AND file_id = ? AND holder = ? AND kind = ? AND generation = ?`
	holdTask  query = `UPDATE library_tasks SET due_us = ?` + taskIs
	endTask   query = `DELETE FROM library_tasks` + taskIs
	laterTask query = `UPDATE library_tasks SET holder = '', due_us = ?` + taskIs
	// freeTask gives back what changed while it was held.
	freeTask query = `UPDATE library_tasks SET holder = '', due_us = ? WHERE collection_id = ? AND file_id = ? AND holder = ?`
	// freeTasks gives back what a node held that died.
	freeTasks query = `UPDATE library_tasks SET holder = '', due_us = ? WHERE holder <> '' AND substr(holder, 1, ?) = ?`
	// lateTask is for what was indexed while it was dropped: it has to come out.
	lateTask query = `UPDATE library_tasks SET kind = 'unindex', attempts = 0, holder = '', due_us = ?` + taskIs

	selectAlive query = `SELECT c.id FROM library_documents d JOIN library_collections c ON c.id = d.collection_id
WHERE d.collection_id = ? AND d.file_id = ? AND d.gone = 0`
	noteDocument query = `UPDATE library_documents SET status = ?, problem = ?, indexed_us = CASE WHEN ? > indexed_us THEN ? ELSE indexed_us END, chunks = ?, chunks_done = ?
WHERE collection_id = ? AND file_id = ? AND generation = ? AND gone = 0`
	countTasks query = `SELECT COUNT(*) FROM (SELECT 1 FROM library_tasks LIMIT ?) AS counted`

	// tasksCounted bounds TasksLeft: counting takes as long as there are rows.
	tasksCounted = 20_000
)

// leaveTask leaves work to do, due now.
func (t *tx) leaveTask(k task) error {
	_, err := t.sess.exec(leaveTask, k.collection, k.file, k.team, k.kind, k.generation, micros(t.now))
	return err
}

// leaveUnindex has a dropped document taken out of the index. Where its
// collection is gone the purge does it, except for what somebody may be putting
// in at this moment.
func (t *tx) leaveUnindex(d *gatehouse.Document, living bool) error {
	collection, file := d.CollectionID.String(), d.FileID.String()
	if living {
		return t.leaveTask(task{collection: collection, file: file, team: d.TeamID.String(), kind: unindex, generation: d.Generation})
	}
	_, err := t.sess.exec(forgetIndex, collection, file)
	if err == nil {
		_, err = t.sess.exec(turnIndex, collection, file)
	}
	return err
}

// ClaimTask implements [store.LibraryWork].
func (w work) ClaimTask(holder string, now, until time.Time) (*store.Task, error) {
	t := &store.Task{Holder: holder}
	var team, collection, file string
	found, err := w.sess.one(claimTask, []any{holder, micros(until), micros(now)}, &team, &collection, &file, &t.Kind, &t.Generation, &t.Attempts)
	if err != nil {
		return nil, failed(err)
	}
	if !found {
		return nil, gatehouse.Errorf(gatehouse.NotFound, "no task is due")
	}
	t.Attempts--
	bad := errors.Join(t.Team.UnmarshalText([]byte(team)), t.Collection.UnmarshalText([]byte(collection)))
	if file != "" {
		bad = errors.Join(bad, t.File.UnmarshalText([]byte(file)))
	}
	return t, failed(bad)
}

// FreeTasks implements [store.LibraryWork].
func (w work) FreeTasks(prefix string, now time.Time) error {
	_, err := w.sess.exec(freeTasks, micros(now), len(prefix), prefix)
	return failed(err)
}

// is are the parameters of taskIs.
func is(t *store.Task) []any {
	return []any{t.Collection.String(), t.File.String(), t.Holder, string(t.Kind), t.Generation}
}

// HoldTask implements [store.LibraryWork].
func (w work) HoldTask(t *store.Task, until time.Time, state *gatehouse.DocumentState) (held bool, err error) {
	if t.Kind == store.TaskIndex {
		if held, err = w.alive(t); err != nil || !held {
			return false, failed(err)
		}
	}
	held, err = w.sess.affects(holdTask, append([]any{micros(until)}, is(t)...)...)
	if err != nil || !held {
		return false, failed(err)
	}
	return true, w.note(t, state)
}

// alive reports whether the document of a task is there.
func (w work) alive(t *store.Task) (bool, error) {
	return w.sess.one(selectAlive, []any{t.Collection.String(), t.File.String()}, new(string))
}

// EndTask implements [store.LibraryWork].
func (w work) EndTask(t *store.Task, state *gatehouse.DocumentState) (done bool, err error) {
	if t.Kind == store.TaskIndex && state != nil {
		alive, err := w.alive(t)
		if err != nil {
			return false, failed(err)
		}
		if !alive {
			if late, err := w.sess.affects(lateTask, append([]any{micros(w.now)}, is(t)...)...); late || err != nil {
				return false, failed(err)
			}
		}
	}
	if done, err = w.sess.affects(endTask, is(t)...); err != nil {
		return false, failed(err)
	}
	if !done {
		return false, w.free(t)
	}
	return true, w.note(t, state)
}

// LaterTask implements [store.LibraryWork].
func (w work) LaterTask(t *store.Task, due time.Time, state *gatehouse.DocumentState) error {
	same, err := w.sess.affects(laterTask, append([]any{micros(due)}, is(t)...)...)
	if err != nil {
		return failed(err)
	}
	if !same {
		return w.free(t)
	}
	return w.note(t, state)
}

// free gives a task back that is still the holder's and has changed.
func (w work) free(t *store.Task) error {
	_, err := w.sess.exec(freeTask, micros(w.now), t.Collection.String(), t.File.String(), t.Holder)
	return failed(err)
}

// note writes down how far a document has come. A state without an IndexTime
// leaves when it was last complete.
func (w work) note(t *store.Task, s *gatehouse.DocumentState) error {
	if s == nil || t.Kind != store.TaskIndex {
		return nil
	}
	at := micros(s.IndexTime)
	_, err := w.sess.exec(noteDocument, string(s.Status), s.Problem, at, at, s.Chunks, s.ChunksDone, t.Collection.String(), t.File.String(), t.Generation)
	return failed(err)
}

// TasksLeft implements [store.LibraryWork]; from 20,000 on it says that many.
func (w work) TasksLeft() (n int64, err error) {
	_, err = w.sess.one(countTasks, []any{tasksCounted}, &n)
	return n, failed(err)
}
