package postgres

import (
	"context"
	"database/sql"
	"fmt"

	"gatehouse"
)

// oldest is the first release that this store is tested with.
const oldest = 150000

// durable are the settings without which an acknowledged act may be lost, and
// what they must not be.
var durable = []string{"fsync", "full_page_writes", "synchronous_commit"}

// server is what the database says about itself.
type server struct {
	version                      int
	settings                     map[string]string
	super, bypass, creates, owns bool
}

// inspect reads the settings back. What would lose data is refused; what an
// operator may have reasons for is a warning.
func inspect(ctx context.Context, pool *sql.DB) (warnings []string, err error) {
	s, err := look(ctx, pool)
	if err != nil {
		return nil, cannot("be reached", err)
	}
	if s.version < oldest {
		return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "PostgreSQL %d is too old: want 15 or later", s.version/10000)
	}
	for _, name := range durable {
		if s.settings[name] == "off" {
			return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "the database has %s = off: it could lose what was acknowledged", name)
		}
	}
	if err := s.migrated(ctx, pool); err != nil {
		return nil, err
	}
	return s.warnings(), nil
}

func look(ctx context.Context, pool *sql.DB) (s server, err error) {
	s.settings = map[string]string{}
	for _, name := range append([]string{"server_version_num", "data_checksums", "synchronous_standby_names"}, durable...) {
		var value string
		if err := pool.QueryRowContext(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
			return s, err
		}
		s.settings[name] = value
	}
	if _, err := fmt.Sscan(s.settings["server_version_num"], &s.version); err != nil {
		return s, err
	}
	err = pool.QueryRowContext(ctx, `SELECT rolsuper, rolbypassrls, has_schema_privilege(current_schema(), 'CREATE'),
EXISTS (SELECT 1 FROM pg_class WHERE oid = to_regclass('installation') AND pg_has_role(relowner, 'USAGE'))
FROM pg_roles WHERE rolname = current_user`).Scan(&s.super, &s.bypass, &s.creates, &s.owns)
	return s, err
}

// migrated refuses a schema that is behind. One that is ahead was made by the
// next release, which keeps this one running.
func (s server) migrated(ctx context.Context, pool *sql.DB) error {
	want, err := latest()
	if err != nil {
		return err
	}
	var have int64
	err = pool.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM "+versions+" WHERE is_applied").Scan(&have)
	if err != nil || have < want {
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "the database's schema is behind this program: run gatehouse migrate").Because(err)
	}
	return nil
}

func (s server) warnings() (out []string) {
	for _, w := range []struct {
		is   bool
		says string
	}{
		{s.super, "the database role is a superuser: row-level security does not bind it"},
		{s.bypass && !s.super, "the database role has BYPASSRLS: row-level security does not bind it"},
		{(s.creates || s.owns) && !s.super, "the database role may change the schema: use the role that gatehouse migrate made"},
		{s.settings["data_checksums"] != "on", "the database has no data checksums: a rotten page would not be noticed"},
		{s.settings["synchronous_standby_names"] == "", "the database has no synchronous standby: losing its host loses what was acknowledged since the last backup or replay"},
		{s.settings["synchronous_commit"] == "local" && s.settings["synchronous_standby_names"] != "", "the database has synchronous_commit = local: standbys are not waited for"},
	} {
		if w.is {
			out = append(out, w.says)
		}
	}
	return out
}
