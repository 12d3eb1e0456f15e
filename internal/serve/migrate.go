package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"gatehouse/internal/durable"

	"gatehouse"
	indexpostgres "gatehouse/internal/library/index/postgres"
	"gatehouse/internal/secret"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgres"
	"gatehouse/internal/store/sqlite"
	"gatehouse/internal/store/sqlstore"
)

const (
	// freezeFile asks the process that serves from a data directory to keep its
	// records as they are; frozenFile, with the same content, says that it does.
	freezeFile = "freeze"
	frozenFile = "frozen"
	// migratedFile says in its first line where the installation went. It freezes
	// for good. It is freezeFile under another name: a process that thaws removes
	// that first, so that a copy for which it did not wait becomes nothing.
	migratedFile = "migrated"

	// freezeLife is how long a freeze lasts that nobody renews: who asked for it
	// was killed.
	freezeLife  = 15 * time.Second
	freezeEvery = 200 * time.Millisecond
)

// freezer is a store that can be kept as it is while it is copied. Acts of
// authority and usage are refused meanwhile, with "try again": usage waits in
// the journals. Bookkeeping goes on, so that gateways keep their leases; the
// copy may lack the last of it.
type freezer struct {
	store.Store
	dir    string
	gate   sync.RWMutex // read by who writes, so that a freeze waits for them
	frozen bool
}

func newFreezer(s store.Store, dir string) *freezer {
	f := &freezer{Store: s, dir: dir}
	f.look(time.Now()) // a process that starts meanwhile starts frozen
	return f
}

// Update implements [store.Store].
func (f *freezer) Update(ctx context.Context, cause gatehouse.Cause, do func(store.Tx) error) (gatehouse.Revision, error) {
	f.gate.RLock()
	defer f.gate.RUnlock()
	if f.frozen {
		return gatehouse.Revision{}, beingMoved()
	}
	return f.Store.Update(ctx, cause, do)
}

// Ingest implements [store.Store].
func (f *freezer) Ingest(ctx context.Context, do func(store.Ingest) error) error {
	f.gate.RLock()
	defer f.gate.RUnlock()
	if f.frozen {
		return beingMoved()
	}
	return f.Store.Ingest(ctx, do)
}

func beingMoved() error {
	return gatehouse.Errorf(gatehouse.Unavailable, "the installation is moved to another database: try again when it is served from there").After(30 * time.Second)
}

// Reseal goes to the store below: it changes no content, but a copy must not
// hold half of it.
func (f *freezer) Reseal(ctx context.Context) (sqlstore.Resealed, error) {
	f.gate.RLock()
	defer f.gate.RUnlock()
	if r, ok := f.Store.(resealer); ok && !f.frozen {
		return r.Reseal(ctx)
	}
	return sqlstore.Resealed{}, beingMoved()
}

// follow looks for the marker until ctx ends.
func (f *freezer) follow(ctx context.Context) {
	every(ctx, freezeEvery, func() { f.look(time.Now()) })
}

// look does what the marker says.
func (f *freezer) look(now time.Time) {
	text, asked, expired := f.asked(now)
	if expired && os.Remove(filepath.Join(f.dir, freezeFile)) != nil {
		text, asked, _ = f.asked(now) // who asked made it the migratedFile meanwhile
	}
	f.gate.Lock()
	f.frozen = asked
	f.gate.Unlock()
	answer := filepath.Join(f.dir, frozenFile)
	if !asked {
		os.Remove(answer)
		return
	}
	if have, err := os.ReadFile(answer); err != nil || string(have) != string(text) {
		durable.Replace(answer, text, 0o600)
	}
}

func (f *freezer) asked(now time.Time) (text []byte, asked, expired bool) {
	if text, err := os.ReadFile(filepath.Join(f.dir, migratedFile)); err == nil {
		return text, true, false
	}
	path := filepath.Join(f.dir, freezeFile)
	info, err := os.Stat(path)
	if err != nil || now.Sub(info.ModTime()) > freezeLife {
		return nil, false, err == nil
	}
	text, err = os.ReadFile(path)
	return text, err == nil, false
}

// freeze keeps a data directory as it is until thaw, for a move to somewhere.
func freeze(ctx context.Context, dir, to string) (thaw func(), err error) {
	path, nonce := filepath.Join(dir, freezeFile), []byte(to+"\n"+rand.Text()+"\n")
	if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) < freezeLife {
		return nil, gatehouse.Errorf(gatehouse.Conflict, "another migration of %s is under way", dir)
	}
	if err := durable.Replace(path, nonce, 0o600); err != nil {
		return nil, err
	}
	renewing, stop := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		every(renewing, freezeLife/5, func() {
			if renewing.Err() == nil {
				os.Chtimes(path, time.Time{}, time.Now())
			}
		})
	})
	thaw = func() {
		stop()
		done.Wait()
		os.Remove(path)
	}
	if err := frozen(ctx, dir, nonce); err != nil {
		thaw()
		return nil, err
	}
	return thaw, nil
}

// frozen waits until the process that serves, if one does, has stopped writing.
func frozen(ctx context.Context, dir string, nonce []byte) error {
	running, err := served(dir)
	for err == nil && running {
		if text, err := os.ReadFile(filepath.Join(dir, frozenFile)); err == nil && string(text) == string(nonce) {
			return nil
		}
		if _, err := os.Stat(filepath.Join(dir, freezeFile)); err != nil {
			return gatehouse.Errorf(gatehouse.Conflict, "the freeze was taken back: move again").Because(err)
		}
		select {
		case <-ctx.Done():
			return gatehouse.Errorf(gatehouse.DeadlineExceeded, "the running process did not stop writing").Because(ctx.Err())
		case <-time.After(freezeEvery):
		}
		running, err = served(dir)
	}
	return err
}

// Migrate copies a data directory's database into an empty, prepared PostgreSQL.
// A process that serves from the directory goes on answering inference and
// refuses changes meanwhile; afterwards it does so until it is stopped, since
// the truth is elsewhere. A migration that fails leaves everything as it was.
func Migrate(ctx context.Context, cfg Config, log *slog.Logger) (sum sqlstore.Summary, err error) {
	keys, err := secret.Open(cfg.secretsDir())
	if err != nil {
		return sum, err
	}
	if err := errors.Join(refuseUnfinished(cfg.Data), refuseMoved(cfg.Data)); err != nil {
		return sum, err
	}
	thaw, err := freeze(ctx, cfg.Data, bare(cfg.Database))
	if err != nil {
		return sum, err
	}
	defer thaw()
	if sum, err = pour(ctx, cfg, keys, log); err != nil {
		return sum, err
	}
	// Opening verifies the log, the seals' fingerprint and the installation row.
	db, err := postgres.Open(ctx, cfg.Database, postgres.Options{Options: sqlstore.Options{Guard: keys, Logger: log, Readers: 1}, ListenDSN: "-"})
	if err != nil {
		return sum, err
	}
	if err := db.Close(); err != nil {
		return sum, err
	}
	return sum, moved(cfg.Data)
}

// moved ends the freeze for good: from here on only the copy is written. It
// fails when the freeze ended before, since the copy then lacks what was done
// meanwhile.
func moved(dir string) error {
	err := os.Rename(filepath.Join(dir, freezeFile), filepath.Join(dir, migratedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return gatehouse.Errorf(gatehouse.Conflict, "the freeze ended before the copy was complete, and changes may have been made since: empty the target and move again").Because(err)
	}
	return errors.Join(err, durable.SyncDir(dir))
}

// pour loads what is dumped while it is dumped.
func pour(ctx context.Context, cfg Config, keys *secret.Keys, log *slog.Logger) (sqlstore.Summary, error) {
	from, to := io.Pipe()
	var had sqlstore.Summary
	var dumping sync.WaitGroup
	var failed error
	dumping.Go(func() {
		had, failed = sqlite.Dump(ctx, filepath.Join(cfg.Data, databaseFile), sqlstore.Options{Guard: keys, Logger: log}, to)
		to.CloseWithError(failed) // nil is the end
	})
	got, err := postgres.Load(ctx, cfg.Database, from)
	from.CloseWithError(errors.Join(err, io.ErrClosedPipe))
	dumping.Wait()
	if failed != nil && !errors.Is(failed, io.ErrClosedPipe) {
		return had, failed
	}
	if err == nil && !reflect.DeepEqual(had, got) {
		err = gatehouse.Errorf(gatehouse.Internal, "the copy differs from its source: leaves %d, %d; root %s, %s", had.Leaves, got.Leaves, had.Root, got.Root)
	}
	return got, err
}

// bare is a DSN without what it says of a user.
func bare(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return "another database"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// Prepare brings a PostgreSQL database up to date and makes the role that
// requests run under. It is run as a role that may do that, which no serving
// process is.
func Prepare(ctx context.Context, adminDSN, requestRole string) error {
	role, err := postgres.RoleName(requestRole)
	if err != nil {
		return err
	}
	if err := postgres.Migrate(ctx, adminDSN, requestRole); err != nil {
		return err
	}
	return indexpostgres.Migrate(ctx, adminDSN, role)
}
