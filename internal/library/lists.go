package library

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"gatehouse"
	"gatehouse/internal/library/filter"
	"gatehouse/internal/store"
)

// pageSize is the size of a page whose caller names none, and the largest
// (wire.md §5 and §6.9).
const pageSize = 100

// list is one kind of list.
type list[T any] struct {
	name   string // keeps the tokens of lists apart
	sorts  []gatehouse.LibrarySort
	fields filter.Schema
	read   func(store.LibraryList) ([]T, error)
	at     func(T) store.LibraryCursor
}

// page reads a page of a team's records and seals the place of the next. Team is
// the caller's own, already found to be so.
func (l list[T]) page(s *Service, team gatehouse.ID, q gatehouse.LibraryQuery, after store.LibraryCursor) ([]T, string, error) {
	ask, where, err := l.ask(s, team, q)
	if err != nil {
		return nil, "", err
	}
	ask.After = after
	if q.Page.Token != "" {
		if ask.After, err = openPlace(s, where, q.Page.Token); err != nil {
			return nil, "", err
		}
	}
	size := ask.Limit
	ask.Limit++ // one more says that there is a next page
	items, err := l.read(ask)
	if err != nil || len(items) <= size {
		return items, "", err
	}
	items = items[:size]
	plain, err := json.Marshal(l.at(items[size-1]))
	if err != nil {
		return nil, "", err
	}
	next, err := s.Sealer.SealPage(where, plain)
	return items, next, err
}

// ask judges a query; where is what a page token of it is sealed to.
func (l list[T]) ask(s *Service, team gatehouse.ID, q gatehouse.LibraryQuery) (out store.LibraryList, where string, err error) {
	var bad gatehouse.Violations
	setDefault(&q.Sort, l.sorts[0])
	if !slices.Contains(l.sorts, q.Sort) {
		bad.Addf("sort_by", "is one of %v, not %q", l.sorts, q.Sort)
	}
	if q.Page.Size < 0 {
		bad.Addf("limit", "must not be negative")
	}
	narrow, err := filter.Parse("filter", q.Filter, l.fields)
	if err != nil {
		bad = append(bad, violations(err)...)
	}
	size := q.Page.Size
	if size == 0 || size > pageSize {
		size = pageSize
	}
	out = store.LibraryList{Team: team, Collection: q.CollectionID, Filter: narrow, Name: q.Name, Sort: q.Sort, Ascending: q.Ascending, Limit: size}
	where = "library/" + l.name + "/" + fingerprint(team.String(), q.CollectionID.String(), q.Filter, q.Name, string(q.Sort), fmt.Sprint(q.Ascending))
	return out, where, bad.Err()
}

// openPlace reads a page token of the same list.
func openPlace(s *Service, where, token string) (at store.LibraryCursor, err error) {
	plain, err := s.Sealer.OpenPage(where, token)
	if err == nil {
		err = json.Unmarshal(plain, &at)
	}
	if err != nil {
		bad := gatehouse.Violations{{Field: "pagination_token", Problem: "not one that this list returned"}}
		return at, (&gatehouse.Error{Code: gatehouse.InvalidArgument, Message: "pagination_token: not one that this list returned", Violations: bad}).Because(err)
	}
	return at, nil
}

// ListCollections lists a team's.
func (s *Service) ListCollections(v store.LibraryView, team gatehouse.ID, q gatehouse.LibraryQuery) ([]*gatehouse.CollectionView, string, error) {
	q.CollectionID, q.Name = gatehouse.ID{}, ""
	return list[*gatehouse.CollectionView]{
		name: "collections", sorts: []gatehouse.LibrarySort{gatehouse.SortByName, gatehouse.SortByAge}, fields: store.CollectionFields, read: v.Collections,
		at: func(c *gatehouse.CollectionView) store.LibraryCursor {
			return store.LibraryCursor{Name: c.Name, Time: c.CreateTime, ID: c.ID}
		},
	}.page(s, team, q, store.LibraryCursor{})
}

// ListDocuments lists a collection's. Files whose time has come are left out,
// so a page may be short.
func (s *Service) ListDocuments(v store.LibraryView, c *gatehouse.Collection, q gatehouse.LibraryQuery) ([]*gatehouse.Document, string, error) {
	q.CollectionID = c.ID
	docs, next, err := list[*gatehouse.Document]{
		name: "documents", sorts: []gatehouse.LibrarySort{gatehouse.SortByName, gatehouse.SortByAge, gatehouse.SortBySize}, fields: store.DocumentFields, read: v.Documents,
		at: func(d *gatehouse.Document) store.LibraryCursor {
			return store.LibraryCursor{Name: d.File.Name, Size: d.File.Size, Time: d.CreateTime, ID: d.FileID}
		},
	}.page(s, c.TeamID, q, store.LibraryCursor{})
	now := s.Now()
	docs = slices.DeleteFunc(docs, func(d *gatehouse.Document) bool { return past(d.File.ExpireTime, now) })
	for i, d := range docs {
		docs[i] = shown(c, d)
	}
	return docs, next, err
}

// listFiles lists a team's.
func (s *Service) listFiles(v store.LibraryView, team gatehouse.ID, q gatehouse.LibraryQuery) ([]*gatehouse.File, string, error) {
	q.CollectionID, q.Name = gatehouse.ID{}, ""
	var after store.LibraryCursor
	if !q.After.IsZero() && q.Page.Token == "" {
		last, err := found(v.File(q.After))
		if err != nil {
			return nil, "", err
		}
		if last == nil || last.TeamID != team {
			return nil, "", gatehouse.Violations{{Field: "after", Problem: "there is no such file"}}.Err()
		}
		after = fileCursor(last)
	}
	files, next, err := list[*gatehouse.File]{
		name: "files", sorts: []gatehouse.LibrarySort{gatehouse.SortByAge, gatehouse.SortByName, gatehouse.SortBySize},
		fields: store.FileFields, read: v.Files, at: fileCursor,
	}.page(s, team, q, after)
	now := s.Now()
	return slices.DeleteFunc(files, func(f *gatehouse.File) bool { return past(f.ExpireTime, now) }), next, err
}

func fileCursor(f *gatehouse.File) store.LibraryCursor {
	return store.LibraryCursor{Name: f.Name, Size: f.Size, Time: f.CreateTime, ID: f.ID}
}

// fingerprint hashes parts with their lengths, so that no two lists collide.
func fingerprint(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}
