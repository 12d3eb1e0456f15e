package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/catalogue"
	"gatehouse/internal/simulate"
)

// house is a running Gatehouse in front of a simulated provider.
type house struct {
	gateway, management, team, key string
}

// TestOfficialSDKs is the promise that programs written for the providers work
// after changing the base URL and the key.
func TestOfficialSDKs(t *testing.T) {
	h := start(t)
	// xAI's error body has a string where OpenAI's has an object, which OpenAI's
	// SDK for Go cannot read: hence a second house that answers in OpenAI's shape.
	asOpenAI := start(t, "GATEHOUSE_GATEWAY_ERRORS=openai")
	environ := append(os.Environ(), "GATEWAY="+h.gateway, "GATEWAY_OPENAI="+asOpenAI.gateway,
		"KEY_OPENAI="+asOpenAI.createKey(t, `"acls":["api-key:model:*","api-key:endpoint:*"]`),
		"KEY_OPENAI_IMAGE="+asOpenAI.createKey(t, `"acls":["api-key:model:*","api-key:endpoint:image"]`),
		"KEY="+h.createKey(t, `"acls":["api-key:model:*","api-key:endpoint:*"]`),
		"KEY_IMAGE="+h.createKey(t, `"acls":["api-key:model:*","api-key:endpoint:image"]`),
		"KEY_MODEL="+h.createKey(t, `"acls":["api-key:model:grok-4","api-key:endpoint:*"]`))
	for _, name := range []string{"KEY_ONCE", "KEY_ONCE2", "KEY_ONCE3"} {
		environ = append(environ, name+"="+h.createKey(t, `"acls":["api-key:model:*","api-key:endpoint:*"],"qpm":1`))
	}
	for _, sdk := range []struct {
		name, dir, install string
		present            string // a file that the installation makes
		command            []string
	}{
		{"python", "python", "python3 -m venv conformance/python/.venv && conformance/python/.venv/bin/pip install -r conformance/python/requirements.txt", ".venv/bin/python", []string{".venv/bin/python", "check.py"}},
		{"node", "node", "npm --prefix conformance/node ci", "node_modules/openai", []string{"node", "check.mjs"}},
		{"go", "goclient", "", "go.mod", []string{"go", "run", "."}},
	} {
		t.Run(sdk.name, func(t *testing.T) {
			if _, err := os.Stat(filepath.Join(sdk.dir, sdk.present)); err != nil {
				t.Fatalf("the %s SDKs are not installed; run: %s", sdk.name, sdk.install)
			}
			cmd := exec.Command(sdk.command[0], sdk.command[1:]...)
			if strings.HasPrefix(sdk.command[0], ".") {
				cmd.Path, _ = filepath.Abs(filepath.Join(sdk.dir, sdk.command[0]))
			}
			cmd.Dir, cmd.Env = sdk.dir, environ
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			cases := 0
			for line := range strings.Lines(string(out)) {
				name, failed := strings.CutPrefix(line, "FAIL ")
				cases++
				t.Run(strings.Fields(strings.TrimPrefix(name, "ok "))[0], func(t *testing.T) {
					if failed {
						t.Error(strings.TrimSpace(name))
					}
				})
			}
			if cases == 0 {
				t.Fatalf("nothing ran: %v\n%s", err, stderr.String())
			}
		})
	}
}

// start builds the binary and runs it with its own data directory.
func start(t *testing.T, environ ...string) *house {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "gatehouse")
	if out, err := exec.Command("go", "build", "-o", binary, "gatehouse/cmd/gatehouse").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	shipped, err := catalogue.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	upstream := httptest.NewServer(simulate.New(simulate.Options{Models: shipped.Names()}))
	t.Cleanup(upstream.Close)
	h := &house{gateway: "http://" + freeAddr(t), management: "http://" + freeAddr(t)}
	boot := filepath.Join(dir, "bootstrap.json")
	cmd := exec.Command(binary, "serve", "--data", filepath.Join(dir, "data"), "--bootstrap-file", boot, "--upstream", upstream.URL+"/v1",
		"--gateway", strings.TrimPrefix(h.gateway, "http://"), "--management", strings.TrimPrefix(h.management, "http://"), "--metrics", freeAddr(t))
	cmd.Env = append(append(os.Environ(), "GATEHOUSE_LOG_LEVEL=warn"), environ...)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s", log.String())
		}
	})
	waitReady(t, h.gateway+"/readyz")
	text, err := os.ReadFile(boot)
	if err != nil {
		t.Fatal(err)
	}
	var b struct {
		TeamID string `json:"team_id"`
		Key    string `json:"management_key"`
	}
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	h.team, h.key = b.TeamID, b.Key
	// Two routes have no price that anybody publishes; the operator says 0.
	h.manage(t, "POST", "/admin/v1/prices", `{"model":"omni-moderation-latest","units":{"Prompt text tokens":"0"},"source":"operator"}`)
	return h
}

// createKey returns a fresh secret, enforced by the gateway.
func (h *house) createKey(t *testing.T, members string) string {
	t.Helper()
	var made struct{ APIKey, APIKeyID string }
	json.Unmarshal(h.manage(t, "POST", "/auth/teams/"+h.team+"/api-keys", `{"name":"conformance",`+members+`}`), &made)
	h.manage(t, "GET", "/auth/api-keys/"+made.APIKeyID+"/propagation?wait=10s", "")
	return made.APIKey
}

func (h *house) manage(t *testing.T, method, path, body string) []byte {
	t.Helper()
	req, _ := http.NewRequest(method, h.management+path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+h.key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 {
		t.Fatalf("%s %s: %s %s", method, path, resp.Status, answer)
	}
	return answer
}

func waitReady(t *testing.T, url string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(url)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == 200 {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatal(fmt.Errorf("%s never became ready: %v", url, err))
		}
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
