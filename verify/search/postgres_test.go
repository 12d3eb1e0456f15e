package search

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse/internal/library/index"
	"gatehouse/internal/library/index/postgres"
	"gatehouse/internal/library/index/sqlindex"
)

// late are the indexes that are made after the documents are there, as an
// operator would who brings many: the graph of the vectors, by the name that
// PostgreSQL gives it, and the words'. One by one it takes several times as long.
var late = []string{"index_vectors_384_ip_embedding_idx", "index_chunks_2", "index_chunks_3"}

// loaded is an index on PostgreSQL that is filled so.
type loaded struct {
	index.Index
	admin *pgx.Conn
}

// openPostgres opens the index in the database that VERIFY_SEARCH_POSTGRES names, on a
// server with pgvector, and notes how the migration makes its indexes.
func openPostgres(t *testing.T) index.Index {
	t.Helper()
	dsn := os.Getenv("VERIFY_SEARCH_POSTGRES")
	if dsn == "" {
		t.Skip("no server with pgvector: make verify-search starts one")
	}
	ctx := context.Background()
	admin, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close(ctx) })
	if err := postgres.Migrate(ctx, dsn, admin.Config().User); err != nil {
		t.Fatal(err)
	}
	ix, err := postgres.Open(ctx, dsn, sqlindex.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ix.Close() })
	if said := ix.Methods().Semantic; !strings.HasPrefix(said, "pgvector") {
		t.Fatalf("the server searches vectors so: %s", said)
	}
	l := loaded{ix, admin}
	l.do(t, "SELECT gatehouse_index_vectors(384, 'ip')")
	l.do(t, "CREATE TABLE IF NOT EXISTS verify_indexes (name text PRIMARY KEY, definition text)")
	l.do(t, "INSERT INTO verify_indexes SELECT name, pg_get_indexdef(to_regclass(name)) FROM unnest($1::text[]) l (name) WHERE to_regclass(name) IS NOT NULL ON CONFLICT DO NOTHING", late)
	return l
}

func (l loaded) do(t testing.TB, statement string, args ...any) {
	t.Helper()
	if _, err := l.admin.Exec(context.Background(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// before takes the indexes away where much is missing.
func (l loaded) before(t testing.TB, missing int) {
	t.Helper()
	if missing > 500 {
		l.do(t, "DROP INDEX IF EXISTS "+strings.Join(late, ", "))
	}
}

// ready makes what is missing of them as the migration does, and brings
// statistics up to date.
func (l loaded) ready(t testing.TB) {
	t.Helper()
	rows, err := l.admin.Query(context.Background(), "SELECT definition FROM verify_indexes WHERE to_regclass(name) IS NULL ORDER BY name")
	if err != nil {
		t.Fatal(err)
	}
	definitions, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	defer l.warm(t)
	if len(definitions) == 0 {
		return
	}
	l.do(t, "SET maintenance_work_mem = '3GB'")
	l.do(t, "SET max_parallel_maintenance_workers = 2")
	for _, definition := range definitions {
		began := time.Now()
		l.do(t, definition)
		fmt.Fprintf(os.Stderr, "%s: %v\n", definition, time.Since(began).Round(time.Second))
	}
	l.do(t, "VACUUM ANALYZE")
}

// warm has the database's files read, as they are in memory on a server that has
// been asked for a while: a million chunks with vectors are 6 GB.
func (l loaded) warm(t testing.TB) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(os.Getenv("VERIFY_SEARCH_DIR"), "pg", "base"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(io.Discard, f)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
}
