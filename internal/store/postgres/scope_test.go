package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse"
	"gatehouse/internal/store"
)

// teamTables are all tables that hold rows of teams.
var teamTables = []string{"api_keys", "management_keys", "teams", "users", "api_key_acls", "objects", "audit", "usage_rows", "usage_runs",
	"billing_accounts", "top_ups", "invoices", "invitations", "alert_hooks", "postings", "balances", "charges", "fund_spent", "holds", "alerts",
	"files", "collections", "documents", "library_files", "library_collections", "library_documents", "library_fields", "library_teams", "library_gone", "library_tasks", "library_blobs"}

// populated has two teams with a row in every table of teamTables.
func populated(t *testing.T) (dsn string, db store.Store, teams [2]gatehouse.ID, keys [2]*gatehouse.Key) {
	_, dsn = database(t)
	db = open(t, dsn)
	for n := range teams {
		team := gatehouse.NewID()
		teams[n] = team
		keys[n] = inhabit(t, db, team)
		spend(t, db, team)
		shelve(t, db, team)
		_, err := db.Update(system, gatehouse.Cause{}, func(tx store.Tx) error {
			for _, err := range []error{
				tx.PutUser(&gatehouse.User{ID: gatehouse.NewID(), TeamID: team, CreateTime: march}, act(team, "user")),
				tx.PutManagementKey(&gatehouse.ManagementKey{ID: gatehouse.NewID(), TeamID: team, CreateTime: march}, act(team, "mk")),
			} {
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Ingest(system, func(i store.Ingest) error {
			return i.PutObjects([]store.Object{{ID: "o" + team.String(), TeamID: team, UpstreamID: team, CreateTime: march}})
		}); err != nil {
			t.Fatal(err)
		}
	}
	return dsn, db, teams, keys
}

// TestAStatementWithoutItsTeamSeesNothing runs statements that forgot the team
// predicate, as the role that requests run under.
func TestAStatementWithoutItsTeamSeesNothing(t *testing.T) {
	dsn, _, teams, _ := populated(t)
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	count := func(scope, table string) (n int) {
		tx, err := conn.Begin(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback(context.Background())
		if scope != "none" {
			if _, err := tx.Exec(context.Background(), "SELECT set_config('gatehouse.scope', $1, true)", scope); err != nil {
				t.Fatal(err)
			}
		}
		if err := tx.QueryRow(context.Background(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
			t.Fatalf("%s: %v", table, err)
		}
		return n
	}
	for _, table := range append(teamTables, "gatehouse_audit_search('''put'':*', 0, 1000, true, 1000)") {
		all, one, two := count("*", table), count(teams[0].String(), table), count(teams[1].String(), table)
		if none, empty := count("none", table), count("", table); none != 0 || empty != 0 {
			t.Errorf("%s: %d and %d rows without a scope", table, none, empty)
		}
		if one == 0 || two == 0 || one+two > all {
			t.Errorf("%s: %d rows in all, %d and %d of the teams", table, all, one, two)
		}
	}
}

// TestTheRequestRoleMayNot change the schema, rewrite the log, read past the
// policies, or write another team's rows.
func TestTheRequestRoleMayNot(t *testing.T) {
	dsn, _, teams, keys := populated(t)
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, statement := range []string{
		"CREATE TABLE x (a int)", "ALTER TABLE api_keys DISABLE ROW LEVEL SECURITY", "DROP TABLE api_keys", "DROP POLICY team ON api_keys", "TRUNCATE audit",
		"DELETE FROM audit", "TRUNCATE postings", "SELECT set_config('gatehouse.scope', '*', false); UPDATE postings SET note = 'x'",
		"SELECT set_config('gatehouse.scope', '*', false); DELETE FROM postings", "SELECT set_config('gatehouse.scope', '*', false); DELETE FROM charges",
		"SELECT set_config('gatehouse.scope', '*', false); UPDATE usage_rows SET team = 1", "UPDATE audit SET body = ''", "SELECT set_config('gatehouse.scope', '*', false); UPDATE audit SET personal = 'x'", "DELETE FROM installation", "SELECT * FROM audit_words",
		"SET row_security = off; SELECT * FROM api_keys", "ALTER ROLE " + requestRole + " BYPASSRLS", "SET ROLE postgres", "SELECT * FROM usage_rows_20524",
		"SELECT set_config('gatehouse.scope', '" + teams[0].String() + "', false); UPDATE api_keys SET team_id = '" + teams[1].String() + "'",
		"SELECT set_config('gatehouse.scope', '" + teams[0].String() + "', false); INSERT INTO api_key_acls VALUES ('" + teams[1].String() + "', '*', 1, '" + keys[1].ID.String() + "')",
	} {
		if _, err := conn.Exec(context.Background(), statement); err == nil {
			t.Errorf("%s: was done", statement)
		}
	}
}

// TestATeamsScopeHidesOthers: the second wall, seen from the store. What it
// hides is absent and is not reported as tampered with.
func TestATeamsScopeHidesOthers(t *testing.T) {
	_, db, teams, keys := populated(t)
	mine := store.ForTeam(context.Background(), teams[0])
	err := db.View(mine, func(v store.View) error {
		if _, err := v.Key(keys[0].ID); err != nil {
			t.Error(err)
		}
		if _, err := v.Key(keys[1].ID); gatehouse.CodeOf(err) != gatehouse.NotFound {
			t.Errorf("another team's key: %v", err)
		}
		if err := v.AllKeys(func(k *gatehouse.Key) error {
			if k.TeamID != teams[0] {
				t.Error("another team's key in a list of all")
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		for _, f := range []gatehouse.EventFilter{{After: -1, Limit: 99}, {After: -1, Limit: 99, Query: "put"}, {After: -1, Limit: 99, From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour)}} {
			events, err := v.Events(f)
			if err != nil || len(events) != 18 {
				t.Errorf("%d events: %v", len(events), err)
			}
			for _, e := range events {
				if e.TeamID != teams[0] {
					t.Error("another team's event")
				}
			}
		}
		rows := 0
		scan := store.UsageScan{Team: teams[1], Start: march, End: march.AddDate(0, 0, 9)}
		if err := v.UsageRows(scan, func(*gatehouse.UsageRecord) error { rows++; return nil }); err != nil || rows > 0 {
			t.Errorf("%d rows of usage of another team: %v", rows, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := db.View(context.Background(), func(v store.View) error { _, err := v.Key(keys[0].ID); return err }); gatehouse.CodeOf(err) != gatehouse.NotFound {
		t.Errorf("without a scope: %v", err)
	}
	foreign := newKey(teams[1], "foreign")
	if _, err := db.Update(mine, gatehouse.Cause{}, func(tx store.Tx) error { return tx.PutKey(foreign, act(teams[0], "k")) }); err == nil {
		t.Error("a team's transaction wrote another team's key")
	}
	// The scope is a member's own and not its group's.
	put(t, db, foreign)
	if _, err := db.Update(mine, gatehouse.Cause{}, func(tx store.Tx) error { return tx.PutKey(keys[0], act(teams[0], "k")) }); err != nil {
		t.Error(err)
	}
}

// TestWarnings of what is wrong and does not lose data.
func TestWarnings(t *testing.T) {
	admin, request := database(t)
	for dsn, want := range map[string]string{admin: "superuser", request: "standby"} {
		if got := strings.Join(open(t, dsn).Warnings(), "\n"); !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	if got := strings.Join(open(t, request).Warnings(), "\n"); strings.Contains(got, "superuser") || strings.Contains(got, "schema") || strings.Contains(got, "BYPASSRLS") {
		t.Errorf("the request role is warned of: %s", got)
	}
}
