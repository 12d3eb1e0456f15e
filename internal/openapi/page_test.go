package openapi

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every link of the page leads to a heading of it, no two headings are one, and
// what a document says is text, whatever it holds.
func TestLinksOfThePageLeadSomewhere(t *testing.T) {
	d := New(Info{Title: "A <b>", Version: "1"})
	d.Tags = []Tag{{Name: "all"}}
	d.Components.Schemas["a.Thing"] = &Schema{Type: "object", Properties: map[string]*Schema{
		"self": SchemaRef("a.Thing").With("Itself.", true), "many": {Type: "array", Items: SchemaRef("a.Thing")},
	}}
	d.Components.Responses["Error400"] = &Response{Description: "Wrong."}
	d.Add("GET", "/things", &Operation{ID: "things", Tags: []string{"all"}, Summary: "<script>", Responses: map[string]*Response{
		"200": {Description: "Done.", Content: map[string]Media{"application/json": {Schema: SchemaRef("a.Thing")}}}, "400": ResponseRef("Error400"),
	}})
	page := string(d.page())
	ids := regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(page, -1)
	seen := []string{}
	for _, id := range ids {
		if slices.Contains(seen, id[1]) {
			t.Errorf("two headings are %q", id[1])
		}
		seen = append(seen, id[1])
	}
	links := regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1)
	for _, l := range links {
		if !slices.Contains(seen, l[1]) {
			t.Errorf("a link to %q leads nowhere", l[1])
		}
	}
	if len(links) < 6 || strings.Contains(page, "<b>") || strings.Contains(page, "<script>") {
		t.Errorf("%d links in\n%s", len(links), page)
	}
}
