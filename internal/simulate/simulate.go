// Package simulate is an upstream that costs nothing: it speaks the wire of
// the providers' APIs, xAI's gRPC chat among them, answers with made-up text and
// exact usage, keeps a ledger of what it served, and misbehaves on request. The
// demo, the tests and the benchmarks run against it.
//
// A prompt steers it. Text of the form
//
//	[[sim: words=40 delay=5ms status=429]]
//
// anywhere in the request's text sets knobs for that request; see [Knobs].
package simulate

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"gatehouse"
)

// Options configure a simulated upstream.
type Options struct {
	Kind   gatehouse.UpstreamKind // whose habits of counting; OpenAI unless said
	Key    string                 // the credential it demands; empty: none
	Words  int                    // length of an answer unless the prompt says; 0 is 16
	Models []string               // what GET /v1/models lists
	Ledger io.Writer              // one JSON line per request, besides the one in memory; may be nil
	Logger *slog.Logger
	Now    func() time.Time
}

// Entry is the ground truth of one request that reached the upstream.
type Entry struct {
	RequestID  string `json:"request_id"` // the X-Request-Id it came with
	Path       string `json:"path"`
	Model      string `json:"model"`
	Credential string `json:"credential"` // last four characters of what authenticated
	Status     int    `json:"status"`
	Streamed   bool   `json:"streamed"`
	Finished   bool   `json:"finished"` // the whole answer, usage included, was written
	Prompt     int64  `json:"prompt"`   // tokens, cached ones included
	Cached     int64  `json:"cached"`
	Completion int64  `json:"completion"` // tokens, reasoning excluded
	Reasoning  int64  `json:"reasoning"`
	Sources    int64  `json:"sources,omitempty"` // what a search of the provider read
}

// Upstream is a simulated provider. It is an [http.Handler] for paths under /v1,
// for gRPC of xai_api.Chat when its server speaks [Protocols] and, for tests, GET
// and DELETE of /simulate/ledger.
type Upstream struct {
	opt     Options
	mux     *http.ServeMux
	grpc    http.Handler
	mu      sync.Mutex
	entries []Entry
	stored  map[string]storedResponse
}

// New returns an upstream; it listens to nothing by itself.
func New(opt Options) *Upstream {
	if opt.Words == 0 {
		opt.Words = 16
	}
	if opt.Kind == "" {
		opt.Kind = gatehouse.OpenAI
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	u := &Upstream{opt: opt, mux: http.NewServeMux(), stored: map[string]storedResponse{}}
	u.routes()
	u.grpc = u.native()
	return u
}

func (u *Upstream) routes() {
	u.mux.HandleFunc("POST /v1/chat/completions", u.generate(chatWire{}))
	u.mux.HandleFunc("POST /v1/completions", u.generate(completionsWire{}))
	u.mux.HandleFunc("POST /v1/messages", u.generate(messagesWire{}))
	u.mux.HandleFunc("POST /v1/responses", u.generate(responsesWire{}))
	u.mux.HandleFunc("POST /v1/messages/count_tokens", u.answer(countTokens))
	u.mux.HandleFunc("POST /v1/embeddings", u.answer(embeddings))
	u.mux.HandleFunc("POST /v1/moderations", u.answer(moderations))
	u.mux.HandleFunc("POST /v1/images/generations", u.answer(images))
	u.mux.HandleFunc("POST /v1/images/edits", u.answer(images))
	u.mux.HandleFunc("POST /v1/audio/speech", u.answer(speech))
	u.mux.HandleFunc("POST /v1/audio/transcriptions", u.answer(transcription))
	u.mux.HandleFunc("POST /v1/audio/translations", u.answer(transcription))
	u.mux.HandleFunc("POST /v1/tokenize-text", u.answer(tokenize))
	u.mux.HandleFunc("GET /v1/responses/{id}", u.getResponse)
	u.mux.HandleFunc("DELETE /v1/responses/{id}", u.deleteResponse)
	u.mux.HandleFunc("POST /v1/responses/{id}/cancel", u.getResponse)
	u.mux.HandleFunc("GET /v1/responses/{id}/input_items", u.inputItems)
	u.mux.HandleFunc("GET /v1/models", u.models)
	u.mux.HandleFunc("GET /simulate/ledger", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, u.Ledger()) })
	u.mux.HandleFunc("DELETE /simulate/ledger", func(w http.ResponseWriter, _ *http.Request) { u.Reset(); reply(w, 200, struct{}{}) })
}

// ServeHTTP answers one request.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isGRPC(r) {
		u.grpc.ServeHTTP(w, r)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/v1/") && u.opt.Key != "" && credential(r) != u.opt.Key {
		fail(w, r, http.StatusUnauthorized, "authentication_error", "invalid x-api-key")
		return
	}
	u.mux.ServeHTTP(w, r)
}

// Ledger returns a copy of everything served since the last Reset.
func (u *Upstream) Ledger() []Entry {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]Entry{}, u.entries...)
}

// Reset empties the ledger in memory.
func (u *Upstream) Reset() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.entries = nil
}

// record books an entry when its answer ended, however it ended.
func (u *Upstream) record(e Entry) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.entries = append(u.entries, e)
	if u.opt.Ledger != nil {
		line, _ := json.Marshal(e)
		u.opt.Ledger.Write(append(line, '\n'))
	}
}

func (u *Upstream) models(w http.ResponseWriter, _ *http.Request) {
	list := make([]any, len(u.opt.Models))
	for i, m := range u.opt.Models {
		list[i] = obj{"id": m, "object": "model", "created": 1700000000, "owned_by": "simulate"}
	}
	reply(w, 200, obj{"object": "list", "data": list})
}

// obj is a JSON object being built.
type obj map[string]any

func reply(w http.ResponseWriter, status int, v any) {
	body, _ := json.Marshal(v)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}

// fail answers an error in the shape of the route's own provider.
func fail(w http.ResponseWriter, r *http.Request, status int, kind, message string) {
	e := obj{"type": kind, "message": message}
	if strings.HasPrefix(r.URL.Path, "/v1/messages") {
		reply(w, status, obj{"type": "error", "error": e, "request_id": r.Header.Get("X-Request-Id")})
		return
	}
	e["code"], e["param"] = kind, nil
	reply(w, status, obj{"error": e})
}

func credential(r *http.Request) string {
	if k := r.Header.Get("X-Api-Key"); k != "" {
		return k
	}
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

func last4(s string) string { return s[max(0, len(s)-4):] }
