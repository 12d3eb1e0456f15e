package main

import (
	"context"
	"strings"

	"gatehouse/internal/engine"
	"gatehouse/internal/store/postgres"
)

// requestRole is who works with the database: no superuser, and without DDL.
const requestRole = "bench"

// startPostgres starts a server below dir with one migrated database.
func startPostgres(dir, database string) (*engine.Postgres, error) {
	server, err := engine.NewPostgres(dir)
	if err != nil {
		return nil, err
	}
	if err := server.Start(); err != nil {
		return nil, err
	}
	if err := server.CreateDatabase(database); err != nil {
		return server, err
	}
	return server, postgres.Migrate(context.Background(), server.DSN(database), requestRole)
}

// asRequests turns the superuser's DSN into that of the request role.
func asRequests(dsn string) string { return strings.Replace(dsn, "postgres@", requestRole+"@", 1) }
