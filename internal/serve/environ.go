package serve

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

const envPrefix = "GATEHOUSE_"

// otherNames are read by other commands of the program, and may stand in the
// same environment.
var otherNames = []string{
	"GATEHOUSE_URL", "GATEHOUSE_CA_CERT", "GATEHOUSE_MANAGEMENT_KEY", "GATEHOUSE_SIMULATE_KEY", "GATEHOUSE_GATEWAY_URL", "GATEHOUSE_API_KEY", "GATEHOUSE_API_KEY_FILE",
}

// links are what Kubernetes and Docker put into the environment of every
// container beside a service, for one whose name begins with gatehouse: they
// say where it is, nobody wrote them, and they configure nothing.
var links = regexp.MustCompile(`^GATEHOUSE(_[A-Z0-9]+)*_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// checkNames refuses variables that look like configuration and are none: a
// limit or a listener that was misspelt would silently be the default. Values
// are never repeated, since some are secrets.
func checkNames(environ []string) error {
	known := envPaths(reflect.TypeFor[Config](), "", strings.TrimSuffix(envPrefix, "_"))
	for _, other := range otherNames {
		known[other] = ""
	}
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if _, ok := known[name]; ok || !strings.HasPrefix(name, envPrefix) || links.MatchString(name) {
			continue
		}
		return fmt.Errorf("configuration from the environment: unknown %s; the nearest name is %s", name, nearest(name, slices.Sorted(maps.Keys(known))))
	}
	return nil
}

// nearest is the name that the fewest edits lead to.
func nearest(name string, names []string) string {
	return slices.MinFunc(names, func(a, b string) int { return edits(name, a) - edits(name, b) })
}

// edits counts the letters to insert, remove or replace between a and b
// (Levenshtein), a row of the table at a time.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
