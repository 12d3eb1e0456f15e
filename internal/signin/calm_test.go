package signin

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// Strangers must not be able to make this program ask the provider as often as
// they like.
func TestARepeatedQuestionIsNotAskedAgain(t *testing.T) {
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked++; io.WriteString(w, "keys") }))
	defer srv.Close()
	now := time.Unix(0, 0)
	client := &http.Client{Transport: &calm{next: http.DefaultTransport, now: func() time.Time { return now }, kept: map[string]answer{}}}
	ask := func(credential string) {
		t.Helper()
		r, _ := http.NewRequest(http.MethodGet, srv.URL+"/jwks", nil)
		if credential != "" {
			r.Header.Set("Authorization", credential)
		}
		got, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Body.Close()
		if body, _ := io.ReadAll(got.Body); string(body) != "keys" || got.StatusCode != http.StatusOK {
			t.Fatal(got.StatusCode, string(body))
		}
	}
	for range 20 {
		ask("")
	}
	if asked != 1 {
		t.Errorf("asked %d times at once", asked)
	}
	now = now.Add(calmFor)
	ask("")
	if asked != 2 {
		t.Errorf("an old answer was good for ever: asked %d times", asked)
	}
	ask("Bearer x")
	ask("Bearer x")
	if asked != 4 {
		t.Errorf("an answer about one person was given about another: asked %d times", asked)
	}
}
