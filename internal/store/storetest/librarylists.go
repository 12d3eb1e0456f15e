package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/library/filter"
	"gatehouse/internal/store"
)

var libraryListPromises = []promise{
	{"lists of the library are paged in every order, both ways", libraryPages},
	{"filters narrow lists, ids in either spelling", libraryFilters},
	{"documents are filtered by fields and status, and found by a part of the name", documentFilters},
	{"lists of the library show a team its own", libraryIsTheTeams},
}

// shelves are six files, in two collections each, whose names, ages and sizes
// tie here and there.
func (b *bench) shelves() (files []*gatehouse.File, c *gatehouse.Collection) {
	b.Helper()
	c = b.collection("all")
	for i := range 6 {
		f := b.file([]string{"b", "B", "a", "a", "ü", "z"}[i], int64([]int{3, 3, 1, 9, 10, 2}[i]))
		f.CreateTime = start.Add(time.Duration([]int{5, 5, 5, 1, 2, 3}[i]) * time.Second)
		b.putFile(f)
		d := b.document(c, f, map[string]string{"n": fmt.Sprint(i)})
		d.CreateTime = f.CreateTime
		b.update(func(tx store.Tx) error { return tx.PutDocument(d, b.act("document.added", "d")) })
		files = append(files, f)
	}
	return files, c
}

// sorted orders files as a list must.
func sorted(files []*gatehouse.File, by gatehouse.LibrarySort, ascending bool) (ids []gatehouse.ID) {
	all := slices.Clone(files)
	slices.SortFunc(all, func(x, y *gatehouse.File) int {
		n := map[gatehouse.LibrarySort]int{
			gatehouse.SortByName: strings.Compare(x.Name, y.Name), gatehouse.SortByAge: x.CreateTime.Compare(y.CreateTime), gatehouse.SortBySize: int(x.Size - y.Size),
		}[by]
		if n == 0 {
			n = strings.Compare(x.ID.String(), y.ID.String())
		}
		if !ascending {
			n = -n
		}
		return n
	})
	for _, f := range all {
		ids = append(ids, f.ID)
	}
	return ids
}

func libraryPages(b *bench) {
	files, c := b.shelves()
	for _, by := range []gatehouse.LibrarySort{gatehouse.SortByName, gatehouse.SortByAge, gatehouse.SortBySize} {
		for _, ascending := range []bool{true, false} {
			want := sorted(files, by, ascending)
			q := store.LibraryList{Team: b.team, Collection: c.ID, Sort: by, Ascending: ascending, Limit: 2}
			var got, inside []gatehouse.ID
			b.view(func(v store.View) error {
				for page := q; ; {
					all, err := v.Files(page)
					b.ok(err)
					if len(all) == 0 {
						break
					}
					for _, f := range all {
						got = append(got, f.ID)
						page.After = store.LibraryCursor{Name: f.Name, Size: f.Size, Time: f.CreateTime, ID: f.ID}
					}
				}
				for page := q; ; {
					all, err := v.Documents(page)
					b.ok(err)
					if len(all) == 0 {
						return nil
					}
					for _, d := range all {
						inside = append(inside, d.FileID)
						page.After = store.LibraryCursor{Name: d.File.Name, Size: d.File.Size, Time: d.CreateTime, ID: d.FileID}
					}
				}
			})
			b.equal(got, want)
			b.equal(inside, want)
		}
	}
	second := b.collection("zweite")
	b.view(func(v store.View) error {
		page, err := v.Collections(store.LibraryList{Team: b.team, Sort: gatehouse.SortByName, Ascending: true, Limit: 1})
		b.ok(err)
		b.equal(page, []*gatehouse.CollectionView{{Collection: c, Documents: 6, Bytes: 28}})
		page, err = v.Collections(store.LibraryList{Team: b.team, Sort: gatehouse.SortByName, Ascending: true, Limit: 9, After: store.LibraryCursor{Name: "all", ID: c.ID}})
		b.equal(page, []*gatehouse.CollectionView{{Collection: second}})
		return err
	})
}

func (b *bench) filter(schema filter.Schema, text string) *filter.Filter {
	b.Helper()
	f, err := filter.Parse("filter", text, schema)
	b.ok(err)
	return f
}

func libraryFilters(b *bench) {
	files, c := b.shelves()
	soon := b.file("soon", 4)
	soon.ExpireTime = start.Add(time.Hour)
	b.putFile(soon)
	for text, want := range map[string]int{
		`name:"b"`:       2,
		`size_bytes:>=9`: 2,
		`file_id:"file_` + files[0].ID.String() + `"`:                        1,
		`file_id="` + files[0].ID.String() + `" OR filename:"z"`:             2,
		`expires_at:<2027-01-01T00:00:00Z`:                                   1,
		`NOT expires_at:<2027-01-01T00:00:00Z AND content_type:"text/plain"`: 6,
		`created_at:>` + start.Add(2*time.Second).Format(time.RFC3339):       4,
		`name:"'?"`: 0,
	} {
		b.view(func(v store.View) error {
			all, err := v.Files(store.LibraryList{Team: b.team, Filter: b.filter(store.FileFields, text), Sort: gatehouse.SortByAge, Limit: 99})
			if err != nil || len(all) != want {
				b.Errorf("%s: %d files, want %d: %v", text, len(all), want, err)
			}
			return nil
		})
	}
	b.collection("empty")
	for text, want := range map[string]int{
		`documents_count:>5`: 1, `documents_count:0`: 1, `collection_name:"ALL"`: 1, `collection_id:"collection_` + c.ID.String() + `"`: 1, `created_at:<2020-01-01`: 0,
	} {
		b.view(func(v store.View) error {
			all, err := v.Collections(store.LibraryList{Team: b.team, Filter: b.filter(store.CollectionFields, text), Sort: gatehouse.SortByAge, Limit: 99})
			if err != nil || len(all) != want {
				b.Errorf("%s: %d collections, want %d: %v", text, len(all), want, err)
			}
			return nil
		})
	}
}

func documentFilters(b *bench) {
	_, c := b.shelves()
	for text, want := range map[string]int{
		`fields.n:3`: 1, `fields.n:>3`: 2, `fields.n:1..3 AND NOT name:"a"`: 1, `fields.none:1`: 0, `status:processing`: 6, `status:PROCESSED`: 0, `NOT status:processed`: 6, `NOT status:DOCUMENT_STATUS_PROCESSING`: 0,
		`size_bytes:>3 OR fields.n:0`: 3,
	} {
		b.view(func(v store.View) error {
			all, err := v.Documents(store.LibraryList{Team: b.team, Collection: c.ID, Filter: b.filter(store.DocumentFields, text), Sort: gatehouse.SortByAge, Limit: 99})
			if err != nil || len(all) != want {
				b.Errorf("%s: %d documents, want %d: %v", text, len(all), want, err)
			}
			return nil
		})
	}
	for part, want := range map[string]int{"": 6, "A": 2, "b": 2, "ü": 1, "Ü": 0, "%": 0} {
		b.view(func(v store.View) error {
			all, err := v.Documents(store.LibraryList{Team: b.team, Collection: c.ID, Name: part, Sort: gatehouse.SortByName, Limit: 99})
			if err != nil || len(all) != want {
				b.Errorf("%q: %d documents, want %d: %v", part, len(all), want, err)
			}
			return nil
		})
	}
}

func libraryIsTheTeams(b *bench) {
	_, c := b.shelves()
	b.view(func(v store.View) error {
		other := store.LibraryList{Team: gatehouse.NewID(), Collection: c.ID, Sort: gatehouse.SortByAge, Limit: 9}
		files, err := v.Files(other)
		b.ok(err)
		collections, err := v.Collections(other)
		b.ok(err)
		documents, err := v.Documents(other)
		b.equal([]int{len(files), len(collections), len(documents)}, []int{0, 0, 0})
		return err
	})
}
