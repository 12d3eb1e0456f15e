package apitest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Bodies fuzzes the bodies of requests, given as lines of method and path.
// Whatever the body, the kit either refuses it in words of its own or hands on
// what protojson reads: no request ends in protojson's words or in a 500.
func Bodies(f *testing.F, h http.Handler, words map[string]string, lines, seeds []string) {
	for _, s := range seeds {
		f.Add([]byte(expand(s, words)))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, line := range lines {
			method, path, _ := strings.Cut(expand(line, words), " ")
			r := httptest.NewRequest(method, path, strings.NewReader(string(body)))
			r.Header.Set("Authorization", "Bearer "+words["full"])
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code >= 500 || strings.Contains(w.Body.String(), "documented shape") {
				t.Errorf("%s %q: %d %s", line, body, w.Code, w.Body)
			}
		}
	})
}
