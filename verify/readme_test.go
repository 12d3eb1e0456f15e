package verify

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/engine"
	"gatehouse/internal/simulate"
	"gatehouse/verify/town"
)

// shellOf is what a section of README tells its reader to paste.
func shellOf(t *testing.T, section string) string {
	t.Helper()
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "\n## "+section+"\n")
	if !found {
		t.Fatalf("README has no section %q", section)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var out strings.Builder
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
		out.WriteString(block[1])
	}
	return out.String()
}

// TestTheReadmeGrowsAnInstallation pastes what README tells who runs Gatehouse
// and outgrows one machine: a file becomes PostgreSQL, one process becomes
// control and a gateway, and that serves the key from before, without control
// too.
func TestTheReadmeGrowsAnInstallation(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	provider := httptest.NewServer(simulate.New(simulate.Options{}))
	t.Cleanup(provider.Close)
	pg, err := engine.NewPostgres(dir)
	must(err)
	must(pg.Start())
	t.Cleanup(pg.Stop)
	must(pg.CreateDatabase("gatehouse"))
	must(os.Mkdir(filepath.Join(dir, "bin"), 0o755))
	must(os.Symlink(town.Binary(t), filepath.Join(dir, "bin", "gatehouse")))
	readme, err := os.ReadFile("../README.md")
	must(err)
	must(os.WriteFile(filepath.Join(dir, "README.md"), readme, 0o600))
	gateway := town.FreeAddr(t)
	must(os.WriteFile(filepath.Join(dir, "pass"), []byte("correct horse battery staple\n"), 0o600))
	must(os.WriteFile(filepath.Join(dir, "keys.json"), []byte(`{"keys":[{"token":"`+strings.Repeat("5a", 32)+`","key_alias":"old","models":["gpt-4o-mini"],"team_id":"t"}]}`), 0o600))
	must(os.WriteFile(filepath.Join(dir, "teams.json"), []byte(`[{"team_id":"t","team_alias":"search"}]`), 0o600))
	management, metrics, second, secondMetrics := town.FreeAddr(t), town.FreeAddr(t), town.FreeAddr(t), town.FreeAddr(t)

	// What differs here: addresses, the provider, and a key without a limit,
	// because a new authority grants nothing for a minute. What the text leaves
	// to its reader: waiting for a start, and stopping the process.
	pasted := strings.NewReplacer(
		"make build\n", "", "https://api.openai.com/v1\n", provider.URL+"/v1\n    allow_private: true\n",
		"postgres://postgres@127.0.0.1:5432/gatehouse", pg.DSN("gatehouse"),
		"127.0.0.1:5432/gatehouse", fmt.Sprintf("127.0.0.1:%d/gatehouse?sslmode=disable", pg.Port),
		"redis://127.0.0.1:6379", engine.RedisURL(t), "127.0.0.1:8081", second, "127.0.0.1:9091 &\n", secondMetrics+" &\nready "+secondMetrics+"\n",
		"http://127.0.0.1:8090", "http://"+management, "--qpm 60 --expire 720h", "--expire 720h >key",
		"serve --config gatehouse.yaml\n", "serve --config gatehouse.yaml &\none=$!; ready "+metrics+"\n",
		"./bin/gatehouse serve --role control", "kill $one; wait $one || true\n./bin/gatehouse serve --role control",
	).Replace(shellOf(t, "Run it") + shellOf(t, "Grow it"))
	pasted = strings.Replace(pasted, "./bin/gatehouse clusters create", "control=$!; ready "+metrics+"\n./bin/gatehouse clusters create", 1)
	script := "set -eu\ntrap 'kill -9 $(jobs -p) || true; wait' EXIT\n" +
		"ready() { for i in $(seq 80); do ./bin/gatehouse doctor --running http://$1 >/dev/null 2>&1 && return; sleep 0.1; done; echo $1 is not ready; return 1; }\n" +
		pasted + `kill $control; wait $control || true
curl -sS --fail-with-body http://` + second + `/v1/chat/completions -H "Authorization: Bearer $(cat key)" \
  -H 'Content-Type: application/json' -d '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}'` + "\n"

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Env = append(os.Environ(), "GATEHOUSE_URL=http://"+management, "GATEHOUSE_MANAGEMENT_LISTEN="+management,
		"GATEHOUSE_METRICS_LISTEN="+metrics, "GATEHOUSE_GATEWAY_LISTEN="+gateway, "GATEHOUSE_GATEWAY_URL=http://"+gateway)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"chat.completion"`) {
		t.Fatalf("%v\n%s\n--- pasted\n%s", err, out, pasted)
	}
	if took := time.Since(began); took > 25*time.Second {
		t.Errorf("it took %v: control does not stop while a gateway is attached to it", took)
	}
}
