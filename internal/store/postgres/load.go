package postgres

import (
	"context"
	"io"

	"github.com/jackc/pgx/v5/stdlib"

	"gatehouse/internal/store/sqlstore"
)

// Load fills an empty database, brought up to date by [Migrate] and never
// opened, from a dump of any engine.
func Load(ctx context.Context, dsn string, r io.Reader) (sqlstore.Summary, error) {
	config, err := parse(dsn)
	if err != nil {
		return sqlstore.Summary{}, err
	}
	pool := stdlib.OpenDB(*config)
	defer pool.Close()
	if _, err := inspect(ctx, pool); err != nil {
		return sqlstore.Summary{}, err
	}
	d := dialect("")
	// A load waits for whoever sends the dump, and reads its log back in one
	// statement.
	d.Patience, d.WriteScope = 0, d.Scope
	return sqlstore.Load(ctx, pool, d, r)
}
