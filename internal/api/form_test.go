package api_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/api"
	"gatehouse/internal/api/apitest"
)

// desk serves one form whose file has at most 10 bytes, and remembers what came
// last.
type desk struct {
	http.Handler
	token, spool string
	content      string
	parts        map[string]string
	hash         [32]byte
}

func newDesk(t *testing.T) *desk {
	backend, words := apitest.New()
	d := &desk{token: words["full"], spool: t.TempDir()}
	d.Handler = api.New(backend, api.Options{Rate: -1, Spool: d.spool, Logger: slog.New(slog.DiscardHandler)}, api.Face{Plain: []api.Plain{{
		Method: "POST", Path: "/forms", Operation: gatehouse.UploadDocument,
		Upload: &api.Upload{File: []string{"file"}, Parts: []string{"name", "fields"}, Max: 10},
		Handle: func(_ http.ResponseWriter, _ *http.Request, r *api.Request) error {
			content, err := io.ReadAll(r.Form.Content)
			d.content, d.parts, d.hash = string(content), r.Form.Parts, r.Call.BodyHash
			return err
		},
	}}})
	return d
}

// send posts a body of unknown length under a boundary.
func (d *desk) send(t *testing.T, boundary string, body io.Reader) int {
	t.Helper()
	r := httptest.NewRequest("POST", "/forms", body)
	r.Header.Set("Authorization", "Bearer "+d.token)
	r.Header.Set("Content-Type", "multipart/form-data; boundary="+boundary)
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	if left, err := os.ReadDir(d.spool); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	return w.Code
}

// form writes parts, "name=text" each; "file=" is the file.
func form(boundary string, parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		name, text, _ := strings.Cut(p, "=")
		file := ""
		if name == "file" {
			file = `; filename="a"`
		}
		b.WriteString("--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + name + "\"" + file + "\r\n\r\n" + text + "\r\n")
	}
	return b.String() + "--" + boundary + "--\r\n"
}

// What comes before the file and what comes after it arrive alike, and the
// file's bytes are its own.
func TestAFormArrivesWhole(t *testing.T) {
	d := newDesk(t)
	if code := d.send(t, "X", strings.NewReader(form("X", "name=n", "file=0\r\n--\x00\xff", "fields={}"))); code != 200 {
		t.Fatal(code)
	}
	if d.content != "0\r\n--\x00\xff" || d.parts["name"] != "n" || d.parts["fields"] != "{}" {
		t.Errorf("%q %v", d.content, d.parts)
	}
}

// A form that is not whole or not within its bounds is refused and leaves
// nothing, however it fails.
func TestABadFormIsRefused(t *testing.T) {
	d := newDesk(t)
	whole := form("X", "name=n", "file=0123456789")
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"as large as may be": {whole, 200},
		"a byte more":        {form("X", "file=0123456789a"), 413},
		"far more":           {form("X", "file="+strings.Repeat("x", 3<<20)), 413},
		"far more before it": {strings.Repeat("x\n", 1<<20) + whole, 413},
		"a part twice":       {form("X", "name=n", "name=n", "file=a"), 400},
		"no end":             {strings.TrimSuffix(whole, "--X--\r\n"), 400},
		"another boundary":   {form("Y", "file=a"), 400},
		"no text":            {form("X", "name=\xff", "file=a"), 400},
		"nothing":            {"", 400},
	} {
		if got := d.send(t, "X", io.MultiReader(strings.NewReader(c.body))); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	for cut := range len(whole) - 4 { // the line that ends a form needs no more than its --
		if got := d.send(t, "X", io.MultiReader(strings.NewReader(whole[:cut]))); got != 400 {
			t.Errorf("cut at %d: %d", cut, got)
		}
	}
	broken := io.MultiReader(strings.NewReader(whole[:len(whole)-12]), failing{})
	if got := d.send(t, "X", broken); got != 400 {
		t.Errorf("a connection that breaks: %d", got)
	}
}

// What stands behind a form has the same time to come as the form itself, so it
// is awaited before anything is done.
func TestABodyIsReadToItsEnd(t *testing.T) {
	d := newDesk(t)
	rest := strings.NewReader(strings.Repeat("x", 100<<10))
	if got := d.send(t, "X", io.MultiReader(strings.NewReader(form("X", "file=a")), rest)); got != 200 || rest.Len() > 0 {
		t.Errorf("%d with %d bytes unread", got, rest.Len())
	}
	d.content = ""
	if got := d.send(t, "X", io.MultiReader(strings.NewReader(form("X", "file=a")), failing{})); got != 400 || d.content != "" {
		t.Errorf("broken behind the form: %d, and %q was taken", got, d.content)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("reset by peer") }

// A form that says that it is too large is refused before a byte of it is read.
func TestATooLargeFormIsNotRead(t *testing.T) {
	d := newDesk(t)
	r := httptest.NewRequest("POST", "/forms", failing{})
	r.ContentLength = 10 << 20
	r.Header.Set("Authorization", "Bearer "+d.token)
	r.Header.Set("Content-Type", "multipart/form-data; boundary=X")
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// An Idempotency-Key is bound to what a form says, not to how it is written.
func TestAFormsHashIsOfItsContent(t *testing.T) {
	d := newDesk(t)
	hash := func(boundary string, parts ...string) [32]byte {
		if code := d.send(t, boundary, strings.NewReader(form(boundary, parts...))); code != 200 {
			t.Fatal(code)
		}
		return d.hash
	}
	first := hash("X", "name=n", "file=a")
	if hash("Other", "file=a", "name=n") != first {
		t.Error("another order is another form")
	}
	for _, other := range [][]string{{"name=n", "file=b"}, {"name=m", "file=a"}, {"file=a"}, {"fields=n", "file=a"}} {
		if hash("X", other...) == first {
			t.Errorf("%v has the hash of another form", other)
		}
	}
}
