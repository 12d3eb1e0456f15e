package gateway

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"gatehouse"
	"gatehouse/internal/llm"
	"gatehouse/internal/openapi"
)

// document describes the routes of the data plane, made of the table that
// requests are classified by. Bodies are the providers' own: only what is judged
// here is described.
func document(openAIErrors bool) *openapi.Document {
	doc := openapi.New(openapi.Info{
		Title: "Gatehouse gateway", Version: "1",
		Description: "The inference API of the providers behind this gateway. Bodies and answers are the providers' own, passed on as they are; " +
			"described is what the gateway itself reads and says.",
	})
	doc.Components.Security = map[string]openapi.Security{
		"bearer":  {Type: "http", Scheme: "bearer", Description: "An API key, as Authorization: Bearer KEY."},
		"xApiKey": {Type: "apiKey", In: "header", Name: "x-api-key", Description: "The same in x-api-key, as Anthropic's SDKs send it."},
		"apiKey":  {Type: "apiKey", In: "header", Name: "api-key", Description: "The same in api-key."},
	}
	doc.Security = []map[string][]string{{"bearer": {}}, {"xApiKey": {}}, {"apiKey": {}}}
	doc.Components.Headers["X-Request-Id"] = openapi.Header{Description: "Names this request in the log.", Schema: &openapi.Schema{Type: "string"}}
	doc.Components.Headers["Retry-After"] = openapi.Header{Description: "Seconds.", Schema: &openapi.Schema{Type: "integer"}}
	doc.Tags = []openapi.Tag{
		{Name: "Inference", Description: "Forwarded to an upstream."},
		{Name: "Gateway", Description: "Answered by the gateway itself."},
		{Name: "Library", Description: "Files and documents that the team keeps here."},
	}
	llm.Routes(func(method string, r llm.Route) {
		if r.Style == llm.StyleXAI && openAIErrors {
			r.Style = llm.StyleOpenAI
		}
		doc.Add(method, r.Path, operation(doc, method, r))
	})
	return doc
}

func operation(doc *openapi.Document, method string, r llm.Route) *openapi.Operation {
	out := &openapi.Operation{
		ID: operationID(method, r.Path), Tags: []string{"Inference"}, Summary: purpose(r),
		Body: requestBody(r), Responses: map[string]*openapi.Response{"200": answered(r)},
	}
	if r.Local {
		out.Tags = []string{"Gateway"}
	}
	if r.Endpoint != "" {
		out.Endpoint = gatehouse.EndpointACL(r.Endpoint)
	}
	if strings.Contains(r.Path, "{id}") {
		p := &openapi.Parameter{Name: "id", In: "path", Required: true, Schema: &openapi.Schema{Type: "string", MinLength: 1}}
		if r.Op == llm.GetModel {
			p.Description = "Name or alias of a model; may hold slashes, escaped or not."
		}
		out.Parameters = append(out.Parameters, p)
	}
	if r.Op == llm.Library {
		libraryOperation(doc, out, method, r)
	}
	for status, faults := range byStatus(r.Style) {
		out.Responses[strconv.Itoa(status)] = openapi.ResponseRef(failure(doc, r, status, faults))
	}
	if !r.Local {
		out.Responses["4XX"] = &openapi.Response{Description: "The provider's own refusal, unchanged."}
	}
	return out
}

// passed reports whether a status may also be the provider's own answer: its
// refusals pass unchanged, but for those of the credential and of limits.
func passed(r llm.Route, status int) bool {
	return !r.Local && status/100 == 4 && status != http.StatusUnauthorized && status != http.StatusForbidden && status != http.StatusTooManyRequests
}

// operationID is the method and the words of the path.
func operationID(method, path string) string {
	words := strings.FieldsFunc(strings.TrimPrefix(path, "/v1"), func(r rune) bool { return strings.ContainsRune("/{}-_", r) })
	for i, w := range words {
		words[i] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.ToLower(method) + strings.Join(words, "")
}

func purpose(r llm.Route) string {
	return map[llm.Op]string{
		llm.Create:      "Makes a model work. Metered and limited.",
		llm.CountTokens: "Counts the tokens of a message. Free.",
		llm.Get:         "Returns a stored response.",
		llm.Delete:      "Deletes a stored response.",
		llm.Cancel:      "Cancels a response that runs in the background.",
		llm.InputItems:  "Lists what a stored response was made of.",
		llm.Tokenize:    "Splits a text into tokens.",
		llm.ListModels:  "Lists the models that the key may use and that could be answered now.",
		llm.GetModel:    "Returns one model by its name or alias.",
		llm.APIKey:      "Describes the key that asks.",
		llm.Me:          "Says whose key it is that asks.",
	}[r.Op]
}

// requestBody is what admission reads of a body; nil for routes without one.
func requestBody(r llm.Route) *openapi.Body {
	if !r.JSON && !r.Multipart {
		return nil
	}
	text := &openapi.Schema{Type: "string"}
	s := &openapi.Schema{Type: "object", Properties: map[string]*openapi.Schema{"model": text}, Required: []string{"model"}, Additional: &openapi.Schema{}}
	out := &openapi.Body{Required: true, Description: "The provider's own body. No member may come twice.", Content: map[string]openapi.Media{}}
	if r.Op == llm.Tokenize {
		s.Properties["text"], s.Required = text, []string{"text"}
		out.Description = ""
	}
	if r.Stream {
		s.Properties["stream"] = &openapi.Schema{Type: "boolean", Description: "Answer with server-sent events."}
	}
	if r.JSON {
		out.Content["application/json"] = openapi.Media{Schema: s, Example: sample(r)}
	}
	if r.Multipart {
		out.Content["multipart/form-data"] = openapi.Media{Schema: s}
	}
	return out
}

// sample is a small body of a route.
func sample(r llm.Route) any {
	hello := []any{map[string]any{"role": "user", "content": "Hello"}}
	out := map[string]any{"model": "grok-4"}
	switch {
	case r.Op == llm.Tokenize:
		out["text"] = "Hello"
	case r.Family == gatehouse.FamilyChat:
		out["messages"] = hello
	case r.Family == gatehouse.FamilyMessages:
		out["messages"], out["max_tokens"] = hello, 256
	case r.Family == gatehouse.FamilySample, r.Family == gatehouse.FamilyImages:
		out["prompt"] = "A lighthouse at dusk"
	default:
		out["input"] = "Hello"
	}
	return out
}

// answered is what comes back when nothing is wrong.
func answered(r llm.Route) *openapi.Response {
	anything := &openapi.Schema{Type: "object", Additional: &openapi.Schema{}}
	out := &openapi.Response{
		Description: "The upstream's answer; its status may be another of the 200s.",
		Headers:     map[string]openapi.Header{"X-Request-Id": openapi.HeaderRef("X-Request-Id")},
		Content:     map[string]openapi.Media{"application/json": {Schema: anything, Example: shown(r.Op)}},
	}
	if r.Local {
		out.Description = "The gateway's answer."
	}
	if r.Stream {
		out.Content["text/event-stream"] = openapi.Media{Schema: &openapi.Schema{Description: "Server-sent events in the provider's form, when the body asks for a stream."}}
	}
	if r.Family == gatehouse.FamilyAudio {
		out.Content["*/*"] = openapi.Media{Schema: &openapi.Schema{Type: "string", Format: "binary", Description: "Audio, or text in the format that the body asks for."}}
	}
	return out
}

// shown is an answer of the gateway itself.
func shown(op llm.Op) any {
	const id, at, token = "33333333-3333-4333-8333-333333333333", "2026-01-31T12:00:00Z", "gthk_...r42q"
	model := map[string]any{"id": "grok-4", "object": "model", "owned_by": "xai", "aliases": []string{"grok-latest"}, "created": 1767225600}
	switch op {
	case llm.ListModels:
		return map[string]any{"object": "list", "data": []any{model}}
	case llm.GetModel:
		return model
	case llm.APIKey:
		return keyInfo{
			Redacted: token, UserID: id, Name: "ci", CreateTime: at, ModifyTime: at, ModifiedBy: id, TeamID: id,
			ACLs: gatehouse.ACL{"api-key:model:*", "api-key:endpoint:*"}, ID: id,
		}
	case llm.Me:
		return me{UserID: id, TeamID: id, ZDR: "no_zdr", Key: meKey{ID: id, Redacted: token}}
	case llm.Tokenize:
		return map[string]any{"token_ids": []any{map[string]any{"token_id": 9906, "string_token": "Hello", "token_bytes": []int{72, 101, 108, 108, 111}}}}
	}
	return nil
}

// byStatus are the faults of a style by their status.
func byStatus(s llm.Style) map[int][]llm.Fault {
	out := map[int][]llm.Fault{}
	for _, f := range llm.Faults() {
		out[f.Status(s)] = append(out[f.Status(s)], f)
	}
	return out
}

// told says when each fault is answered.
var told = map[llm.Fault]string{
	llm.NoCredential:       "No credential.",
	llm.BadKey:             "No such key, or not valid now.",
	llm.Denied:             "The key's ACL lacks the endpoint or the model.",
	llm.Missing:            "No such route, model or object.",
	llm.Invalid:            "The request is not well formed.",
	llm.MethodNotAllowed:   "The route takes the methods that Allow names.",
	llm.TooLarge:           "The body is too large.",
	llm.MediaType:          "The body is in no media type that the route takes.",
	llm.Limited:            "A limit of the key is reached; Retry-After says when to come again.",
	llm.UpstreamCredential: "The upstream refuses the gateway's credential.",
	llm.UpstreamExhausted:  "The upstream's own limit is reached.",
	llm.UpstreamFailed:     "The upstream failed.",
	llm.UpstreamTimeout:    "The upstream took too long.",
	llm.NotReady:           "The gateway cannot tell now; ask again after Retry-After.",
	llm.Broken:             "A fault of the gateway; the log has it under the request id.",
	llm.Duplicate:          "It conflicts with what is there.",
}

var styleNames = map[llm.Style]string{llm.StyleXAI: "XAI", llm.StyleOpenAI: "OpenAI", llm.StyleAnthropic: "Anthropic"}

// failure writes the component that describes a status in a style, once.
func failure(doc *openapi.Document, r llm.Route, status int, faults []llm.Fault) string {
	s := r.Style
	name := fmt.Sprintf("%sError%d", styleNames[s], status)
	if passed(r, status) {
		name += "OrProvider"
	}
	if doc.Components.Responses[name] != nil {
		return name
	}
	meaning := []string{}
	for _, f := range faults {
		meaning = append(meaning, told[f])
	}
	out := &openapi.Response{
		Description: strings.Join(meaning, " "), Headers: maps.Clone(doc.Components.Headers),
		Content: map[string]openapi.Media{"application/json": {
			Schema: errorSchema(doc, s), Example: json.RawMessage(llm.ErrorBody(s, faults[0], told[faults[0]], "0190f3a2")),
		}},
	}
	if m := out.Content["application/json"]; passed(r, status) {
		m.Schema = &openapi.Schema{AnyOf: []*openapi.Schema{m.Schema, {Type: "object", Description: "The provider's own refusal, unchanged."}}}
		out.Content["application/json"] = m
	}
	for h := range out.Headers {
		out.Headers[h] = openapi.HeaderRef(h)
	}
	if !slices.ContainsFunc(faults, func(f llm.Fault) bool { return f == llm.Limited || f == llm.NotReady }) {
		delete(out.Headers, "Retry-After")
	}
	doc.Components.Responses[name] = out
	return name
}

// errorSchema refers to the body of a style, as [llm.ErrorBody] writes it.
func errorSchema(doc *openapi.Document, s llm.Style) *openapi.Schema {
	text := &openapi.Schema{Type: "string"}
	object := func(members map[string]*openapi.Schema, required ...string) *openapi.Schema {
		return &openapi.Schema{Type: "object", Properties: members, Required: required}
	}
	type named = map[string]*openapi.Schema
	name := styleNames[s] + "Error"
	switch s {
	case llm.StyleOpenAI:
		doc.Components.Schemas[name] = object(named{"error": object(named{
			"message": text, "type": text, "code": text, "param": {Type: "string", Nullable: true},
		}, "message", "type", "param", "code")}, "error")
	case llm.StyleAnthropic:
		doc.Components.Schemas[name] = object(named{
			"type": {Type: "string", Enum: []any{"error"}}, "error": object(named{"type": text, "message": text}, "type", "message"), "request_id": text,
		}, "type", "error")
	default:
		doc.Components.Schemas[name] = object(named{"code": text, "error": text}, "code", "error")
	}
	return openapi.SchemaRef(name)
}
