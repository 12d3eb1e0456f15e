package serve

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"gatehouse"
	"gatehouse/internal/engine"
	"gatehouse/internal/store"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// traffic is inference, and management when it may fail nothing either.
type traffic struct {
	calls, failures atomic.Int64
	first           atomic.Value
	end             func()
}

func (r *running) traffic(secret string, manage bool) *traffic {
	tr := &traffic{}
	ctx, cancel := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	call := func(method, url, key, body string) {
		req, _ := http.NewRequest(method, url, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			answer, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = fmt.Errorf("%s %s: %d %s", method, url, resp.StatusCode, answer)
			}
		}
		tr.calls.Add(1)
		if err != nil {
			tr.failures.Add(1)
			tr.first.CompareAndSwap(nil, err.Error())
		}
	}
	workers.Go(func() {
		for ctx.Err() == nil {
			call("POST", "http://"+r.addrs.Gateway+"/v1/chat/completions", secret, hello)
		}
	})
	if manage {
		workers.Go(func() {
			pace := time.NewTicker(50 * time.Millisecond) // below the management plane's rate
			defer pace.Stop()
			for ctx.Err() == nil {
				<-pace.C
				call("POST", "http://"+r.addrs.Management+"/auth/teams/"+r.team+"/api-keys", r.key, `{"name":"k","acls":["api-key:model:*"]}`)
				call("GET", "http://"+r.addrs.Management+"/auth/teams/"+r.team+"/api-keys?pageSize=3", r.key, "")
			}
		})
	}
	tr.end = func() { cancel(); workers.Wait() }
	return tr
}

// served is a running installation with a key that its gateway serves.
func servedKey(t *testing.T) (*running, string) {
	t.Helper()
	r := run(t)
	id, secret := r.createKey(t)
	r.manage(t, "GET", "/auth/api-keys/"+id+"/propagation?wait=10s", "")
	return r, secret
}

// Every secret is replaced while requests run, and retired: none fails, the log
// verifies by the first key that anybody kept, and a restart finds everything.
func TestRotatingEverySecretFailsNoRequest(t *testing.T) {
	r, key := servedKey(t)
	kept, err := os.ReadFile(filepath.Join(r.cfg.Data, auditKeyFile))
	must(t, err)
	before := r.keys.Fingerprints()
	tr := r.traffic(key, true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, name := range []string{"pepper", "mac", "signing", "page"} {
		must(t, RotateSecret(ctx, r.cfg, name, quiet()))
		if err := RotateSecret(ctx, r.cfg, name, quiet()); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
			t.Errorf("%s was rotated again over a generation that is not retired: %v", name, err)
		}
	}
	if err := RetireSecret(ctx, r.cfg, "pepper", false, quiet()); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
		t.Errorf("the pepper was retired under replies that are kept: %v", err)
	}
	// Pages and kept replies of before are given up by force, so only inference
	// is watched from here on.
	tr.end()
	check := func(what string, tr *traffic) {
		if tr.failures.Load() > 0 || tr.calls.Load() < 20 {
			t.Errorf("%s: %d of %d calls failed, first: %v", what, tr.failures.Load(), tr.calls.Load(), tr.first.Load())
		}
		t.Logf("%s: %d calls, %d failed", what, tr.calls.Load(), tr.failures.Load())
	}
	check("rotation", tr)
	tr = r.traffic(key, true)
	for _, name := range []string{"pepper", "mac", "signing", "page"} {
		must(t, RetireSecret(ctx, r.cfg, name, true, quiet()))
	}
	tr.end()
	check("retirement", tr)
	for name, f := range r.keys.Fingerprints() {
		if before[name] == f {
			t.Errorf("%s is still what it was", name)
		}
	}
	status, err := SecretsStatus(r.cfg)
	if err != nil || !status.Serving || !status.InUse || !status.Clean || status.Refused != 0 || len(status.Generations) != 8 {
		t.Errorf("%+v, %v", status, err)
	}
	_, err = r.checkpoint(0)
	must(t, err)
	report, err := VerifyAudit(t.Context(), AuditSource{Data: r.cfg.Data}, filepath.Join(r.cfg.Data, checkpointFile), string(kept))
	if err != nil || !report.OK() {
		t.Errorf("by the first key: %+v, %v", report, err)
	}
}

// A rotation that was killed leaves both generations accepted, and the same
// command finishes it; a start in between finishes it too.
func TestARotationThatWasCutShortIsFinished(t *testing.T) {
	cfg := sample(t)
	want, _ := keysOf(t, cfg)
	killed, kill := context.WithCancel(t.Context())
	kill()
	if err := RotateSecret(killed, cfg, "mac", quiet()); err == nil {
		t.Fatal("a killed rotation succeeded")
	}
	if got, _ := keysOf(t, cfg); !reflect.DeepEqual(got, want) {
		t.Error("records are lost in the middle")
	}
	if err := RetireSecret(killed, cfg, "mac", true, quiet()); err == nil {
		t.Error("retired with rows of the old generation left")
	}
	must(t, RotateSecret(t.Context(), cfg, "mac", quiet()))
	must(t, RetireSecret(t.Context(), cfg, "mac", false, quiet()))
	if got, _ := keysOf(t, cfg); !reflect.DeepEqual(got, want) {
		t.Error("records are lost in the end")
	}
	generations, err := SecretsStatus(cfg)
	if err != nil || !generations.Clean || generations.Serving || len(generations.Generations) != 5 {
		t.Errorf("%+v, %v", generations, err)
	}
}

// sample is an installation that is no more running, with some usage.
func sample(t *testing.T) Config {
	t.Helper()
	cfg := Defaults()
	cfg.Data = filepath.Join(t.TempDir(), "data")
	h, err := open(t.Context(), cfg, quiet())
	must(t, err)
	made, _, err := h.service.Bootstrap(t.Context(), nil)
	must(t, err)
	caller := h.service.As(&gatehouse.Call{Token: made.Token})
	for i := range 20 {
		k, err := caller.CreateKey(t.Context(), gatehouse.NewKey{Name: fmt.Sprint("key ", i), ACL: gatehouse.ACL{"api-key:model:*"}})
		must(t, err)
		now := time.Now().UTC()
		must(t, h.store.Ingest(store.System(t.Context()), func(in store.Ingest) error {
			_, err := in.InsertUsage([]gatehouse.UsageRecord{{ID: gatehouse.NewTimeID(now), Start: now, TeamID: made.TeamID, KeyID: k.Key.ID, Model: "m"}})
			return err
		}))
	}
	_, err = h.checkpoint(0)
	must(t, err)
	must(t, h.close())
	return cfg
}

// identity is a fresh pair of age: who may read, and the file that does.
func identity(t *testing.T) (recipient, file string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	must(t, err)
	file = filepath.Join(t.TempDir(), "identity")
	must(t, os.WriteFile(file, []byte(id.String()+"\n"), 0o600))
	return id.Recipient().String(), file
}

// target is an empty installation that has the secrets of another.
func target(t *testing.T, like Config) Config {
	t.Helper()
	cfg := Defaults()
	cfg.Data, cfg.Secrets = filepath.Join(t.TempDir(), "restored"), like.secretsDir()
	return cfg
}

// prepared is an empty PostgreSQL, brought up to date.
func prepared(t *testing.T) (dsn string) {
	t.Helper()
	admin := engine.Database(t)
	role := "gatehouse_" + strings.ToLower(rand.Text()[:8])
	must(t, Prepare(t.Context(), admin, role))
	u, err := url.Parse(admin)
	must(t, err)
	u.User = url.User(role)
	return u.String()
}

// keysOf are the keys of an installation that is not running, and its revision.
func keysOf(t *testing.T, cfg Config) (ids map[gatehouse.ID]string, rev gatehouse.Revision) {
	t.Helper()
	h, err := open(t.Context(), cfg, quiet())
	must(t, err)
	defer h.close()
	ids = map[gatehouse.ID]string{}
	must(t, h.store.View(store.System(t.Context()), func(v store.View) error {
		if rev, err = v.Revision(); err != nil {
			return err
		}
		return v.AllKeys(func(k *gatehouse.Key) error {
			ids[k.ID] = fmt.Sprint(k.Name, k.Secrets[0].Digest)
			return nil
		})
	}))
	return ids, rev
}

// From each engine to each: every record arrives with its secrets, in a new
// epoch, and the log goes on from where it was.
func TestABackupRestoresOnEitherEngine(t *testing.T) {
	source := sample(t)
	want, rev := keysOf(t, source)
	recipient, identityFile := identity(t)
	from := source
	for i, toPostgres := range []bool{false, true, true, false} {
		out := filepath.Join(t.TempDir(), "backup.age")
		m, err := Backup(t.Context(), from, BackupOptions{Out: out, Recipients: []string{recipient}, Version: "test"}, quiet())
		must(t, err)
		if m.Summary.Rows["api_keys"] != 20 || m.Summary.Rows["usage_rows"] != 20 || m.Summary.Leaves == 0 {
			t.Errorf("%d: %+v", i, m.Summary)
		}
		raw, err := os.ReadFile(out)
		must(t, err)
		if bytes.Contains(raw, []byte("key 7")) || bytes.Contains(raw, []byte(m.Summary.Root)) {
			t.Error("the backup can be read")
		}
		to := target(t, source)
		if toPostgres {
			to.Database = prepared(t)
		}
		if _, err := Restore(t.Context(), to, RestoreOptions{In: out, Identity: identityFile}, quiet()); err != nil {
			t.Fatalf("%d: %v (%v)", i, err, errors.Unwrap(err))
		}
		got, now := keysOf(t, to)
		if !reflect.DeepEqual(got, want) || now.Epoch != rev.Epoch+1 || now.N != 1 {
			t.Errorf("%d: %d keys at %s, want %d", i, len(got), now, len(want))
		}
		if _, err := Restore(t.Context(), to, RestoreOptions{In: out, Identity: identityFile}, quiet()); err == nil {
			t.Errorf("%d: restored over an installation", i)
		}
		rev, from = now, to
	}
}

// A backup is made while the installation serves and changes.
func TestABackupOfARunningInstallationIsOneMoment(t *testing.T) {
	r, key := servedKey(t)
	tr := r.traffic(key, true)
	out := filepath.Join(t.TempDir(), "backup")
	m, err := Backup(t.Context(), r.cfg, BackupOptions{Out: out, Passphrase: "correct horse", WithSecrets: true, work: 10}, quiet())
	tr.end()
	must(t, err)
	if tr.failures.Load() > 0 {
		t.Errorf("%d of %d calls failed: %v", tr.failures.Load(), tr.calls.Load(), tr.first.Load())
	}
	to := Defaults()
	to.Data = filepath.Join(t.TempDir(), "elsewhere") // with nothing, not even the secrets
	if _, err := Restore(t.Context(), to, RestoreOptions{In: out, Passphrase: "wrong"}, quiet()); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
		t.Errorf("a wrong passphrase: %v", err)
	}
	_, err = Restore(t.Context(), to, RestoreOptions{In: out, Passphrase: "correct horse"}, quiet())
	must(t, err)
	got, _ := keysOf(t, to)
	if int64(len(got)) != m.Summary.Rows["api_keys"] {
		t.Errorf("%d keys, the manifest says %d", len(got), m.Summary.Rows["api_keys"])
	}
}

func TestABackupIsNotMadeInTheClearByAccident(t *testing.T) {
	cfg, out := sample(t), filepath.Join(t.TempDir(), "b")
	for _, opt := range []BackupOptions{{}, {Plaintext: true, WithSecrets: true}, {Recipients: []string{"age1nonsense"}}} {
		opt.Out = out
		if _, err := Backup(t.Context(), cfg, opt, quiet()); gatehouse.CodeOf(err) != gatehouse.InvalidArgument {
			t.Errorf("%+v: %v", opt, err)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a refused backup left a file")
	}
}

// Whatever is wrong with a backup is found before the target is touched.
func TestADamagedOrForeignBackupWritesNothing(t *testing.T) {
	cfg := sample(t)
	recipient, id := identity(t)
	dir := t.TempDir()
	sealed, plain := filepath.Join(dir, "sealed"), filepath.Join(dir, "plain")
	_, err := Backup(t.Context(), cfg, BackupOptions{Out: sealed, Recipients: []string{recipient}}, quiet())
	must(t, err)
	_, err = Backup(t.Context(), cfg, BackupOptions{Out: plain, Plaintext: true}, quiet())
	must(t, err)
	try := func(what string, content []byte, opt RestoreOptions) {
		t.Helper()
		opt.In = filepath.Join(dir, "damaged")
		must(t, os.WriteFile(opt.In, content, 0o600))
		to := target(t, cfg)
		if _, err := Restore(t.Context(), to, opt, quiet()); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := os.Stat(to.Data); err == nil {
			t.Errorf("%s: the target was written to", what)
		}
	}
	for name, path := range map[string]string{"sealed": sealed, "plain": plain} {
		whole, err := os.ReadFile(path)
		must(t, err)
		for i := range 40 {
			at := i * (len(whole) - 1) / 39
			try(fmt.Sprintf("%s cut at %d of %d", name, at, len(whole)), whole[:at], RestoreOptions{Identity: id})
			flipped := bytes.Clone(whole)
			flipped[at] ^= 0x10
			try(fmt.Sprintf("%s flipped at %d", name, at), flipped, RestoreOptions{Identity: id})
		}
		try(name+" with a tail", append(bytes.Clone(whole), 'x'), RestoreOptions{Identity: id})
	}
	_, stranger := identity(t)
	whole, err := os.ReadFile(sealed)
	must(t, err)
	try("for somebody else", whole, RestoreOptions{Identity: stranger})
	// Of another installation: the target's secrets are not those.
	other := target(t, sample(t))
	if _, err := Restore(t.Context(), other, RestoreOptions{In: sealed, Identity: id}, quiet()); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
		t.Errorf("foreign: %v", err)
	}
	if _, err := os.Stat(filepath.Join(other.Data, unfinishedFile)); err == nil {
		t.Error("foreign: the target was written to")
	}
}

// A restore that was killed leaves what refuses to serve, says why, and can be
// restored into again.
func TestAnUnfinishedRestoreIsNotServed(t *testing.T) {
	cfg := sample(t)
	out := filepath.Join(t.TempDir(), "b")
	_, err := Backup(t.Context(), cfg, BackupOptions{Out: out, Plaintext: true}, quiet())
	must(t, err)
	for name, to := range map[string]Config{"sqlite": target(t, cfg), "postgres": target(t, cfg)} {
		if name == "postgres" {
			to.Database = prepared(t)
		}
		killed, kill := context.WithCancel(t.Context())
		kill()
		if _, err := Restore(killed, to, RestoreOptions{In: out}, quiet()); err == nil {
			t.Fatalf("%s: a killed restore succeeded", name)
		}
		if _, err := open(t.Context(), to, quiet()); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition || !strings.Contains(err.Error(), "did not finish") {
			t.Errorf("%s: %v", name, err)
		}
		if name == "sqlite" { // killed later, with the file half-way
			must(t, os.WriteFile(filepath.Join(to.Data, restoringFile), []byte("half"), 0o600))
		}
		_, err := Restore(t.Context(), to, RestoreOptions{In: out}, quiet())
		must(t, err)
		if got, _ := keysOf(t, to); len(got) != 20 {
			t.Errorf("%s: %d keys", name, len(got))
		}
	}
}

// The move to PostgreSQL: inference goes on, changes are refused and not lost,
// and what arrives is what was there.
func TestAMigrationFreezesChangesAndNotInference(t *testing.T) {
	r, key := servedKey(t)
	to := r.cfg
	to.Database = prepared(t)
	tr := r.traffic(key, false)
	t.Cleanup(func() { // going back: usage of meanwhile is ingested at the stop
		tr.end()
		must(t, os.Remove(filepath.Join(r.cfg.Data, migratedFile)))
	})
	sum, err := Migrate(t.Context(), to, quiet())
	must(t, err)
	status, answer := r.manage(t, "POST", "/auth/teams/"+r.team+"/api-keys", `{"name":"late","acls":["api-key:model:*"]}`)
	if status != http.StatusServiceUnavailable || !bytes.Contains(answer, []byte("moved")) {
		t.Errorf("a change after the migration: %d %s", status, answer)
	}
	if calls := tr.calls.Load(); calls == 0 || tr.failures.Load() > 0 {
		t.Errorf("%d of %d calls failed: %v", tr.failures.Load(), calls, tr.first.Load())
	}
	if _, err := open(t.Context(), r.cfg, quiet()); err == nil || !strings.Contains(err.Error(), "moved to postgres://") {
		t.Errorf("the source starts again: %v", err)
	}
	same, err := open(t.Context(), to, quiet())
	if err != nil {
		t.Fatalf("the same directory with the new database: %v", err)
	}
	must(t, same.store.Close())
	elsewhere := to
	elsewhere.Data, elsewhere.Secrets = t.TempDir(), r.cfg.secretsDir()
	got, rev := keysOf(t, elsewhere)
	if len(got) != 1 || rev != sum.Revision {
		t.Errorf("%d keys at %s, want 1 at %s", len(got), rev, sum.Revision)
	}
}

// A migration that fails leaves the source as it was, changes and all.
func TestAFailedMigrationThaws(t *testing.T) {
	r := run(t)
	to := r.cfg
	to.Database = "postgres://nobody@127.0.0.1:1/none?connect_timeout=1"
	if _, err := Migrate(t.Context(), to, quiet()); err == nil {
		t.Fatal("it succeeded")
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if status, _ := r.manage(t, "POST", "/auth/teams/"+r.team+"/api-keys", `{"name":"k","acls":["api-key:model:*"]}`); status == 200 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("still frozen: %d", status)
		}
	}
}

// Who asked for a freeze and was killed must not keep the installation frozen.
func TestAFreezeNobodyRenewsEnds(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, freezeFile), []byte("n\n"), 0o600))
	f := newFreezer(nil, dir)
	if _, err := f.Update(t.Context(), gatehouse.Cause{}, nil); gatehouse.CodeOf(err) != gatehouse.Unavailable {
		t.Errorf("not frozen: %v", err)
	}
	f.look(time.Now().Add(freezeLife + time.Second))
	if _, err := os.Stat(filepath.Join(dir, frozenFile)); err == nil || f.frozen {
		t.Error("still frozen")
	}
}
