package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/simulate"
)

const documents = "testdata/documents"

// TestTheDocumentsRequestsAnswer sends every request that the product's
// documents print, as they print it but for host, ids and key: curl lines to
// curl, request lines over HTTP. The transcripts are the documented answers, or
// ours where none is documented; -update writes them.
func TestTheDocumentsRequestsAnswer(t *testing.T) {
	h := newLoneHouse(t, simulate.Options{})
	h.someUsage()
	files, _ := filepath.Glob(filepath.Join(documents, "*.txt"))
	if len(files) != 4 {
		t.Fatalf("%d documents", len(files))
	}
	for _, file := range files {
		h.replay(t, file)
	}
}

// someUsage lets one request be counted, so that there is something to show.
func (h *house) someUsage() {
	h.t.Helper()
	k := h.createKey("")
	if status, answer := h.chat(k.Secret, "documents", `{"model":"grok-4","messages":[{"role":"user","content":"[[sim: words=5]] hi"}]}`); status != http.StatusOK {
		h.t.Fatalf("%d %s", status, answer)
	}
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if _, answer := h.manage("GET", "/v1/usage", ""); bytes.Contains(answer, []byte(`grok-4`)) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	h.t.Fatal("the request was not counted")
}

// replay plays one document. The key that it changes and deletes is its own.
func (h *house) replay(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	k := h.createKey("")
	words := strings.NewReplacer("https://management-api.x.ai", h.management, "{teamId}", h.team, "{apiKeyId}", k.ID, "{key_id}", k.ID,
		"<Your Management API Key>", h.key, "YOUR_MANAGEMENT_KEY", h.key, "$MANAGEMENT_KEY", h.key)
	var out []string
	for _, section := range strings.Split(string(text), "==== ")[1:] {
		request, _, _ := strings.Cut(section, "----\n")
		_, printed, _ := strings.Cut(request, "\n")
		status, answer := h.send(t, words.Replace(strings.TrimRight(printed, "\n")))
		out = append(out, fmt.Sprintf("%s----\n%d\n%s\n", request, status, readable(answer)))
	}
	got := "==== " + strings.Join(out, "==== ")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want := strings.Split(string(text), "==== ")
	for i, section := range strings.Split(got, "==== ") {
		if i >= len(want) || want[i] != section {
			t.Errorf("not as in %s:\n%s\nwant:\n%s", file, section, want[min(i, len(want)-1)])
		}
	}
}

// send plays a curl line, or a request line with a body below it.
func (h *house) send(t *testing.T, printed string) (status int, answer []byte) {
	t.Helper()
	if args := shellWords(printed); args[0] == "curl" {
		out, err := exec.Command("curl", append([]string{"-s", "-w", "\n%{http_code}"}, args[1:]...)...).Output()
		at := bytes.LastIndexByte(out, '\n')
		if err != nil || at < 0 {
			t.Fatalf("%s: %v", printed, err)
		}
		fmt.Sscan(string(out[at:]), &status)
		return status, out[:at]
	}
	line, body, _ := strings.Cut(printed, "\n")
	method, path, _ := strings.Cut(line, " ")
	return h.manage(method, path, body)
}

// shellWords splits a line as a shell does that knows quotes, and newlines that
// are escaped, and nothing else: the guide prints an address with & unquoted.
func shellWords(s string) (out []string) {
	words := regexp.MustCompile(`(?s)(?:'[^']*'|"[^"]*"|[^\s'"])+`)
	for _, w := range words.FindAllString(strings.ReplaceAll(s, "\\\n", " "), -1) {
		out = append(out, strings.NewReplacer(`'`, ``).Replace(unquoted(w)))
	}
	return out
}

// unquoted takes double quotes away where they are not inside single ones.
func unquoted(w string) string {
	if strings.HasPrefix(w, "'") {
		return w
	}
	return strings.ReplaceAll(w, `"`, ``)
}

var fleeting = []struct {
	is   *regexp.Regexp
	show string
}{
	{regexp.MustCompile(`gthk_[0-9A-Za-z]{71}`), "gthk_TOKEN"},
	{regexp.MustCompile(`gthi_[0-9A-Za-z]{71}`), "gthi_TOKEN"},
	{regexp.MustCompile(`"(last4|date|billing_cycle)": "[^"]*"`), `"$1": "..."`},
	{regexp.MustCompile(`"(next_cursor|nextPageToken|paginationToken)": "[^"]+"`), `"$1": "TOKEN"`},
	{regexp.MustCompile(`"local": (true|false)`), `"local": "true, or false for a moment"`},
	{regexp.MustCompile(`"last_used_at": (null|"[^"]*")`), `"last_used_at": "TIME or null"`}, // it is written from time to time
}

// readable is an answer indented, without what differs from run to run, and cut
// after its beginning: the lists of models are long.
func readable(answer []byte) string {
	const most = 60
	var compact, indented bytes.Buffer
	if json.Compact(&compact, answer) == nil {
		json.Indent(&indented, compact.Bytes(), "", "  ")
		answer = indented.Bytes()
	}
	s := string(answer)
	for _, v := range append(fleeting, volatile...) {
		s = v.is.ReplaceAllString(s, v.show)
	}
	lines := strings.Split(s, "\n")
	if len(lines) > most {
		lines = append(lines[:most], "…")
	}
	return strings.Join(lines, "\n")
}
