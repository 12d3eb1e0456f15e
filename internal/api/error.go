package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gatehouse"
)

// answer is a row of the table from a Code to what the wire says.
type answer struct {
	grpc   codes.Code
	status int
	word   string // in the documents that have words for codes
}

// The words for codes. The documents have five; the last three are ours, for
// what they do not mention.
const (
	wordInvalid      = "invalid_request"
	wordUnauthorized = "unauthorized"
	wordForbidden    = "forbidden"
	wordNotFound     = "not_found"
	wordRateLimited  = "rate_limited"
	wordConflict     = "conflict"
	wordUnavailable  = "unavailable"
	wordInternal     = "internal"
)

// answers is the one table of this edge: grpc-gateway's, with 412 for a lost
// If-Match and 422 for a misused Idempotency-Key (wire.md §1, §10.2, contract.md).
var answers = map[gatehouse.Code]answer{
	gatehouse.InvalidArgument:    {codes.InvalidArgument, http.StatusBadRequest, wordInvalid},
	gatehouse.Unauthenticated:    {codes.Unauthenticated, http.StatusUnauthorized, wordUnauthorized},
	gatehouse.PermissionDenied:   {codes.PermissionDenied, http.StatusForbidden, wordForbidden},
	gatehouse.NotFound:           {codes.NotFound, http.StatusNotFound, wordNotFound},
	gatehouse.AlreadyExists:      {codes.AlreadyExists, http.StatusConflict, wordConflict},
	gatehouse.FailedPrecondition: {codes.FailedPrecondition, http.StatusBadRequest, wordInvalid},
	gatehouse.Conflict:           {codes.Aborted, http.StatusPreconditionFailed, wordConflict},
	gatehouse.ResourceExhausted:  {codes.ResourceExhausted, http.StatusTooManyRequests, wordRateLimited},
	gatehouse.Unprocessable:      {codes.InvalidArgument, http.StatusUnprocessableEntity, wordInvalid},
	gatehouse.Unimplemented:      {codes.Unimplemented, http.StatusNotImplemented, wordUnavailable},
	gatehouse.Unavailable:        {codes.Unavailable, http.StatusServiceUnavailable, wordUnavailable},
	gatehouse.DeadlineExceeded:   {codes.DeadlineExceeded, http.StatusGatewayTimeout, wordUnavailable},
	gatehouse.Internal:           {codes.Internal, http.StatusInternalServerError, wordInternal},
}

// StatusOf is the HTTP status of a code on this edge.
func StatusOf(code gatehouse.Code) int { return answers[code].status }

// statusClientGone is nginx's: nobody reads it, and the log should not say 500.
const statusClientGone = 499

// refusal is an error whose status HTTP knows and gRPC does not: 405, 413, 415.
type refusal struct {
	err    *gatehouse.Error
	status int
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refuse(status int, format string, args ...any) error {
	code := gatehouse.InvalidArgument
	if status == http.StatusMethodNotAllowed {
		code = gatehouse.Unimplemented
	}
	return &refusal{gatehouse.Errorf(code, format, args...), status}
}

// ErrorStyle is how a face tells an error.
type ErrorStyle int

// The styles. Programs written for one dialect and pointed at another's route
// find what they look for in StatusErrors too (wire.md §10.2).
const (
	StatusErrors ErrorStyle = iota // google.rpc.Status, with WordErrors' member beside it
	WordErrors                     // {"error":{"code","message"}}
)

// body is google.rpc.Status as protojson writes it, and the other dialects'
// member. Equal errors have equal bytes, so the request id is in the header
// alone: an id in the body would make a foreign key's 404 differ from a missing
// one's.
type body struct {
	Code    codes.Code `json:"code"`
	Message string     `json:"message"`
	Details []any      `json:"details"`
	words
}

// words is the body of WordErrors.
type words struct {
	Error said `json:"error"`
}

type said struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// told is the body of an answer without details, in the style of a face.
func told(style ErrorStyle, a answer, message string) any {
	w := words{said{a.word, message}}
	if style == WordErrors {
		return w
	}
	return body{a.grpc, message, []any{}, w}
}

// badRequest is google.rpc.BadRequest: which fields, for programs.
type badRequest struct {
	Type       string           `json:"@type"`
	Violations []fieldViolation `json:"fieldViolations"`
}

type fieldViolation struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

func violations(all []gatehouse.Violation) any {
	out := badRequest{Type: "type.googleapis.com/google.rpc.BadRequest"}
	for _, v := range all {
		out.Violations = append(out.Violations, fieldViolation{v.Field, v.Problem})
	}
	return out
}

// fail answers with err and logs it.
func (s *Server) fail(ctx context.Context, w http.ResponseWriter, style ErrorStyle, op gatehouse.Operation, err error) {
	a, err := s.refused(ctx, op, w.Header().Get(requestIDHeader), err)
	writeError(w, style, a, err)
}

// refused finds the answer to an error and logs it. It is the only place where
// an error becomes a response, and the only one that logs its private cause.
func (s *Server) refused(ctx context.Context, op gatehouse.Operation, id string, err error) (answer, error) {
	err = s.classify(err)
	a := answers[gatehouse.CodeOf(err)]
	var r *refusal
	if errors.As(err, &r) {
		a.status, a.word = r.status, wordInvalid
	}
	level := slog.LevelInfo
	if a.status >= 500 {
		level = slog.LevelError
	}
	s.Logger.LogAttrs(ctx, level, "management request refused", slog.String("operation", string(op)),
		slog.Int("status", a.status), slog.String("request_id", id), slog.String("error", err.Error()))
	return a, err
}

func writeError(w http.ResponseWriter, style ErrorStyle, a answer, err error) {
	out := told(style, a, gatehouse.Public(err))
	var e *gatehouse.Error
	if errors.As(err, &e) {
		if status, ok := out.(body); ok && len(e.Violations) > 0 {
			status.Details = append(status.Details, violations(e.Violations))
			out = status
		}
		if e.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
		}
	}
	text, _ := json.Marshal(out) // strings and numbers always marshal
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_, _ = w.Write(text) // a client that has gone is no error of ours
}

// classify turns what the generated code says about a request into words of
// ours. A deadline that passed in the store is unavailability, and nothing else
// unclassified may leave the process.
func (s *Server) classify(err error) error {
	var ours *gatehouse.Error
	if errors.As(err, &ours) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return gatehouse.Errorf(gatehouse.DeadlineExceeded, "the request took too long").Because(err)
	}
	if errors.Is(err, context.Canceled) {
		return refuse(statusClientGone, "the client went away")
	}
	if st, ok := status.FromError(err); ok && st.Code() == codes.InvalidArgument {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "the request does not have the documented shape").Because(err)
	}
	return gatehouse.Errorf(gatehouse.Internal, "unclassified").Because(err)
}

// styleAt is how a path without a route is refused.
func (s *Server) styleAt(path string) ErrorStyle {
	style, longest := StatusErrors, 0
	for _, f := range s.faces {
		for _, beginning := range f.Under {
			if len(beginning) > longest && strings.HasPrefix(path, beginning) {
				style, longest = f.Errors, len(beginning)
			}
		}
	}
	return style
}

func (s *Server) noRoute(allow []string) error {
	if len(allow) > 0 {
		return refuse(http.StatusMethodNotAllowed, "Method Not Allowed")
	}
	return gatehouse.Errorf(gatehouse.NotFound, "Not Found")
}

// tooFast is the management plane's own limit.
func tooFast(whose string, rate float64) error {
	return gatehouse.Errorf(gatehouse.ResourceExhausted,
		"%s sends more than %s requests per second", whose, strconv.FormatFloat(rate, 'g', -1, 64)).
		After(time.Duration(math.Ceil(1/rate)) * time.Second)
}

// crashed makes an error of a panic: its value may hold anything.
func crashed(v any) error {
	return gatehouse.Errorf(gatehouse.Internal, "panic").Because(fmt.Errorf("panic: %T", v))
}
