package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"gatehouse/internal/durable"

	"gatehouse"
	"gatehouse/internal/audit"
	"gatehouse/internal/control"
	"gatehouse/internal/secret"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgres"
	"gatehouse/internal/store/sqlite"
	"gatehouse/internal/store/sqlstore"
)

// origin names the audit log in checkpoints.
const origin = "gatehouse"

// Files below the data directory.
const (
	databaseFile   = "gatehouse.db"
	journalDir     = "journal"
	gatewayFile    = "gateway.id"
	checkpointFile = "checkpoint"
	auditKeyFile   = "audit.pub"
)

// house is an opened installation without anything running: what serve and the
// offline commands share. In role gateway there is no installation here, and
// keys, store and service are nil.
type house struct {
	cfg      Config
	log      *slog.Logger
	now      func() time.Time
	keys     *secret.Keys
	store    store.Store
	service  *control.Service
	company  *company      // by which control reaches others; nil where there is no installation
	stopping chan struct{} // closed when the stop begins
	warnings []string      // what is wrong with the database's settings and no reason to refuse it
}

// open opens secrets and database. Only a first start, with neither there, may
// make secrets: new ones beside an old database would orphan every row.
func open(ctx context.Context, cfg Config, log *slog.Logger) (*house, error) {
	h := &house{cfg: cfg, log: log, now: time.Now, stopping: make(chan struct{})}
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return nil, err
	}
	if cfg.Role == RoleGateway {
		return h, nil
	}
	err := refuseUnfinished(cfg.Data)
	if err == nil && cfg.Database == "" {
		err = refuseMoved(cfg.Data)
	}
	if err != nil {
		return nil, err
	}
	if h.company, err = cfg.company(h.now); err != nil {
		return nil, err
	}
	if err := h.openStore(ctx); err != nil {
		return nil, err
	}
	if err := h.compareOutsideCheckpoint(); err != nil {
		h.store.Close()
		return nil, err
	}
	if cfg.Database == "" {
		h.store = newFreezer(h.store, cfg.Data)
	}
	c := control.Config{
		Store: h.store, Brand: cfg.Brand, Now: h.now, Sealer: h.keys, Logger: log, Tester: tester{}, Stopping: h.stopping,
		Retention: cfg.Usage.Retention,
	}
	h.company.equip(&c, cfg.publicURL())
	h.service = control.New(c)
	// Before anything is signed by a key that the log does not know.
	if err := h.service.Succeed(ctx, h.keys.Successions()); err != nil {
		h.store.Close()
		return nil, err
	}
	return h, nil
}

// openStore opens secrets and database. Secrets that are missing beside a
// database that has seen others are refused by the fingerprints in it.
func (h *house) openStore(ctx context.Context) error {
	database := filepath.Join(h.cfg.Data, databaseFile)
	_, missing := os.Stat(database)
	var err error
	if errors.Is(missing, fs.ErrNotExist) {
		h.keys, err = secret.LoadOrCreate(h.cfg.secretsDir())
	} else {
		h.keys, err = secret.Open(h.cfg.secretsDir())
	}
	if err != nil {
		return err
	}
	if err := h.checkpointKeys(); err != nil {
		return err
	}
	opts := sqlstore.Options{Guard: h.keys, Logger: h.log, Now: h.now, CheckpointVerify: h.openCheckpoint}
	if h.cfg.Database == "" {
		h.store, err = sqlite.Open(ctx, database, opts)
		return err
	}
	db, err := postgres.Open(ctx, h.cfg.Database, postgres.Options{Options: opts, ListenDSN: h.cfg.DatabaseListen})
	if err != nil {
		return err
	}
	h.store, h.warnings = db, db.Warnings()
	for _, w := range h.warnings {
		h.log.Warn("the database should be looked at", "warning", w)
	}
	return nil
}

// close gives up the database, if there is one.
func (h *house) close() error {
	if h.store == nil {
		return nil
	}
	return h.store.Close()
}

func (h *house) checkpointKeys() error {
	text, err := h.keys.VerifierKey(origin)
	if err != nil {
		return err
	}
	return durable.Replace(filepath.Join(h.cfg.Data, auditKeyFile), []byte(text+"\n"), 0o644)
}

func (h *house) openCheckpoint(msg []byte) (int64, [32]byte, error) {
	verifiers, err := h.keys.Verifiers(origin)
	var head audit.Head
	for _, v := range verifiers {
		if head, err = audit.ParseCheckpoint(msg, v); err == nil {
			break
		}
	}
	return head.Size, head.Root, err
}

// compareOutsideCheckpoint refuses a database whose log is shorter than the
// checkpoint beside it says: it was rolled back, and rows may have come back
// to life with it.
func (h *house) compareOutsideCheckpoint() error {
	msg, err := os.ReadFile(filepath.Join(h.cfg.Data, checkpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	size, _, err := h.openCheckpoint(msg)
	if err != nil {
		return fmt.Errorf("%s: not signed by this installation: %w", checkpointFile, err)
	}
	return h.store.View(store.System(context.Background()), func(v store.View) error {
		tree, err := v.Tree()
		if err == nil && tree.Size < size {
			err = gatehouse.Errorf(gatehouse.FailedPrecondition,
				"the audit log has %d leaves and %s vouches for %d: the database was rolled back. Restore the newer one, or move %s away to accept the loss",
				tree.Size, checkpointFile, size, filepath.Join(h.cfg.Data, checkpointFile))
		}
		return err
	})
}

// checkpointEvery is how old the newest checkpoint may be: what an attacker
// with the database can rewrite unseen is at most this long.
const checkpointEvery = 5 * time.Second

// checkpoints signs the log's head until ctx ends, and once more then.
func (h *house) checkpoints(ctx context.Context) {
	var last int64
	every(ctx, checkpointEvery, func() {
		size, err := h.checkpoint(last)
		if err != nil {
			h.log.Error("no checkpoint of the audit log", "err", err)
			return
		}
		last = size
	})
}

// checkpoint stores a signed head in the database and beside it, when the log
// has grown past last.
func (h *house) checkpoint(last int64) (int64, error) {
	ctx := store.System(context.Background()) // the last one is written while the program ends
	var tree store.Tree
	err := h.store.View(ctx, func(v store.View) (err error) {
		tree, err = v.Tree()
		return err
	})
	if err != nil || tree.Size == last {
		return last, err
	}
	root, err := audit.Root(tree.Frontier, tree.Size)
	if err != nil {
		return last, err
	}
	signer, err := h.keys.NoteSigner(origin)
	if err != nil {
		return last, err
	}
	msg, err := audit.Checkpoint(origin, tree.Size, root, signer)
	if err != nil {
		return last, err
	}
	if err := h.store.Work(ctx, func(w store.Work) error { return w.PutCheckpoint(tree.Size, msg) }); err != nil {
		return last, err
	}
	return tree.Size, durable.Replace(filepath.Join(h.cfg.Data, checkpointFile), msg, 0o600)
}

// verifyBatch is how a gateway checks what the feed sends.
func (h *house) verifyBatch(msg, sig []byte) bool {
	return h.keys.VerifyBatch(msg, sig)
}

// gatewayID is this member's identity: made once, kept in the data directory.
func gatewayID(dir string) (gatehouse.ID, error) {
	path := filepath.Join(dir, gatewayFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		id := gatehouse.NewID()
		return id, durable.Replace(path, []byte(id.String()+"\n"), 0o600)
	}
	if err != nil {
		return gatehouse.ID{}, err
	}
	id, err := gatehouse.ParseID(string(trimLine(text)))
	if err != nil {
		return id, fmt.Errorf("%s: %w", path, err)
	}
	return id, nil
}

func trimLine(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}
