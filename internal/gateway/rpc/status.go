package rpc

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"gatehouse"
	"gatehouse/internal/llm"
)

// faultCodes is what each of the gateway's own refusals is in gRPC. SDKs try
// again by themselves on UNAVAILABLE alone, so it stands where that can help.
var faultCodes = map[llm.Fault]codes.Code{
	llm.NoCredential:       codes.Unauthenticated,
	llm.BadKey:             codes.Unauthenticated,
	llm.Denied:             codes.PermissionDenied,
	llm.Missing:            codes.NotFound,
	llm.Invalid:            codes.InvalidArgument,
	llm.MethodNotAllowed:   codes.Unimplemented,
	llm.TooLarge:           codes.ResourceExhausted,
	llm.MediaType:          codes.InvalidArgument,
	llm.Limited:            codes.ResourceExhausted,
	llm.UpstreamCredential: codes.Internal,
	llm.UpstreamExhausted:  codes.ResourceExhausted,
	llm.UpstreamFailed:     codes.Unavailable,
	llm.UpstreamTimeout:    codes.DeadlineExceeded,
	llm.NotReady:           codes.Unavailable,
	llm.Broken:             codes.Internal,
	llm.Duplicate:          codes.AlreadyExists,
}

// refusalStatus is a refusal in gRPC's words, with the text that REST has.
func refusalStatus(f llm.Fault, message string, after time.Duration) error {
	code, ok := faultCodes[f]
	if !ok {
		code = codes.Internal
	}
	st := status.New(code, clip(message))
	if after > 0 {
		st = with(st, &errdetails.RetryInfo{RetryDelay: durationpb.New(after)})
	}
	return st.Err()
}

// statusOf is an error of this package as a status: one already, or all that is
// wrong with a message.
func statusOf(err error) error {
	var e *gatehouse.Error
	if !errors.As(err, &e) {
		return err // a status, or what the library makes of it
	}
	bad := &errdetails.BadRequest{}
	for _, v := range e.Violations {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: v.Field, Description: v.Problem})
	}
	return with(status.New(codes.InvalidArgument, clip(e.Message)), bad).Err()
}

func with(st *status.Status, detail protoadapt.MessageV1) *status.Status {
	if full, err := st.WithDetails(detail); err == nil {
		return full
	}
	return st
}

// upstreamStatus is an upstream's 4xx, which REST passes on unchanged.
func upstreamStatus(code int, body []byte) error {
	var e struct {
		Error fault `json:"error"`
	}
	_ = json.Unmarshal(body, &e) // what is no JSON has no words
	text := e.Error.text
	if text == "" {
		text = fmt.Sprintf("The upstream provider answered with status %d.", code)
	}
	return status.Error(upstreamCode(code), clip(text))
}

func upstreamCode(code int) codes.Code {
	switch code {
	case http.StatusNotFound, http.StatusGone:
		return codes.NotFound
	case http.StatusMethodNotAllowed:
		return codes.Unimplemented
	case http.StatusRequestTimeout:
		return codes.DeadlineExceeded
	case http.StatusConflict:
		return codes.Aborted
	case http.StatusPaymentRequired, http.StatusPreconditionFailed:
		return codes.FailedPrecondition
	case http.StatusRequestEntityTooLarge:
		return codes.ResourceExhausted
	}
	if code >= 400 && code < 500 {
		return codes.InvalidArgument
	}
	return codes.Unknown
}

// fault is the error in a body or frame: {"message"}, as most providers have it,
// or a string, as xAI has.
type fault struct {
	there bool
	text  string
}

// UnmarshalJSON implements [json.Unmarshaler].
func (f *fault) UnmarshalJSON(b []byte) error {
	if f.there = string(b) != "null"; !f.there || json.Unmarshal(b, &f.text) == nil {
		return nil
	}
	var in struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal(b, &in) // without words it still is an error
	f.text = in.Message
	return nil
}

// clip bounds a text that ends in a trailer: clients refuse large ones.
func clip(s string) string {
	const most = 2 << 10
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
