package gatehouse

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code classifies an error for whoever has to answer it. The set is closed:
// each edge has one table from Code to its own status and body, so a code
// without a row there is a bug that a test finds.
type Code string

// The codes. Their meaning is the gRPC status of the same name, because the
// management wire is that of grpc-gateway (wire.md §1).
const (
	InvalidArgument    Code = "invalid_argument"    // the request can never succeed as written
	Unauthenticated    Code = "unauthenticated"     // no credential, or one that proves nothing
	PermissionDenied   Code = "permission_denied"   // known caller, not allowed
	NotFound           Code = "not_found"           // absent, or in another team: the caller cannot tell which
	AlreadyExists      Code = "already_exists"      // a unique name is taken
	FailedPrecondition Code = "failed_precondition" // right request, wrong state
	Conflict           Code = "conflict"            // If-Match failed or a twin request is running
	ResourceExhausted  Code = "resource_exhausted"  // a limit; RetryAfter says when
	Unprocessable      Code = "unprocessable"       // Idempotency-Key reused with another body
	Unimplemented      Code = "unimplemented"       // named, and not offered
	Unavailable        Code = "unavailable"         // cannot tell now; RetryAfter says when
	DeadlineExceeded   Code = "deadline_exceeded"   // ran out of time
	Internal           Code = "internal"            // nobody classified it: the caller learns nothing more
)

// Error makes a Code usable as the target of [errors.Is]:
// errors.Is(err, gatehouse.NotFound).
func (c Code) Error() string { return string(c) }

// Violation is one thing wrong with one field of a request. Field is the
// wire name with dots ("apiKey.qps"); Problem says what is wrong and what
// would be right.
type Violation struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

// Error is the only error type that crosses a floor. Message is public words:
// it reaches clients and must never hold a secret, SQL, or a path. The cause is
// private and reaches logs alone.
type Error struct {
	Code       Code
	Message    string
	Violations []Violation
	RetryAfter time.Duration // zero: no advice
	cause      error
}

// Errorf makes an Error with public words.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Because attaches the private cause and returns e.
func (e *Error) Because(cause error) *Error {
	e.cause = cause
	return e
}

// After sets when a retry makes sense and returns e.
func (e *Error) After(d time.Duration) *Error {
	e.RetryAfter = d
	return e
}

// Error is for logs: it includes the private cause. Edges use Message.
func (e *Error) Error() string {
	if e.cause == nil {
		return string(e.Code) + ": " + e.Message
	}
	return string(e.Code) + ": " + e.Message + ": " + e.cause.Error()
}

// Unwrap yields the code and the cause, so that errors.Is finds either.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Code}
	}
	return []error{e.Code, e.cause}
}

// CodeOf returns the code of err: empty for nil, Internal for an error that
// nobody classified.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// Public returns the words that may leave the process for err.
func Public(err error) string {
	var e *Error
	if errors.As(err, &e) && e.Code != Internal {
		return e.Message
	}
	return "internal error"
}

// Violations collects everything wrong with a request, so that a caller can
// mend it in one go.
type Violations []Violation

// Addf records one problem of field.
func (v *Violations) Addf(field, format string, args ...any) {
	*v = append(*v, Violation{field, fmt.Sprintf(format, args...)})
}

// Err is nil when nothing was recorded, else one InvalidArgument naming every field.
func (v Violations) Err() error {
	if len(v) == 0 {
		return nil
	}
	parts := make([]string, len(v))
	for i, x := range v {
		parts[i] = x.Field + ": " + x.Problem
	}
	return &Error{Code: InvalidArgument, Message: strings.Join(parts, "; "), Violations: v}
}
