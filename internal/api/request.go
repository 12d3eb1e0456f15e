package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"gatehouse"
)

const (
	requestIDHeader = "X-Request-Id"
	revisionHeader  = "X-Gatehouse-Revision"
	reasonHeader    = "X-Gatehouse-Reason"
	idempotencyHead = "Idempotency-Key"
	maxHeader       = 255
)

// Request is one admitted request: what a face has beside its message.
type Request struct {
	Caller   // bound to the principal
	Call     *gatehouse.Call
	Brand    string            // of redacted tokens
	Now      time.Time         // when the request came
	Form     *Form             // of a Plain that takes one, until it has answered
	vars     map[string]string // of the path
	json     protojson.MarshalOptions
	mutation bool
	warnings []string
	etag     gatehouse.Revision
}

type requestKey struct{}

// From returns the request that ctx belongs to. The kit puts it there before
// any service method runs.
func From(ctx context.Context) *Request { return ctx.Value(requestKey{}).(*Request) }

// PathID is the id that a variable of the path holds, for a Plain.
func (r *Request) PathID(name string) gatehouse.ID { return PathID(r.vars[name]) }

// OK writes the answer of a Plain as the generated code writes others.
func (r *Request) OK(w http.ResponseWriter, m proto.Message) error {
	text, err := r.json.Marshal(m)
	if err != nil {
		return err
	}
	r.decorate(w.Header())
	w.Header().Set("Content-Type", jsonKind)
	_, _ = w.Write(text) // a client that has gone is no error of ours
	return nil
}

// Warn adds advice about an accepted request.
func (r *Request) Warn(text ...string) { r.warnings = append(r.warnings, text...) }

// ETag says which revision of one record the answer shows, for If-Match.
func (r *Request) ETag(rev gatehouse.Revision) { r.etag = rev }

// decorate writes the headers of a successful answer.
func (r *Request) decorate(h http.Header) {
	if rev := r.Call.Committed; r.mutation && rev != nil && !rev.IsZero() {
		h.Set(revisionHeader, rev.String())
	}
	if !r.etag.IsZero() {
		h.Set("ETag", `"`+r.etag.String()+`"`)
	}
	for _, text := range r.warnings {
		h.Add("Warning", "299 gatehouse "+strconv.QuoteToASCII(text[:min(len(text), maxHeader)]))
	}
}

// credential reads the bearer token. It says no before any look-up to all that
// cannot be a management key, an inference key among them, in one voice. An
// invitation's token opens its acceptance, and nothing else does.
func credential(h http.Header, brand string, op gatehouse.Operation) (gatehouse.Token, error) {
	bad := gatehouse.Errorf(gatehouse.Unauthenticated, "Invalid bearer token. Please ensure you use a valid management key.")
	plane := gatehouse.Management
	if op == gatehouse.AcceptInvitation {
		bad = gatehouse.Errorf(gatehouse.Unauthenticated, "Invalid bearer token. Please ensure you use the token of an invitation.")
		plane = gatehouse.Invite
	}
	if len(h.Values("Authorization")) != 1 {
		return gatehouse.Token{}, bad
	}
	scheme, text, _ := strings.Cut(h.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return gatehouse.Token{}, bad
	}
	token, err := gatehouse.ParseToken(brand, strings.TrimSpace(text))
	if err != nil || token.Plane() != plane {
		return gatehouse.Token{}, bad
	}
	return token, nil
}

// requestID takes the caller's id when it is fit for logs, else makes one.
func requestID(h http.Header) string {
	id := h.Get(requestIDHeader)
	ok := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("-_.:", r)
	}
	if id == "" || len(id) > 128 || strings.IndexFunc(id, func(r rune) bool { return !ok(r) }) >= 0 {
		return gatehouse.NewID().String()
	}
	return id
}

// headers fills the members of call that headers carry.
func headers(h http.Header, call *gatehouse.Call) error {
	var bad gatehouse.Violations
	if m := h.Get("If-Match"); m != "" && m != "*" {
		rev, err := gatehouse.ParseRevision(strings.Trim(m, `"`))
		if err != nil {
			bad.Addf("If-Match", "must be a revision such as \"1.42\"")
		}
		call.IfMatch = rev
	}
	for name, to := range map[string]*string{idempotencyHead: &call.IdempotencyKey, reasonHeader: &call.Reason} {
		*to = h.Get(name)
		if len(*to) > maxHeader || !utf8.ValidString(*to) {
			bad.Addf(name, "must be at most %d bytes of UTF-8", maxHeader)
		}
	}
	return bad.Err()
}
