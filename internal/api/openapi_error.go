package api

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"gatehouse"
	"gatehouse/internal/openapi"
)

// meanings says when each status is answered, and how it may sound. A status
// of the table of answers that has no row here is described by its HTTP name.
var meanings = map[int]struct{ when, message string }{
	http.StatusBadRequest:            {"What was sent is wrong: every bad member is named, with the fix.", "qpm: must be a whole number of at most 2147483647"},
	http.StatusUnauthorized:          {"No management key, or none that is valid now.", "Invalid bearer token. Please ensure you use a valid management key."},
	http.StatusForbidden:             {"The key may not: its ACL lacks the scope, or the act exceeds its maker.", "permission denied"},
	http.StatusNotFound:              {"There is no such thing, or it is none of the caller's.", "Not Found"},
	http.StatusMethodNotAllowed:      {"The path is served under the methods that Allow names.", "Method Not Allowed"},
	http.StatusConflict:              {"It is there already.", "already exists"},
	http.StatusPreconditionFailed:    {"If-Match names an older revision than the present one.", "the record has changed"},
	http.StatusRequestEntityTooLarge: {"The body is too large.", fmt.Sprintf("body: larger than %d bytes", maxBody)},
	http.StatusUnsupportedMediaType:  {"The body is compressed, or of another type than the operation takes.", "Content-Type must be application/json"},
	http.StatusUnprocessableEntity:   {"The Idempotency-Key was used for another request.", "Idempotency-Key: was used for another request"},
	http.StatusTooManyRequests:       {"The key asks faster than it may; Retry-After says when to come again.", "this management key sends more than 50 requests per second"},
	http.StatusInternalServerError:   {"A fault of the server; the log has it under the request id.", "internal error"},
	http.StatusNotImplemented:        {"Known, and not done here.", "not implemented"},
	http.StatusServiceUnavailable:    {"Cannot tell now; ask again after Retry-After.", "the store is not reachable"},
	http.StatusGatewayTimeout:        {"It took too long and may yet happen: repeat with the same Idempotency-Key.", "the request took too long"},
}

// statuses are those of failures, with the code that each is told by.
func statuses() map[int]gatehouse.Code {
	out := map[int]gatehouse.Code{
		http.StatusMethodNotAllowed:      gatehouse.Unimplemented,
		http.StatusRequestEntityTooLarge: gatehouse.InvalidArgument,
		http.StatusUnsupportedMediaType:  gatehouse.InvalidArgument,
	}
	for _, code := range slices.Sorted(maps.Keys(answers)) {
		if status := answers[code].status; out[status] == "" || code == gatehouse.InvalidArgument {
			out[status] = code
		}
	}
	return out
}

// ofMutations are answered to no GET.
var ofMutations = []int{http.StatusConflict, http.StatusPreconditionFailed, http.StatusUnprocessableEntity}

// failures are the errors of a route, in the face's body.
func (d *describer) failures(rt *route) map[string]*openapi.Response {
	out := map[string]*openapi.Response{}
	for status := range statuses() {
		if rt.method != http.MethodGet || !slices.Contains(ofMutations, status) {
			out[strconv.Itoa(status)] = openapi.ResponseRef(d.failure(status))
		}
	}
	return out
}

// failure names the component that describes a status in the face's body.
func (d *describer) failure(status int) string {
	return errorSchemas[d.face.Errors] + strconv.Itoa(status)
}

// errorSchemas names the bodies of the styles.
var errorSchemas = map[ErrorStyle]string{StatusErrors: "Error", WordErrors: "WordError"}

// shared writes what the operations of this face refer to.
func (d *describer) shared() {
	c := &d.doc.Components
	c.Schemas[errorSchemas[d.face.Errors]] = errorSchema(d.face.Errors)
	text := &openapi.Schema{Type: "string"}
	c.Headers = map[string]openapi.Header{
		requestIDHeader: {Description: "Names this request in the log.", Schema: text},
		"ETag":          {Description: "Revision of the record, for If-Match.", Schema: text},
		revisionHeader:  {Description: "Revision of the change, when something changed.", Schema: text},
		"Warning":       {Description: "Advice about a request that was accepted.", Schema: text},
		"Retry-After":   {Description: "Seconds.", Schema: &openapi.Schema{Type: "integer"}},
		"Allow":         {Description: "The methods of the path.", Schema: text},
	}
	for name, about := range map[string]string{
		requestIDHeader: "Taken for the log when it is at most 128 of 0-9 A-Z a-z - _ . :, and answered.",
		"If-Match":      "Revision that the record must have, such as \"1.42\".",
		idempotencyHead: "A repetition under the same key is answered as the first request was.",
		reasonHeader:    "Why; kept in the audit log.",
	} {
		s := &openapi.Schema{Type: "string"}
		if name == "If-Match" {
			s.Pattern = `^(\*|"?[0-9]+\.[0-9]+"?)$`
		}
		c.Parameters[name] = &openapi.Parameter{Name: name, In: "header", Description: about, Schema: s}
	}
	for status, code := range statuses() {
		c.Responses[d.failure(status)] = failed(d.face.Errors, status, code)
	}
}

func failed(style ErrorStyle, status int, code gatehouse.Code) *openapi.Response {
	m, a := meanings[status], answers[code]
	if a.status != status {
		a.word = wordInvalid // a refusal
	}
	if m.when == "" {
		m.when, m.message = http.StatusText(status)+".", http.StatusText(status)
	}
	out := &openapi.Response{
		Description: m.when, Headers: map[string]openapi.Header{requestIDHeader: openapi.HeaderRef(requestIDHeader)},
		Content: jsonOf(openapi.SchemaRef(errorSchemas[style]), told(style, a, m.message)),
	}
	switch status {
	case http.StatusMethodNotAllowed:
		out.Headers["Allow"] = openapi.HeaderRef("Allow")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		out.Headers["Retry-After"] = openapi.HeaderRef("Retry-After")
	}
	return out
}

// errorSchema is a body as told writes it.
func errorSchema(style ErrorStyle) *openapi.Schema {
	text := &openapi.Schema{Type: "string"}
	words := &openapi.Schema{
		Type: "object", Required: []string{"code", "message"}, Properties: map[string]*openapi.Schema{"code": text, "message": text},
	}
	if style == WordErrors {
		return &openapi.Schema{Type: "object", Required: []string{"error"}, Properties: map[string]*openapi.Schema{"error": words}}
	}
	violation := &openapi.Schema{Type: "object", Properties: map[string]*openapi.Schema{"field": text, "description": text}, Required: []string{"field", "description"}}
	detail := &openapi.Schema{
		Type: "object", Required: []string{"@type"},
		Properties: map[string]*openapi.Schema{"@type": text, "fieldViolations": {Type: "array", Items: violation}},
	}
	return &openapi.Schema{
		Type: "object", Description: "google.rpc.Status, and the same in words.", Required: []string{"code", "message", "details", "error"},
		Properties: map[string]*openapi.Schema{
			"code":    {Type: "integer", Description: "google.rpc.Code."},
			"message": text, "error": words,
			"details": {Type: "array", Items: detail, Description: "For a 400 that names members a google.rpc.BadRequest."},
		},
	}
}
