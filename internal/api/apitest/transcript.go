// Package apitest runs transcripts: files of requests and the answers they
// must get, written to be read. They are the wire, pinned; a change of one is a
// change for scripts, and shows as a diff of prose.
//
// A file holds cases between lines of "====". A case is comment lines (#), a
// request line, headers, an empty line and a body; then "----" and the answer:
// status, headers that scripts read, and the body, indented.
package apitest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the answers of transcripts")

// Shown are the response headers that a transcript records.
var shown = []string{"Allow", "Content-Type", "Etag", "Retry-After", "Warning", "X-Gatehouse-Revision"}

// Run plays every transcript in dir against h. Words in vars are replaced in
// requests: a header "Authorization: Bearer $full" sends vars["full"].
func Run(t *testing.T, dir string, h http.Handler, vars map[string]string) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*.txt"))
	if len(files) == 0 {
		t.Fatalf("no transcripts in %s", dir)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) { play(t, f, h, vars) })
	}
}

func play(t *testing.T, file string, h http.Handler, vars map[string]string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range strings.Split(string(text), "====\n") {
		request, want, _ := strings.Cut(c, "----\n")
		got := answer(t, h, request, vars)
		out = append(out, request+"----\n"+got)
		if got != want && !*update {
			t.Errorf("%s\ngot:\n%s\nwant:\n%s", request, got, want)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(out, "====\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func answer(t *testing.T, h http.Handler, text string, vars map[string]string) string {
	r := parse(t, expand(text, vars))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Header().Get("X-Request-Id") == "" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%s %s: answer without request id or no-store", r.Method, r.URL)
	}
	return render(w)
}

// expand replaces $words; $(n*x) is x repeated n times, for bodies too long to write.
func expand(text string, vars map[string]string) string {
	text = regexp.MustCompile(`\$\((\d+)\*([^)]*)\)`).ReplaceAllStringFunc(text, func(s string) string {
		var n int
		var x string
		fmt.Sscanf(s, "$(%d*%s", &n, &x)
		return strings.Repeat(strings.TrimSuffix(x, ")"), n)
	})
	for name, value := range vars {
		text = strings.ReplaceAll(text, "$"+name, value)
	}
	return text
}

func parse(t *testing.T, text string) *http.Request {
	lines := strings.Split(text, "\n")
	for len(lines) > 0 && (strings.HasPrefix(lines[0], "#") || lines[0] == "") {
		lines = lines[1:]
	}
	method, target, ok := strings.Cut(lines[0], " ")
	if !ok {
		t.Fatalf("no request line: %q", lines[0])
	}
	i := 1
	header := http.Header{}
	for ; i < len(lines) && lines[i] != ""; i++ {
		name, value, _ := strings.Cut(lines[i], ": ")
		header.Add(name, value)
	}
	body := ""
	if i < len(lines) {
		body = strings.TrimSuffix(strings.Join(lines[i+1:], "\n"), "\n")
	}
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header = header
	r.RemoteAddr = "192.0.2.1:1234"
	return r
}

var token = regexp.MustCompile(`gth([kmji])_[0-9A-Za-z]{71}`)

func render(w *httptest.ResponseRecorder) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", w.Code)
	for _, name := range shown {
		for _, v := range w.Header().Values(name) {
			if v != "application/json" {
				fmt.Fprintf(&b, "%s: %s\n", name, v)
			}
		}
	}
	body := token.ReplaceAll(w.Body.Bytes(), []byte("gth${1}_TOKEN"))
	var compact, indented bytes.Buffer
	if json.Compact(&compact, body) == nil && json.Indent(&indented, compact.Bytes(), "", "  ") == nil {
		body = indented.Bytes()
	}
	b.Write(bytes.TrimSpace(body))
	b.WriteByte('\n')
	return b.String()
}
