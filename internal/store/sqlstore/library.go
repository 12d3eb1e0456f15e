package sqlstore

import (
	"database/sql"
	"math/bits"
	"strings"
	"time"

	"gatehouse"
)

const (
	selectHolder     query = `SELECT d.file_id FROM library_documents d JOIN library_collections c ON c.id = d.collection_id WHERE d.file_id = ? AND d.gone = 0 LIMIT 1`
	selectFilesOver  query = `SELECT id FROM library_files WHERE expire_us <> 0 AND expire_us <= ? ORDER BY expire_us, id LIMIT ?`
	selectUncounted  query = `SELECT id FROM library_files WHERE owned = 1 AND counted = 0 ORDER BY id LIMIT ?`
	selectHomeless   query = `SELECT f.id FROM library_gone g CROSS JOIN library_files f WHERE f.home = g.id AND f.home <> '' LIMIT ?`
	selectTeamSums   query = `SELECT files, bytes, collections FROM library_teams WHERE team_id = ?`
	selectCollection query = `SELECT documents, bytes FROM library_collections WHERE id = ?`
	selectOf         query = `SELECT d.collection_id FROM library_documents d JOIN library_collections c ON c.id = d.collection_id
WHERE d.file_id = ? AND d.gone = 0 ORDER BY d.collection_id`
	selectWith query = `SELECT x.file_id FROM library_fields x JOIN library_documents d ON d.collection_id = x.collection_id AND d.file_id = x.file_id
JOIN library_collections c ON c.id = x.collection_id
WHERE x.collection_id = ? AND x.field = ? AND x.digest = ? AND x.value = ? AND d.gone = 0 ORDER BY x.file_id LIMIT 1`
	selectHaving query = `SELECT x.file_id FROM library_fields x JOIN library_documents d ON d.collection_id = x.collection_id AND d.file_id = x.file_id
JOIN library_collections c ON c.id = x.collection_id
WHERE x.collection_id = ? AND x.field = ? AND d.gone = 0 ORDER BY x.digest, x.file_id LIMIT ?`
	selectFilesGone       query = `SELECT collection_id || '/' || file_id FROM library_documents WHERE gone = 1 ORDER BY collection_id, file_id LIMIT ?`
	selectCollectionsGone query = `SELECT d.collection_id || '/' || d.file_id FROM library_gone g CROSS JOIN library_documents d
WHERE d.collection_id = g.id AND d.gone = 0 LIMIT ?`
)

// File implements [store.LibraryView].
func (v *view) File(id gatehouse.ID) (*gatehouse.File, error) {
	f, err := find(v, &fileTable, id.String())
	if err != nil || !f.Owned {
		return f, err
	}
	held, err := v.sess.one(selectHolder, []any{id.String()}, new(string))
	if err != nil {
		return nil, failed(err)
	}
	if !held {
		return nil, absent(gatehouse.KindFile)
	}
	return f, nil
}

// FilesOver implements [store.LibraryView].
func (v *view) FilesOver(now time.Time, limit int) ([]*gatehouse.File, error) {
	ids, err := v.texts(selectFilesOver, micros(now), limit+spare)
	if err != nil {
		return nil, err
	}
	return some(v, &fileTable, ids, limit)
}

// FilesUnheld implements [store.LibraryView].
func (v *view) FilesUnheld(limit int) ([]*gatehouse.File, error) {
	ids, err := v.texts(selectUncounted, limit+spare)
	if err != nil {
		return nil, err
	}
	homeless, err := v.texts(selectHomeless, limit+spare)
	if err != nil {
		return nil, err
	}
	return some(v, &fileTable, append(ids, homeless...), limit)
}

// LibrarySize implements [store.LibraryView]. The sums are kept as files come
// and go. A file that two collections own and that are both dropped counts until
// its documents are.
func (v *view) LibrarySize(team gatehouse.ID) (files int, bytes int64, err error) {
	_, err = v.sess.one(selectTeamSums, []any{team.String()}, &files, &bytes, new(int64))
	return files, bytes, failed(err)
}

// Collection implements [store.LibraryView].
func (v *view) Collection(id gatehouse.ID) (*gatehouse.Collection, error) {
	return find(v, &collectionTable, id.String())
}

// CollectionSize implements [store.LibraryView].
func (v *view) CollectionSize(id gatehouse.ID) (documents int, bytes int64, err error) {
	_, err = v.sess.one(selectCollection, []any{id.String()}, &documents, &bytes)
	return documents, bytes, failed(err)
}

// CollectionCount implements [store.LibraryView].
func (v *view) CollectionCount(team gatehouse.ID) (n int, err error) {
	_, err = v.sess.one(selectTeamSums, []any{team.String()}, new(int64), new(int64), &n)
	return n, failed(err)
}

// Document implements [store.LibraryView].
func (v *view) Document(collection, file gatehouse.ID) (*gatehouse.Document, error) {
	d, err := find(v, &documentTable, documentID(collection, file))
	if err != nil {
		return nil, err
	}
	if _, err := find(v, &collectionTable, collection.String()); err != nil {
		return nil, absent(gatehouse.KindDocument)
	}
	if d.File, err = find(v, &fileTable, file.String()); err != nil {
		return nil, absent(gatehouse.KindDocument)
	}
	var s placed
	found, err := v.sess.one(selectDocument, []any{collection.String(), file.String()}, s.into()...)
	if err != nil {
		return nil, failed(err)
	}
	if !found {
		return nil, absent(gatehouse.KindDocument)
	}
	d.State = s.state()
	return d, nil
}

// CollectionsOf implements [store.LibraryView].
func (v *view) CollectionsOf(file gatehouse.ID) ([]gatehouse.ID, error) {
	if _, err := find(v, &fileTable, file.String()); err != nil {
		if gatehouse.CodeOf(err) == gatehouse.NotFound {
			return nil, nil
		}
		return nil, err
	}
	ids, err := v.texts(selectOf, file.String())
	if err != nil {
		return nil, err
	}
	for i := range ids {
		ids[i] += "/" + file.String()
	}
	all, err := some(v, &documentTable, ids, len(ids))
	var out []gatehouse.ID
	for _, d := range all {
		out = append(out, d.CollectionID)
	}
	return out, err
}

// DocumentWith implements [store.LibraryView].
func (v *view) DocumentWith(collection gatehouse.ID, key, value string) (file gatehouse.ID, err error) {
	ids, err := v.texts(selectWith, collection.String(), key, digestOf(value), value)
	if err != nil || len(ids) == 0 {
		return file, err
	}
	return gatehouse.ParseID(ids[0])
}

// DocumentsHaving implements [store.LibraryView].
func (v *view) DocumentsHaving(collection gatehouse.ID, key string, limit int) (out []gatehouse.ID, err error) {
	ids, err := v.texts(selectHaving, collection.String(), key, limit)
	if err != nil {
		return nil, err
	}
	for _, text := range ids {
		id, err := gatehouse.ParseID(text)
		if err != nil {
			return nil, failed(err)
		}
		out = append(out, id)
	}
	return out, nil
}

// DocumentsGone implements [store.LibraryView].
func (v *view) DocumentsGone(limit int) ([]*gatehouse.Document, error) {
	ids, err := v.texts(selectFilesGone, limit+spare)
	if err != nil {
		return nil, err
	}
	more, err := v.texts(selectCollectionsGone, limit+spare)
	if err != nil {
		return nil, err
	}
	return some(v, &documentTable, append(ids, more...), limit)
}

// texts reads a column of text.
func (v *view) texts(q query, args ...any) (out []string, err error) {
	err = v.sess.each(v.ctx, q, args, func(rows *sql.Rows) (bool, error) {
		var text string
		err := rows.Scan(&text)
		out = append(out, text)
		return true, err
	})
	return out, failed(err)
}

// idsMax is how many records are asked for with one statement, a power of two.
const idsMax = 256

// some reads the records with these ids that verify, in their order, at most
// limit. An id may be there twice and counts once.
func some[T any](v *view, a *authority[T], ids []string, limit int) ([]*T, error) {
	if limit <= 0 {
		return nil, nil
	}
	var out []*T
	seen := map[string]bool{}
	for len(ids) > 0 && len(out) < limit {
		n := min(len(ids), idsMax, limit-len(out))
		found, err := byID(v, a, ids[:n])
		if err != nil {
			return nil, err
		}
		for _, id := range ids[:n] {
			if x := found[id]; x != nil && !seen[id] {
				out, seen[id] = append(out, x), true
			}
		}
		ids = ids[n:]
	}
	return out, nil
}

// byID reads records by id, as many as are there and verify. Few lengths of the
// list are prepared: it is filled up to a power of two with its last.
func byID[T any](v *view, a *authority[T], ids []string) (map[string]*T, error) {
	out := make(map[string]*T, len(ids))
	for len(ids) > 0 {
		n := min(len(ids), idsMax)
		marks := 1 << bits.Len(uint(n-1))
		args := make([]any, marks)
		for i := range args {
			args[i] = ids[min(i, n-1)]
		}
		q := query(`SELECT` + rowColumns + `FROM ` + a.table + ` WHERE id IN (?` + strings.Repeat(", ?", marks-1) + `)`)
		err := walk(v, a, v.sess.rows, q, args, func(x *T) (bool, error) {
			out[a.facts(x).id] = x
			return true, nil
		})
		if err != nil {
			return nil, err
		}
		ids = ids[n:]
	}
	return out, nil
}
