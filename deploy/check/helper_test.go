package check

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// environment is what the configuration page says can be set.
func environment(t *testing.T) map[string]bool {
	out := map[string]bool{}
	for _, m := range regexp.MustCompile("`(GATEHOUSE_[A-Z0-9_]+)`").FindAllStringSubmatch(read(t, "../../docs/reference/configuration.md"), -1) {
		out[m[1]] = true
	}
	return out
}

// checkEnvironment refuses names that the program would ignore without a word.
func checkEnvironment(t *testing.T, where string, names []string) {
	t.Helper()
	known := environment(t)
	for _, name := range names {
		if strings.HasPrefix(name, "GATEHOUSE_") && !known[name] {
			t.Errorf("%s sets %s, which docs/reference/configuration.md does not know", where, name)
		}
	}
}
