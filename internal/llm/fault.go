package llm

import (
	"errors"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"gatehouse"
)

// Fault is one kind of answer that is not the upstream's. Each has a row in one
// table: slug, statuses and the types of the three styles.
type Fault uint8

// The faults, in the order of the contract's table.
const (
	NoCredential       Fault = iota // 401
	BadKey                          // 400 in xAI's style, 401 in the others
	Denied                          // 403
	Missing                         // 404: model, route, object
	Invalid                         // 400
	MethodNotAllowed                // 405
	TooLarge                        // 413
	MediaType                       // 415
	Limited                         // 429, ours
	UpstreamCredential              // 502
	UpstreamExhausted               // 429, the upstream's
	UpstreamFailed                  // 502
	UpstreamTimeout                 // 504
	NotReady                        // 503
	Broken                          // 500
	Duplicate                       // 409
	numFaults
)

// row is what one fault looks like in the three styles.
type row struct {
	slug         string
	status       int
	openAI       string // error.type
	openAICode   string // error.code
	anthropic    string // error.type
	unauthorized bool   // 401 wherever the style is not xAI's
}

func (f Fault) row() row {
	if f >= numFaults {
		f = Broken
	}
	return [numFaults]row{
		NoCredential:       {slug: "unauthenticated:no-credentials", status: 401, openAI: "invalid_request_error", openAICode: "missing_api_key", anthropic: "authentication_error"},
		BadKey:             {slug: "invalid-argument", status: 400, openAI: "invalid_request_error", openAICode: "invalid_api_key", anthropic: "authentication_error", unauthorized: true},
		Denied:             {slug: "permission-denied", status: 403, openAI: "permission_error", openAICode: "permission_denied", anthropic: "permission_error"},
		Missing:            {slug: "not-found", status: 404, openAI: "invalid_request_error", openAICode: "not_found", anthropic: "not_found_error"},
		Invalid:            {slug: "invalid-argument", status: 400, openAI: "invalid_request_error", openAICode: "invalid_argument", anthropic: "invalid_request_error"},
		MethodNotAllowed:   {slug: "method-not-allowed", status: 405, openAI: "invalid_request_error", openAICode: "method_not_allowed", anthropic: "invalid_request_error"},
		TooLarge:           {slug: "payload-too-large", status: 413, openAI: "invalid_request_error", openAICode: "payload_too_large", anthropic: "request_too_large"},
		MediaType:          {slug: "unsupported-media-type", status: 415, openAI: "invalid_request_error", openAICode: "unsupported_media_type", anthropic: "invalid_request_error"},
		Limited:            {slug: "resource-exhausted", status: 429, openAI: "rate_limit_error", openAICode: "rate_limit_exceeded", anthropic: "rate_limit_error"},
		UpstreamCredential: {slug: "upstream-credential", status: 502, openAI: "server_error", openAICode: "upstream_credential", anthropic: "api_error"},
		UpstreamExhausted:  {slug: "upstream-exhausted", status: 429, openAI: "rate_limit_error", openAICode: "upstream_exhausted", anthropic: "rate_limit_error"},
		UpstreamFailed:     {slug: "upstream-failed", status: 502, openAI: "server_error", openAICode: "upstream_failed", anthropic: "api_error"},
		UpstreamTimeout:    {slug: "upstream-timeout", status: 504, openAI: "server_error", openAICode: "upstream_timeout", anthropic: "timeout_error"},
		NotReady:           {slug: "unavailable", status: 503, openAI: "server_error", openAICode: "unavailable", anthropic: "overloaded_error"},
		Broken:             {slug: "internal", status: 500, openAI: "server_error", openAICode: "internal", anthropic: "api_error"},
		Duplicate:          {slug: "conflict", status: 409, openAI: "invalid_request_error", openAICode: "conflict", anthropic: "invalid_request_error"},
	}[f]
}

// Status is the HTTP status of f in a style.
func (f Fault) Status(s Style) int {
	r := f.row()
	if r.unauthorized && s != StyleXAI {
		return http.StatusUnauthorized
	}
	return r.status
}

// Slug is xAI's code for f, and the label of logs and metrics.
func (f Fault) Slug() string { return f.row().slug }

// FaultOf classifies an error of this product; nil and unclassified are Broken.
// What an upstream did has no code of its own: the gateway names those faults.
func FaultOf(err error) Fault {
	if errors.Is(err, errMediaType) {
		return MediaType
	}
	switch gatehouse.CodeOf(err) {
	case gatehouse.InvalidArgument, gatehouse.FailedPrecondition, gatehouse.Unprocessable, gatehouse.Unimplemented:
		return Invalid
	case gatehouse.Unauthenticated:
		return NoCredential
	case gatehouse.PermissionDenied:
		return Denied
	case gatehouse.NotFound:
		return Missing
	case gatehouse.AlreadyExists, gatehouse.Conflict:
		return Duplicate
	case gatehouse.ResourceExhausted:
		return Limited
	case gatehouse.Unavailable:
		return NotReady
	case gatehouse.DeadlineExceeded:
		return UpstreamTimeout
	}
	return Broken
}

// ErrorBody is the JSON body for f in a style. The request id stands in the
// body where the style has a place for it, and in x-request-id always.
func ErrorBody(s Style, f Fault, message, requestID string) []byte {
	r := f.row()
	b := make([]byte, 0, 128+len(message))
	switch s {
	case StyleOpenAI:
		b = appendString(append(b, `{"error":{"message":`...), message)
		b = appendString(append(b, `,"type":`...), r.openAI)
		b = appendString(append(b, `,"param":null,"code":`...), r.openAICode)
		return append(b, "}}"...)
	case StyleAnthropic:
		b = appendString(append(b, `{"type":"error","error":{"type":`...), r.anthropic)
		b = appendString(append(b, `,"message":`...), message)
		b = append(b, '}')
		if requestID != "" {
			b = appendString(append(b, `,"request_id":`...), requestID)
		}
		return append(b, '}')
	}
	b = appendString(append(b, `{"code":`...), r.slug)
	b = appendString(append(b, `,"error":`...), message)
	return append(b, '}')
}

// ErrorFrame is the SSE frame for f, for a failure after the header was sent.
// Anthropic's SDKs go by the event's name, the others by the data alone.
func ErrorFrame(s Style, f Fault, message, requestID string) []byte {
	b := []byte("data: ")
	if s == StyleAnthropic {
		b = []byte("event: error\ndata: ")
	}
	return append(append(b, ErrorBody(s, f, message, requestID)...), "\n\n"...)
}

// The texts follow xAI's word for word as far as observed (wire.md §6.1), with
// its console replaced by "the administrator of this gateway".

// NoCredentialText says that nothing was presented.
const NoCredentialText = "No credentials provided"

// BadKeyText says that a key is not known, showing two characters on each side.
// Of a short one it shows nothing, lest it show it all.
func BadKeyText(presented string) string {
	shown := "***"
	if n := len(presented); n >= 12 {
		shown = presented[:2] + "***" + presented[n-2:]
	}
	return "Incorrect API key provided: " + shown + ". You can obtain an API key from the administrator of this gateway."
}

// EndpointDeniedText says that the key's ACL lacks the endpoint.
func EndpointDeniedText(endpoint string) string {
	return "Access to the " + endpoint + " endpoint is denied. Please ensure you're using the correct credentials. " +
		"If you believe this is a mistake, please ask the administrator of this gateway to update the permissions."
}

// ModelDeniedText says that the key's ACL lacks the model; redacted names the key.
func ModelDeniedText(redacted, model string) string {
	return "The API key " + redacted + " cannot be used to make requests against " + clip(model) +
		" because it lacks the permissions to do so. Please ask the administrator of this gateway to edit the API key and add the permissions."
}

// ModelMissingText says that there is no such model for the team.
func ModelMissingText(model, team string) string {
	return "The model " + clip(model) + " does not exist or your team " + team + " does not have access to it. " +
		"If you believe this is a mistake, please contact the administrator of this gateway and quote your team ID and the model name."
}

// LimitText says which limit of the key was hit: "qps", "qpm", "tpm" or "budget".
func LimitText(team, model, limit string, actual, most int64) string {
	unit, ok := map[string]string{
		"qps": "Requests per Second", "qpm": "Requests per Minute", "tpm": "Tokens per Minute", "budget": "Budget",
	}[limit]
	if !ok {
		unit = limit
	}
	return fmt.Sprintf("Too many requests for team %s and model %s. Your API key's rate limit (%s) is - %s (actual/limit): %d/%d.",
		team, clip(model), limit, unit, actual, most)
}

// NoCreditText says that a team never had any credit.
const NoCreditText = "Your newly created team doesn't have any credits or licenses yet. " +
	"You can purchase those from the administrator of this gateway."

// CreditText says that a team's money is used up.
func CreditText(team string) string {
	return "Your team " + team + " has either used all available credits or reached its monthly spending limit. " +
		"To continue making API requests, please purchase more credits or raise your spending limit."
}

// BudgetText says which budget is used up, and until when.
func BudgetText(b *gatehouse.Budget, until time.Time) string {
	period := "for this " + string(b.Period)
	again := " It begins anew at " + until.UTC().Format(time.RFC3339) + "."
	if until.IsZero() {
		period, again = "in all", ""
	}
	return "The budget " + clip(b.Name) + " (" + string(b.Subject) + "), " + b.Amount.String() + " " + period +
		", has too little left for this request." + again + " Please ask the administrator of this gateway to raise it."
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD, so that an error may echo anything.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		case r < utf8.RuneSelf:
			dst = append(dst, byte(r))
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
