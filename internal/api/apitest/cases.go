package apitest

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Case is one request of a transcript and the answer that is written there.
type Case struct {
	File    string
	Request *http.Request
	Sent    string // the request's body
	Status  int
	Kind    string // media type of the answer
	Answer  string // body
}

// Cases reads every transcript in dir without playing it.
func Cases(t *testing.T, dir string, vars map[string]string) (out []Case) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*.txt"))
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range strings.Split(string(text), "====\n") {
			request, answer, _ := strings.Cut(c, "----\n")
			out = append(out, read(t, f, expand(request, vars), answer))
		}
	}
	if len(out) == 0 {
		t.Fatalf("no transcripts in %s", dir)
	}
	return out
}

func read(t *testing.T, file, request, answer string) Case {
	out := Case{File: file, Request: parse(t, request), Kind: "application/json"}
	_, out.Sent, _ = strings.Cut(strings.TrimLeft(request, "\n"), "\n\n")
	out.Sent = strings.TrimSpace(out.Sent)
	status, rest, _ := strings.Cut(answer, "\n")
	out.Status, _ = strconv.Atoi(status)
	for {
		line, after, _ := strings.Cut(rest, "\n")
		name, value, header := strings.Cut(line, ": ")
		if !header || http.CanonicalHeaderKey(name) != name {
			break
		}
		if name == "Content-Type" {
			out.Kind = value
		}
		rest = after
	}
	out.Answer = strings.TrimSpace(rest)
	return out
}
