package client

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"

	"gatehouse"
)

// maxRefusal bounds what is read of an error's body.
const maxRefusal = 1 << 20

// status is google.rpc.Status with the details that the management plane sends.
type status struct {
	Code    codes.Code `json:"code"`
	Message string     `json:"message"`
	Details []struct {
		FieldViolations []struct {
			Field       string `json:"field"`
			Problem     string `json:"problem"`
			Description string `json:"description"` // google.rpc.BadRequest's own name for it
		} `json:"fieldViolations"`
	} `json:"details"`
	// Error is all that the dialect of /v1 says.
	Error struct {
		Message string `json:"message"`
	} `json:"error"`
}

// byGRPC and byHTTP invert the server's table. The status decides first, where
// it says more than the code: 412 and 422 have no gRPC code of their own.
var byHTTP = map[int]gatehouse.Code{
	http.StatusPreconditionFailed:  gatehouse.Conflict,
	http.StatusUnprocessableEntity: gatehouse.Unprocessable,
}

var byGRPC = map[codes.Code]gatehouse.Code{
	codes.InvalidArgument:    gatehouse.InvalidArgument,
	codes.OutOfRange:         gatehouse.InvalidArgument,
	codes.Unauthenticated:    gatehouse.Unauthenticated,
	codes.PermissionDenied:   gatehouse.PermissionDenied,
	codes.NotFound:           gatehouse.NotFound,
	codes.AlreadyExists:      gatehouse.AlreadyExists,
	codes.FailedPrecondition: gatehouse.FailedPrecondition,
	codes.Aborted:            gatehouse.Conflict,
	codes.ResourceExhausted:  gatehouse.ResourceExhausted,
	codes.Unimplemented:      gatehouse.Unimplemented,
	codes.Unavailable:        gatehouse.Unavailable,
	codes.DeadlineExceeded:   gatehouse.DeadlineExceeded,
	codes.Internal:           gatehouse.Internal,
}

// refusal is the error that an answer tells. What answers without the
// management plane's body, a proxy for example, is judged by its status.
func refusal(res *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(res.Body, maxRefusal))
	var said status
	err := json.Unmarshal(text, &said)
	if err == nil && said.Message == "" {
		said.Code, said.Message = fromStatus(res.StatusCode), said.Error.Message
	}
	if err != nil || said.Message == "" {
		said = status{Code: fromStatus(res.StatusCode), Message: "the server answered " + res.Status}
	}
	if res.StatusCode/100 == 3 {
		said.Message = "the server redirects elsewhere (" + res.Status + "); the management key is not sent there: check the base URL"
	}
	code, ok := byHTTP[res.StatusCode]
	if !ok {
		if code, ok = byGRPC[said.Code]; !ok {
			code = gatehouse.Internal
		}
	}
	out := &gatehouse.Error{Code: code, Message: said.Message, RetryAfter: retryAfter(res.Header.Get("Retry-After"))}
	for _, d := range said.Details {
		for _, v := range d.FieldViolations {
			out.Violations = append(out.Violations, gatehouse.Violation{Field: v.Field, Problem: v.Problem + v.Description})
		}
	}
	return out
}

func fromStatus(n int) codes.Code {
	switch n {
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusNotFound:
		return codes.NotFound
	case http.StatusConflict:
		return codes.AlreadyExists
	case http.StatusTooManyRequests:
		return codes.ResourceExhausted
	case http.StatusNotImplemented:
		return codes.Unimplemented
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return codes.Unavailable
	case http.StatusGatewayTimeout, http.StatusRequestTimeout:
		return codes.DeadlineExceeded
	}
	switch n / 100 {
	case 3:
		return codes.FailedPrecondition
	case 4:
		return codes.InvalidArgument
	}
	return codes.Internal
}

// retryAfter reads seconds; the date form is not sent by this server.
func retryAfter(s string) time.Duration {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
