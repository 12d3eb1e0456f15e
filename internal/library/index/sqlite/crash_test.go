package sqlite_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/library/index"
	"gatehouse/internal/library/index/sqlindex"
	"gatehouse/internal/library/index/sqlite"
)

// crashTeam, crashCollection and crashDocument are the same in every process.
var crashTeam, crashCollection, crashDocument = gatehouse.ID{1}, gatehouse.ID{2}, gatehouse.ID{3}

// TestMain is also the program that the crash test kills.
func TestMain(m *testing.M) {
	if path := os.Getenv("GATEHOUSE_TEST_PUT_FOREVER"); path != "" {
		putForever(path)
	}
	os.Exit(m.Run())
}

// edition is a document of which every chunk names the edition.
func edition(n int) []index.Chunk {
	chunks := make([]index.Chunk, 40)
	for i := range chunks {
		chunks[i] = index.Chunk{Text: fmt.Sprintf("edition%d chunk%d", n, i), Vector: []float32{float32(n), 1}}
	}
	return chunks
}

// putForever puts one edition after another, and says which is acknowledged.
func putForever(path string) {
	ix, err := openPlain(path)
	for n := 1; err == nil; n++ {
		if err = ix.PutDocument(context.Background(), crashTeam, crashCollection, index.Document{ID: crashDocument, Fields: map[string]string{"edition": fmt.Sprint(n)}}, index.Of(edition(n)...)); err == nil {
			fmt.Println(n)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func openPlain(path string) (*sqlindex.Store, error) {
	ix, err := sqlite.Open(context.Background(), path, sqlindex.Options{})
	if err != nil {
		return nil, err
	}
	return ix, ix.PutCollection(context.Background(), crashTeam, index.Collection{ID: crashCollection, Metric: index.Euclidean})
}

// TestAKillLeavesADocumentWhole: after SIGKILL in the middle of putting, the
// document is one edition in its fields, words and vectors, the last that was
// acknowledged or the one after it.
func TestAKillLeavesADocumentWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	for round := range 4 {
		acknowledged := killed(t, path, 3+5*round)
		ix, err := openPlain(path)
		if err != nil {
			t.Fatal(err)
		}
		found, err := ix.Search(context.Background(), crashTeam, index.Query{Text: "chunk7", Collections: []gatehouse.ID{crashCollection}})
		if err != nil || len(found) != 1 {
			t.Fatalf("%+v, %v", found, err)
		}
		var n int
		fmt.Sscanf(found[0].Text, "edition%d", &n)
		if n != acknowledged && n != acknowledged+1 || found[0].Fields["edition"] != fmt.Sprint(n) {
			t.Errorf("edition %d was acknowledged, found %+v", acknowledged, found[0])
		}
		whole(t, ix, n)
		ix.Close()
		sound(t, path)
	}
}

// sound checks that the file is in order, and that no words are left of chunks
// that are gone.
func sound(t *testing.T, path string) {
	t.Helper()
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Exec("INSERT INTO index_words (index_words) VALUES ('integrity-check')"); err != nil {
		t.Error(err)
	}
	var verdict string
	if err := raw.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("%s, %v", verdict, err)
	}
	var chunks, words int
	if err := raw.QueryRow("SELECT (SELECT COUNT(*) FROM index_chunks), (SELECT COUNT(*) FROM index_words_docsize)").Scan(&chunks, &words); err != nil || chunks != words {
		t.Errorf("%d chunks and the words of %d: %v", chunks, words, err)
	}
}

// killed runs the program until so many editions are acknowledged and kills it.
func killed(t *testing.T, path string, after int) (acknowledged int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "GATEHOUSE_TEST_PUT_FOREVER="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Sscan(lines.Text(), &acknowledged)
		if after--; after == 0 {
			cmd.Process.Kill()
		}
	}
	cmd.Wait()
	return acknowledged
}

// whole checks that everything found is of one edition, and all of it.
func whole(t *testing.T, ix index.Index, n int) {
	t.Helper()
	ctx, all := context.Background(), []gatehouse.ID{crashCollection}
	for _, q := range []index.Query{
		{Mode: index.Keyword, Text: fmt.Sprintf("edition%d", n)},
		{Mode: index.Semantic, Vectors: map[gatehouse.ID][]float32{crashCollection: {0, 1}}},
	} {
		q.Collections, q.Limit = all, 100
		found, err := ix.Search(ctx, crashTeam, q)
		if err != nil || len(found) != 40 {
			t.Errorf("%s: %d chunks, %v", q.Mode, len(found), err)
		}
		for _, m := range found {
			if !strings.HasPrefix(m.Text, fmt.Sprintf("edition%d ", n)) {
				t.Errorf("%s: %q beside edition %d", q.Mode, m.Text, n)
			}
		}
	}
	if s, err := ix.Stats(ctx, crashTeam, crashCollection); err != nil || s.Documents != 1 || s.Chunks != 40 || s.Vectors != 40 {
		t.Errorf("%+v, %v", s, err)
	}
}
