package library

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/api"
	"gatehouse/internal/api/apitest"
	"gatehouse/internal/library"
	"gatehouse/internal/library/assertion"
)

// The wire of wire.md §6.9 and §6.10, pinned.
func TestTranscripts(t *testing.T) {
	apitest.Run(t, "testdata", admitted(newFace(new(files))), map[string]string{
		"file": "file_" + held.String(), "nofile": "file_" + shelf.String(), "collection": "collection_" + shelf.String(),
		"link": linked.Reveal(), "otherlink": elsewise.Reveal(),
	})
}

// Nothing is read of a request, and the library hears nothing of it, that no
// gateway asserted just so.
func TestOnlyWhatAGatewayAssertedIsServed(t *testing.T) {
	good := assertion.Assertion{
		Gateway: gateway, Team: team, Key: apiKey, Limit: 100, Method: "GET", Target: "/v1/files?limit=1", Expire: now.Add(time.Minute),
	}
	for name, change := range map[string]func(*assertion.Assertion, *http.Request){
		"good":            func(*assertion.Assertion, *http.Request) {},
		"another method":  func(a *assertion.Assertion, _ *http.Request) { a.Method = "POST" },
		"another query":   func(a *assertion.Assertion, _ *http.Request) { a.Target = "/v1/files?limit=2" },
		"another path":    func(_ *assertion.Assertion, r *http.Request) { r.URL.Path += "/x" },
		"over":            func(a *assertion.Assertion, _ *http.Request) { a.Expire = now },
		"another gateway": func(a *assertion.Assertion, _ *http.Request) { a.Gateway = gatehouse.ID{9} },
		"for a public link": func(a *assertion.Assertion, _ *http.Request) {
			a.Public, a.Team, a.Key = true, gatehouse.ID{}, gatehouse.ID{}
		},
		"none": func(_ *assertion.Assertion, r *http.Request) { r.Header["X-None"] = nil },
		"two":  func(_ *assertion.Assertion, r *http.Request) { r.Header.Add(assertion.Header, "x") },
	} {
		lib := new(files)
		a, body := good, &untouched{}
		r := httptest.NewRequest("GET", "/v1/files?limit=1", body)
		change(&a, r)
		signed := assertion.Sign(secret, a)
		if _, none := r.Header["X-None"]; !none {
			r.Header.Add(assertion.Header, signed)
		}
		w := httptest.NewRecorder()
		newFace(lib).ServeHTTP(w, r)
		if name == "good" {
			if w.Code != 200 || lib.who.Team != team || lib.who.Key != apiKey {
				t.Error(w.Code, lib.who)
			}
			continue
		}
		if w.Code != 401 || w.Header().Get(assertion.CodeHeader) != string(gatehouse.Unauthenticated) || lib.asked != "" || body.reads > 0 {
			t.Errorf("%s: %d %s, asked %q, body read %d times", name, w.Code, w.Body, lib.asked, body.reads)
		}
	}
	r := httptest.NewRequest("GET", "/v1/files/public/"+linked.Reveal(), nil)
	good.Target = r.URL.RequestURI()
	r.Header.Set(assertion.Header, assertion.Sign(secret, good))
	w := httptest.NewRecorder()
	newFace(new(files)).ServeHTTP(w, r)
	if w.Code != 401 {
		t.Error("a key's assertion opened a public link", w.Code)
	}
}

type untouched struct{ reads int }

func (u *untouched) Read([]byte) (int, error) { u.reads++; return 0, io.EOF }

// formOf writes a form of pairs of name and value; a name that ends in "@" is a file.
func formOf(t *testing.T, pairs ...string) (kind, body string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		var err error
		if name, ok := strings.CutSuffix(pairs[i], "@"); ok {
			var part io.Writer
			part, err = w.CreateFormFile(name, "hello.txt")
			_, _ = io.WriteString(part, pairs[i+1])
		} else {
			err = w.WriteField(pairs[i], pairs[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	return w.FormDataContentType(), b.String()
}

func TestUploads(t *testing.T) {
	for name, c := range map[string]struct {
		pairs []string
		life  time.Duration
		says  string // of a refusal
	}{
		"a file alone":        {pairs: []string{"file@", words}},
		"OpenAI's SDK":        {pairs: []string{"purpose", "assistants", "expires_after[anchor]", "created_at", "expires_after[seconds]", "3600", "file@", words}, life: time.Hour},
		"xAI's way":           {pairs: []string{"expires_after", "3600", "file@", words, "purpose", ""}, life: time.Hour},
		"no file":             {pairs: []string{"purpose", "x"}, says: "file: is required"},
		"life behind":         {pairs: []string{"file@", words, "expires_after", "3600"}, says: "expires_after: must stand before the file"},
		"two files":           {pairs: []string{"file@", words, "file@", words}, says: "file: appears twice"},
		"too short a life":    {pairs: []string{"expires_after", "3599", "file@", words}, says: "expires_after: is 3600 to 2592000"},
		"too long a life":     {pairs: []string{"expires_after", "2592001", "file@", words}, says: "expires_after: is 3600"},
		"no number":           {pairs: []string{"expires_after", "1h", "file@", words}, says: "expires_after: is 3600"},
		"empty":               {pairs: []string{"expires_after", "", "file@", words}, says: "expires_after: is 3600"},
		"both spellings":      {pairs: []string{"expires_after", "3600", "expires_after[seconds]", "3600", "file@", words}, says: "expires_after: appears twice"},
		"another anchor":      {pairs: []string{"expires_after[anchor]", "now", "expires_after[seconds]", "3600", "file@", words}, says: "expires_after[anchor]"},
		"an anchor alone":     {pairs: []string{"expires_after[anchor]", "created_at", "file@", words}, says: "expires_after[seconds]: is required"},
		"an unknown field":    {pairs: []string{"team_id", "x", "file@", words}, says: "team_id: is not known"},
		"unknown behind":      {pairs: []string{"file@", words, "more", "x"}, says: "more: is not known"},
		"a file that is text": {pairs: []string{"file", words}, says: "file: needs a filename"},
		"a long field":        {pairs: []string{"purpose", strings.Repeat("x", 2000), "file@", words}, says: "purpose: is at most"},
	} {
		lib := new(files)
		kind, body := formOf(t, c.pairs...)
		w := ask(t, admitted(newFace(lib)), "POST", "/v1/files", body, "Content-Type", kind)
		if c.says != "" {
			if w.Code != 400 || !strings.Contains(w.Body.String(), c.says) || lib.asked != "" {
				t.Errorf("%s: %d %s; asked %q", name, w.Code, w.Body, lib.asked)
			}
			continue
		}
		if want := fmt.Sprintf("upload %q %q %v", "hello.txt", "", c.life); w.Code != 200 || lib.asked != want || string(lib.took) != words {
			t.Errorf("%s: %d %s; asked %s", name, w.Code, w.Body, lib.asked)
		}
	}
}

// A form that is cut anywhere keeps no file, and neither does one that is longer
// than was admitted.
func TestACutUploadKeepsNothing(t *testing.T) {
	kind, body := formOf(t, "expires_after", "3600", "file@", words, "purpose", "x")
	lib := new(files)
	for i := range len(body) - 4 { // the last line end is nobody's
		if w := ask(t, admitted(newFace(lib)), "POST", "/v1/files", body[:i], "Content-Type", kind); w.Code != 400 || lib.asked != "" {
			t.Fatalf("cut at %d of %d (%q): %d %s", i, len(body), body[i-20:i], w.Code, w.Body)
		}
	}
	written := strings.Replace(body, "filename=", "x=y\r\nContent-Transfer-Encoding: base64\r\nX-Filename: ", 1)
	if w := ask(t, admitted(newFace(lib)), "POST", "/v1/files", written, "Content-Type", kind); w.Code != 400 || !strings.Contains(w.Body.String(), "Transfer-Encoding") || lib.asked != "" {
		t.Errorf("a file that is written in base64: %d %s", w.Code, w.Body)
	}
	long := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := assertion.Assertion{Gateway: gateway, Team: team, Key: apiKey, Limit: 50, Method: "POST", Target: "/v1/files", Expire: now.Add(time.Minute)}
		r.Header.Set(assertion.Header, assertion.Sign(secret, a))
		newFace(lib).ServeHTTP(w, r)
	})
	if w := ask(t, long, "POST", "/v1/files", body, "Content-Type", kind); w.Code != 413 || lib.asked != "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// What a browser gets is bytes to keep, under a name that stays in its quotes.
func TestContentIsHarmless(t *testing.T) {
	h := admitted(newFace(new(files)))
	for target, want := range map[string]string{
		"/v1/files/file_" + held.String() + "/content":             words,
		"/v1/files/" + held.String() + "/content?format=original":  words,
		"/v1/files/file-" + held.String() + "/content?format=text": strings.ToUpper(words),
		"/v1/files/public/" + linked.Reveal():                      words,
	} {
		w := ask(t, h, "GET", target, "")
		get := w.Header().Get
		_, params, err := mime.ParseMediaType(get("Content-Disposition"))
		if w.Code != 200 || w.Body.String() != want || get("Content-Type") != "application/octet-stream" || get("X-Content-Type-Options") != "nosniff" ||
			err != nil || want == words && (params["filename"] != "héllo \"1\".txt" || get("Content-Length") != "5") {
			t.Errorf("%s: %d %s %v", target, w.Code, w.Body, w.Header())
		}
	}
	for _, name := range []string{"a\r\nSet-Cookie: x=y", `a"; x="b`, "\x00", "", strings.Repeat("é", 100), "\xff"} {
		if got := disposition(name); strings.ContainsAny(got, "\r\n\x00") || !strings.HasPrefix(got, "attachment") {
			t.Errorf("%q: %q", name, got)
		}
	}
}

// An answer that has begun and goes wrong is broken off.
func TestABrokenFileNeverLooksWhole(t *testing.T) {
	srv := httptest.NewServer(admitted(newFace(&files{cut: true})))
	defer srv.Close()
	for _, query := range []string{"", "?format=text"} {
		resp, err := http.Get(srv.URL + "/v1/files/file_" + held.String() + "/content" + query)
		if err != nil {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		if resp.Body.Close(); err == nil {
			t.Errorf("%s: %q looks whole", query, body)
		}
	}
}

// A gateway gets an image as it is and the text of all else, within the bounds
// that it named.
func TestInlining(t *testing.T) {
	h := admitted(newFace(new(files)))
	for target, c := range map[string]struct {
		status           int
		code             gatehouse.Code
		body, kind, name string
	}{
		held.String() + "?image=9&text=9":  {200, "", "HELLO", "text/plain", "h%C3%A9llo%20%221%22.txt"},
		drawn.String() + "?image=9&text=1": {200, "", "hello", "image/png", "dot.png"},
		held.String() + "?image=9&text=4":  {429, gatehouse.ResourceExhausted, `{"message":"its text is larger than 4 bytes"}`, "", ""},
		drawn.String() + "?image=4&text=9": {429, gatehouse.ResourceExhausted, `{"message":"the image is larger than 4 bytes"}`, "", ""},
		held.String():                      {400, gatehouse.InvalidArgument, `{"message":"image and text say how many bytes are wanted"}`, "", ""},
	} {
		w := ask(t, h, "GET", assertion.InlinePath+"file_"+target, "")
		get := w.Header().Get
		if w.Code != c.status || get(assertion.CodeHeader) != string(c.code) || w.Body.String() != c.body || get(assertion.TypeHeader) != c.kind ||
			get(assertion.NameHeader) != c.name || get("Content-Length") != fmt.Sprint(len(c.body)) {
			t.Errorf("%s: %d %s %v", target, w.Code, w.Body, w.Header())
		}
	}
}

// Every code has a status, and a file that is too large one of its own.
func TestRefusalsHaveACode(t *testing.T) {
	for _, code := range []gatehouse.Code{gatehouse.InvalidArgument, gatehouse.FailedPrecondition, gatehouse.Unauthenticated, gatehouse.PermissionDenied,
		gatehouse.NotFound, gatehouse.AlreadyExists, gatehouse.Conflict, gatehouse.Unprocessable, gatehouse.ResourceExhausted, gatehouse.Internal,
		gatehouse.Unimplemented, gatehouse.Unavailable, gatehouse.DeadlineExceeded} {
		status := api.StatusOf(code)
		w := ask(t, admitted(newFace(&files{err: gatehouse.Errorf(code, "words").After(1500 * time.Millisecond)})), "GET", "/v1/files", "")
		want := "words"
		if code == gatehouse.Internal {
			want = "internal error"
		}
		if status < 400 || w.Code != status || w.Header().Get(assertion.CodeHeader) != string(code) || w.Body.String() != `{"message":"`+want+`"}` || w.Header().Get("Retry-After") != "2" {
			t.Errorf("%s: %d %s %v", code, w.Code, w.Body, w.Header())
		}
	}
	large := gatehouse.Errorf(gatehouse.ResourceExhausted, "words").Because(library.TooLarge)
	if w := ask(t, admitted(newFace(&files{err: large})), "GET", "/v1/files", ""); w.Code != 413 {
		t.Error(w.Code, w.Body)
	}
	if w := ask(t, admitted(newFace(&files{err: errors.New("a secret")})), "GET", "/v1/files", ""); w.Code != 500 || strings.Contains(w.Body.String(), "secret") {
		t.Error(w.Code, w.Body)
	}
}

// Within one process a body flows, and a context that ends aborts, as over a wire.
func TestLocalIsAWire(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan error, 1)
	local := NewLocal(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, err := assertion.Open(r.Header.Get(assertion.Header), now, func(gatehouse.ID) ([]byte, error) { return secret, nil })
		if err == nil {
			err = a.For("POST", r.URL.RequestURI())
		}
		if err != nil || a.Gateway != gateway || a.Team != team || r.URL.RawQuery != "a=%20b" {
			t.Error(a, err)
		}
		buf := make([]byte, 4)
		_, _ = io.ReadFull(r.Body, buf)
		close(begun)
		n, err := io.Copy(io.Discard, r.Body)
		ended <- err
		fmt.Fprint(w, n+4)
	}), secret, gateway, clock)
	defer local.Close()
	said := assertion.Assertion{Team: team, Key: apiKey, Limit: 1 << 30}
	pr, pw := io.Pipe()
	req := func(ctx context.Context, body io.Reader) *http.Request {
		r, _ := http.NewRequestWithContext(ctx, "POST", "/v1/files?a=%20b", body)
		return r
	}
	go func() {
		_, _ = pw.Write([]byte("0123"))
		<-begun // it had the beginning before there was an end
		_, _ = pw.Write(make([]byte, 1<<20))
		pw.Close()
	}()
	resp, err := local.Ask(req(t.Context(), pr), said)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(body) != fmt.Sprint(1<<20+4) || <-ended != nil {
		t.Error(string(body))
	}
	begun = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	pr, pw = io.Pipe()
	go func() {
		_, _ = pw.Write([]byte("0123"))
		<-begun
		cancel()
		pw.CloseWithError(context.Canceled) // as a client's body ends when it leaves
	}()
	if _, err := local.Ask(req(ctx, pr), said); !errors.Is(err, gatehouse.Unavailable) {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("a body that was given up looked whole")
	}
}
