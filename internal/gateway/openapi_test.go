package gateway

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"gatehouse/internal/llm"
)

// What is served at /openapi.json is OpenAPI 3.0.3 and holds every route, with
// the errors of its style; nobody needs a key to read it or the page.
func TestTheDocumentIsValidAndWhole(t *testing.T) {
	for _, openAI := range []bool{false, true} {
		w := newWorld(t)
		w.start(func(c *Config) { c.OpenAIErrors = openAI })
		text := w.get("", "/openapi.json")
		doc, err := openapi3.NewLoader().LoadFromData([]byte(text.body))
		if err != nil {
			t.Fatal(err)
		}
		if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil || doc.OpenAPI != "3.0.3" {
			t.Error(doc.OpenAPI, err)
		}
		page := w.get("", "/docs").body
		llm.Routes(func(method string, r llm.Route) {
			op := doc.Paths.Value(r.Path).GetOperation(method)
			if op == nil || op.Summary == "" {
				t.Errorf("%s %s is not described", method, r.Path)
				return
			}
			if !strings.Contains(page, `<h3 id="`+op.OperationID+`"`) {
				t.Errorf("%s is not on the page", op.OperationID)
			}
			bad := op.Responses.Value("401").Value.Content["application/json"].Schema.Ref
			if want := map[bool]string{false: "XAI", true: "OpenAI"}[openAI]; r.Style != llm.StyleAnthropic && !strings.HasSuffix(bad, want+"Error") {
				t.Errorf("%s %s errs as %s", method, r.Path, bad)
			}
		})
	}
}

// What the gateway says by itself is what the document says.
func TestAnswersAreAsDescribed(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, good))
	key := w.key(0)
	w.start()
	doc, err := openapi3.NewLoader().LoadFromData([]byte(w.get("", "/openapi.json").body))
	if err != nil {
		t.Fatal(err)
	}
	llm.Routes(func(method string, r llm.Route) {
		op := doc.Paths.Value(r.Path).GetOperation(method)
		for _, credential := range []string{"", "nonsense", key} {
			got := w.send(method, credential, strings.NewReplacer("{id}", "none", "{token}", "none").Replace(r.Path), strings.NewReader("{}"), "Content-Type", "text/plain")
			answer := op.Responses.Value(strconv.Itoa(got.status))
			kind, _, _ := strings.Cut(got.header.Get("Content-Type"), ";")
			if answer == nil || answer.Value.Content[kind] == nil {
				t.Errorf("%s %s: %d %s is not described", method, r.Path, got.status, kind)
				continue
			}
			var v any
			if err := json.Unmarshal([]byte(got.body), &v); err != nil {
				t.Errorf("%s %s: %d %v", method, r.Path, got.status, err)
			} else if err := answer.Value.Content[kind].Schema.Value.VisitJSON(v); err != nil {
				t.Errorf("%s %s: %d %v", method, r.Path, got.status, err)
			}
		}
	})
}
