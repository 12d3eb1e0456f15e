package api

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Scripts branch on these statuses, and people look them up on the page.
func TestTheErrorsPageHasEveryCode(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	for code, a := range answers {
		row := fmt.Sprintf("| `%s` | %d | %d | `%s` |", code, a.status, a.grpc, a.word)
		if !strings.Contains(string(page), "\n"+row) {
			t.Errorf("docs/reference/errors.md lacks %s", row)
		}
	}
}
