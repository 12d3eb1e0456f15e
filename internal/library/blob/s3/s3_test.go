package s3_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/engine"
	"gatehouse/internal/library/blob"
	"gatehouse/internal/library/blob/blobtest"
	"gatehouse/internal/library/blob/s3"
)

func TestABucketKeepsTheContract(t *testing.T) {
	blobtest.Run(t, func(t testing.TB) blob.Store { return open(t, config(engine.S3(t))) })
}

func config(b engine.Bucket) s3.Config {
	return s3.Config{
		Endpoint: b.Endpoint, Region: b.Region, Bucket: b.Name, Prefix: "library",
		AccessKey: s3.NewSecret(b.AccessKey), SecretKey: s3.NewSecret(b.SecretKey), PathStyle: true, Insecure: true,
	}
}

func open(t testing.TB, c s3.Config) *s3.Store {
	t.Helper()
	s, err := s3.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func spool(t *testing.T, content string) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "spool"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := io.WriteString(f, content); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestPrefixesKeepLibrariesApart(t *testing.T) {
	c := config(engine.S3(t))
	one := open(t, c)
	for _, prefix := range []string{"", "other/deep/", "lib"} {
		c.Prefix = prefix
		other := open(t, c)
		if err := other.Put(t.Context(), "abc", spool(t, "x"), 1); err != nil {
			t.Fatal(err)
		}
		if _, err := one.Open(t.Context(), "abc", 0); gatehouse.CodeOf(err) != gatehouse.NotFound {
			t.Errorf("%q: %v", prefix, err)
		}
	}
	if err := one.List(t.Context(), func(name string) error { t.Error(name); return nil }); err != nil {
		t.Error(err)
	}
}

func TestAMissingBucketIsNamed(t *testing.T) {
	c := config(engine.S3(t))
	c.Bucket = "no-such-bucket"
	_, err := s3.Open(t.Context(), c)
	if gatehouse.CodeOf(err) != gatehouse.FailedPrecondition || !strings.Contains(gatehouse.Public(err), `"no-such-bucket"`) {
		t.Error(err)
	}
}

func TestWrongKeysAreToldAtTheStart(t *testing.T) {
	c := config(engine.S3(t))
	c.SecretKey = s3.NewSecret("wrong-canary")
	_, err := s3.Open(t.Context(), c)
	if gatehouse.CodeOf(err) != gatehouse.FailedPrecondition || strings.Contains(err.Error(), "canary") {
		t.Error(err)
	}
}

func TestAnEndpointIsHTTPSUnlessToldOtherwise(t *testing.T) {
	for endpoint, insecure := range map[string]bool{
		"http://127.0.0.1:1": false, "127.0.0.1:1": true, "ftp://127.0.0.1:1": true, "": true, "https://": false,
		"https://user:canary@127.0.0.1:1": false, "https://127.0.0.1:1/path": false, "https://127.0.0.1:1/?canary": false, "https://[canary": false,
	} {
		_, err := s3.Open(t.Context(), s3.Config{Endpoint: endpoint, Insecure: insecure, Bucket: "bucket", AccessKey: s3.NewSecret("a"), SecretKey: s3.NewSecret("b")})
		if err == nil || gatehouse.CodeOf(err) == gatehouse.Unavailable || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

func TestSecretsCannotBePrinted(t *testing.T) {
	c := s3.Config{AccessKey: s3.NewSecret("canary"), SecretKey: s3.NewSecret("canary")}
	text, err := json.Marshal(struct{ A s3.Secret }{c.AccessKey})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "config", c.SecretKey)
	for _, s := range []string{fmt.Sprintf("%v %+v %#v %s %q %x %d", c, c, c, c.AccessKey, c.AccessKey, c.AccessKey, c.AccessKey), string(text), log.String()} {
		if strings.Contains(s, "canary") || strings.Contains(s, fmt.Sprintf("%x", "canary")) {
			t.Error(s)
		}
	}
}

// meddler answers in the place of the server, or of a part of its answer.
type meddler struct {
	meddle func(*http.Request) (*http.Response, error)
}

func (m *meddler) RoundTrip(r *http.Request) (*http.Response, error) {
	if m.meddle != nil {
		if answer, err := m.meddle(r); answer != nil || err != nil {
			return answer, err
		}
	}
	return http.DefaultTransport.RoundTrip(r)
}

func meddled(t *testing.T) (*s3.Store, *meddler) {
	m, c := &meddler{}, config(engine.S3(t))
	c.Transport = m
	return open(t, c), m
}

func answer(status int, body string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
}

func TestWhatCannotBeToldIsUnavailable(t *testing.T) {
	s, m := meddled(t)
	for what, meddle := range map[string]func(*http.Request) (*http.Response, error){
		"5xx":        answer(503, ""),
		"a stranger": answer(418, "<html>"),
		"garbage":    answer(500, "<Error><Code>NoSuchKey"),
		"no bucket":  answer(404, "<Error><Code>NoSuchBucket</Code></Error>"),
		"refused":    answer(403, "<Error><Code>AccessDenied</Code><Message>key gatehouse-secret</Message></Error>"),
		"a proxy":    answer(404, "<html>no such page</html>"),
		"cut off":    func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
	} {
		m.meddle = meddle
		_, err := s.Open(t.Context(), "abc", 0)
		for call, err := range map[string]error{
			"open":   err,
			"put":    s.Put(t.Context(), "abc", spool(t, "x"), 1),
			"delete": s.Delete(t.Context(), "abc"),
			"list":   s.List(t.Context(), func(string) error { return nil }),
			"check":  s.Check(t.Context()),
		} {
			if gatehouse.CodeOf(err) != gatehouse.Unavailable || strings.Contains(gatehouse.Public(err), "secret") {
				t.Errorf("%s, %s: %v", what, call, err)
			}
		}
	}
}

func TestAnOffsetThatTheServerPassesOverIsNoted(t *testing.T) {
	s, m := meddled(t)
	if err := s.Put(t.Context(), "abc", spool(t, "whole"), 5); err != nil {
		t.Fatal(err)
	}
	m.meddle = func(r *http.Request) (*http.Response, error) {
		r.Header.Del("Range")
		return nil, nil
	}
	if _, err := s.Open(t.Context(), "abc", 2); gatehouse.CodeOf(err) != gatehouse.Unavailable {
		t.Error(err)
	}
}

func TestAPageIsNeitherABlobNorTheProofThatOneIsKept(t *testing.T) {
	s, m := meddled(t)
	m.meddle = answer(200, "<html>please sign in</html>")
	if _, err := s.Open(t.Context(), "abc", 0); gatehouse.CodeOf(err) != gatehouse.Unavailable {
		t.Error(err)
	}
	if err := s.Put(t.Context(), "abc", spool(t, "x"), 1); gatehouse.CodeOf(err) != gatehouse.Unavailable {
		t.Error(err)
	}
}

// hang is a server that takes a request and says nothing.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestASilentServerIsNotWaitedForForEver(t *testing.T) {
	s, m := meddled(t)
	s.SetPatience(10 * time.Millisecond)
	m.meddle = hang
	_, err := s.Open(t.Context(), "abc", 0)
	for call, err := range map[string]error{
		"open":   err,
		"put":    s.Put(t.Context(), "abc", spool(t, "x"), 1),
		"delete": s.Delete(t.Context(), "abc"),
		"list":   s.List(t.Context(), func(string) error { return nil }),
	} {
		if gatehouse.CodeOf(err) != gatehouse.Unavailable {
			t.Errorf("%s: %v", call, err)
		}
	}
}

func TestAnObjectThatEndsEarlyOrStopsIsNoEOF(t *testing.T) {
	s, m := meddled(t)
	if err := s.Put(t.Context(), "abc", spool(t, "whole"), 5); err != nil {
		t.Fatal(err)
	}
	for what, rest := range map[string]func(context.Context) error{
		"early": func(context.Context) error { return io.ErrUnexpectedEOF },
		"stops": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		m.meddle = func(r *http.Request) (*http.Response, error) {
			a, err := http.DefaultTransport.RoundTrip(r)
			if err == nil {
				a.Body = cut{a.Body, func() error { return rest(r.Context()) }}
			}
			return a, err
		}
		r, err := s.Open(t.Context(), "abc", 0)
		if err != nil {
			t.Fatal(err)
		}
		s.SetPatience(10 * time.Millisecond)
		if b, err := io.ReadAll(r); gatehouse.CodeOf(err) != gatehouse.Unavailable {
			t.Errorf("%s: %q %v", what, b, err)
		}
		r.Close()
		s.SetPatience(time.Minute)
	}
}

// cut has an end of its own in the place of the EOF.
type cut struct {
	io.ReadCloser
	end func() error
}

func (c cut) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	if err == io.EOF {
		err = c.end()
	}
	return n, err
}

// The server compares what it got with what was signed.
func TestBytesThatChangeOnTheWayAreRefused(t *testing.T) {
	s, m := meddled(t)
	m.meddle = func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPut {
			r.Body = io.NopCloser(strings.NewReader("wrong"))
		}
		return nil, nil
	}
	if err := s.Put(t.Context(), "abc", spool(t, "whole"), 5); gatehouse.CodeOf(err) != gatehouse.Unavailable {
		t.Error(err)
	}
	m.meddle = nil
	if _, err := s.Open(t.Context(), "abc", 0); gatehouse.CodeOf(err) != gatehouse.NotFound {
		t.Error(err)
	}
}

func TestAServerThatStartsAgainHasWhatItTook(t *testing.T) {
	server, err := engine.NewObjectStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := server.NewBucket()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer server.Kill()
	s := open(t, config(bucket))
	if err := s.Put(t.Context(), "abc", spool(t, "x"), 1); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if _, err := s.Open(t.Context(), "abc", 0); gatehouse.CodeOf(err) != gatehouse.Unavailable {
		t.Error(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), "abc", 0)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
}
