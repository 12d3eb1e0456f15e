package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/library/assertion"
)

// shelf is a library that answers by a handler, over a real connection.
type shelf struct {
	url string
	tr  *http.Transport

	mu   sync.Mutex
	told []assertion.Assertion
}

func newShelf(t *testing.T, h http.HandlerFunc) *shelf {
	s := &shelf{url: serve(t, h), tr: &http.Transport{DisableCompression: true}}
	t.Cleanup(s.tr.CloseIdleConnections)
	return s
}

// Ask implements Library.
func (s *shelf) Ask(r *http.Request, a assertion.Assertion) (*http.Response, error) {
	a.Method, a.Target = r.Method, r.URL.RequestURI()
	s.mu.Lock()
	s.told = append(s.told, a)
	s.mu.Unlock()
	out := r.Clone(r.Context())
	at, err := http.NewRequest(r.Method, s.url+r.URL.RequestURI(), nil)
	if err != nil {
		return nil, err
	}
	out.URL, out.Host = at.URL, ""
	return s.tr.RoundTrip(out)
}

func (s *shelf) last() assertion.Assertion {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told[len(s.told)-1]
}

func (s *shelf) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.told)
}

func (s *shelf) config(c *Config) { c.Library = s }

// refuses answers as the library's face does.
func refuses(w http.ResponseWriter, status int, code gatehouse.Code, message string) {
	w.Header().Set(assertion.CodeHeader, string(code))
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"message":%q}`, message)
}

func echo(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Set-Cookie", "a=b")
	w.Header().Set("Server", "s")
	fmt.Fprintf(w, `{"saw":%q,"type":%q,"auth":%q,"own":%q}`, b, r.Header.Get("Content-Type"), r.Header.Get("Authorization"), r.Header.Get("X-Own"))
}

const one = "/v1/files/file_0190f3a2-0000-7000-8000-000000000001"

// The library is told whose request it is and exactly what is asked, and nothing
// of the client's header but the body's type.
func TestTheLibraryIsToldWhatWasAdmitted(t *testing.T) {
	lib := newShelf(t, echo)
	w := newWorld(t)
	key := w.key(0)
	w.start(lib.config)
	for _, c := range []struct {
		method, path, body, kind string
		limit                    int64
	}{
		{"GET", "/v1/files?limit=3&filter=name%3A%22a%20b%22", "", "", 0},
		{"PUT", one, `{"filename":"n"}`, "application/json", 16},
		{"DELETE", one, "", "", 0},
		{"POST", one + "/public-url", "", "", 0},
		{"POST", "/v1/documents/search", `{"query":"x"}`, "application/json; charset=utf-8", 13},
		{"POST", "/v1/files", "--b\r\nanything", "multipart/form-data; boundary=b", 13},
	} {
		r := w.send(c.method, key, c.path, strings.NewReader(c.body), "Content-Type", c.kind, "X-Request-Id", "r-1", "X-Own", "o")
		want := fmt.Sprintf(`{"saw":%q,"type":%q,"auth":"","own":""}`, c.body, map[bool]string{true: c.kind}[c.body != ""])
		if r.status != 200 || r.body != want || r.header.Get("Set-Cookie") != "" || r.header.Get("Server") != "" {
			t.Errorf("%s %s: %+v", c.method, c.path, r)
		}
		a := lib.last()
		if a.Method != c.method || a.Target != c.path || a.Team != w.teams[0] || a.Key.IsZero() || a.RequestID != "r-1" || a.IP != "127.0.0.1" ||
			a.Base != w.url || a.Limit != c.limit || a.Public {
			t.Errorf("%s %s: %+v", c.method, c.path, a)
		}
	}
	rows := w.usage()
	var got []string
	for _, u := range rows {
		got = append(got, fmt.Sprint(u.Endpoint, u.Status, u.Outcome, u.Usage[gatehouse.Searches], u.Usage.Tokens(), u.Model, u.Estimated))
	}
	if want := fmt.Sprint([]string{fmt.Sprint("/v1/documents/search", 200, gatehouse.Completed, 1, 0, "", false), fmt.Sprint("/v1/files", 200, gatehouse.Completed, 0, 0, "", false)}); fmt.Sprint(got) != want {
		t.Errorf("rows %v, want %v", got, want)
	}
}

// What the gateway can refuse by itself the library never hears of.
func TestWhatIsNotAdmittedIsNotAsked(t *testing.T) {
	lib := newShelf(t, echo)
	w := newWorld(t)
	key := w.key(0)
	chat := w.key(0, func(k *gatehouse.Key) { k.ACL = gatehouse.ACL{"api-key:endpoint:chat"} })
	qpm := int32(1)
	slow := w.key(0, func(k *gatehouse.Key) { k.Limits = gatehouse.Limits{QPM: qpm} })
	w.start(lib.config)
	if r := w.get(slow, "/v1/files"); r.status != 200 {
		t.Fatal(r)
	}
	asked := lib.asked()
	const json, form = "application/json", "multipart/form-data; boundary=b"
	for name, c := range map[string]struct {
		key, method, path, kind, body string
		status                        int
	}{
		"no key":              {"", "GET", "/v1/files", "", "", 401},
		"no endpoint":         {chat, "GET", "/v1/files", "", "", 403},
		"no endpoint, search": {chat, "POST", "/v1/documents/search", json, "{}", 403},
		"beyond qpm":          {slow, "GET", "/v1/files", "", "", 429},
		"a wrong method":      {key, "PATCH", one, "", "", 405},
		"no form":             {key, "POST", "/v1/files", json, "{}", 415},
		"no boundary":         {key, "POST", "/v1/files", "multipart/form-data", "x", 415},
		"no JSON":             {key, "PUT", one, form, "x", 415},
		"another charset":     {key, "PUT", one, "application/json; charset=utf-7", "{}", 415},
		"a body too many":     {key, "GET", "/v1/files", json, "{}", 400},
		"a long question":     {key, "POST", "/v1/documents/search", json, strings.Repeat(" ", maxQuestion+1), 413},
		"no such route":       {key, "POST", "/v1/files:initialize", json, "{}", 404},
		"nor this":            {key, "POST", "/v1/files:uploadChunks", json, "{}", 404},
		"a path in a path":    {key, "GET", "/v1/files/a%2f..%2fb", "", "", 404},
	} {
		if r := w.send(c.method, c.key, c.path, strings.NewReader(c.body), "Content-Type", c.kind); r.status != c.status && (r.err == nil || c.status != 413) {
			t.Errorf("%s: %+v", name, r) // one that is not heard out may see the connection break first
		}
	}
	if lib.asked() != asked {
		t.Errorf("the library was asked %d times", lib.asked()-asked)
	}
}

// What the library refuses is refused in the client's dialect; what is between
// gateway and library never looks like a verdict on the key.
func TestRefusalsOfTheLibraryAreTheClients(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		code   gatehouse.Code
		want   string
	}{
		"missing":      {404, gatehouse.NotFound, `404 {"code":"not-found","error":"words"}`},
		"wrong":        {400, gatehouse.InvalidArgument, `400 {"code":"invalid-argument","error":"words"}`},
		"denied":       {403, gatehouse.PermissionDenied, `403 {"code":"permission-denied","error":"words"}`},
		"too large":    {413, gatehouse.ResourceExhausted, `413 {"code":"payload-too-large","error":"words"}`},
		"full":         {429, gatehouse.ResourceExhausted, `429 {"code":"resource-exhausted","error":"words"}`},
		"not offered":  {501, gatehouse.Unimplemented, `400 {"code":"invalid-argument","error":"words"}`},
		"broken":       {500, gatehouse.Internal, `500 {"code":"internal","error":"internal error"}`},
		"not believed": {401, gatehouse.Unauthenticated, `503 {"code":"unavailable","error":"The library cannot be reached at the moment. Please retry."}`},
		"a stranger":   {404, "", `503 {"code":"unavailable","error":"The library cannot be reached at the moment. Please retry."}`},
	} {
		lib := newShelf(t, func(w http.ResponseWriter, _ *http.Request) { refuses(w, c.status, c.code, "words") })
		w := newWorld(t)
		key := w.key(0)
		w.start(lib.config)
		r := w.get(key, one)
		if got := fmt.Sprint(r.status, " ", r.body); got != c.want || (r.status == 503) != (r.header.Get("Retry-After") != "") {
			t.Errorf("%s: %s, Retry-After %q", name, got, r.header.Get("Retry-After"))
		}
	}
	w := newWorld(t)
	key := w.key(0)
	w.start(func(c *Config) { c.Library, c.OpenAIErrors = away{}, true })
	if r := w.get(key, one); r.status != 503 || r.header.Get("Retry-After") == "" || !strings.Contains(r.body, `"type":"server_error"`) {
		t.Errorf("%+v", r)
	}
	w = newWorld(t)
	key = w.key(0)
	w.start()
	if r := w.get(key, one); r.status != 404 || !strings.Contains(r.body, "not offered") {
		t.Errorf("%+v", r)
	}
}

type away struct{}

func (away) Ask(*http.Request, assertion.Assertion) (*http.Response, error) {
	return nil, errors.New("nobody is there")
}

// endless yields so many bytes and counts how far it was read.
type endless struct{ left, read atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	n := min(int64(len(p)), e.left.Load())
	if n == 0 {
		return 0, io.EOF
	}
	e.left.Add(-n)
	e.read.Add(n)
	return int(n), nil
}

// An upload flows: the library has its beginning before the client has sent its
// end, and the gateway sets nothing of its budget for bodies aside.
func TestAnUploadIsNotGathered(t *testing.T) {
	const size = 24 << 20
	first := make(chan struct{}, 1)
	var held atomic.Int64
	w := newWorld(t)
	lib := newShelf(t, func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 1<<10))
		first <- struct{}{}
		n, err := io.Copy(io.Discard, r.Body)
		held.Store(w.g.bodies.Load())
		fmt.Fprintf(rw, "%d %v", n+1<<10, err)
	})
	key := w.key(0)
	w.start(lib.config, func(c *Config) { c.MaxBody, c.MaxBodies = 1<<20, 1<<20 })
	for _, length := range []int64{size, -1} {
		pr, pw := io.Pipe()
		go func() {
			_, _ = pw.Write(make([]byte, 64<<10))
			<-first
			_, err := pw.Write(make([]byte, size-64<<10))
			pw.CloseWithError(err)
		}()
		req, err := http.NewRequest("POST", w.url+"/v1/files", pr)
		w.must(err)
		req.ContentLength = length
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		resp, err := http.DefaultTransport.RoundTrip(req)
		w.must(err)
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || string(body) != fmt.Sprint(size, " <nil>") || held.Load() != 0 {
			t.Errorf("%d %s, %d bytes held", resp.StatusCode, body, held.Load())
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// A body over the cap is 413, said or not, and the library never sees its end.
func TestAnUploadIsBounded(t *testing.T) {
	whole := make(chan error, 2)
	lib := newShelf(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		whole <- err
	})
	w := newWorld(t)
	key := w.key(0)
	w.start(lib.config)
	body := new(endless)
	body.left.Store(maxUpload + 1<<20)
	if r := w.send("POST", key, "/v1/files", body, "Content-Type", "multipart/form-data; boundary=b"); r.err == nil && r.status != 413 {
		t.Errorf("%+v", r) // the client may see the connection break before the answer
	}
	if err := <-whole; err == nil {
		t.Error("the library saw a whole body")
	}
	resp := rawly(t, w, "POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+key+"\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: "+fmt.Sprint(maxUpload+1)+"\r\n\r\n")
	if !strings.HasPrefix(resp, "HTTP/1.1 413 ") || lib.asked() != 1 {
		t.Error(resp, lib.asked())
	}
}

// rawly sends bytes and reads until the gateway has had enough.
func rawly(t *testing.T, w *world, text string) string {
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	w.must(err)
	defer conn.Close()
	_, err = io.WriteString(conn, text)
	w.must(err)
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	b, _ := io.ReadAll(conn)
	return string(b)
}

// A client that leaves amid its upload ends what the library was asked.
func TestALeavingClientAbortsItsUpload(t *testing.T) {
	ended := make(chan error, 1)
	begun := make(chan struct{})
	lib := newShelf(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 4))
		close(begun)
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
	})
	w := newWorld(t)
	key := w.key(0)
	w.start(lib.config)
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	w.must(err)
	fmt.Fprintf(conn, "POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n--b\r\n", key)
	<-begun
	conn.Close()
	if err := <-ended; err == nil {
		t.Error("a cut body looked whole")
	}
}

// A client that sends nothing for its time is refused, and so is one that the
// library does not want to hear out: neither holds the call.
func TestAnUploadThatStandsStillEnds(t *testing.T) {
	for name, c := range map[string]struct {
		time time.Duration
		h    http.HandlerFunc
		want string
	}{
		"slow": {50 * time.Millisecond, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, "HTTP/1.1 400 "},
		"refused early": {time.Hour, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close") // as the face does
			refuses(w, 403, gatehouse.PermissionDenied, "no")
		}, "HTTP/1.1 403 "},
	} {
		lib := newShelf(t, c.h)
		w := newWorld(t)
		key := w.key(0)
		w.start(lib.config, func(conf *Config) { conf.BodyTime = c.time })
		got := rawly(t, w, "POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+key+"\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n--b\r\n")
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A download flows too, with the headers that keep a browser from showing it,
// and one that breaks off never looks whole.
func TestADownloadFlows(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	var cut atomic.Bool
	lib := newShelf(t, func(w http.ResponseWriter, r *http.Request) {
		for name, v := range map[string]string{
			"Content-Type": "application/octet-stream", "Content-Disposition": `attachment; filename=x`, "X-Content-Type-Options": "nosniff",
			"Cache-Control": "private, no-store", "X-Own": "o",
		} {
			w.Header().Set(name, v)
		}
		if !strings.Contains(r.URL.RawQuery, "text") {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		}
		_, _ = w.Write(content[:len(content)/2])
		if cut.Load() {
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(content[len(content)/2:])
	})
	w := newWorld(t)
	key := w.key(0)
	w.start(lib.config)
	for _, query := range []string{"", "?format=text"} {
		cut.Store(false)
		r := w.get(key, one+"/content"+query)
		if r.status != 200 || r.body != string(content) || r.err != nil || r.header.Get("X-Content-Type-Options") != "nosniff" || r.header.Get("X-Own") != "" ||
			r.header.Get("Content-Disposition") == "" || r.header.Get("Cache-Control") == "" {
			t.Error(query, r.status, len(r.body), r.err, r.header)
		}
		cut.Store(true)
		if r := w.get(key, one+"/content"+query); r.err == nil {
			t.Error(query, "a cut file looked whole", r.status, len(r.body))
		}
	}
}

// A public link needs no key, is bounded by address, and is in no log.
func TestPublicLinksNeedNoKeyAndAreNotLogged(t *testing.T) {
	const token = "gthl_secretsecretsecret"
	inside, leave := make(chan struct{}, linkCrowd), make(chan struct{})
	lib := newShelf(t, func(w http.ResponseWriter, r *http.Request) {
		inside <- struct{}{}
		<-leave
		_, _ = io.WriteString(w, "bytes")
	})
	w := newWorld(t)
	var seen sync.Map
	w.start(lib.config, func(c *Config) { c.OnSettled = func(s *Settled) { seen.Store(s.RequestID, fmt.Sprintf("%+v", *s)) } })
	var all sync.WaitGroup
	for range linkCrowd {
		all.Go(func() {
			if r := w.get("", "/v1/files/public/"+token); r.status != 200 || r.body != "bytes" {
				t.Errorf("%+v", r)
			}
		})
	}
	for range linkCrowd {
		<-inside
	}
	if r := w.get("", "/v1/files/public/"+token); r.status != 429 || r.header.Get("Retry-After") == "" {
		t.Errorf("%+v", r)
	}
	close(leave)
	all.Wait()
	if a := lib.last(); !a.Public || !a.Team.IsZero() || !a.Key.IsZero() || a.Target != "/v1/files/public/"+token {
		t.Errorf("%+v", a)
	}
	w.eventually(func() bool { return strings.Count(w.logs.String(), `"/v1/files/public/{token}"`) == linkCrowd+1 })
	if strings.Contains(w.logs.String(), "secretsecret") || len(w.usage()) != 0 {
		t.Error(w.logs.String(), w.usage())
	}
	seen.Range(func(_, v any) bool {
		if strings.Contains(v.(string), "secretsecret") {
			t.Error(v)
		}
		return true
	})
	for _, method := range []string{"HEAD", "POST"} {
		if r := w.send(method, "", "/v1/files/public/"+token, nil); r.status != 405 || r.header.Get("Allow") != "GET" {
			t.Errorf("%s without a key: %+v", method, r)
		}
	}
	if r := w.get("", "/v1/files/public/"+token+"/x"); r.status != 401 {
		t.Errorf("%+v", r)
	}
}

func TestTheBaseOfALinkIsWhereTheClientCame(t *testing.T) {
	w := newWorld(t)
	w.start()
	for _, c := range []struct{ host, proto, want string }{
		{"g.example.com", "https", "http://g.example.com"}, {"[::1]:8080", "", "http://[::1]:8080"}, {"a b", "", ""}, {"x/y", "", ""}, {"", "", ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = c.host
		r.Header.Set("X-Forwarded-Proto", c.proto)
		if got := (&call{g: w.g, r: r.WithContext(context.Background())}).base(); got != c.want {
			t.Errorf("%q: %q", c.host, got)
		}
	}
}
