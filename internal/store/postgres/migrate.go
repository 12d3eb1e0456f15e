package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"gatehouse"
)

//go:embed migrations/*.sql
var migrations embed.FS

// versions is the table of applied migrations.
const versions = "goose_db_version"

// Migrate brings the schema up to date and makes the role that requests run
// under. adminDSN may change the schema and make roles, and reaches the server
// itself. request is the DSN that [Open] will get, whose user and password the
// role gets, or a bare role name. Run again it changes nothing; run by two at
// once, one waits. Each migration is one transaction, so one that is killed is
// done whole or not at all.
func Migrate(ctx context.Context, adminDSN, request string) error {
	config, err := parse(adminDSN)
	if err != nil {
		return err
	}
	role, err := roleOf(request)
	if err != nil {
		return err
	}
	pool := stdlib.OpenDB(*config)
	defer pool.Close()
	if err := up(ctx, pool); err != nil {
		return err
	}
	if err := role.grant(ctx, pool, config); err != nil {
		return cannot("make the role of requests"+because(err), err)
	}
	return nil
}

// because is what the server said, for the administrator who migrates; a client
// of the API is never told.
func because(err error) string {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return ": " + said.Message
	}
	return ""
}

func up(ctx context.Context, pool *sql.DB) error {
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return cannot("lock the schema", err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return cannot("read the migrations", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, pool, files, goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return cannot("read the migrations", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return cannot("bring its schema up to date"+because(err), err)
	}
	return nil
}

// latest is the newest migration that this program has.
func latest() (int64, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		return 0, cannot("read the migrations", err)
	}
	n, err := goose.NumericComponent(files[len(files)-1])
	if err != nil {
		return 0, cannot("read the migrations", err)
	}
	return n, nil
}

// role is who requests run as.
type role struct{ name, password string }

func roleOf(request string) (role, error) {
	if !strings.Contains(request, "://") && !strings.Contains(request, "=") {
		return role{name: request}, named(request)
	}
	config, err := parse(request)
	if err != nil {
		return role{}, err
	}
	return role{config.User, config.Password}, named(config.User)
}

// RoleName is the role that Migrate makes for a name or a DSN.
func RoleName(request string) (string, error) {
	r, err := roleOf(request)
	return r.name, err
}

func named(name string) error {
	if name == "" {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "the role of requests has no name")
	}
	return nil
}

// tables are what the request role may do, and where.
var tables = map[string]string{
	"SELECT, INSERT, UPDATE, DELETE":    "api_keys, management_keys, teams, users, upstreams, models, aliases, prices, clusters, join_tokens, memberships, billing_accounts, top_ups, invoices, invitations, alert_hooks, files, collections, documents, library_files, library_collections, library_documents, library_fields, library_teams, library_gone, library_tasks, library_blobs, api_key_acls, changes, remembered, gateways, key_last_use, high_water, leases, usage_runs, fund_spent, holds, alerts, sign_ins",
	"SELECT, INSERT, UPDATE":            "installation, checkpoints, usage_names, balances, charges",
	"SELECT, INSERT, DELETE":            "objects, usage_rows, alerts_sent",
	"SELECT, INSERT":                    "postings",
	"UPDATE (vector, rest)":             "usage_rows",
	"SELECT, INSERT, UPDATE (personal)": "audit",
	"INSERT":                            "audit_words",
	"SELECT":                            versions,
}

// grant makes the role and gives it what it needs. Statements of this kind take
// no parameters, so names and passwords are quoted here.
func (r role) grant(ctx context.Context, pool *sql.DB, admin *pgx.ConnConfig) error {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	// What makes and drops tables of days beside us takes the same lock. Without
	// it PostgreSQL would fail one of us: "tuple concurrently updated".
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(7163950276843261294)`); err != nil {
		return err
	}
	var schema string
	var exists bool
	err = tx.QueryRowContext(ctx, `SELECT current_schema(), EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1)`, r.name).Scan(&schema, &exists)
	if err != nil {
		return err
	}
	for _, statement := range r.statements(pgx.Identifier{schema}.Sanitize(), exists || r.name == admin.User) {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (r role) statements(schema string, exists bool) (out []string) {
	name := pgx.Identifier{r.name}.Sanitize()
	if !exists {
		out = append(out, "CREATE ROLE "+name+" LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE"+r.secret(),
			// Compiling costs our short statements more than it saves.
			"ALTER ROLE "+name+" SET jit = off")
	}
	out = append(out, "GRANT USAGE ON SCHEMA "+schema+" TO "+name)
	for rights, on := range tables {
		out = append(out, "GRANT "+rights+" ON "+on+" TO "+name)
	}
	out = append(out, "GRANT USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA "+schema+" TO "+name)
	for _, f := range []string{"gatehouse_usage_days(bigint)", "gatehouse_drop_usage(bigint, bigint)", "gatehouse_audit_search(text, bigint, bigint, boolean, bigint)"} {
		out = append(out, "ALTER FUNCTION "+f+" SET search_path = "+schema+", pg_temp",
			"REVOKE ALL ON FUNCTION "+f+" FROM PUBLIC", "GRANT EXECUTE ON FUNCTION "+f+" TO "+name)
	}
	return out
}

// secret is the password clause. A quote in it is doubled and a backslash stays
// what it is under the standard's strings, which every supported release has.
func (r role) secret() string {
	if r.password == "" {
		return ""
	}
	return " PASSWORD '" + strings.ReplaceAll(r.password, "'", "''") + "'"
}
