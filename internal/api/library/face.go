// Package library is the face of the library that gateways talk to: files and
// search for API keys (wire.md §6.9 and §6.10). A gateway has admitted whoever
// asks and says so by an assertion; this package believes it, decodes, calls
// [library.Files] and encodes. What a file may be and who may see it is decided
// there.
//
// A refusal has a status, the code in a header and {"message":…}: the gateway
// makes the body of the client's dialect from it.
package library

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/api"
	"gatehouse/internal/library"
	"gatehouse/internal/library/assertion"
)

// Config is what the face speaks for; all but Brand is required.
type Config struct {
	Library library.Files
	// Keys is the key that a gateway signs by; Unauthenticated for a gateway that
	// is no member, or no longer.
	Keys   func(ctx context.Context, gateway gatehouse.ID) ([]byte, error)
	Now    func() time.Time
	Logger *slog.Logger
	Brand  string // of tokens; default gatehouse.DefaultBrand
}

// maxJSON bounds a JSON body: the largest there can be is a search.
const maxJSON = 256 << 10

// Handler serves the routes of files and of search, and what only gateways ask.
// Paths are as clients have them, whatever it is mounted below.
func Handler(c Config) http.Handler {
	c.Brand = cmp.Or(c.Brand, gatehouse.DefaultBrand)
	f := &face{c}
	mux := http.NewServeMux()
	for pattern, h := range map[string]action{
		"POST /v1/files":                        f.upload,
		"GET /v1/files":                         f.list,
		"GET /v1/files/{id}":                    f.get,
		"PUT /v1/files/{id}":                    f.rename,
		"DELETE /v1/files/{id}":                 f.delete,
		"GET /v1/files/{id}/content":            f.content,
		"POST /v1/files/{id}/public-url":        f.publish,
		"POST /v1/files/{id}/public-url/revoke": f.unpublish,
		"POST /v1/documents/search":             f.search,
		"GET " + assertion.InlinePath + "{id}":  f.inline,
		"/":                                     nowhere,
	} {
		mux.Handle(pattern, f.door(false, h))
	}
	public := f.door(true, f.public)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Not a pattern: it and that of a file's content are both of some paths.
		if token, ok := strings.CutPrefix(r.URL.Path, "/v1/files/public/"); ok && r.Method == http.MethodGet {
			r.SetPathValue("token", token)
			public.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

type face struct{ Config }

// action serves a request of whoever it was asserted for. An error before the
// first byte of an answer becomes the answer; a later one breaks it off.
type action func(w http.ResponseWriter, r *http.Request, who library.Asker) error

// door lets through what a gateway asserts. open says that nobody's key is needed,
// and none must be there either.
func (f *face) door(open bool, h action) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w := &answer{ResponseWriter: rw}
		a, err := f.believe(r)
		if err == nil && a.Public != open {
			err = gatehouse.Errorf(gatehouse.Unauthenticated, "the gateway's assertion is for another kind of request")
		}
		if err == nil {
			r.Body = http.MaxBytesReader(w, r.Body, a.Limit)
			err = h(w, r, asker(&a))
		}
		if err != nil {
			f.fail(w, r, &a, err)
		}
	})
}

// believe opens the assertion of a request, before a byte of its body is read.
func (f *face) believe(r *http.Request) (assertion.Assertion, error) {
	text := r.Header[assertion.Header]
	if len(text) != 1 {
		return assertion.Assertion{}, gatehouse.Errorf(gatehouse.Unauthenticated, "only gateways may ask here")
	}
	a, err := assertion.Open(text[0], f.Now(), func(gateway gatehouse.ID) ([]byte, error) { return f.Keys(r.Context(), gateway) })
	if err != nil {
		return a, err
	}
	return a, a.For(r.Method, r.URL.RequestURI())
}

func asker(a *assertion.Assertion) library.Asker {
	ip, _ := netip.ParseAddr(a.IP) // none is none
	return library.Asker{Team: a.Team, Key: a.Key, IP: ip, RequestID: a.RequestID, Base: a.Base}
}

func nowhere(http.ResponseWriter, *http.Request, library.Asker) error {
	return gatehouse.Errorf(gatehouse.NotFound, "There is no such route here.")
}

// answer remembers that it has begun.
type answer struct {
	http.ResponseWriter
	begun bool
}

// WriteHeader implements [http.ResponseWriter].
func (w *answer) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w *answer) Write(p []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(p)
}

// Unwrap is for [http.ResponseController].
func (w *answer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// fail answers with an error. A client that is gone is told nothing.
func (f *face) fail(w *answer, r *http.Request, a *assertion.Assertion, err error) {
	code := gatehouse.CodeOf(err)
	if (code == gatehouse.Internal || code == gatehouse.Unavailable) && r.Context().Err() == nil {
		f.Logger.Error("a request to the library failed", "request_id", a.RequestID, "route", r.Pattern, "err", err)
	}
	if w.begun {
		panic(http.ErrAbortHandler) // else it would look whole
	}
	status := api.StatusOf(code)
	if errors.Is(err, library.TooLarge) {
		status = http.StatusRequestEntityTooLarge
	}
	var e *gatehouse.Error
	if errors.As(err, &e) && e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64(math.Ceil(e.RetryAfter.Seconds())), 10))
	}
	if r.ProtoMajor == 1 && r.ContentLength != 0 {
		w.Header().Set("Connection", "close") // else the server reads the rest first, as slowly as it comes
	}
	w.Header().Set(assertion.CodeHeader, string(code))
	reply(w, status, map[string]string{"message": gatehouse.Public(err)})
}

// reply writes JSON, and nothing of it where HTML would end.
func reply(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // a shape of ours that has no JSON
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // whoever is gone is told nothing
}
