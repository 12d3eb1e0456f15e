package llm

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Programs branch on these codes, and people look them up on the page.
func TestTheErrorsPageHasEveryFault(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	for f := range numFaults {
		r := f.row()
		row := fmt.Sprintf("| `%s` | %d | %d | `%s` `%s` | `%s` |", r.slug, f.Status(StyleXAI), f.Status(StyleOpenAI), r.openAI, r.openAICode, r.anthropic)
		if !strings.Contains(string(page), "\n"+row) {
			t.Errorf("docs/reference/errors.md lacks %s", row)
		}
		if f.Status(StyleOpenAI) != f.Status(StyleAnthropic) {
			t.Errorf("%s: the page has one column for two statuses", r.slug)
		}
	}
}
