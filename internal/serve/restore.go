package serve

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"gatehouse/internal/durable"

	"filippo.io/age"

	"gatehouse"
	"gatehouse/internal/control"
	"gatehouse/internal/secret"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgres"
	"gatehouse/internal/store/sqlite"
	"gatehouse/internal/store/sqlstore"
)

// unfinishedFile is there while a restore fills a target. A target that was
// left half-way must not be taken for a new installation.
const unfinishedFile = "restore.unfinished"

// restoringFile is the database while it is being filled; it gets its name when
// everything about it is right.
const restoringFile = databaseFile + ".restoring"

// refuseUnfinished refuses a data directory that a restore did not finish.
func refuseUnfinished(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, unfinishedFile)); err == nil {
		return gatehouse.Errorf(gatehouse.FailedPrecondition,
			"a restore into %s did not finish: run it again before anything is served. A PostgreSQL target must be empty for that", dir)
	}
	return nil
}

// refuseMoved refuses the file of a data directory whose records moved
// elsewhere. The rest of the directory, journal and identity, moves nowhere: it
// is served from with the other database.
func refuseMoved(dir string) error {
	if to, err := os.ReadFile(filepath.Join(dir, migratedFile)); err == nil {
		where, _, _ := strings.Cut(string(to), "\n")
		return gatehouse.Errorf(gatehouse.FailedPrecondition,
			"this installation moved to %s: start with --database. To go back, and lose what was done there, remove %s", where, filepath.Join(dir, migratedFile))
	}
	return nil
}

// RestoreOptions say what is restored and what opens it.
type RestoreOptions struct {
	In         string
	Identity   string // file of age identities
	Passphrase string
}

func (o RestoreOptions) file() (b backupFile, err error) {
	b.path = o.In
	if o.Passphrase != "" {
		id, err := age.NewScryptIdentity(o.Passphrase)
		if err != nil {
			return b, err
		}
		b.identities = append(b.identities, id)
	}
	if o.Identity == "" {
		return b, nil
	}
	f, err := os.Open(o.Identity)
	if err != nil {
		return b, err
	}
	defer f.Close()
	ids, err := age.ParseIdentities(f)
	if err != nil {
		return b, gatehouse.Errorf(gatehouse.InvalidArgument, "%s: not a file of age identities", o.Identity)
	}
	b.identities = append(b.identities, ids...)
	return b, nil
}

// Restore makes an installation out of a backup, in an empty target. The whole
// backup is checked before anything is written. Revisions go on in a new epoch,
// so that gateways take what they missed and hand in the deletions that they
// know and the backup does not.
func Restore(ctx context.Context, cfg Config, opt RestoreOptions, log *slog.Logger) (m Manifest, err error) {
	b, err := opt.file()
	if err != nil {
		return m, err
	}
	if m, err = b.check(); err != nil {
		return m, err
	}
	if err := emptyTarget(cfg); err != nil {
		return m, err
	}
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return m, err
	}
	keys, err := b.keys(cfg.secretsDir(), m)
	if err != nil {
		return m, err
	}
	marker := filepath.Join(cfg.Data, unfinishedFile)
	if err := durable.Replace(marker, []byte(m.Created.Format(time.RFC3339)+"\n"), 0o600); err != nil {
		return m, err
	}
	if err := restoreInto(ctx, cfg, b, m, keys, log); err != nil {
		return m, err
	}
	return m, errors.Join(os.Remove(marker), durable.SyncDir(cfg.Data))
}

// emptyTarget refuses what holds an installation. What an unfinished restore
// left may be overwritten.
func emptyTarget(cfg Config) error {
	if cfg.Database != "" {
		return nil // the engine refuses, in the transaction that loads
	}
	if _, err := os.Stat(filepath.Join(cfg.Data, databaseFile)); !errors.Is(err, fs.ErrNotExist) {
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "there is a database in %s: a restore wants an empty target", cfg.Data)
	}
	return nil
}

// keys opens the secrets that the backup was made with: those in the directory,
// or those in the backup when the directory has none.
func (b backupFile) keys(dir string, m Manifest) (*secret.Keys, error) {
	if m.Secrets {
		if err := b.writeSecrets(dir); err != nil {
			return nil, err
		}
	}
	keys, err := secret.Open(dir)
	if err != nil {
		return nil, err
	}
	all, err := secret.Status(dir)
	if err != nil {
		return nil, err
	}
	for _, file := range slices.Sorted(maps.Keys(m.Fingerprints)) {
		if file == "page.key" { // page tokens do not outlive a restore anyway
			continue
		}
		held := slices.ContainsFunc(all, func(g secret.Generation) bool {
			return g.Fingerprint == m.Fingerprints[file] && g.State != secret.Retired
		})
		if !held {
			return nil, gatehouse.Errorf(gatehouse.FailedPrecondition,
				"the backup was made with another %s (%s) than those in %s: nothing was written. If it was retired since, rename its file back for the restore", file, m.Fingerprints[file], dir)
		}
	}
	return keys, nil
}

// writeSecrets puts the backup's secrets into a directory that has none, or some
// of these alone: an earlier restore was cut short there.
func (b backupFile) writeSecrets(dir string) error {
	files, err := b.secrets()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		have, err := os.ReadFile(filepath.Join(dir, e.Name()))
		same := func(f secretFile) bool { return err == nil && f.Name == e.Name() && bytes.Equal(f.Content, have) }
		if secret.IsFile(e.Name()) && !slices.ContainsFunc(files, same) {
			return nil // it has its own: their fingerprints tell whether they fit
		}
	}
	for _, f := range files {
		if err := durable.Replace(filepath.Join(dir, f.Name), f.Content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// restoreInto fills the target and begins its epoch.
func restoreInto(ctx context.Context, cfg Config, b backupFile, m Manifest, keys *secret.Keys, log *slog.Logger) error {
	from, err := b.dump()
	if err != nil {
		return err
	}
	defer from.Close()
	path := filepath.Join(cfg.Data, restoringFile)
	if cfg.Database == "" {
		if err := removeDatabase(path); err != nil {
			return err
		}
	}
	loaded, err := load(ctx, cfg.Database, path, from)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(loaded, m.Summary) {
		return gatehouse.Errorf(gatehouse.Internal, "what was loaded is not what the manifest says: leaves %d, %d; root %s, %s",
			loaded.Leaves, m.Summary.Leaves, loaded.Root, m.Summary.Root)
	}
	if err := setAside(cfg.Data); err != nil {
		return err
	}
	if err := beginEpoch(ctx, cfg, path, keys, log); err != nil {
		return err
	}
	if cfg.Database != "" {
		return nil
	}
	if err := os.Rename(path, filepath.Join(cfg.Data, databaseFile)); err != nil {
		return err
	}
	return errors.Join(removeDatabase(path), durable.SyncDir(cfg.Data))
}

// setAside moves a checkpoint away that vouches for what the backup lacks:
// whoever restores has accepted that loss. It is kept as proof of it.
func setAside(dir string) error {
	err := os.Rename(filepath.Join(dir, checkpointFile), filepath.Join(dir, checkpointFile+".before-restore"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// beginEpoch opens what was loaded, which verifies its log, and records the act.
func beginEpoch(ctx context.Context, cfg Config, path string, keys *secret.Keys, log *slog.Logger) error {
	h := &house{cfg: cfg, log: log, now: time.Now, keys: keys}
	st, err := h.openLoaded(ctx, path)
	if err != nil {
		return err
	}
	h.store = st
	h.service = control.New(control.Config{Store: st, Brand: cfg.Brand, Now: h.now, Sealer: keys, Logger: log})
	return errors.Join(h.restored(ctx, st), h.close())
}

// epochs is a store that can begin another timeline.
type epochs interface {
	store.Store
	NewEpoch(context.Context) (before gatehouse.Revision, err error)
}

func (h *house) openLoaded(ctx context.Context, path string) (epochs, error) {
	opts := sqlstore.Options{Guard: h.keys, Logger: h.log, Now: h.now, CheckpointVerify: h.openCheckpoint, Readers: 1}
	if h.cfg.Database == "" {
		return sqlite.Open(ctx, path, opts)
	}
	return postgres.Open(ctx, h.cfg.Database, postgres.Options{Options: opts, ListenDSN: "-"})
}

func (h *house) restored(ctx context.Context, st epochs) error {
	before, err := st.NewEpoch(ctx)
	if err != nil {
		return err
	}
	var tree store.Tree
	err = st.View(store.System(ctx), func(v store.View) (err error) {
		tree, err = v.Tree()
		return err
	})
	if err != nil {
		return err
	}
	if _, err := h.service.Restored(ctx, before, tree.Size); err != nil {
		return err
	}
	if err := h.service.Succeed(ctx, h.keys.Successions()); err != nil {
		return err
	}
	if err := h.checkpointKeys(); err != nil {
		return err
	}
	_, err = h.checkpoint(0)
	return err
}

// removeDatabase removes a database file with what the engine puts beside it.
func removeDatabase(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// dump writes a snapshot of the configured database, which may be in use.
func dump(ctx context.Context, cfg Config, keys *secret.Keys, log *slog.Logger, w io.Writer) (sqlstore.Summary, error) {
	opts := sqlstore.Options{Guard: keys, Logger: log, Readers: 1}
	if cfg.Database == "" {
		return sqlite.Dump(ctx, filepath.Join(cfg.Data, databaseFile), opts, w)
	}
	db, err := postgres.Open(ctx, cfg.Database, postgres.Options{Options: opts, ListenDSN: "-"})
	if err != nil {
		return sqlstore.Summary{}, err
	}
	sum, err := db.Dump(ctx, w)
	return sum, errors.Join(err, db.Close())
}

// load fills an empty database: the one of a DSN, else the file at path.
func load(ctx context.Context, dsn, path string, r io.Reader) (sqlstore.Summary, error) {
	if dsn != "" {
		return postgres.Load(ctx, dsn, r)
	}
	return sqlite.Load(ctx, path, r)
}
