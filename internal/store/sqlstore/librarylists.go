package sqlstore

import (
	"slices"
	"strings"

	"gatehouse"
	library "gatehouse/internal/library/filter"
	"gatehouse/internal/store"
)

const (
	documentColumns       = ` d.file_id, d.status, d.problem, d.indexed_us, d.chunks, d.chunks_done `
	selectDocument  query = `SELECT` + documentColumns + `FROM library_documents d WHERE d.collection_id = ? AND d.file_id = ? AND d.gone = 0`
)

// placed is a document's place in the index.
type placed struct {
	file, status, problem string
	indexed, chunks, done int64
}

func (p *placed) into() []any {
	return []any{&p.file, &p.status, &p.problem, &p.indexed, &p.chunks, &p.done}
}

func (p *placed) state() gatehouse.DocumentState {
	return gatehouse.DocumentState{
		Status: gatehouse.DocumentStatus(p.status), Problem: p.problem, IndexTime: fromMicros(p.indexed), Chunks: int(p.chunks), ChunksDone: p.done,
	}
}

// shelf is where a list of the library is.
type shelf struct {
	columns, from, id string
	sorts             map[gatehouse.LibrarySort]string
	fields            map[string]string // of filters
}

var (
	fileShelf = shelf{
		columns: "f.id", from: "library_files f", id: "f.id",
		sorts: map[gatehouse.LibrarySort]string{gatehouse.SortByName: "f.name", gatehouse.SortByAge: "f.created_us", gatehouse.SortBySize: "f.size"},
		fields: map[string]string{
			"name": "f.name", "filename": "f.name", "file_id": "f.id", "size_bytes": "f.size", "content_type": "f.content_type",
			"created_at": "f.created_us", "expires_at": "NULLIF(f.expire_us, 0)",
		},
	}
	collectionShelf = shelf{
		columns: "c.id, c.documents, c.bytes", from: "library_collections c", id: "c.id",
		sorts: map[gatehouse.LibrarySort]string{gatehouse.SortByName: "c.name", gatehouse.SortByAge: "c.created_us"},
		fields: map[string]string{
			"collection_id": "c.id", "collection_name": "c.name", "created_at": "c.created_us", "documents_count": "c.documents",
		},
	}
	documentShelf = shelf{
		columns: documentColumns, from: "library_documents d", id: "d.file_id",
		sorts: map[gatehouse.LibrarySort]string{gatehouse.SortByName: "d.name", gatehouse.SortByAge: "d.created_us", gatehouse.SortBySize: "d.size"},
		fields: map[string]string{
			"file_id": "d.file_id", "name": "d.name", "content_type": "d.content_type", "size_bytes": "d.size", "created_at": "d.created_us", "status": "d.status",
		},
	}
)

// fieldPrefix is before the names of documents' own fields in a filter.
const fieldPrefix = "fields."

// list writes the query of a page, but for how many. narrow are the terms before
// the filter's.
func (s shelf) list(d *Dialect, q store.LibraryList, narrow filter) (query, []any, error) {
	by, known := s.sorts[q.Sort]
	if !known {
		return "", nil, gatehouse.Errorf(gatehouse.InvalidArgument, "the list has no order %q", q.Sort)
	}
	way, than := " DESC", " < "
	if q.Ascending {
		way, than = "", " > "
	}
	if !q.After.ID.IsZero() {
		var at any = q.After.Name
		switch q.Sort {
		case gatehouse.SortByAge:
			at = micros(q.After.Time)
		case gatehouse.SortBySize:
			at = q.After.Size
		}
		narrow.add("("+by+", "+s.id+")"+than+"(?, ?)", at, q.After.ID.String())
	}
	if q.Filter != nil {
		s.filter(d, q.Filter, &narrow)
	}
	return query(`SELECT ` + s.columns + ` FROM ` + s.from + ` WHERE ` + strings.Join(narrow.terms, " AND ") +
		` ORDER BY ` + by + way + `, ` + s.id + way + ` LIMIT ?`), narrow.args, nil
}

// filter adds the terms of a filter. Its parameters come in the order of its
// text. Ids are compared as they are stored, whichever way they are written.
func (s shelf) filter(d *Dialect, f *library.Filter, narrow *filter) {
	last := ""
	bind := func(a any) string {
		if text, ok := a.(string); ok && strings.HasSuffix(last, "_id") {
			if id, err := gatehouse.ParseID(text); err == nil {
				a = id.String()
			}
		}
		narrow.args = append(narrow.args, a)
		return "?"
	}
	columns := func(name string, bind func(any) string) string {
		last = name
		if field, own := strings.CutPrefix(name, fieldPrefix); own {
			last = ""
			return `(SELECT x.value FROM library_fields x WHERE x.collection_id = d.collection_id AND x.file_id = d.file_id AND x.field = ` + bind(field) + `)`
		}
		if column, ok := s.fields[name]; ok {
			return column
		}
		return "NULL"
	}
	narrow.terms = append(narrow.terms, f.SQL(d.Filter, columns, bind))
}

// page reads as many as are wanted, and some more only where rows were refused: a
// page that is short for another reason than the end would stop its reader.
func page[T any](limit int, read func(most int) (out []T, seen int, err error)) ([]T, error) {
	if limit <= 0 {
		return nil, nil
	}
	out, seen, err := read(limit)
	if err == nil && seen == limit && len(out) < limit {
		out, _, err = read(limit + spare)
	}
	return out, err
}

// Files implements [store.LibraryView].
func (v *view) Files(q store.LibraryList) ([]*gatehouse.File, error) {
	var w filter
	w.add("f.team_id = ?", q.Team.String())
	w.add("(f.owned = 0 OR EXISTS (SELECT 1 FROM library_documents d JOIN library_collections c ON c.id = d.collection_id WHERE d.file_id = f.id AND d.gone = 0))")
	w.part(v.s.d, "f.name", q.Name)
	text, args, err := fileShelf.list(v.s.d, q, w)
	if err != nil {
		return nil, err
	}
	return page(q.Limit, func(most int) (out []*gatehouse.File, seen int, err error) {
		ids, err := v.texts(text, append(args, most)...)
		if err == nil {
			out, err = some(v, &fileTable, ids, q.Limit)
		}
		return of(out, func(f *gatehouse.File) bool { return f.TeamID == q.Team }), len(ids), err
	})
}

// of keeps what is a team's: the columns that a list goes by have no MAC.
func of[T any](all []*T, mine func(*T) bool) []*T {
	return slices.DeleteFunc(all, func(x *T) bool { return !mine(x) })
}

// part asks for a part of a name, as filters do.
func (f *filter) part(d *Dialect, column, part string) {
	if part == "" {
		return
	}
	if d.Filter == library.Postgres {
		f.add(`strpos(lower(`+column+`), lower(?::text COLLATE "C")) > 0`, part)
		return
	}
	f.add(`instr(lower(`+column+`), lower(?)) > 0`, part)
}

// Collections implements [store.LibraryView].
func (v *view) Collections(q store.LibraryList) ([]*gatehouse.CollectionView, error) {
	var w filter
	w.add("c.team_id = ?", q.Team.String())
	w.part(v.s.d, "c.name", q.Name)
	text, args, err := collectionShelf.list(v.s.d, q, w)
	if err != nil {
		return nil, err
	}
	return page(q.Limit, func(most int) ([]*gatehouse.CollectionView, int, error) {
		return v.collections(q, text, append(args, most))
	})
}

// collections reads a page of collections with what they hold.
func (v *view) collections(q store.LibraryList, text query, args []any) (out []*gatehouse.CollectionView, seen int, err error) {
	var ids []string
	holds := map[string]gatehouse.CollectionView{}
	err = v.sess.rows(v.ctx, text, args, func(rows scanner) (bool, error) {
		var id string
		var c gatehouse.CollectionView
		err := rows.Scan(&id, &c.Documents, &c.Bytes)
		ids, holds[id] = append(ids, id), c
		return true, err
	})
	if err != nil {
		return nil, 0, failed(err)
	}
	all, err := some(v, &collectionTable, ids, q.Limit)
	for _, c := range of(all, func(c *gatehouse.Collection) bool { return c.TeamID == q.Team }) {
		view := holds[c.ID.String()]
		view.Collection = c
		out = append(out, &view)
	}
	return out, len(ids), err
}

// Documents implements [store.LibraryView].
func (v *view) Documents(q store.LibraryList) ([]*gatehouse.Document, error) {
	c, err := find(v, &collectionTable, q.Collection.String())
	if gatehouse.CodeOf(err) == gatehouse.NotFound || err == nil && c.TeamID != q.Team {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var w filter
	w.add("d.collection_id = ?", q.Collection.String())
	w.add("d.gone = 0")
	w.part(v.s.d, "d.name", q.Name)
	text, args, err := documentShelf.list(v.s.d, q, w)
	if err != nil {
		return nil, err
	}
	return page(q.Limit, func(most int) ([]*gatehouse.Document, int, error) {
		return v.documents(q, text, append(args, most))
	})
}

// documents reads a page of documents with their files.
func (v *view) documents(q store.LibraryList, text query, args []any) (out []*gatehouse.Document, seen int, err error) {
	var ids, files []string
	var states []gatehouse.DocumentState
	err = v.sess.rows(v.ctx, text, args, func(rows scanner) (bool, error) {
		var p placed
		err := rows.Scan(p.into()...)
		ids, files = append(ids, q.Collection.String()+"/"+p.file), append(files, p.file)
		states = append(states, p.state())
		return true, err
	})
	if err != nil {
		return nil, 0, failed(err)
	}
	found, err := byID(v, &documentTable, ids)
	if err != nil {
		return nil, 0, err
	}
	with, err := byID(v, &fileTable, files)
	for i, id := range ids {
		d, f := found[id], with[files[i]]
		if d == nil || f == nil || len(out) == q.Limit {
			continue
		}
		d.File, d.State = f, states[i]
		out = append(out, d)
	}
	return out, len(ids), err
}
