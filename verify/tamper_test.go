package verify

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/internal/simulate"
)

// dropGuards removes what keeps SQL away from the log: whoever may write the
// file may do that too.
const dropGuards = "DROP TRIGGER IF EXISTS audit_no_update; DROP TRIGGER IF EXISTS audit_no_delete; "

// TestTamperingIsNamed edits the audit table by SQL, as somebody with the
// database file would, and asks the offline verifier for the first bad index.
func TestTamperingIsNamed(t *testing.T) {
	h := newLoneHouse(t, simulate.Options{})
	for range 12 {
		h.createKey("")
	}
	h.stop()
	data := filepath.Join(h.dir, "data")
	checkpoint, key := h.keepOutside(data)
	if out, code := h.run("audit", "verify", "--checkpoint", checkpoint, "--data", data, "--key", key); code != 0 {
		t.Fatalf("a sound log: exit %d: %s", code, out)
	}
	for name, sql := range map[string]string{
		"edit":       "UPDATE audit SET body = replace(CAST(body AS TEXT), 'verify', 'forged') WHERE idx = (SELECT min(idx) FROM audit WHERE idx >= 7 AND CAST(body AS TEXT) LIKE '%verify%');",
		"deletion":   "DELETE FROM audit WHERE idx = 9;",
		"reorder":    "UPDATE audit SET idx = -1 WHERE idx = 6; UPDATE audit SET idx = 6 WHERE idx = 7; UPDATE audit SET idx = 7 WHERE idx = -1;",
		"truncation": "DELETE FROM audit WHERE idx >= 8;",
		"rewrite":    "UPDATE audit SET body = (SELECT a.body FROM audit a WHERE a.idx = audit.idx - 1) WHERE idx >= 5;",
	} {
		want := map[string]string{"edit": "", "deletion": "9", "reorder": "6", "truncation": "8", "rewrite": "5"}[name]
		t.Run(name, func(t *testing.T) {
			forged := h.copyData(data, name)
			if want == "" {
				want = h.sql(forged, "SELECT min(idx) FROM audit WHERE idx >= 7 AND CAST(body AS TEXT) LIKE '%verify%'")
			}
			h.sql(forged, dropGuards+sql)
			out, code := h.run("audit", "verify", "--checkpoint", checkpoint, "--data", forged, "--key", key)
			if code != 1 || !strings.Contains(out, "index "+want+":") {
				t.Errorf("exit %d, want 1 naming index %s: %s", code, want, out)
			}
		})
	}
}

// TestRowsEditedBySQLAreNotServed covers a key row that was widened, revived or
// rolled back behind the program's back.
func TestRowsEditedBySQLAreNotServed(t *testing.T) {
	h := newLoneHouse(t, simulate.Options{})
	narrow := h.createKeyNamed("narrow", `["api-key:model:grok-4","api-key:endpoint:*"]`)
	doomed, limited, sound := h.createKey(""), h.createKey(`"qpm":1000`), h.createKey("")
	data := filepath.Join(h.dir, "data")
	old := h.rowOf(data, limited.ID)
	dead := h.rowOf(data, doomed.ID)
	h.manage("PATCH", "/auth/api-keys/"+limited.ID, `{"apiKey":{"disabled":true}}`)
	h.manage("DELETE", "/auth/api-keys/"+doomed.ID, "")
	h.stop()
	h.sql(data, fmt.Sprintf("UPDATE api_keys SET record = replace(CAST(record AS TEXT), 'model:grok-4', 'model:*') WHERE id = '%s';", narrow.ID))
	h.sql(data, "DELETE FROM api_keys WHERE id = '"+doomed.ID+"'; "+dead)
	h.sql(data, "DELETE FROM api_keys WHERE id = '"+limited.ID+"'; "+old)
	h.start()
	for name, k := range map[string]key{"edited": narrow, "revived": doomed, "rolled back": limited} {
		if status, answer := h.chat(k.Secret, "x", hello); status == http.StatusOK {
			t.Errorf("a key whose row was %s is served: %s", name, answer)
		}
	}
	if status, answer := h.chat(sound.Secret, "x", hello); status != http.StatusOK {
		t.Errorf("an untouched key: %d %s", status, answer)
	}
}

// rowOf is the INSERT that puts a key's row back as it is now.
func (h *house) rowOf(data, id string) string {
	h.t.Helper()
	out := h.sql(data, ".mode insert api_keys\nSELECT * FROM api_keys WHERE id = '"+id+"';")
	if !strings.HasPrefix(out, "INSERT INTO") {
		h.t.Fatalf("no row of %s: %q", id, out)
	}
	return out
}

func (h *house) createKeyNamed(name, acls string) key {
	h.t.Helper()
	k := h.createKey("")
	status, answer := h.manage("PATCH", "/auth/api-keys/"+k.ID, `{"apiKey":{"name":"`+name+`","acls":`+acls+`}}`)
	if status != http.StatusOK {
		h.t.Fatalf("narrowing: %d %s", status, answer)
	}
	return k
}

// sql runs a script with the sqlite3 shell: the attacker's tool, not ours.
func (h *house) sql(data, script string) string {
	h.t.Helper()
	shell, err := exec.LookPath("sqlite3")
	if err != nil {
		h.t.Fatal("sqlite3 is missing; run: apt-get install sqlite3")
	}
	cmd := exec.Command(shell, "-bail", filepath.Join(data, "gatehouse.db"))
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.t.Fatalf("sqlite3: %v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// run is one command of the binary: its output and exit code.
func (h *house) run(args ...string) (string, int) {
	h.t.Helper()
	cmd := exec.Command(h.binary, args...)
	out, err := cmd.CombinedOutput()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		h.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// keepOutside copies what an auditor keeps where the database's writer cannot go.
func (h *house) keepOutside(data string) (checkpoint, key string) {
	h.t.Helper()
	dir := h.t.TempDir()
	for _, name := range []string{"checkpoint", "audit.pub"} {
		b, err := os.ReadFile(filepath.Join(data, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o600)
		}
		if err != nil {
			h.t.Fatal(err)
		}
	}
	return filepath.Join(dir, "checkpoint"), filepath.Join(dir, "audit.pub")
}

func (h *house) copyData(data, name string) string {
	h.t.Helper()
	to := filepath.Join(h.dir, "copy-"+name)
	if err := os.CopyFS(to, os.DirFS(data)); err != nil {
		h.t.Fatal(err)
	}
	return to
}
