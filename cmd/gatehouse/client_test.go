package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/serve"
	"gatehouse/internal/simulate"
)

var update = flag.Bool("update", false, "write the golden files anew")

// installation is a whole Gatehouse in this process, with a simulated provider
// behind it.
type installation struct {
	serve.Addrs
	data string
	stop func() error
}

func start(t *testing.T) *installation {
	t.Helper()
	upstream := httptest.NewServer(simulate.New(simulate.Options{Models: []string{"grok-4.3"}, Words: 5}))
	t.Cleanup(upstream.Close)
	dir := t.TempDir()
	cfg := serve.Defaults()
	cfg.Library.Workers = 1 // sessions show documents in the order in which they are done
	cfg.Data, cfg.Bootstrap, cfg.Log.Level = filepath.Join(dir, "data"), filepath.Join(dir, "bootstrap.json"), "error"
	cfg.Gateway.Listen, cfg.Management.Listen, cfg.Metrics.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg.Management.Rate = 10_000
	up, err := serve.ParseUpstreamFlag(upstream.URL+"/v1", 0)
	check(t, err)
	cfg.Upstreams = append(cfg.Upstreams, up)
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan serve.Addrs, 1), make(chan error, 1)
	go func() {
		ended <- serve.Run(ctx, cfg, serve.Process{Version: "test", Stderr: t.Output(), Ready: func(a serve.Addrs) { ready <- a }})
	}()
	in := &installation{data: cfg.Data}
	in.stop = func() error { cancel(); err := <-ended; ended <- err; return err }
	t.Cleanup(func() { check(t, in.stop()) })
	select {
	case in.Addrs = <-ready:
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	text, err := os.ReadFile(cfg.Bootstrap)
	check(t, err)
	var boot struct {
		Key string `json:"management_key"`
	}
	check(t, json.Unmarshal(text, &boot))
	t.Setenv("GATEHOUSE_URL", "http://"+in.Management)
	t.Setenv("GATEHOUSE_MANAGEMENT_KEY", boot.Key)
	t.Setenv("COLUMNS", "120")
	return in
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// result is what a run of the program did.
type result struct {
	code        int
	out, stderr string
}

func gatehouseRun(t *testing.T, in string, args ...string) result {
	t.Helper()
	var out, stderr bytes.Buffer
	code := run(t.Context(), args, &out, &stderr, strings.NewReader(in))
	return result{code, out.String(), stderr.String()}
}

// must is a run that has to succeed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	r := gatehouseRun(t, "", args...)
	if r.code != 0 {
		t.Fatalf("gatehouse %s: exit %d\n%s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r.out
}

// transcript replaces what differs from run to run by text of the same width,
// so that columns stay where they are.
type transcript struct {
	ids    map[string]string
	actual map[string]string
}

var (
	uuids     = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	tokens    = regexp.MustCompile(`(gth[kmj]_)[0-9A-Za-z]{71}`)
	ends      = regexp.MustCompile(`\.\.\.[0-9A-Za-z]{4}\b`)
	times     = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	revisions = regexp.MustCompile(`(revision(?: is |"?:?\s*"?))\d+\.\d+`)
	scores    = regexp.MustCompile(`(?m)(^\d+\.  |"score":)[0-9.e-]+`)
	links     = regexp.MustCompile(`/v1/files/public/[0-9A-Za-z_]+`)
	last4s    = regexp.MustCompile(`("last4":")[0-9A-Za-z]{4}"`)
	ports     = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	months    = regexp.MustCompile(`\b20\d\d-(0[1-9]|1[0-2])\b`)
	invoices  = regexp.MustCompile(`\b\d{3}-\d{3}-\d{3}-\d{3}\b`)
	latencies = regexp.MustCompile(`(latency"?:?\s*"?)[0-9.]+m?s`)
)

func (tr *transcript) normal(s string) string {
	s = uuids.ReplaceAllStringFunc(s, func(id string) string {
		if tr.ids[id] == "" {
			tr.ids[id] = fmt.Sprintf("00000000-0000-0000-0000-%012d", len(tr.ids)+1)
			tr.actual[tr.ids[id]] = id
		}
		return tr.ids[id]
	})
	s = tokens.ReplaceAllString(s, "${1}THE-TOKEN")
	s = links.ReplaceAllString(s, "/v1/files/public/THE-TOKEN")
	s = scores.ReplaceAllString(s, "${1}SCORE")
	s = ends.ReplaceAllString(s, "...LAST")
	s = last4s.ReplaceAllString(s, `${1}LAST"`)
	s = times.ReplaceAllString(s, "YYYY-MM-DDThh:mm:ssZ")
	s = revisions.ReplaceAllString(s, "${1}E.N")
	s = months.ReplaceAllString(invoices.ReplaceAllString(s, "NNN-NNN-NNN-NNN"), "YYYY-MM")
	s = latencies.ReplaceAllString(s, "${1}SOME")
	return ports.ReplaceAllString(s, "127.0.0.1:PORT")
}

// splitWords splits a command line; single quotes keep blanks.
func splitWords(line string) (out []string) {
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			out = append(out, part)
		} else {
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}

// The golden file is a session: what each command prints, on which stream, and
// how it ends. Commands may name ids as the file shows them.
func TestCommandsPrintWhatTheSessionShows(t *testing.T) {
	start(t)
	replay(t, "session.txt")
}

// replay runs the commands of a golden session.
func replay(t *testing.T, name string) {
	t.Helper()
	replayFile(t, filepath.Join("testdata", name))
}

func replayFile(t *testing.T, path string) {
	t.Helper()
	old, err := os.ReadFile(path)
	check(t, err)
	tr := &transcript{map[string]string{}, map[string]string{}}
	var got strings.Builder
	for line := range strings.Lines(string(old)) {
		command, ok := strings.CutPrefix(line, "$ gatehouse ")
		if !ok {
			continue
		}
		command, in, _ := strings.Cut(strings.TrimSpace(command), " <<< ")
		actual := uuids.ReplaceAllStringFunc(command, func(id string) string {
			if a := tr.actual[id]; a != "" {
				return a
			}
			return id
		})
		r := gatehouseRun(t, in, splitWords(actual)...)
		got.WriteString(line)
		got.WriteString(tr.normal(r.out))
		for l := range strings.Lines(tr.normal(r.stderr)) {
			got.WriteString("! " + l)
		}
		if r.code != 0 {
			fmt.Fprintf(&got, "exit %d\n", r.code)
		}
		got.WriteString("\n")
	}
	golden(t, path, got.String())
}

func TestHelpSaysWhatThereIs(t *testing.T) {
	t.Setenv("COLUMNS", "120")
	for name, args := range map[string][]string{
		"help.txt":             {"--help"},
		"help-keys-create.txt": {"keys", "create", "--help"},
		"help-usage.txt":       {"usage", "ask", "--help"},
		"help-audit.txt":       {"audit", "verify", "--help"},
		"help-documents.txt":   {"documents", "upload", "--help"},
		"help-search.txt":      {"search", "--help"},
	} {
		golden(t, filepath.Join("testdata", name), must(t, args...))
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		check(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	check(t, err)
	a, b := strings.Split(string(want), "\n"), strings.Split(got, "\n")
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			t.Fatalf("%s differs from line %d on; go test -update writes it anew. Got:\n%s", path, i+1, strings.Join(b[min(i, len(b)):min(i+12, len(b))], "\n"))
		}
	}
}

// A secret is alone on stdout: "gatehouse keys create … > key" holds a key.
func TestANewKeyIsAloneOnStdout(t *testing.T) {
	start(t)
	r := gatehouseRun(t, "", "keys", "create", "--name", "ci", "--model", "*", "--endpoint", "*")
	if r.code != 0 || !regexp.MustCompile(`^gthk_[0-9A-Za-z]{71}\n$`).MatchString(r.out) {
		t.Errorf("exit %d, %d bytes on stdout: %s", r.code, len(r.out), r.stderr)
	}
	if strings.Contains(r.stderr, strings.TrimSpace(r.out)) {
		t.Error("the key is on stderr too")
	}
	var object struct{ ApiKey string }
	check(t, json.Unmarshal([]byte(must(t, "keys", "create", "--name", "x", "--model", "*", "--endpoint", "*", "--json")), &object))
	if !strings.HasPrefix(object.ApiKey, "gthk_") {
		t.Error("--json does not show the key")
	}
}

func TestNoManagementKeyIsDenied(t *testing.T) {
	t.Setenv("GATEHOUSE_MANAGEMENT_KEY", "")
	t.Setenv("XAI_MANAGEMENT_KEY", "")
	if r := gatehouseRun(t, "", "validate"); r.code != exitDenied || !strings.Contains(r.stderr, "GATEHOUSE_MANAGEMENT_KEY") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	t.Setenv("XAI_MANAGEMENT_KEY", "gthm_mistyped")
	if r := gatehouseRun(t, "", "validate"); r.code != exitDenied || strings.Contains(r.stderr, "mistyped") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

// What went through the gateway is in the answer to usage.
func TestUsageShowsWhatWasUsed(t *testing.T) {
	in := start(t)
	key := strings.TrimSpace(must(t, "keys", "create", "--name", "ci", "--model", "*", "--endpoint", "*"))
	must(t, "keys", "propagation", keyID(t), "--wait", "30s")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+in.Gateway+"/v1/chat/completions",
		strings.NewReader(`{"model":"grok-4.3","messages":[{"role":"user","content":"hello"}]}`))
	check(t, err)
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	check(t, err)
	answer, err := io.ReadAll(res.Body)
	check(t, err)
	if res.Body.Close(); res.StatusCode != http.StatusOK {
		t.Fatalf("the gateway answers %s: %s", res.Status, answer)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		out := must(t, "usage", "--from", "1h", "--unit", "none", "--group-by", "model", "--format", "csv")
		if regexp.MustCompile(`(?m)^\S+,grok-4.3,0\.\d+,\d+$`).MatchString(out) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no usage after 20 s:\n%s", out)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func keyID(t *testing.T) string {
	t.Helper()
	var list struct{ ApiKeys []struct{ ApiKeyId string } }
	check(t, json.Unmarshal([]byte(must(t, "keys", "list", "--json")), &list))
	return list.ApiKeys[0].ApiKeyId
}

// A log can be taken away, online or off, in parts, and judged elsewhere; one
// changed byte is named.
func TestTheLogVerifiesWhereverItIs(t *testing.T) {
	in := start(t)
	for _, name := range []string{"one", "two", "three"} {
		must(t, "team", "create", name)
	}
	online := gatehouseRun(t, "", "audit", "export")
	_, cursor, found := strings.Cut(strings.TrimSpace(online.stderr), "next cursor: ")
	if online.code != 0 || !found {
		t.Fatalf("exit %d: %s", online.code, online.stderr)
	}
	must(t, "team", "create", "four")
	check(t, in.stop())
	rest := must(t, "audit", "export", "--since", cursor, "--data", in.data)
	whole := must(t, "audit", "export", "--data", in.data)
	if online.out+rest != whole {
		t.Error("an export in two parts is not the export in one")
	}
	file := filepath.Join(t.TempDir(), "export.jsonl")
	checkpoint, key := filepath.Join(in.data, "checkpoint"), filepath.Join(in.data, auditKeyFile)
	check(t, os.WriteFile(file, []byte(whole), 0o600))
	for _, args := range [][]string{{"--data", in.data}, {"--export", file, "--key", key}} {
		out := must(t, append([]string{"audit", "verify", "--checkpoint", checkpoint}, args...)...)
		if !regexp.MustCompile(`^audit log ok: \d+ leaves, checkpoint covers \d+\n$`).MatchString(out) {
			t.Errorf("%v: %s", args, out)
		}
	}
	check(t, os.WriteFile(file, []byte(strings.Replace(whole, "'two'", "'owt'", 1)), 0o600))
	r := gatehouseRun(t, "", "audit", "verify", "--checkpoint", checkpoint, "--export", file, "--key", key)
	if r.code != exitError || !regexp.MustCompile(`^audit log BAD at index \d+: `).MatchString(r.out) {
		t.Errorf("a changed leaf: exit %d, %s%s", r.code, r.out, r.stderr)
	}
}

func TestTimesAreReadAsPeopleGiveThem(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"90d": now.AddDate(0, 0, 90), "12h": now.Add(12 * time.Hour), "0s": now, "never": {},
		"2027-01-31": time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC), "2027-01-31T01:00:00+01:00": time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC),
	} {
		var at instant
		if err := at.UnmarshalText([]byte(text)); err != nil || !at.from(now).Equal(want) {
			t.Errorf("%s is %s, %v", text, at.from(now), err)
		}
	}
	for _, bad := range []string{"", "tomorrow", "d", "-1d", "2027-13-01"} {
		if new(instant).UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is a time", bad)
		}
	}
}

// The limit that is set is the limit that was asked for, or none is set.
func TestALimitThatDoesNotFitIsRefused(t *testing.T) {
	for _, args := range [][]string{
		{"keys", "create", "--name", "x", "--qps", "2147483648"}, {"keys", "create", "--name", "x", "--qpm", "99999999999999999999"},
		{"keys", "update", uuid, "--qpm", "2147483648"}, {"management-keys", "create", "--name", "x", "--max-qps", "4294967297"},
		{"keys", "create", "--name", "x", "--tpm", "9223372036854775808"}, {"keys", "create", "--name", "x", "--qps", "0"},
	} {
		r := gatehouseRun(t, "", args...)
		if flag := args[len(args)-2]; r.code != exitUsage || !strings.Contains(r.stderr, flag+": ") {
			t.Errorf("%v: exit %d, %s", args, r.code, r.stderr)
		}
	}
	var q amount[int32]
	if err := q.UnmarshalText([]byte("2147483647")); err != nil || q.n != 1<<31-1 {
		t.Errorf("the largest limit: %d, %v", q.n, err)
	}
}

const uuid = "00000000-0000-0000-0000-00000000abcd"

func TestAnAddressIsARangeOfOne(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "192.0.2.7": "192.0.2.7/32", "2001:db8::1": "2001:db8::1/128", "2001:db8::/32": "2001:db8::/32",
	} {
		var o origin
		if err := o.UnmarshalText([]byte(text)); err != nil || ranges(prefixes([]origin{o})) != want {
			t.Errorf("%s is %s, %v", text, ranges(prefixes([]origin{o})), err)
		}
	}
	for _, bad := range []string{"", "10.0.0", "10.0.0.0/33", "example.com", "fe80::1%eth0"} {
		if new(origin).UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is an address", bad)
		}
	}
}

// A cluster is there as long as somebody serves in it.
func TestAClusterWithAGatewayStays(t *testing.T) {
	start(t)
	var list struct{ Gateways []struct{ ID string } }
	for deadline := time.Now().Add(20 * time.Second); len(list.Gateways) == 0; time.Sleep(20 * time.Millisecond) {
		if check(t, json.Unmarshal([]byte(must(t, "gateways", "list", "--json")), &list)); time.Now().After(deadline) {
			t.Fatal("no gateway after 20 s")
		}
	}
	id := list.Gateways[0].ID
	if out := must(t, "gateways", "get", id); !regexp.MustCompile(`(?m)^id +` + id + `\ncluster +local$`).MatchString(out) {
		t.Errorf("the gateway is shown as\n%s", out)
	}
	if r := gatehouseRun(t, "", "clusters", "delete", "local"); r.code != exitConflict || !strings.Contains(r.stderr, id) {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	must(t, "clusters", "get", "local")
}

// A terminal must not obey what somebody called a key.
func TestNamesCannotSpeakToTheTerminal(t *testing.T) {
	for _, r := range "\x1b\n\u009b\u202e\x00" {
		if got := line("a" + string(r) + "b"); got != "a b" {
			t.Errorf("%U is printed as %q", r, got)
		}
	}
}
