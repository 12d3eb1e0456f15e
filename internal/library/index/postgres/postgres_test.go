package postgres_test

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"gatehouse"
	"gatehouse/internal/engine"
	"gatehouse/internal/library/filter"
	"gatehouse/internal/library/index"
	"gatehouse/internal/library/index/postgres"
	"gatehouse/internal/library/index/sqlindex"
	"gatehouse/internal/library/indextest"
)

// requestRole is who the tests' indexes run as.
const requestRole = "index_request"

// migrated is a fresh, migrated database, as its owner.
var migrated = engine.Copies(func(dsn string) error {
	if err := role(dsn); err != nil {
		return err
	}
	return postgres.Migrate(context.Background(), dsn, requestRole)
})

// role makes the role of requests; in the product the truth's migration has.
func role(dsn string) error {
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	_, err = conn.Exec(context.Background(), "CREATE ROLE "+requestRole+" LOGIN NOSUPERUSER")
	if err != nil && strings.Contains(err.Error(), "already exists") {
		return nil
	}
	return err
}

func as(t testing.TB, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(requestRole)
	return u.String()
}

func open(t testing.TB, dsn string, opts sqlindex.Options) *sqlindex.Store {
	t.Helper()
	ix, err := postgres.Open(context.Background(), dsn, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ix.Close() })
	return ix
}

func TestContract(t *testing.T) {
	indextest.Run(t, func(t testing.TB) index.Index {
		return open(t, as(t, migrated(t)), sqlindex.Options{})
	})
}

// withExtension is the address of an empty database on a server that has
// pgvector, for whom its tests are meant; Debian 12 has no package of it.
func withExtension(t testing.TB) (dsn string) {
	dsn = os.Getenv("GATEHOUSE_TEST_PGVECTOR")
	if dsn == "" {
		t.Skip("no server with pgvector: GATEHOUSE_TEST_PGVECTOR is not set; the exact search is tested by TestContract")
	}
	return dsn
}

// fresh empties the database with the extension and migrates it.
func fresh(t testing.TB) (request string) {
	t.Helper()
	dsn := withExtension(t)
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), "DROP SCHEMA public CASCADE; CREATE SCHEMA public"); err != nil {
		t.Fatal(err)
	}
	if err := role(dsn); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second changes nothing
		if err := postgres.Migrate(context.Background(), dsn, requestRole); err != nil {
			t.Fatal(err)
		}
	}
	return as(t, dsn)
}

func TestContractWithPgvector(t *testing.T) {
	withExtension(t)
	indextest.Run(t, func(t testing.TB) index.Index {
		ix := open(t, fresh(t), sqlindex.Options{})
		if said := ix.Methods().Semantic; !strings.HasPrefix(said, "pgvector ") {
			t.Fatal(said)
		}
		return ix
	})
}

// TestAnIndexSaysHowItSearches: without the extension nobody is told that there
// is a graph.
func TestAnIndexSaysHowItSearches(t *testing.T) {
	ix := open(t, as(t, migrated(t)), sqlindex.Options{})
	if m := ix.Methods(); !strings.HasPrefix(m.Semantic, "exact") || !strings.Contains(m.Keyword, "ts_rank_cd") {
		t.Errorf("%+v", m)
	}
}

// TestADatabaseThatIsNotMigratedIsRefused: and says what to do.
func TestADatabaseThatIsNotMigratedIsRefused(t *testing.T) {
	_, err := postgres.Open(context.Background(), engine.Database(t), sqlindex.Options{})
	if gatehouse.CodeOf(err) != gatehouse.FailedPrecondition || !strings.Contains(err.Error(), "gatehouse migrate") {
		t.Errorf("%v", err)
	}
}

// TestAnotherNodeIsSeen: what one node changes, the copy of vectors in another's
// memory follows, also through many deletions.
func TestAnotherNodeIsSeen(t *testing.T) {
	dsn := as(t, migrated(t))
	indextest.TwoNodes(t, open(t, dsn, sqlindex.Options{}), open(t, dsn, sqlindex.Options{}))
}

// TestACrashedDeletionIsFinished: the collection is not found from the first
// moment on, and Sweep leaves nothing of it.
func TestACrashedDeletionIsFinished(t *testing.T) {
	dsn := migrated(t)
	raw, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	indextest.CrashedDeletion(t, open(t, as(t, dsn), sqlindex.Options{}), func(statement string) (n int, err error) {
		err = raw.QueryRow(statement).Scan(&n)
		return n, err
	})
}

// TestTheGraphFindsWhatComparingFinds: nine of ten of the nearest at least, in a
// collection that shares its graph with another, and behind filters.
func TestTheGraphFindsWhatComparingFinds(t *testing.T) {
	ix := open(t, fresh(t), sqlindex.Options{})
	defer postgres.WalkAlways()()
	ctx, team, collection, other := context.Background(), gatehouse.NewID(), gatehouse.NewID(), gatehouse.NewID()
	c := indextest.NewCorpus(3, 64)
	for i, id := range []gatehouse.ID{other, collection} {
		if err := ix.PutCollection(ctx, team, index.Collection{ID: id}); err != nil {
			t.Fatal(err)
		}
		c.Fill(t, ix, team, id, 1500*(i+1))
	}
	for _, text := range []string{"", "part = 3", "part != 3"} {
		f, err := filter.Parse("filter", text, index.Schema("part"))
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for range 40 {
			q := c.Query(collection)
			q.Mode, q.Filter = index.Semantic, f
			walked, err := ix.Search(ctx, team, q)
			if err != nil {
				t.Fatal(err)
			}
			restore := postgres.CompareAlways()
			compared, err := ix.Search(ctx, team, q)
			restore()
			if err != nil || len(compared) != 10 {
				t.Fatal(len(compared), err)
			}
			for _, m := range walked {
				if slices.ContainsFunc(compared, func(x index.Match) bool { return x.ChunkID == m.ChunkID }) {
					found++
				}
			}
		}
		if found < 360 {
			t.Errorf("%q: %d of 400", text, found)
		}
	}
}
