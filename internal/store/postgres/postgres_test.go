package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

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
	template := migrated(t)
	copies.Lock()
	defer copies.Unlock()
	copies.n++
	name := fmt.Sprintf("copy%d", copies.n)
	sql(t, at(t, template, "postgres"), "CREATE DATABASE "+name+" TEMPLATE "+nameOf(t, template))
	admin = at(t, template, name)
	return admin, as(t, admin, requestRole)
}

// copies are made of one migrated database: that takes a third of the time of
// migrating each.
var copies struct {
	sync.Mutex
	n        int
	template string
}

func migrated(t testing.TB) (dsn string) {
	copies.Lock()
	defer copies.Unlock()
	if copies.template == "" {
		dsn := engine.Database(t)
		if err := postgres.Migrate(context.Background(), dsn, requestRole); err != nil {
			t.Fatal(err)
		}
		copies.template = dsn
	}
	return copies.template
}

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

func nameOf(t testing.TB, dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}

// at is the DSN of another database of the same server.
func at(t testing.TB, dsn, database string) string {
	return strings.Replace(dsn, "/"+nameOf(t, dsn)+"?", "/"+database+"?", 1)
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
	db, err := postgres.Open(context.Background(), dsn, postgres.Options{Options: sqlstore.Options{Guard: storetest.NewGuard("test")}})
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
