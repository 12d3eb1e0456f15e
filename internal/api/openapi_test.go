package api_test

import (
	"encoding/json"
	"flag"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"gatehouse/internal/api"
	"gatehouse/internal/api/admin"
	"gatehouse/internal/api/apitest"
	v1 "gatehouse/internal/api/v1"
	"gatehouse/internal/api/xai"
)

var examples = flag.Bool("examples", false, "rewrite examples.json from the transcripts")

// described is the server of all faces, with what transcripts say of it and its
// document as an independent library reads it.
type described struct {
	*api.Server
	cases []apitest.Case
	doc   *openapi3.T
}

func describe(t *testing.T) described {
	t.Helper()
	backend, words := apitest.New()
	d := described{Server: api.New(backend, api.Options{Logger: slog.New(slog.DiscardHandler)}, xai.Face(), xai.CollectionsFace(), admin.Face(), v1.Face())}
	_, again := apitest.New()
	for name := range words {
		if words[name] != again[name] {
			words[name] = name // tokens and the like, which no example shall hold
		}
	}
	for _, face := range []string{"xai", "admin", "v1"} {
		d.cases = append(d.cases, apitest.Cases(t, face+"/testdata", words)...)
	}
	w := serve(d, "GET", "/openapi.json", "")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s", w.Code, w.Header().Get("Content-Type"))
	}
	var err error
	if d.doc, err = openapi3.NewLoader().LoadFromData(w.Body.Bytes()); err != nil {
		t.Fatal(err)
	}
	return d
}

// operation is the described operation of a request; nil when there is none.
func (d described) operation(c apitest.Case) *openapi3.Operation {
	path := d.Described(c.Request.Method, c.Request.URL)
	if path == "" {
		return nil
	}
	return d.doc.Paths.Value(path).GetOperation(c.Request.Method)
}

// What is served at /openapi.json is OpenAPI 3.0.3, its examples included.
func TestTheDocumentIsValid(t *testing.T) {
	d := describe(t)
	if d.doc.OpenAPI != "3.0.3" {
		t.Errorf("version %q", d.doc.OpenAPI)
	}
	if err := d.doc.Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil {
		t.Error(err)
	}
}

// Every route of the server is described, in words too, and nothing else is.
func TestEveryRouteIsDescribed(t *testing.T) {
	d := describe(t)
	ids := map[string]bool{}
	for _, path := range d.doc.Paths.Map() {
		for method, op := range path.Operations() {
			if ids[op.OperationID] {
				t.Errorf("%s is the id of two operations", op.OperationID)
			}
			ids[op.OperationID] = true
			if op.Summary == "" {
				t.Errorf("%s %s says nothing: comment the method and run tools/generate.sh, or give the Plain a Doc", method, op.OperationID)
			}
		}
	}
	if got, want := len(ids), len(d.Routes()); got != want {
		t.Errorf("%d operations described, %d served", got, want)
	}
	for _, r := range d.Routes() {
		if !ids[string(r.Name)] {
			t.Errorf("%s is not described under its own name", r.Name)
		}
	}
}

// Every answer that a transcript shows is one that the document allows.
func TestTranscriptsAreAsDescribed(t *testing.T) {
	d := describe(t)
	for _, c := range d.cases {
		op := d.operation(c)
		if op == nil {
			continue // a path that is not served is not described either
		}
		answer := op.Responses.Value(strconv.Itoa(c.Status))
		if answer == nil {
			t.Errorf("%s: %s %s: %d is not described", c.File, c.Request.Method, c.Request.URL, c.Status)
			continue
		}
		kind, _, _ := strings.Cut(c.Kind, ";")
		media := answer.Value.Content[kind]
		if media == nil {
			t.Errorf("%s: %s %s: %s is not described", c.File, c.Request.Method, c.Request.URL, c.Kind)
			continue
		}
		if err := media.Schema.Value.VisitJSON(value(t, c.Kind, c.Answer), openapi3.MultiErrors()); err != nil {
			t.Errorf("%s: %s %s: %v", c.File, c.Request.Method, c.Request.URL, err)
		}
	}
}

// What a face accepts is a body that the document allows, but for snake_case
// and for booleans spelled as strings, which the document keeps to itself.
func TestAcceptedBodiesAreAsDescribed(t *testing.T) {
	d := describe(t)
	for _, c := range d.cases {
		op := d.operation(c)
		if op == nil || c.Status != http.StatusOK || bodyOf(op) == nil || c.Sent == "" || strings.Contains(c.Sent, "_") {
			continue
		}
		if err := bodyOf(op).VisitJSON(value(t, "application/json", unquote.Replace(c.Sent))); err != nil {
			t.Errorf("%s: %s %s %s: %v", c.File, c.Request.Method, c.Request.URL, c.Sent, err)
		}
	}
}

// bodyOf is the schema of a body of JSON; nil for none and for a form.
func bodyOf(op *openapi3.Operation) *openapi3.Schema {
	if op.RequestBody == nil || op.RequestBody.Value.Content["application/json"] == nil {
		return nil
	}
	return op.RequestBody.Value.Content["application/json"].Schema.Value
}

var unquote = strings.NewReplacer(`"true"`, "true", `"false"`, "false")

func value(t *testing.T, kind, text string) (out any) {
	if kind != "application/json" {
		return text
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return out
}

// The examples of the document are what the transcripts show: the first call
// of each operation that was answered.
func TestExamplesAreFromTranscripts(t *testing.T) {
	d := describe(t)
	found := map[string]api.Example{}
	for _, c := range d.cases {
		op := d.operation(c)
		if op == nil || c.Status != http.StatusOK || c.Kind != "application/json" {
			continue
		}
		e := api.Example{Answer: value(t, c.Kind, c.Answer)}
		if bodyOf(op) != nil && c.Sent != "" {
			e.Body = value(t, c.Kind, c.Sent)
			if bodyOf(op).VisitJSON(e.Body) != nil {
				continue // a second spelling
			}
		}
		if _, twice := found[op.OperationID]; !twice {
			found[op.OperationID] = e
		}
	}
	text, err := json.MarshalIndent(found, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	if *examples {
		if err := os.WriteFile("examples.json", text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if kept, _ := os.ReadFile("examples.json"); string(kept) != string(text) {
		t.Error("examples.json is not what the transcripts show; run: go test ./internal/api -run Examples -examples")
	}
}

// The page holds every operation, loads nothing and runs nothing; both forms
// are answered without a credential, and to nothing but GET and HEAD.
func TestThePageStandsAlone(t *testing.T) {
	d := describe(t)
	w := serve(d, "GET", "/docs", "")
	page := w.Body.String()
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		t.Fatalf("%d %s", w.Code, w.Header().Get("Content-Type"))
	}
	for _, r := range d.Routes() {
		if !strings.Contains(page, `<h3 id="`+string(r.Name)+`"`) {
			t.Errorf("%s is not on the page", r.Name)
		}
	}
	for _, banned := range []string{"<script", "src=", "<link", "@import", "url(", "ZgotmplZ"} {
		if strings.Contains(page, banned) {
			t.Errorf("the page has %q", banned)
		}
	}
	if got := serve(d, "HEAD", "/docs", ""); got.Code != 200 || got.Body.Len() != 0 {
		t.Errorf("HEAD: %d, %d bytes", got.Code, got.Body.Len())
	}
	if got := serve(d, "POST", "/openapi.json", ""); got.Code != http.StatusMethodNotAllowed || got.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, Allow %q", got.Code, got.Header().Get("Allow"))
	}
	if got := serve(d, "GET", "/openapi.json", "", "If-None-Match", serve(d, "GET", "/openapi.json", "").Header().Get("Etag")); got.Code != http.StatusNotModified {
		t.Errorf("asked again: %d", got.Code)
	}
}
