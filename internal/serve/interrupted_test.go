package serve

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
	"gatehouse/internal/gateway"
	"gatehouse/internal/secret"
	"gatehouse/internal/store"
)

// Who moves an installation and is paused for longer than a freeze lives finds
// that the source went on: what the source acknowledged since must not be lost
// to a copy that lacks it.
func TestAMoveThatOutlivedItsFreezeFails(t *testing.T) {
	dir := t.TempDir()
	thaw, err := freeze(t.Context(), dir, "postgres://db/gatehouse")
	must(t, err)
	defer thaw()
	f := newFreezer(nil, dir)
	if !f.frozen {
		t.Fatal("not frozen")
	}
	late := time.Now().Add(-freezeLife - time.Second)
	must(t, os.Chtimes(filepath.Join(dir, freezeFile), late, late))
	f.look(time.Now()) // writes go on
	if f.frozen {
		t.Fatal("frozen for good")
	}
	if err := moved(dir); gatehouse.CodeOf(err) != gatehouse.Conflict {
		t.Errorf("the old copy became the installation: %v", err)
	}
	f.look(time.Now())
	if f.frozen {
		t.Error("frozen again")
	}
}

// The freeze becomes the move in one step: the source never thaws in between.
func TestAMoveInTimeFreezesForGood(t *testing.T) {
	dir := t.TempDir()
	thaw, err := freeze(t.Context(), dir, "postgres://db/gatehouse")
	must(t, err)
	f := newFreezer(nil, dir)
	must(t, moved(dir))
	thaw()
	f.look(time.Now().Add(2 * freezeLife))
	if !f.frozen {
		t.Error("the source thawed")
	}
	if err := refuseMoved(dir); err == nil || !strings.Contains(err.Error(), "moved to postgres://db/gatehouse: start") {
		t.Errorf("%v", err)
	}
}

// A restore that was killed between two files of the secrets can be run again.
func TestARestoreThatWroteHalfOfTheSecretsIsFinished(t *testing.T) {
	cfg := sample(t)
	recipient, file := identity(t)
	opt := BackupOptions{Out: filepath.Join(t.TempDir(), "b"), Recipients: []string{recipient}, WithSecrets: true}
	_, err := Backup(t.Context(), cfg, opt, quiet())
	must(t, err)
	to := Defaults()
	to.Data = filepath.Join(t.TempDir(), "restored")
	must(t, os.MkdirAll(to.secretsDir(), 0o700))
	one, err := os.ReadFile(filepath.Join(cfg.secretsDir(), "mac.key"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(to.secretsDir(), "mac.key"), one, 0o600))
	_, err = Restore(t.Context(), to, RestoreOptions{In: opt.Out, Identity: file}, quiet())
	must(t, err)
	if got, _ := keysOf(t, to); len(got) != 20 {
		t.Errorf("%d keys", len(got))
	}
	// Another installation's secrets stay what they are.
	other := sample(t)
	before, err := os.ReadFile(filepath.Join(other.secretsDir(), "mac.key"))
	must(t, err)
	to.Data, to.Secrets = filepath.Join(t.TempDir(), "third"), other.secretsDir()
	if _, err := Restore(t.Context(), to, RestoreOptions{In: opt.Out, Identity: file}, quiet()); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
		t.Errorf("with other secrets: %v", err)
	}
	if after, err := os.ReadFile(filepath.Join(other.secretsDir(), "mac.key")); err != nil || !bytes.Equal(before, after) {
		t.Errorf("they were overwritten: %v", err)
	}
}

// contextFunc is a context that notices when it is first asked.
type contextFunc struct {
	context.Context
	once func()
}

func (c contextFunc) Value(k any) any {
	c.once()
	return c.Context.Value(k)
}

// A backup must hold, and name, the generation that its rows are sealed under.
func TestABackupDuringARotationIsRefused(t *testing.T) {
	cfg := sample(t)
	turned := false
	ctx := contextFunc{t.Context(), func() {
		if !turned { // after the secrets were opened: nothing before that asks the context
			turned = true
			must(t, secret.Add(cfg.secretsDir(), "mac"))
			must(t, secret.Promote(cfg.secretsDir(), "mac"))
		}
	}}
	out := filepath.Join(t.TempDir(), "b")
	if _, err := Backup(ctx, cfg, BackupOptions{Out: out, Plaintext: true}, quiet()); gatehouse.CodeOf(err) != gatehouse.Conflict || !turned {
		t.Errorf("rotated %t: %v", turned, err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("there is a backup all the same")
	}
}

// A gateway with many keys stops as fast as one with few when control is away:
// each chunk of last uses would wait on its own.
func TestLastUseWaitsForControlOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		up := &uplink{touch: func(ctx context.Context, _ []store.LastUse) error {
			asked++
			<-ctx.Done()
			return errors.New("control is away")
		}}
		p := &program{house: &house{log: quiet()}}
		p.report(up, make([]gateway.Use, 5000))
		if asked != 1 {
			t.Errorf("control was waited for %d times", asked)
		}
	})
}

// A balancer hears when every listener accepts, and when they are about to close.
func TestReadinessIsThatOfEveryListener(t *testing.T) {
	p := &program{house: &house{cfg: Config{Role: RoleGateway}, stopping: make(chan struct{})}}
	says := func(want int) {
		t.Helper()
		w := httptest.NewRecorder()
		p.readiness(nil)(w, httptest.NewRequest("GET", "/readyz?verbose", nil))
		if w.Code != want {
			t.Errorf("%d, want %d: %s", w.Code, want, w.Body)
		}
	}
	p.opening.Store(true)
	says(http.StatusServiceUnavailable)
	p.opening.Store(false)
	says(http.StatusOK)
	close(p.stopping)
	says(http.StatusServiceUnavailable)
}

// A directory is marked before its process answers anybody, and no second
// process serves from it: with PostgreSQL both would be the same node.
func TestTwoProcessesDoNotServeFromOneDirectory(t *testing.T) {
	r := run(t)
	if on, err := served(r.cfg.Data); err != nil || !on {
		t.Fatalf("not marked: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	second := &program{house: &house{cfg: r.cfg}}
	if err := second.markServing(ctx); gatehouse.CodeOf(err) != gatehouse.Conflict {
		t.Errorf("a second process: %v", err)
	}
}

// The doctor looks at the database that is configured, and names what a start
// would warn of.
func TestTheDoctorLooksAtPostgreSQL(t *testing.T) {
	cfg := Defaults()
	cfg.Data, cfg.Database = filepath.Join(t.TempDir(), "data"), prepared(t)
	h, err := open(t.Context(), cfg, quiet())
	must(t, err)
	must(t, h.close())
	lost := Doctor(t.Context(), cfg) // as when the disk of the files is not mounted
	if i := slices.IndexFunc(lost, func(f Finding) bool { return !f.OK }); i < 0 || !strings.Contains(lost[i].What, "files of the library") {
		t.Errorf("%+v", lost)
	}
	must(t, os.Mkdir(filepath.Join(cfg.Data, blobDir), 0o700))
	findings := Doctor(t.Context(), cfg)
	for _, f := range findings {
		if !f.OK {
			t.Errorf("%+v", f)
		}
	}
	if len(h.warnings) == 0 || !slices.ContainsFunc(findings, func(f Finding) bool { return f.Warning && f.What == h.warnings[0] }) {
		t.Errorf("no warning of %q in %+v", h.warnings, findings)
	}
	cfg.Database = "postgres://nobody@127.0.0.1:1/none?connect_timeout=1"
	if findings := Doctor(t.Context(), cfg); !slices.ContainsFunc(findings, func(f Finding) bool { return !f.OK && strings.Contains(f.What, "PostgreSQL") }) {
		t.Errorf("a database that is away: %+v", findings)
	}
}

// Questions that need rows which were dropped are refused, not answered short.
func TestTheRetentionReachesQuestions(t *testing.T) {
	cfg := Defaults()
	cfg.Data, cfg.Usage.Retention = filepath.Join(t.TempDir(), "data"), 72*time.Hour
	h, err := open(t.Context(), cfg, quiet())
	must(t, err)
	defer h.close()
	if h.service.Retention != cfg.Usage.Retention {
		t.Errorf("control keeps rows for %s", h.service.Retention)
	}
}
