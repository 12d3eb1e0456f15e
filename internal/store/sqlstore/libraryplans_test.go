package sqlstore

import (
	"database/sql"
	"os"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"gatehouse"
	library "gatehouse/internal/library/filter"
	"gatehouse/internal/store"
)

// TestListsOfTheLibraryAreReadInOrder: no page of a list sorts what it lists,
// and no question of the library goes through a whole table.
func TestListsOfTheLibraryAreReadInOrder(t *testing.T) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	schema, err := os.ReadFile("../sqlite/migrations/00006_library.sql")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(string(schema)); err != nil {
		t.Fatal(err)
	}
	asks := []query{selectHolder, selectFilesOver, selectUncounted, selectHomeless, selectTeamSums, selectCollection, selectOf, selectWith,
		selectFilesGone, selectCollectionsGone, selectDocument, selectShare, selectHolders, updateFileInDocuments, lockTasksOfFile, updateFileInCollections, takeFileFromCollections,
		markFileGone, deleteGone, leaveTask, claimTask, endTask, holdTask, takeBlob, condemnBlobs, selectCondemned}
	for _, s := range []struct {
		shelf  shelf
		narrow string
	}{{fileShelf, "f.team_id = ?"}, {collectionShelf, "c.team_id = ?"}, {documentShelf, "d.collection_id = ?"}} {
		for by := range s.shelf.sorts {
			for _, ascending := range []bool{true, false} {
				for _, after := range []store.LibraryCursor{{}, {ID: gatehouse.NewID()}} {
					var w filter
					w.add(s.narrow, "x")
					text, _, err := s.shelf.list(&Dialect{}, store.LibraryList{Sort: by, Ascending: ascending, After: after}, w)
					if err != nil {
						t.Fatal(err)
					}
					asks = append(asks, text)
				}
			}
		}
	}
	tasks, documents, _ := anew([]store.DocumentRef{{}})
	for _, q := range append(asks, selectProcessed, tasks, documents) {
		if p := plan(t, db, q); strings.Contains(p, "TEMP B-TREE") || strings.Contains(p, "SCAN") && !strings.Contains(p, "SCAN g") && !strings.Contains(p, "USING") {
			t.Errorf("%s\n%s", q, p)
		}
	}
}

func plan(t *testing.T, db *sql.DB, q query) (out string) {
	t.Helper()
	args := make([]any, strings.Count(string(q), "?"))
	for i := range args {
		args[i] = 1
	}
	rows, err := db.Query("EXPLAIN QUERY PLAN "+string(q), args...)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	defer rows.Close()
	for rows.Next() {
		var detail string
		if err := rows.Scan(new(int), new(int), new(int), &detail); err != nil {
			t.Fatal(err)
		}
		out += detail + "\n"
	}
	return out
}

// TestPlaceholdersInLiterals: a filter's pattern may hold a question mark.
func TestPlaceholdersInLiterals(t *testing.T) {
	for in, want := range map[string]string{
		"a = ? AND b = ?": "a = $1 AND b = $2", "a ~ '^-?x' AND b = ?": "a ~ '^-?x' AND b = $1", "'it''s ?' || ? || '' || ?": "'it''s ?' || $1 || '' || $2",
	} {
		if got := dollars(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
	f, err := library.Parse("filter", "fields.a:>1 AND fields.b:2", store.DocumentFields)
	if err != nil {
		t.Fatal(err)
	}
	var w filter
	documentShelf.filter(&Dialect{Filter: library.Postgres}, f, &w)
	if got := dollars(w.terms[0]); strings.Contains(got, "$5") || !strings.Contains(got, "$4") || len(w.args) != 4 {
		t.Errorf("%s with %d", got, len(w.args))
	}
}
