package v1_test

import (
	"os"
	"strings"
	"testing"

	"gatehouse/internal/api"
	"gatehouse/internal/api/apitest"
	v1 "gatehouse/internal/api/v1"
)

// The page on dialects has every route of this one, beside its operation.
func TestTheDialectsPageHasEveryRoute(t *testing.T) {
	page, err := os.ReadFile("../../../docs/reference/dialects.md")
	if err != nil {
		t.Fatal(err)
	}
	backend, _ := apitest.NewV1()
	for _, r := range api.New(backend, options, v1.Face()).Routes() {
		if !has(string(page), "| "+string(r.Name)+" |", "`"+r.Method+" "+r.Path+"`") {
			t.Errorf("docs/reference/dialects.md lacks %s %s %s", r.Name, r.Method, r.Path)
		}
	}
}

// has reports whether a line begins so and holds that.
func has(page, begin, what string) bool {
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, begin) && strings.Contains(line, what) {
			return true
		}
	}
	return false
}
