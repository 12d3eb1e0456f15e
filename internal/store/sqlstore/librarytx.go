package sqlstore

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"

	"gatehouse"
)

// PutFile implements [store.LibraryTx].
func (t *tx) PutFile(f *gatehouse.File, act gatehouse.Act) error { return put(t, &fileTable, f, act) }

// DropFile implements [store.LibraryTx].
func (t *tx) DropFile(id gatehouse.ID, act gatehouse.Act) error {
	return drop(t, &fileTable, id.String(), act)
}

// PutCollection implements [store.LibraryTx].
func (t *tx) PutCollection(c *gatehouse.Collection, act gatehouse.Act) error {
	return put(t, &collectionTable, c, act)
}

// DropCollection implements [store.LibraryTx].
func (t *tx) DropCollection(id gatehouse.ID, act gatehouse.Act) error {
	return drop(t, &collectionTable, id.String(), act)
}

// PutDocument implements [store.LibraryTx]. A document that comes back while
// work on the one before is not done goes on with its generations: whoever
// works on that must not pass for done with this.
func (t *tx) PutDocument(d *gatehouse.Document, act gatehouse.Act) error {
	file, err := find(&t.view, &fileTable, d.FileID.String())
	if err != nil {
		return err
	}
	c, err := find(&t.view, &collectionTable, d.CollectionID.String())
	if err != nil {
		return err
	}
	if file.TeamID != d.TeamID || c.TeamID != d.TeamID {
		return absent(gatehouse.KindFile)
	}
	var last int64
	back, err := t.sess.one(selectTaskGeneration, []any{d.CollectionID.String(), d.FileID.String()}, &last)
	if err != nil {
		return t.fail(err)
	}
	if back {
		d.Generation = max(d.Generation, last+1)
	}
	return put(t, &documentTable, d, act)
}

// DropDocument implements [store.LibraryTx].
func (t *tx) DropDocument(collection, file gatehouse.ID, act gatehouse.Act) error {
	return drop(t, &documentTable, documentID(collection, file), act)
}

const (
	upsertLibraryFile query = `INSERT INTO library_files (id, team_id, name, content_type, size, blob, owned, counted, home, created_us, expire_us)
VALUES (?, ?, ?, ?, ?, ?, ?, 0, '', ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, content_type = excluded.content_type,
size = excluded.size, blob = excluded.blob, owned = excluded.owned, created_us = excluded.created_us, expire_us = excluded.expire_us`
	deleteLibraryFile query = `DELETE FROM library_files WHERE id = ?`
	// Whoever works on a document has its task before its row. So has whoever
	// changes the rows of a file's documents, or either would wait for the other.
	lockTasksOfFile query = `UPDATE library_tasks SET attempts = attempts
WHERE file_id = ? AND collection_id IN (SELECT collection_id FROM library_documents WHERE file_id = ?)`
	// What documents and collections repeat of a file.
	updateFileInDocuments   query = `UPDATE library_documents SET name = ?, content_type = ?, size = ? WHERE file_id = ?`
	updateFileInCollections query = `UPDATE library_collections SET bytes = bytes + ?
WHERE id IN (SELECT collection_id FROM library_documents WHERE file_id = ? AND gone = 0)`
	takeFileFromCollections query = `UPDATE library_collections SET documents = documents - 1, bytes = bytes - ?
WHERE id IN (SELECT collection_id FROM library_documents WHERE file_id = ? AND gone = 0)`
	markFileGone query = `UPDATE library_documents SET gone = 1 WHERE file_id = ? AND gone = 0`

	upsertLibraryCollection query = `INSERT INTO library_collections (id, team_id, name, created_us, documents, bytes, sole_files, sole_bytes)
VALUES (?, ?, ?, ?, 0, 0, 0, 0) ON CONFLICT (id) DO UPDATE SET name = excluded.name, created_us = excluded.created_us`
	selectSole              query = `SELECT sole_files, sole_bytes FROM library_collections WHERE id = ?`
	deleteLibraryCollection query = `DELETE FROM library_collections WHERE id = ?`
	insertGone              query = `INSERT INTO library_gone (id, team_id) SELECT ?, ? WHERE EXISTS (SELECT 1 FROM library_documents WHERE collection_id = ?) ON CONFLICT DO NOTHING`
	deleteGone              query = `DELETE FROM library_gone WHERE id = ? AND NOT EXISTS (SELECT 1 FROM library_documents WHERE collection_id = ?)`

	addToTeam query = `INSERT INTO library_teams (team_id, files, bytes, collections) VALUES (?, ?, ?, ?)
ON CONFLICT (team_id) DO UPDATE SET files = library_teams.files + excluded.files, bytes = library_teams.bytes + excluded.bytes,
collections = library_teams.collections + excluded.collections`
	addToCollection query = `UPDATE library_collections SET documents = documents + ?, bytes = bytes + ? WHERE id = ?`
	addSole         query = `UPDATE library_collections SET sole_files = sole_files + ?, sole_bytes = sole_bytes + ? WHERE id = ?`

	upsertLibraryDocument query = `INSERT INTO library_documents (collection_id, file_id, team_id, name, content_type, size, created_us, generation, gone, status, problem, indexed_us, chunks, chunks_done)
SELECT ?, f.id, f.team_id, f.name, f.content_type, f.size, ?, ?, 0, ?, '', 0, 0, 0 FROM library_files f WHERE f.id = ?
ON CONFLICT (collection_id, file_id) DO UPDATE SET created_us = excluded.created_us, generation = excluded.generation`
	beginDocument         query = `UPDATE library_documents SET status = ?, problem = '', chunks = 0, chunks_done = 0 WHERE collection_id = ? AND file_id = ?`
	deleteLibraryDocument query = `DELETE FROM library_documents WHERE collection_id = ? AND file_id = ? RETURNING gone, size`
	insertField                 = `INSERT INTO library_fields (collection_id, file_id, team_id, field, value, digest) VALUES `
	deleteFields          query = `DELETE FROM library_fields WHERE collection_id = ? AND file_id = ?`

	selectShare query = `SELECT f.team_id, f.size, f.owned, CASE WHEN f.home = '' OR c.id IS NOT NULL THEN f.counted ELSE 0 END, COALESCE(c.id, ''), CASE WHEN f.home = COALESCE(c.id, '') THEN 0 ELSE 1 END
FROM library_files f LEFT JOIN library_collections c ON c.id = f.home WHERE f.id = ?`
	selectHolders query = `SELECT c.id FROM library_documents d JOIN library_collections c ON c.id = d.collection_id WHERE d.file_id = ? AND d.gone = 0 LIMIT 2`
	updateShare   query = `UPDATE library_files SET counted = ?, home = ? WHERE id = ?`
)

// fileFile files a file for lists, counts it, and refers to its blob.
func fileFile(t *tx, before, now *gatehouse.File) error {
	if now == nil {
		return t.fileGone(before)
	}
	if before != nil && before.TeamID != now.TeamID {
		return gatehouse.Errorf(gatehouse.Internal, "a file stays its team's")
	}
	if before == nil || before.Blob != now.Blob {
		if err := t.refer(now); err != nil {
			return err
		}
		if before != nil {
			if _, err := t.sess.exec(releaseBlob, before.Blob); err != nil {
				return err
			}
		}
	}
	was, err := t.shareOf(now.ID.String())
	if err != nil {
		return err
	}
	id := now.ID.String()
	owned := 0
	if now.Owned {
		owned = 1
	}
	if _, err := t.sess.exec(upsertLibraryFile, id, now.TeamID.String(), now.Name, now.ContentType, now.Size, now.Blob, owned, micros(now.CreateTime), micros(now.ExpireTime)); err != nil {
		return err
	}
	if err := t.repeatFile(before, now); err != nil {
		return err
	}
	return t.recount(id, was)
}

// repeatFile has documents and collections say what a file says now, where it is
// another thing than before.
func (t *tx) repeatFile(before, now *gatehouse.File) error {
	if before == nil || before.Name == now.Name && before.ContentType == now.ContentType && before.Size == now.Size {
		return nil
	}
	id := now.ID.String()
	if _, err := t.sess.exec(lockTasksOfFile, id, id); err != nil {
		return err
	}
	if _, err := t.sess.exec(updateFileInDocuments, now.Name, now.ContentType, now.Size, id); err != nil {
		return err
	}
	_, err := t.sess.exec(updateFileInCollections, now.Size-before.Size, id)
	return err
}

// fileGone takes a file out of everything. Its documents are marked, so that
// lists of collections pass them over until somebody drops them.
func (t *tx) fileGone(f *gatehouse.File) error {
	id := f.ID.String()
	if _, err := t.sess.exec(releaseBlob, f.Blob); err != nil {
		return err
	}
	was, err := t.shareOf(id)
	if err != nil {
		return err
	}
	if _, err := t.sess.exec(takeFileFromCollections, was.size, id); err != nil {
		return err
	}
	if _, err := t.sess.exec(markFileGone, id); err != nil {
		return err
	}
	if _, err := t.sess.exec(deleteLibraryFile, id); err != nil {
		return err
	}
	return t.count(was, share{team: f.TeamID.String()})
}

// fileCollection files a collection for lists. Dropped, it takes what only it
// held out of the team's sums at once, however much that is.
func fileCollection(t *tx, before, now *gatehouse.Collection) error {
	if now == nil {
		return t.collectionGone(before)
	}
	if before != nil && before.TeamID != now.TeamID {
		return gatehouse.Errorf(gatehouse.Internal, "a collection stays its team's")
	}
	if _, err := t.sess.exec(upsertLibraryCollection, now.ID.String(), now.TeamID.String(), now.Name, micros(now.CreateTime)); err != nil {
		return err
	}
	if before != nil {
		return nil
	}
	_, err := t.sess.exec(addToTeam, now.TeamID.String(), 0, 0, 1)
	return err
}

func (t *tx) collectionGone(c *gatehouse.Collection) error {
	id, team := c.ID.String(), c.TeamID.String()
	var files, bytes int64
	if _, err := t.sess.one(selectSole, []any{id}, &files, &bytes); err != nil {
		return err
	}
	if _, err := t.sess.exec(addToTeam, team, -files, -bytes, -1); err != nil {
		return err
	}
	if _, err := t.sess.exec(deleteLibraryCollection, id); err != nil {
		return err
	}
	if _, err := t.sess.exec(insertGone, id, team, id); err != nil {
		return err
	}
	return t.leaveTask(task{collection: id, team: team, kind: purge})
}

// fileDocument files a document and its fields, and leaves its task.
func fileDocument(t *tx, before, now *gatehouse.Document) error {
	if now == nil {
		return t.documentGone(before)
	}
	collection, file := now.CollectionID.String(), now.FileID.String()
	was, err := t.shareOf(file)
	if err != nil {
		return err
	}
	anew := before == nil || before.Generation != now.Generation
	if anew {
		// The task comes before the state, as for whoever works on it: see LibraryWork.
		if err := t.leaveTask(task{collection: collection, file: file, team: now.TeamID.String(), kind: index, generation: now.Generation}); err != nil {
			return err
		}
	}
	if _, err := t.sess.exec(upsertLibraryDocument, collection, micros(now.CreateTime), now.Generation, string(gatehouse.DocumentProcessing), file); err != nil {
		return err
	}
	if anew && before != nil {
		if _, err := t.sess.exec(beginDocument, string(gatehouse.DocumentProcessing), collection, file); err != nil {
			return err
		}
	}
	if before == nil {
		if _, err := t.sess.exec(addToCollection, 1, was.size, collection); err != nil {
			return err
		}
		if err := t.recount(file, was); err != nil {
			return err
		}
	}
	return t.fields(before, now)
}

// fields replaces a document's fields.
func (t *tx) fields(before, now *gatehouse.Document) error {
	collection, file := now.CollectionID.String(), now.FileID.String()
	if before != nil {
		if _, err := t.sess.exec(deleteFields, collection, file); err != nil {
			return err
		}
	}
	var rows [][]any
	for field, value := range now.Fields {
		rows = append(rows, []any{collection, file, now.TeamID.String(), field, value, digestOf(value)})
	}
	return t.sess.many(func(marks string) query { return query(insertField + marks) }, rows)
}

// digestOf is what a field's value is found by.
func digestOf(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:16])
}

func (t *tx) documentGone(d *gatehouse.Document) error {
	collection, file := d.CollectionID.String(), d.FileID.String()
	living, err := t.sess.one(selectLiving, []any{collection}, new(string))
	if err != nil {
		return err
	}
	if err := t.leaveUnindex(d, living); err != nil {
		return err
	}
	was, err := t.shareOf(file)
	if err != nil {
		return err
	}
	var gone, size int64
	if _, err := t.sess.one(deleteLibraryDocument, []any{collection, file}, &gone, &size); err != nil {
		return err
	}
	if _, err := t.sess.exec(deleteFields, collection, file); err != nil {
		return err
	}
	switch {
	case !living:
		_, err = t.sess.exec(deleteGone, collection, collection)
	case gone == 0:
		_, err = t.sess.exec(addToCollection, -1, -size, collection)
	}
	if err != nil {
		return err
	}
	return t.recount(file, was)
}

// share is where a file counts.
type share struct {
	there, owned bool
	team         string
	size         int64
	counted      bool
	home         string
	stale        bool // the home that is filed was dropped
}

// shareOf reads where a file counts; one whose home was dropped counts nowhere.
func (t *tx) shareOf(id string) (p share, err error) {
	p.there, err = t.sess.one(selectShare, []any{id}, &p.team, &p.size, &p.owned, &p.counted, &p.home, &p.stale)
	return p, err
}

// recount counts a file where it belongs now.
func (t *tx) recount(id string, was share) error {
	to, err := t.shareOf(id)
	if err != nil || !to.there {
		return err
	}
	if to.counted, to.home = true, ""; to.owned {
		if to.counted, to.home, err = t.holders(id); err != nil {
			return err
		}
	}
	if to.counted == was.counted && to.home == was.home && to.size == was.size && was.there && !was.stale {
		return nil
	}
	if err := t.count(was, to); err != nil {
		return err
	}
	counted := 0
	if to.counted {
		counted = 1
	}
	_, err = t.sess.exec(updateShare, counted, to.home, id)
	return err
}

// holders tells whether a living collection holds a file, and which if it is
// one alone.
func (t *tx) holders(id string) (held bool, home string, err error) {
	var all []string
	err = t.sess.each(t.ctx, selectHolders, []any{id}, func(rows *sql.Rows) (bool, error) {
		var c string
		err := rows.Scan(&c)
		all = append(all, c)
		return true, err
	})
	if len(all) == 1 {
		home = all[0]
	}
	return len(all) > 0, home, err
}

// count moves a file's share of the sums.
func (t *tx) count(from, to share) error {
	var files, bytes int64
	if from.counted {
		files, bytes = -1, -from.size
	}
	if to.counted {
		files, bytes = files+1, bytes+to.size
	}
	if files != 0 || bytes != 0 {
		if _, err := t.sess.exec(addToTeam, to.team, files, bytes, 0); err != nil {
			return err
		}
	}
	if from.home == to.home && files == 0 && bytes == 0 {
		return nil
	}
	if from.home != "" {
		if _, err := t.sess.exec(addSole, -1, -from.size, from.home); err != nil {
			return err
		}
	}
	if to.home != "" {
		if _, err := t.sess.exec(addSole, 1, to.size, to.home); err != nil {
			return err
		}
	}
	return nil
}
