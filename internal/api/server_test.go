package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/api"
	"gatehouse/internal/api/admin"
	"gatehouse/internal/api/apitest"
	v1 "gatehouse/internal/api/v1"
	"gatehouse/internal/api/xai"
)

func serve(h http.Handler, method, target, token string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(""))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Every operation that a scope can open has the route that the root package
// says, and no route is open to a scope that does not exist.
func TestRoutesAreTheOperations(t *testing.T) {
	backend, _ := apitest.New()
	routes := api.New(backend, api.Options{}, xai.Face(), xai.CollectionsFace(), admin.Face(), v1.Face()).Routes()
	for i, r := range routes {
		routes[i].Path = shape(r.Path)
		if !slices.ContainsFunc(gatehouse.Operations, func(o gatehouse.OperationInfo) bool { return o.Name == r.Name }) {
			t.Errorf("%s %s is no operation: %s", r.Method, r.Path, r.Name)
		}
	}
	for _, o := range gatehouse.Operations {
		if !slices.Contains(routes, gatehouse.OperationInfo{Name: o.Name, Method: o.Method, Path: shape(o.Path)}) {
			t.Errorf("%s has no route %s %s", o.Name, o.Method, o.Path)
		}
	}
}

func shape(path string) string { return regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "{}") }

// No two routes match one request: which would win is nobody's contract.
func TestRoutesAreDistinct(t *testing.T) {
	backend, _ := apitest.New()
	seen := map[string]gatehouse.Operation{}
	for _, r := range api.New(backend, api.Options{}, xai.Face(), xai.CollectionsFace(), admin.Face(), v1.Face()).Routes() {
		at := r.Method + " " + shape(r.Path)
		if other, twice := seen[at]; twice {
			t.Errorf("%s is %s and %s", at, other, r.Name)
		}
		seen[at] = r.Name
	}
}

// The limit is per key, says when to come again, and refills.
func TestRateLimit(t *testing.T) {
	backend, words := apitest.New()
	now := apitest.Now
	h := xai.Handler(backend, api.Options{Rate: 2, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)})
	ask := func(token string) int { return serve(h, "GET", "/auth/management-keys/validation", token).Code }
	got := []int{ask(words["full"]), ask(words["full"]), ask(words["full"]), ask(words["unknown"]), ask(words["narrow"])}
	if want := []int{200, 200, 429, 401, 200}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if after := serve(h, "GET", "/auth/teams", words["full"]).Header().Get("Retry-After"); after != "1" {
		t.Errorf("Retry-After %q", after)
	}
	now = now.Add(time.Second)
	if got := ask(words["full"]); got != 200 {
		t.Errorf("after a second: %d", got)
	}
}

// The caller's request id comes back when it is fit for a log, else a new one.
func TestRequestID(t *testing.T) {
	backend, words := apitest.New()
	h := xai.Handler(backend, api.Options{Logger: slog.New(slog.DiscardHandler)})
	for sent, kept := range map[string]bool{"abc-1.2:3_4": true, "a b": false, "a\x1b[31m": false, strings.Repeat("a", 129): false, "": false} {
		got := serve(h, "GET", "/auth/teams", words["full"], "X-Request-Id", sent).Header().Get("X-Request-Id")
		if (got == sent) != kept || got == "" {
			t.Errorf("%q came back as %q", sent, got)
		}
	}
}

// broken fails every call with err, or panics without one.
type broken struct {
	api.Caller
	err error
}

func (b broken) Authenticate(context.Context) error {
	if b.err == nil {
		panic("gthm_in_a_panic")
	}
	return b.err
}

// What nobody classified is an opaque 500, and neither answer nor log shows
// what a panic carried. Every code has its answer.
func TestFailuresAreToldInOneVoice(t *testing.T) {
	_, keys := apitest.New()
	token := keys["full"]
	for _, c := range []struct {
		err    error
		status int
		grpc   int
		word   string
		told   string
	}{
		{nil, 500, 13, "internal", "internal error"},
		{errors.New("SELECT secret"), 500, 13, "internal", "internal error"},
		{context.DeadlineExceeded, 504, 4, "unavailable", "the request took too long"},
		{gatehouse.Errorf(gatehouse.Unavailable, "starting"), 503, 14, "unavailable", "starting"},
		{gatehouse.Errorf(gatehouse.Conflict, "x"), 412, 10, "conflict", "x"},
		{gatehouse.Errorf(gatehouse.AlreadyExists, "x"), 409, 6, "conflict", "x"},
		{gatehouse.Errorf(gatehouse.Unprocessable, "x"), 422, 3, "invalid_request", "x"},
		{gatehouse.Errorf(gatehouse.FailedPrecondition, "x"), 400, 9, "invalid_request", "x"},
		{gatehouse.Errorf(gatehouse.Unimplemented, "x"), 501, 12, "unavailable", "x"},
	} {
		var log bytes.Buffer
		h := api.New(api.BackendFunc(func(*gatehouse.Call) api.Caller { return broken{err: c.err} }),
			api.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, xai.Face(), xai.CollectionsFace(), v1.Face())
		words := fmt.Sprintf(`"error":{"code":%q,"message":%q}}`, c.word, c.told)
		w := serve(h, "GET", "/v1/team", token)
		if w.Code != c.status || w.Body.String() != "{"+words {
			t.Errorf("%v: in words: %d %s", c.err, w.Code, w.Body)
		}
		w = serve(h, "GET", "/auth/teams", token)
		if w.Code != c.status || w.Body.String() != fmt.Sprintf(`{"code":%d,"message":%q,"details":[],`, c.grpc, c.told)+words {
			t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
		}
		if strings.Contains(log.String(), "gthm_") || !strings.Contains(log.String(), w.Header().Get("X-Request-Id")) {
			t.Errorf("%v: log %s", c.err, log.String())
		}
	}
}

// Two spellings of one request are one request to an Idempotency-Key; another
// body, method or path is another.
func TestBodyHashIsOfTheMeaning(t *testing.T) {
	inner, words := apitest.New()
	var call *gatehouse.Call
	h := xai.Handler(api.BackendFunc(func(c *gatehouse.Call) api.Caller { call = c; return inner.As(c) }), api.Options{})
	hash := func(path, body string) [32]byte {
		r := httptest.NewRequest("POST", path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+words["full"])
		r.Header.Set("Idempotency-Key", "once")
		h.ServeHTTP(httptest.NewRecorder(), r)
		if call.IdempotencyKey != "once" || call.BodyHash == [32]byte{} {
			t.Fatalf("call %+v", call)
		}
		return call.BodyHash
	}
	path := "/auth/teams/" + words["team"] + "/api-keys"
	one := hash(path, `{"name":"a","acls":["api-key:model:*"]}`)
	if two := hash(path, "{ \"name\":\"\\u0061\",\n\"acl_strings\":[\"api-key:model:*\"] }"); one != two {
		t.Error("two spellings differ")
	}
	if hash(path, `{"name":"b","acls":["api-key:model:*"]}`) == one || hash("/auth/teams/"+words["other"]+"/api-keys", `{"name":"a","acls":["api-key:model:*"]}`) == one {
		t.Error("two requests are the same")
	}
}

// A path that no face has is refused as the dialect below it refuses.
func TestUnknownPathsAreRefusedInTheDialectOfTheirBeginning(t *testing.T) {
	backend, _ := apitest.New()
	h := api.New(backend, api.Options{Logger: slog.New(slog.DiscardHandler)}, xai.Face(), xai.CollectionsFace(), v1.Face())
	for path, inWords := range map[string]bool{
		"/v1/nothing": true, "/v1/billing/nothing": true, "/v1/billing/teams/x/nothing": false, "/auth/nothing": false, "/": false,
	} {
		w := serve(h, "GET", path, "")
		if got := strings.HasPrefix(w.Body.String(), `{"error":{"code":"not_found"`); w.Code != 404 || got != inWords {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// The same request for another team is another request to an Idempotency-Key.
func TestBodyHashIsOfTheTeam(t *testing.T) {
	inner, words := apitest.NewV1()
	var call *gatehouse.Call
	h := v1.Handler(api.BackendFunc(func(c *gatehouse.Call) api.Caller { call = c; return inner.As(c) }), api.Options{Logger: slog.New(slog.DiscardHandler)})
	hash := func(query, header string) ([32]byte, gatehouse.ID) {
		serve(h, "GET", "/v1/team"+query, words["full"], "X-Team-ID", header)
		return call.BodyHash, call.TeamID
	}
	one, mine := hash("?team_id="+words["team"], words["team"])
	two, theirs := hash("?team_id="+words["other"], words["other"])
	three, none := hash("", "")
	if mine != apitest.Team || theirs == mine || !none.IsZero() || one == two || three == one {
		t.Errorf("%v %v %v", mine, theirs, none)
	}
}

// A body that stops coming is refused, and does not hold its connection.
func TestASlowUploadIsRefused(t *testing.T) {
	backend, words := apitest.New()
	h := xai.Handler(backend, api.Options{BodyTime: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	server := httptest.NewServer(h)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(conn, "POST /auth/teams/%s/api-keys HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\n\r\n{\"name\":", words["team"], words["full"])
	answer, err := io.ReadAll(conn)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 400 ")) || !bytes.Contains(answer, []byte("came too slowly")) {
		t.Errorf("%v %s", err, answer)
	}
}
