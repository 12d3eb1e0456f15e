package openapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"
)

// Where the two forms are.
const (
	JSONPath = "/openapi.json"
	PagePath = "/docs"
)

// Pages serves a document. What it sends was made once and holds no secret, so
// that nobody needs a credential to read it.
type Pages struct{ json, html file }

type file struct {
	kind string // media type
	etag string
	text []byte
}

// policy keeps a page from loading and from sending anything.
const policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Serves reports whether path is one that Pages answers.
func Serves(path string) bool { return path == JSONPath || path == PagePath }

// Pages renders d. It panics when d cannot be written, which only a mistake in
// the code that made d can cause.
func (d *Document) Pages() *Pages {
	text, err := json.Marshal(d)
	if err != nil {
		panic(err)
	}
	return &Pages{newFile("application/json", text), newFile("text/html; charset=utf-8", d.page())}
}

func newFile(kind string, text []byte) file {
	sum := sha256.Sum256(text)
	return file{kind, `"` + hex.EncodeToString(sum[:8]) + `"`, text}
}

// ServeHTTP answers GET and HEAD of the two paths.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := p.html
	if r.URL.Path == JSONPath {
		f = p.json
	}
	h := w.Header()
	if r.ProtoMajor == 1 && r.ContentLength != 0 {
		h.Set("Connection", "close") // else the server reads the body first, as slowly as it comes
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	h.Set("Content-Type", f.kind)
	h.Set("Etag", f.etag)
	h.Set("Cache-Control", "no-cache") // may be kept, and is asked for again: the next version says more
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.text))
}
