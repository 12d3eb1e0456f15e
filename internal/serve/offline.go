package serve

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gatehouse/internal/durable"

	"gatehouse"
	"gatehouse/internal/audit"
	"gatehouse/internal/control"
	wire "gatehouse/internal/fleet"
	"gatehouse/internal/secret"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgres"
	"gatehouse/internal/store/sqlite"
	"gatehouse/internal/store/sqlstore"
)

// Recover mints a management key while nothing serves. The act is in the audit log.
func Recover(ctx context.Context, cfg Config, log *slog.Logger) (control.Bootstrapped, error) {
	h, err := open(ctx, cfg, log)
	if err != nil {
		return control.Bootstrapped{}, err
	}
	defer h.store.Close()
	out, err := h.service.Recover(ctx)
	if err != nil {
		return out, err
	}
	_, err = h.checkpoint(0)
	return out, err
}

// writeBootstrap keeps what a first start made where only its owner reads it.
func writeBootstrap(path string, b control.Bootstrapped) error {
	text, err := json.Marshal(map[string]string{
		"team_id": b.TeamID.String(), "user_id": b.UserID.String(), "management_key": b.Token.Reveal(),
	})
	if err != nil {
		return err
	}
	return durable.Replace(path, append(text, '\n'), 0o600)
}

// AuditSource says where a log to verify or export is: an export file, or the
// database of a data directory, which may be in use.
type AuditSource struct {
	Export string
	Data   string
}

// Leaves yields the log from an index on, whatever shape it is in: judging is
// the verifier's.
func (s AuditSource) Leaves(ctx context.Context, from int64, yield func(audit.Leaf) error) error {
	if s.Export != "" {
		return exportedLeaves(s.Export, from, yield)
	}
	db := filepath.Join(s.Data, databaseFile)
	if _, err := os.Stat(db); err != nil {
		return err
	}
	return sqlite.ReadLeaves(ctx, db, from, func(l store.Leaf) error { return yield(audit.Leaf(l)) })
}

// maxExportLine bounds a line of an export: details and texts are bounded too.
const maxExportLine = 1 << 20

func exportedLeaves(path string, from int64, yield func(audit.Leaf) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 64<<10), maxExportLine)
	for n := 1; lines.Scan(); n++ {
		leaf, err := audit.ParseExportLine(lines.Bytes())
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if leaf.Index >= from {
			if err := yield(leaf); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}

// VerifyAudit checks a log against a checkpoint file. The key is the text, or a
// file that holds it.
func VerifyAudit(ctx context.Context, src AuditSource, checkpoint, key string) (audit.Report, error) {
	msg, err := os.ReadFile(checkpoint)
	if err != nil {
		return audit.Report{}, err
	}
	if text, err := os.ReadFile(key); err == nil {
		key = strings.TrimSpace(string(text))
	}
	return audit.Verify(audit.Each(func(yield func(audit.Leaf) error) error { return src.Leaves(ctx, 0, yield) }), msg, key)
}

// ExportAudit writes leaves as JSON lines from an index on and returns the index
// that a later export starts at.
func ExportAudit(ctx context.Context, src AuditSource, from int64, w io.Writer) (next int64, err error) {
	out := bufio.NewWriter(w)
	next = from
	err = src.Leaves(ctx, from, func(l audit.Leaf) error {
		_, err := out.Write(audit.ExportLine(l))
		next = l.Index + 1
		return err
	})
	return next, errors.Join(err, out.Flush())
}

// Finding is one thing that doctor looked at.
type Finding struct {
	OK      bool   `json:"ok"`
	Warning bool   `json:"warning,omitempty"` // fit to serve, and an operator should look
	What    string `json:"what"`
	Fix     string `json:"fix,omitempty"`
}

// Doctor looks at a data directory without changing it.
func Doctor(ctx context.Context, cfg Config) []Finding {
	var out []Finding
	look := func(what, fix string, err error) {
		f := Finding{OK: err == nil, What: what}
		if err != nil {
			f.What, f.Fix = what+": "+wordsOf(err), fix
		}
		out = append(out, f)
	}
	info, err := os.Stat(cfg.Data)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("others may read it (%v)", info.Mode().Perm())
	}
	look("data directory "+cfg.Data, "mkdir -p "+cfg.Data+" && chmod 700 "+cfg.Data, err)
	if cfg.Role == RoleGateway {
		_, err := wire.Load(cfg.Data)
		look("identity of a gateway in "+cfg.Data, "start it once with --control and --join-token", err)
		return out
	}
	keys, err := secret.Open(cfg.secretsDir())
	look("secrets in "+cfg.secretsDir(), "restore the directory from its own backup; a first start makes it", err)
	switch {
	case cfg.Database == "":
		doctorFile(ctx, cfg, look)
	case err == nil:
		warnings, err := doctorServer(ctx, cfg, keys)
		look("PostgreSQL can be used, and its audit log verifies", "see its log; gatehouse migrate brings the schema up to date", err)
		for _, w := range warnings {
			out = append(out, Finding{OK: true, Warning: true, What: w})
		}
	}
	doctorLibrary(ctx, cfg, look)
	for _, u := range cfg.Upstreams {
		up, err := u.record()
		if err == nil {
			if r := (tester{}).TestUpstream(ctx, up); !r.OK {
				err = errors.New(r.Problem)
			}
		}
		look("upstream "+u.Name+" "+u.BaseURL, "check the URL, the credential file and the network", err)
	}
	return out
}

// doctorFile looks at the database of a data directory.
func doctorFile(ctx context.Context, cfg Config, look func(what, fix string, err error)) {
	count := int64(0)
	err := AuditSource{Data: cfg.Data}.Leaves(ctx, 0, func(audit.Leaf) error { count++; return nil })
	look(fmt.Sprintf("database readable, %d audit leaves", count), "restore the database from a backup", err)
	if _, err := os.Stat(filepath.Join(cfg.Data, checkpointFile)); err != nil {
		return
	}
	report, err := VerifyAudit(ctx, AuditSource{Data: cfg.Data}, filepath.Join(cfg.Data, checkpointFile), filepath.Join(cfg.Data, auditKeyFile))
	if err == nil && report.Problem != "" {
		err = fmt.Errorf("leaf %d: %s", report.FirstBad, report.Problem)
	}
	look("audit log verifies against "+checkpointFile, "keep the directory as it is for an investigation; restore a backup elsewhere", err)
}

// doctorLibrary writes, reads and deletes where files are kept. It makes no
// directory: one that is missing is what it is to find out.
func doctorLibrary(ctx context.Context, cfg Config, look func(what, fix string, err error)) {
	c := cfg.Library
	at := cmp.Or(c.Blobs, filepath.Join(cfg.Data, blobDir))
	if c.Blobs == "" && cfg.Role == RoleControl {
		return // no library
	}
	if c.bucket() == "" {
		if _, err := os.Stat(at); err != nil {
			look("files of the library in "+at, "restore them from their backup; a first start makes the directory", err)
			return
		}
	}
	h := &house{cfg: cfg, now: time.Now}
	blobs, err := h.openBlobs(ctx)
	if err == nil {
		err = blobs.Check(ctx)
	}
	look("files of the library in "+at, "check the directory or bucket, and who may write there", err)
}

// doctorServer opens PostgreSQL as a start does, and says what it warns of.
func doctorServer(ctx context.Context, cfg Config, keys *secret.Keys) ([]string, error) {
	h := &house{cfg: cfg, keys: keys, log: slog.New(slog.DiscardHandler), now: time.Now}
	opts := sqlstore.Options{Guard: keys, Logger: h.log, Now: h.now, CheckpointVerify: h.openCheckpoint, Readers: 1}
	db, err := postgres.Open(ctx, cfg.Database, postgres.Options{Options: opts, ListenDSN: "-"})
	if err != nil {
		return nil, err
	}
	return db.Warnings(), db.Close()
}

func wordsOf(err error) string {
	if gatehouse.CodeOf(err) != gatehouse.Internal {
		return gatehouse.Public(err)
	}
	return err.Error()
}
