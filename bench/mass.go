package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	house "gatehouse"
	"gatehouse/internal/engine"
	"gatehouse/internal/secret"
)

// mass is the directory of a PostgreSQL server with many keys and their leaves,
// and the secrets that seal them. Making one takes minutes, so it is kept, and
// runs work on copies.
type mass struct{ dir string }

func (m mass) secrets() string { return filepath.Join(m.dir, "secrets") }
func (m mass) team() string    { return filepath.Join(m.dir, "team") }

// make fills a server through the store's door, unless that was done. The team
// is written last, so that a run that was cut short is not believed.
func (m mass) make(b *books) error {
	if _, err := os.Stat(m.team()); err == nil {
		return nil
	}
	fmt.Fprintf(os.Stderr, "making %d keys once, kept in %s\n", b.scaled(manyKeys), m.dir)
	if err := os.RemoveAll(m.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	var err error
	if b.keys, err = secret.Create(m.secrets()); err != nil {
		return err
	}
	b.pg, err = startPostgres(m.dir, "books")
	defer b.stopServer()
	if err != nil {
		return err
	}
	if err := b.open(); err != nil {
		return err
	}
	if err := b.fillFrom(0); err != nil {
		return err
	}
	if err := b.db.Close(); err != nil {
		return err
	}
	b.pg.Stop()
	b.pg = nil
	return os.WriteFile(m.team(), []byte(b.team.String()), 0o600)
}

// startMass starts a server on a copy of the mass.
func (b *books) startMass() error {
	m := mass{filepath.Join(os.TempDir(), fmt.Sprint("gatehouse-bench-keys-", b.scaled(manyKeys)))}
	if err := m.make(b); err != nil {
		return err
	}
	team, err := os.ReadFile(m.team())
	if err != nil {
		return err
	}
	if b.team, err = house.ParseID(string(team)); err != nil {
		return err
	}
	if b.keys, err = secret.Open(m.secrets()); err != nil {
		return err
	}
	began := time.Now()
	if out, err := exec.Command("cp", "-a", filepath.Join(m.dir, "pg"), b.dir).CombinedOutput(); err != nil {
		return fmt.Errorf("copying the database: %w: %s", err, out)
	}
	// The server runs as another user where this is root.
	if err := os.Chmod(b.dir, 0o711); err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(freeAddr())
	if err != nil {
		return err
	}
	b.pg = &engine.Postgres{Dir: filepath.Join(b.dir, "pg")}
	if b.pg.Port, err = strconv.Atoi(port); err != nil {
		return err
	}
	if err := b.pg.Start(); err != nil {
		return err
	}
	b.say("copying keys and leaves", "", fmt.Sprintf("%.0f s", time.Since(began).Seconds()), "", "made through the store's door, once")
	return nil
}
