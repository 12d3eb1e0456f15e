package conformance

import (
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/verify/town"
)

// judged are Schemathesis' checks of an answer. Not among them: that a body
// which fits its schema is accepted, since what a name, a model or a limit may be
// is more than a schema says; and that Allow names only the methods of the path
// as written, since /api-keys/import is also /api-keys/{id}.
const judged = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,unsupported_method"

// TestSchemathesis is the promise that the document of the management API is
// true: whatever is sent, no answer is a server's fault, each is one that the
// document describes, and every operation is reached.
func TestSchemathesis(t *testing.T) {
	if os.Getenv("CONFORMANCE_TOPOLOGY") != "" {
		t.Skip("asks control alone, on both engines, whatever the topology")
	}
	for _, engine := range []struct {
		name string
		plan town.Plan
	}{
		{"sqlite", town.Plan{}},
		{"postgres", town.Plan{Controls: 1, Gateways: []string{"local"}, Objects: true}},
	} {
		t.Run(engine.name, func(t *testing.T) {
			engine.plan.Environ = []string{"GATEHOUSE_LOG_LEVEL=warn"}
			w := town.New(t, engine.plan)
			// What the document's example names must be there to be chosen.
			if status, answer := w.Manage("PATCH", "/admin/v1/billing-accounts/"+w.Team, `{"methods":[{"paymentMethodId":"pm_card","paymentType":"card"}]}`); status != 200 {
				t.Fatal(status, string(answer))
			}
			d := documentOf(t, w)
			if unreached := d.unreached(t, schemathesis(t, w.Management, w.Key, w.Team)); len(unreached) > 0 {
				t.Errorf("no answer from behind admission: %s", strings.Join(unreached, ", "))
			}
		})
	}
}

// TestSchemathesisAtTheGateway is the same promise of the inference routes. What
// a provider answers is free-form there, its refusals too.
func TestSchemathesisAtTheGateway(t *testing.T) {
	if os.Getenv("CONFORMANCE_TOPOLOGY") != "" {
		t.Skip("the gateway's document is one, whatever the topology")
	}
	w := town.New(t, town.Plan{Environ: []string{"GATEHOUSE_LOG_LEVEL=warn"}})
	status, answer := w.Manage("POST", "/auth/teams/"+w.Team+"/api-keys", `{"name":"all","acls":["api-key:model:*","api-key:endpoint:*"]}`)
	var key struct{ APIKey, APIKeyID string }
	if err := json.Unmarshal(answer, &key); err != nil || status != 200 {
		t.Fatal(status, string(answer))
	}
	w.Manage("GET", "/auth/api-keys/"+key.APIKeyID+"/propagation?wait=10s", "")
	if all := schemathesis(t, w.Members[0].URL, key.APIKey, w.Team); len(all) < 200 {
		t.Errorf("only %d requests", len(all))
	}
}

// schemathesis holds the document that base serves against its answers, and
// returns the requests that it made.
func schemathesis(t *testing.T, base, credential, team string) []exchange {
	t.Helper()
	program, _ := filepath.Abs("python/.venv/bin/st")
	if _, err := os.Stat(program); err != nil {
		t.Fatal("Schemathesis is not installed; run: python3 -m venv conformance/python/.venv && conformance/python/.venv/bin/pip install -r conformance/python/requirements.txt")
	}
	dir := t.TempDir()
	har := filepath.Join(dir, "all.har")
	config, _ := filepath.Abs("python/schemathesis.toml")
	cmd := exec.Command(program, "--config-file", config, "run", base+"/openapi.json",
		"--header", "Authorization: Bearer "+credential, "--checks", judged, "--max-examples", "5", "--workers", "1",
		"--generation-deterministic", "--no-shrink", "--request-timeout", "70", "--no-color", "--report", "har", "--report-har-path", har)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TEAM="+team)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	t.Logf("%s", time.Since(start).Round(time.Second))
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(har)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var report struct{ Log struct{ Entries []exchange } }
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	return report.Log.Entries
}

// exchange is an entry of an HTTP archive.
type exchange struct {
	Request  struct{ Method, URL string }
	Response struct {
		Status  int
		Content struct{ Text string }
	}
}

// document is what is read of an OpenAPI document here.
type document struct {
	Paths map[string]map[string]struct {
		OperationID string
	}
	forms map[string]*regexp.Regexp // of the paths
}

// elsewhere are operations that take another credential than a management key;
// the isolation matrix asks them.
var elsewhere = []string{"AcceptInvitation"}

func documentOf(t *testing.T, w *town.Town) (d document) {
	t.Helper()
	status, text := w.Manage("GET", "/openapi.json", "")
	if err := json.Unmarshal(text, &d); err != nil || status != 200 {
		t.Fatal(status, err)
	}
	d.forms = map[string]*regexp.Regexp{}
	for path := range d.Paths {
		d.forms[path] = regexp.MustCompile("^" + variable.ReplaceAllString(regexp.QuoteMeta(path), "[^/]+") + "$")
	}
	return d
}

// unreached are the operations that never answered anything but a refusal of
// the edge: of the credential, the method, or the shape of what was sent.
func (d document) unreached(t *testing.T, all []exchange) (out []string) {
	reached, asked := map[string]bool{}, 0
	for _, x := range all {
		u, err := url.Parse(x.Request.URL)
		if err != nil {
			continue
		}
		if id := d.find(x.Request.Method, u.EscapedPath()); id != "" {
			asked++
			reached[id] = reached[id] || behind(x)
		}
	}
	t.Logf("%d requests", asked)
	for _, path := range d.Paths {
		for _, op := range path {
			if !reached[op.OperationID] && !slices.Contains(elsewhere, op.OperationID) {
				out = append(out, op.OperationID)
			}
		}
	}
	slices.Sort(out)
	return out
}

func behind(x exchange) bool {
	switch x.Response.Status {
	case 404, 409, 412, 422:
		return true
	case 400: // a state that does not allow it, which no schema tells
		return strings.Contains(x.Response.Content.Text, `"code":9,`)
	}
	return x.Response.Status < 300
}

var variable = regexp.MustCompile(`\\\{[^}]*\}`)

// find is the operation of a request: of the path without variables where there
// are two.
func (d document) find(method, path string) (id string) {
	for pattern, ops := range d.Paths {
		op, ok := ops[strings.ToLower(method)]
		if ok && d.forms[pattern].MatchString(path) && (id == "" || !strings.Contains(pattern, "{")) {
			id = op.OperationID
		}
	}
	return id
}
