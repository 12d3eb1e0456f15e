package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/client"
	"gatehouse/internal/audit"
)

var someKey = gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Management, gatehouse.NewID())

func TestPlainHTTPIsForLoopback(t *testing.T) {
	for url, fine := range map[string]bool{
		"http://127.0.0.1:8090": true, "http://[::1]:8090": true, "http://localhost": true, "https://example.com/below": true,
		"http://example.com": false, "http://10.0.0.1:8090": false, "ftp://127.0.0.1": false, "127.0.0.1:8090": false, "": false,
		"https://user:pass@example.com": false, "https://example.com?key=x": false,
	} {
		if _, err := client.New(url, someKey); (err == nil) != fine {
			t.Errorf("%s: %v", url, err)
		}
	}
	_, err := client.New("http://10.0.0.1:8090", someKey, client.InsecureHTTP())
	check(t, err)
}

func TestKeysOfAnyBrandAreRead(t *testing.T) {
	for _, brand := range []string{"gth", "acme", "x"} {
		want := gatehouse.MintToken(brand, gatehouse.Management, gatehouse.NewID())
		got, err := client.ParseKey(" " + want.Reveal() + "\n")
		check(t, err)
		if got.ID() != want.ID() || got.Plane() != gatehouse.Management {
			t.Errorf("%s: another key", brand)
		}
	}
	for _, bad := range []string{"", "gthm_", strings.Repeat("x", 200), someKey.Reveal()[1:] + "x"} {
		if _, err := client.ParseKey(bad); !errors.Is(err, gatehouse.Unauthenticated) {
			t.Errorf("%d characters were taken for a key: %v", len(bad), err)
		}
	}
}

// The key goes to the host that it was given for and nowhere else.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var asked int
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer thief.Close()
	honest := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	defer honest.Close()
	_, err := plane{url: honest.URL}.client(t, someKey).Self(t.Context())
	if !errors.Is(err, gatehouse.FailedPrecondition) || asked != 0 {
		t.Errorf("%v, asked elsewhere %d times", err, asked)
	}
}

func TestErrorsKeepTheirCodeWordsAndAdvice(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   gatehouse.Code
		says   string
	}{
		{400, `{"code":3,"message":"name: is required","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"name","problem":"is required"}]}]}`, gatehouse.InvalidArgument, "name: is required"},
		{400, `{"code":9,"message":"wrong state"}`, gatehouse.FailedPrecondition, "wrong state"},
		{412, `{"code":10,"message":"If-Match"}`, gatehouse.Conflict, "If-Match"},
		{422, `{"code":3,"message":"Idempotency-Key"}`, gatehouse.Unprocessable, "Idempotency-Key"},
		{429, `{"code":8,"message":"too fast"}`, gatehouse.ResourceExhausted, "too fast"},
		{502, `<html>bad gateway</html>`, gatehouse.Unavailable, "502"},
		{404, `Not Found`, gatehouse.NotFound, "404"},
		{500, ``, gatehouse.Internal, "500"},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		}))
		_, err := plane{url: srv.URL}.client(t, someKey).Self(t.Context())
		srv.Close()
		var e *gatehouse.Error
		if !errors.As(err, &e) || e.Code != c.want || !strings.Contains(e.Message, c.says) || e.RetryAfter != 7*time.Second {
			t.Errorf("%d %s: %#v", c.status, c.body, err)
		}
		if c.want == gatehouse.InvalidArgument && (len(e.Violations) != 1 || e.Violations[0].Field != "name") {
			t.Errorf("violations %v", e.Violations)
		}
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer srv.Close()
	defer close(release)
	c := plane{url: srv.URL}.client(t, someKey)
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Self(short); !errors.Is(err, gatehouse.DeadlineExceeded) {
		t.Errorf("a deadline that passed: %v", err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := c.Self(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that left: %v", err)
	}
}

func TestNoErrorHoldsTheKey(t *testing.T) {
	c := plane{url: "http://127.0.0.1:1"}.client(t, someKey)
	_, err := c.Self(t.Context())
	if !errors.Is(err, gatehouse.Unavailable) {
		t.Fatalf("nobody listens: %v", err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Error("failed", "client", c, "err", err)
	secret := someKey.Reveal()[27:70]
	for name, text := range map[string]string{
		"error": err.Error(), "log": log.String(), "%+v": fmt.Sprintf("%+v", c), "%#v": fmt.Sprintf("%#v", c), "%v": fmt.Sprintf("%v", *c),
	} {
		if strings.Contains(text, secret) {
			t.Errorf("%s shows the key", name)
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		blank := bytes.Repeat([]byte(" "), 1<<20)
		for r.Context().Err() == nil {
			if _, err := w.Write(blank); err != nil {
				return
			}
		}
	}))
	defer srv.Close()
	_, err := plane{url: srv.URL}.client(t, someKey).Self(t.Context())
	if !errors.Is(err, gatehouse.Internal) {
		t.Errorf("an endless answer: %v", err)
	}
}

// What is exported online is what the offline verifier reads, and an export
// that is continued is the same as one that was not interrupted.
func TestAnExportCanBeContinued(t *testing.T) {
	p := newPlane(t)
	c := p.client(t, p.made.Token, client.Reason("yearly review"))
	for i := range 5 {
		_, err := c.CreateTeam(t.Context(), fmt.Sprint("team ", i))
		check(t, err)
	}
	var first, rest bytes.Buffer
	next, err := c.WriteExport(t.Context(), 0, &first)
	check(t, err)
	_, err = c.CreateTeam(t.Context(), "another")
	check(t, err)
	end, err := c.WriteExport(t.Context(), next, &rest)
	check(t, err)
	if lines := bytes.Count(first.Bytes(), []byte("\n")); int64(lines) != next {
		t.Errorf("%d lines, continues at %d", lines, next)
	}
	whole := bytes.Join([][]byte{first.Bytes(), rest.Bytes()}, nil)
	var index int64
	for line := range bytes.Lines(whole) {
		l, err := audit.ParseExportLine(line)
		check(t, err)
		if l.Index != index {
			t.Errorf("leaf %d stands at %d", l.Index, index)
		}
		index++
	}
	if index != end || !bytes.Contains(whole, []byte("yearly review")) {
		t.Errorf("%d leaves, ends at %d; the reason is missing or a leaf is", index, end)
	}
}

func TestPutReplacesWhatIsThere(t *testing.T) {
	p := newPlane(t)
	c := p.client(t, p.made.Token)
	m := &gatehouse.Model{Name: "org/m:1", Type: gatehouse.LanguageModel, Owner: "me", Version: "1", ContextLength: 5}
	_, err := c.PutModel(t.Context(), m)
	check(t, err)
	m.Version, m.ContextLength = "2", 0
	_, err = c.PutModel(t.Context(), m)
	check(t, err)
	got, err := c.GetModel(t.Context(), m.Name)
	check(t, err)
	if got.Version != "2" || got.ContextLength != 0 {
		t.Errorf("replaced by %+v", got)
	}
	if _, err := c.CreateModel(t.Context(), m); !errors.Is(err, gatehouse.AlreadyExists) {
		t.Errorf("created twice: %v", err)
	}
}

func TestTapHearsTheWire(t *testing.T) {
	p := newPlane(t)
	var heard string
	c := p.client(t, p.made.Token, client.Tap(func(b []byte) { heard = string(b) }))
	_, err := c.Self(t.Context())
	check(t, err)
	if !strings.Contains(heard, `"redactedApiKey"`) {
		t.Errorf("heard %q", heard)
	}
}
