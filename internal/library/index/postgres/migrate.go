package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"gatehouse"
)

//go:embed migrations/*.sql
var migrations embed.FS

// versions is the table of applied migrations; the truth, which may be in the
// same schema, has its own.
const versions = "index_db_version"

// Migrate brings the schema up to date and lets role, which is there already,
// use it. adminDSN may change the schema, and reaches the server itself. Run
// again it changes nothing, but takes note of an extension installed since.
func Migrate(ctx context.Context, adminDSN, role string) error {
	db, err := pool(adminDSN, 4)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := up(ctx, db); err != nil {
		return err
	}
	// Whoever may not install it uses it when an administrator has.
	_, _ = db.ExecContext(ctx, `CREATE EXTENSION IF NOT EXISTS vector`)
	if err := use(ctx, db, role); err != nil {
		return cannot("let the role of requests use it"+because(err), err)
	}
	return nil
}

// because is what the server said, for the administrator who migrates.
func because(err error) string {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return ": " + said.Message
	}
	return ""
}

// use makes what the role needs for vectors, and gives it its rights.
func use(ctx context.Context, db *sql.DB, role string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	// The lock of whoever makes a table of vectors, and of another who migrates:
	// PostgreSQL would fail one of two that change the same rights.
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(7163950276843261311)"); err != nil {
		return err
	}
	if err := vectors(ctx, tx); err != nil {
		return err
	}
	if err := grant(ctx, tx, role); err != nil {
		return err
	}
	return tx.Commit()
}

func up(ctx context.Context, db *sql.DB) error {
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return cannot("lock the schema", err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return cannot("read the migrations", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker), goose.WithTableName(versions), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return cannot("read the migrations", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return cannot("bring its schema up to date"+because(err), err)
	}
	return nil
}

// makeVectors is a function of the owner that makes the table of a dimension and
// a way to compare: ip, the inner product, or l2, the distance. Half precision
// finds the candidates, which are rescored, in half the memory. With the
// extension's own m of 16 and ef_construction of 64, 0.945 of the ten nearest among
// a million clustered vectors were found, and no more by looking further.
const makeVectors = `CREATE OR REPLACE FUNCTION gatehouse_index_vectors(dimension integer, way text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  name text := format('index_vectors_%s_%s', dimension, way);
BEGIN
  IF way NOT IN ('ip', 'l2') OR dimension NOT BETWEEN 1 AND 4000 THEN
    RAISE EXCEPTION 'no such table of vectors';
  END IF;
  IF to_regclass(name) IS NOT NULL THEN
    RETURN;
  END IF;
  -- Two documents at once: the second finds the table made.
  PERFORM pg_advisory_xact_lock(7163950276843261311);
  IF to_regclass(name) IS NOT NULL THEN
    RETURN;
  END IF;
  EXECUTE format('CREATE TABLE %I (id bigint PRIMARY KEY, collection bigint NOT NULL, embedding halfvec(%s) NOT NULL)', name, dimension);
  EXECUTE format('CREATE INDEX ON %I USING hnsw (embedding halfvec_%s_ops) WITH (m = 24, ef_construction = 96)', name, way);
  EXECUTE format('GRANT SELECT, INSERT, DELETE ON %I TO %I', name, session_user);
END
$$`

// vectors makes the function of the tables where the extension is installed.
func vectors(ctx context.Context, db *sql.Tx) error {
	var installed bool
	var schemas string
	err := db.QueryRowContext(ctx, `SELECT n.nspname IS NOT NULL, quote_ident(current_schema()) || COALESCE(', ' || quote_ident(n.nspname), '') || ', pg_temp'
FROM (SELECT) one LEFT JOIN pg_extension e ON e.extname = 'vector' LEFT JOIN pg_namespace n ON n.oid = e.extnamespace`).Scan(&installed, &schemas)
	if err != nil || !installed {
		return err // the extension is optional; Methods says that it is not there
	}
	for _, statement := range []string{makeVectors,
		"ALTER FUNCTION gatehouse_index_vectors(integer, text) SET search_path = " + schemas,
		"REVOKE ALL ON FUNCTION gatehouse_index_vectors(integer, text) FROM PUBLIC"} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// grant gives the role what it needs. Statements of this kind take no
// parameters, so the name is quoted here.
func grant(ctx context.Context, db *sql.Tx, role string) error {
	if role == "" {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "the role of requests has no name")
	}
	name := pgx.Identifier{role}.Sanitize()
	var schema string
	var function bool
	if err := db.QueryRowContext(ctx, "SELECT quote_ident(current_schema()), to_regprocedure('gatehouse_index_vectors(integer, text)') IS NOT NULL").Scan(&schema, &function); err != nil {
		return err
	}
	tables, err := vectorTables(ctx, db)
	if err != nil {
		return err
	}
	statements := []string{
		"GRANT USAGE ON SCHEMA " + schema + " TO " + name,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON index_collections, index_documents, index_fields, index_chunks TO " + name,
	}
	if function {
		statements = append(statements, "GRANT EXECUTE ON FUNCTION gatehouse_index_vectors(integer, text) TO "+name)
	}
	for _, table := range tables {
		statements = append(statements, "GRANT SELECT, INSERT, DELETE ON "+table+" TO "+name)
	}
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// vectorTables are those that were made for another role.
func vectorTables(ctx context.Context, db *sql.Tx) (names []string, err error) {
	rows, err := db.QueryContext(ctx, `SELECT quote_ident(relname) FROM pg_class WHERE relkind = 'r' AND relname ~ '^index_vectors_[0-9]+_(ip|l2)$' AND relnamespace = current_schema()::regnamespace`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}
