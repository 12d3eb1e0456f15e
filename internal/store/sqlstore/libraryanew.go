package sqlstore

import (
	"database/sql"
	"errors"
	"slices"
	"strings"

	"gatehouse"
	"gatehouse/internal/store"
)

const (
	livesCollection       = ` AND EXISTS (SELECT 1 FROM library_collections c WHERE c.id = d.collection_id)`
	selectProcessed query = `SELECT d.team_id, d.collection_id, d.file_id, d.generation FROM library_documents d
WHERE (d.collection_id, d.file_id) > (?, ?) AND d.status = ? AND d.gone = 0` + livesCollection + ` ORDER BY d.collection_id, d.file_id LIMIT ?`

	// The task comes before the state, as for whoever works on it.
	anewIs    = `(d.collection_id = ? AND d.file_id = ? AND d.generation = ?)`
	anewTasks = `INSERT INTO library_tasks (collection_id, file_id, team_id, kind, generation, attempts, due_us, holder)
SELECT d.collection_id, d.file_id, d.team_id, 'index', d.generation, 0, ?, '' FROM library_documents d
WHERE d.status = ? AND d.gone = 0` + livesCollection + ` AND `
	anewTasksEnd  = ` ON CONFLICT (collection_id, file_id) DO NOTHING`
	anewDocuments = `UPDATE library_documents AS d SET status = ?, problem = '', chunks = 0, chunks_done = 0
WHERE d.status = ? AND d.gone = 0 AND EXISTS (SELECT 1 FROM library_tasks k WHERE k.collection_id = d.collection_id AND k.file_id = d.file_id AND k.kind = 'index'
AND k.generation = d.generation AND k.holder = '') AND `

	// anewMax bounds the rows of one call, to keep within the door's ten
	// milliseconds.
	anewMax = 200
)

// DocumentsProcessed implements [store.LibraryView].
func (v *view) DocumentsProcessed(after store.DocumentRef, limit int) (out []store.DocumentRef, err error) {
	args := []any{"", "", string(gatehouse.DocumentProcessed), limit}
	if !after.Collection.IsZero() {
		args[0], args[1] = after.Collection.String(), after.File.String()
	}
	err = v.sess.each(v.ctx, selectProcessed, args, func(rows *sql.Rows) (bool, error) {
		var r store.DocumentRef
		var team, collection, file string
		err := rows.Scan(&team, &collection, &file, &r.Generation)
		if err == nil {
			err = errors.Join(r.Team.UnmarshalText([]byte(team)), r.Collection.UnmarshalText([]byte(collection)), r.File.UnmarshalText([]byte(file)))
		}
		out = append(out, r)
		return true, err
	})
	return out, failed(err)
}

// IndexAnew implements [store.LibraryWork].
func (w work) IndexAnew(refs []store.DocumentRef) (n int64, err error) {
	if len(refs) > anewMax {
		return 0, gatehouse.Errorf(gatehouse.InvalidArgument, "at most %d documents are indexed anew at once", anewMax)
	}
	for some := range slices.Chunk(refs, manyRows) {
		tasks, documents, which := anew(some)
		if _, err := w.sess.exec(tasks, append([]any{micros(w.now), string(gatehouse.DocumentProcessed)}, which...)...); err != nil {
			return 0, failed(err)
		}
		result, err := w.sess.exec(documents, append([]any{string(gatehouse.DocumentProcessing), string(gatehouse.DocumentProcessed)}, which...)...)
		if err != nil {
			return 0, failed(err)
		}
		marked, err := result.RowsAffected()
		if err != nil {
			return 0, failed(err)
		}
		n += marked
	}
	return n, nil
}

// anew writes the statements for some documents, and their parameters. One
// length is prepared: what is left over is filled up with the last.
func anew(refs []store.DocumentRef) (tasks, documents query, which []any) {
	for i := range manyRows {
		r := refs[min(i, len(refs)-1)]
		which = append(which, r.Collection.String(), r.File.String(), r.Generation)
	}
	some := "(" + anewIs + strings.Repeat(" OR "+anewIs, manyRows-1) + ")"
	return query(anewTasks + some + anewTasksEnd), query(anewDocuments + some), which
}
