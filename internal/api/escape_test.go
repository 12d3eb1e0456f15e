package api_test

import (
	"log/slog"
	"strings"
	"testing"

	"gatehouse/internal/api"
	"gatehouse/internal/api/admin"
	"gatehouse/internal/api/apitest"
)

// A path is decoded once: what was judged and what is acted on are the same.
func TestAPathIsDecodedOnce(t *testing.T) {
	backend, words := apitest.New()
	h := admin.Handler(backend, api.Options{Logger: slog.New(slog.DiscardHandler)})
	for sent, name := range map[string]string{"a%2541": "a%41", "a%25": "a%", "a%2Fb%2541": "a/b%41"} {
		if w := serve(h, "GET", "/admin/v1/models/"+sent, words["full"]); w.Code != 200 || !strings.Contains(w.Body.String(), `"name":"`+name+`"`) {
			t.Errorf("%s: %d %s", sent, w.Code, w.Body)
		}
	}
}
