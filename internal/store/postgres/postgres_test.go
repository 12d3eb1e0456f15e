package postgres_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse/internal/engine"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgres"
	"gatehouse/internal/store/sqlstore"
	"gatehouse/internal/store/storetest"
)

// requestRole is who the tests' stores run as.
const requestRole = "gatehouse_request"

// database is a fresh, migrated database: admin owns it, and request is what
// stores are opened with.
func database(t testing.TB) (admin, request string) {
	t.Helper()
	admin = migrated(t)
	return admin, as(t, admin, requestRole)
}

var migrated = engine.Copies(func(dsn string) error { return postgres.Migrate(context.Background(), dsn, requestRole) })

func sql(t testing.TB, dsn, statement string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// as is the DSN for another role.
func as(t testing.TB, dsn, role string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(role)
	return u.String()
}

func open(t testing.TB, dsn string) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(context.Background(), dsn, postgres.Options{Options: sqlstore.Options{Guard: storetest.NewGuard("test"), Readers: 4}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		_, request := database(t)
		return open(t, request)
	})
}

func TestTrimming(t *testing.T) {
	storetest.Trims(t, func(now func() time.Time) store.Store {
		_, request := database(t)
		db, err := postgres.Open(t.Context(), request, postgres.Options{Options: sqlstore.Options{Guard: storetest.NewGuard("test"), Now: now}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	})
}
