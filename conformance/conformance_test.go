package conformance

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/verify/town"
)

// house is a running Gatehouse in front of a simulated provider.
type house struct {
	*town.Town
	gateway string
}

func TestMain(m *testing.M) {
	code := m.Run()
	town.Clean()
	os.Exit(code)
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
	for _, x := range []sdk{
		{"python", "python", pythonInstall, ".venv/bin/python", []string{".venv/bin/python", "check.py"}},
		{"node", "node", "npm --prefix conformance/node ci", "node_modules/openai", []string{"node", "check.mjs"}},
		{"go", "goclient", "", "go.mod", []string{"go", "run", "."}},
	} {
		t.Run(x.name, func(t *testing.T) { runCases(t, x, environ) })
	}
}

// sdk is a program that uses one, and how it is run.
type sdk struct {
	name, dir, install string
	present            string // a file that the installation makes
	command            []string
}

const pythonInstall = "python3 -m venv conformance/python/.venv && conformance/python/.venv/bin/pip install -r conformance/python/requirements.txt"

// runCases runs a program that prints "ok NAME" or "FAIL NAME: why" a line.
func runCases(t *testing.T, sdk sdk, environ []string) {
	t.Helper()
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
}

// start runs an installation: one process, or with CONFORMANCE_TOPOLOGY=fleet
// two control nodes over PostgreSQL, a gateway of a cluster, a Redis and an S3
// server.
func start(t *testing.T, environ ...string) *house {
	t.Helper()
	plan := town.Plan{Environ: append([]string{"GATEHOUSE_LOG_LEVEL=warn"}, environ...)}
	if os.Getenv("CONFORMANCE_TOPOLOGY") == "fleet" {
		plan.Controls, plan.Gateways, plan.Redis, plan.Objects = 2, []string{"local"}, true, true
	}
	h := &house{Town: town.New(t, plan)}
	h.gateway = h.Members[0].URL
	// Two routes have no price that anybody publishes; the operator says 0.
	h.manage(t, "POST", "/admin/v1/prices", `{"model":"omni-moderation-latest","units":{"Prompt text tokens":"0"},"source":"operator"}`)
	return h
}

// createKey returns a fresh secret, enforced by the gateway.
func (h *house) createKey(t *testing.T, members string) string {
	t.Helper()
	var made struct{ APIKey, APIKeyID string }
	json.Unmarshal(h.manage(t, "POST", "/auth/teams/"+h.Team+"/api-keys", `{"name":"conformance",`+members+`}`), &made)
	h.manage(t, "GET", "/auth/api-keys/"+made.APIKeyID+"/propagation?wait=10s", "")
	return made.APIKey
}

func (h *house) manage(t *testing.T, method, path, body string) []byte {
	t.Helper()
	status, answer := h.Manage(method, path, body)
	if status != 200 {
		t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	return answer
}
