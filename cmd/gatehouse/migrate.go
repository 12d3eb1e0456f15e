package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/serve"
)

type migrateCmd struct {
	Database    string        `help:"PostgreSQL to bring up to date, as a role that may change the schema and make roles." xor:"what" placeholder:"postgres://..."`
	DSNFile     string        `name:"database-file" help:"File that holds --database, whose password everyone on the machine would see." xor:"what" placeholder:"FILE"`
	RequestRole string        `name:"request-role" help:"Role that the program will use: a name, or the DSN whose user and password it gets." xor:"role" placeholder:"NAME|DSN"`
	RoleFile    string        `name:"request-role-file" help:"File that holds --request-role." xor:"role" placeholder:"FILE"`
	From        string        `help:"Installation to move: sqlite:DATA/gatehouse.db. It may be serving." xor:"what" placeholder:"sqlite:PATH"`
	To          string        `help:"Empty PostgreSQL to move it to, brought up to date before, as the request role. Default: what GATEHOUSE_DATABASE or GATEHOUSE_DATABASE_FILE say." placeholder:"postgres://..."`
	ToFile      string        `name:"to-file" help:"File that holds --to." placeholder:"FILE"`
	Secrets     string        `help:"Directory of the secrets. Default: secrets beside the file." placeholder:"DIR"`
	Timeout     time.Duration `help:"How long changes may be refused while the records move." default:"1h"`
}

// Run prepares a database, or moves an installation into one.
func (c *migrateCmd) Run(e *env) error {
	for _, f := range []struct {
		name, file string
		into       *string
	}{{"database", c.DSNFile, &c.Database}, {"request-role", c.RoleFile, &c.RequestRole}} {
		var err error
		if *f.into, err = orFile(f.name, *f.into, f.file); err != nil {
			return err
		}
	}
	switch {
	case c.Database != "" && c.RequestRole != "":
		if err := serve.Prepare(e, c.Database, c.RequestRole); err != nil {
			return err
		}
		_, err := fmt.Fprintln(e.out, "the schema is up to date and the role may use it")
		return err
	case c.From != "":
		var err error
		if c.To == "" && c.ToFile == "" {
			c.To, err = database("", "")
		} else {
			c.To, err = orFile("to", c.To, c.ToFile)
		}
		if err != nil {
			return err
		}
		if c.To != "" {
			return c.move(e)
		}
	}
	return gatehouse.Errorf(gatehouse.InvalidArgument, "either --database and --request-role, or --from and --to")
}

func (c *migrateCmd) move(e *env) error {
	path, ok := strings.CutPrefix(c.From, "sqlite:")
	if !ok || filepath.Base(path) != "gatehouse.db" {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "--from: want sqlite:DATA/gatehouse.db, the file in the data directory")
	}
	cfg := serve.Defaults()
	cfg.Data, cfg.Secrets, cfg.Database = filepath.Dir(path), c.Secrets, c.To
	ctx, cancel := context.WithTimeout(e, c.Timeout)
	defer cancel()
	sum, err := serve.Migrate(ctx, cfg, e.logger())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "moved: revision %s, %d audit leaves, root %s, counts of %d tables are equal. Stop the process and start it with --database; until then it refuses changes\n",
		sum.Revision, sum.Leaves, sum.Root, len(sum.Rows))
	return err
}
