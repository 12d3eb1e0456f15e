package control_test

import (
	"context"
	"net/url"
	"testing"

	"gatehouse/internal/control/managementtest"
	"gatehouse/internal/engine"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgres"
	"gatehouse/internal/store/sqlstore"
)

// openPostgres makes a database of the other engine, opened as the role that
// requests run under: there row security stands behind every team predicate,
// and a scope that control forgot to name shows nothing at all.
func openPostgres(t testing.TB, o sqlstore.Options) store.Store {
	t.Helper()
	u, err := url.Parse(migrated(t))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(requestRole)
	o.Readers = 2
	db, err := postgres.Open(t.Context(), u.String(), postgres.Options{Options: o, ListenDSN: "-"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

const requestRole = "gatehouse_request"

var migrated = engine.Copies(func(dsn string) error { return postgres.Migrate(context.Background(), dsn, requestRole) })

func TestManagementContractsOnPostgreSQL(t *testing.T) {
	managementtest.Run(t, func(t *testing.T) managementtest.Installation {
		return installation(openOn(t, openPostgres))
	})
}

func TestMoneyContractsOnPostgreSQL(t *testing.T) {
	managementtest.RunMoney(t, func(t *testing.T) managementtest.Installation {
		return installation(openOn(t, openPostgres))
	})
}
