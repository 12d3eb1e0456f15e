package api

import (
	_ "embed"
	"encoding/json"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"gatehouse/internal/openapi"
)

// Comments of the protos by full name, which tools/generate.sh writes, and what
// the transcripts of the faces show by operation id, which a test writes.
var (
	//go:embed comments.json
	commentsJSON []byte
	//go:embed examples.json
	examplesJSON []byte

	comments = parsed[map[protoreflect.FullName]string](commentsJSON)
	examples = parsed[map[string]Example](examplesJSON)
)

// Example is one call of an operation: what was sent, nil when it takes no
// body, and what was answered.
type Example struct {
	Body   any `json:"body,omitempty"`
	Answer any `json:"answer"`
}

func parsed[T any](text []byte) (out T) {
	if err := json.Unmarshal(text, &out); err != nil {
		panic(err) // a broken build
	}
	return out
}

// keyInBody is an update on the path of all keys.
var keyInBody = map[string]any{"apiKey": map[string]any{"apiKeyId": "33333333-3333-4333-8333-333333333333", "qpm": 60}, "fieldMask": "qpm"}

// byHand are bodies that no transcript shows as the document spells them, by
// operation id.
var byHand = map[string]any{
	"CreateTeam":                             map[string]any{"name": "Acme"},
	"CreateUser":                             map[string]any{"email": "ada@example.com", "givenName": "Ada", "familyName": "Lovelace"},
	"CreateAlias":                            map[string]any{"name": "latest", "target": "grok-4"},
	"CreateCluster":                          map[string]any{"name": "east", "address": "east.example.com"},
	"UpdateApiKey_putAuthTeamsTeamIdApiKeys": keyInBody,
	"UpdateApiKey_patchAuthTeamsTeamIdApiKeys": keyInBody,
	"CreateModel": map[string]any{"name": "house-model", "type": "language", "owner": "house", "input": []any{"TEXT"}, "output": []any{"TEXT"}},
}

// shower puts examples into operations: from a transcript, by hand, or made of
// the schema and of what the transcripts show of its parts.
type shower struct {
	doc   *openapi.Document
	known map[string]any // answers, by the reference to their schema
}

// learn remembers what a transcript shows of a message.
func (x shower) learn(op *openapi.Operation) {
	e, shown := examples[op.ID]
	if s := op.Responses["200"].Content[jsonKind].Schema; shown && s != nil && s.Ref != "" && x.known[s.Ref] == nil {
		x.known[s.Ref] = e.Answer
	}
}

func (x shower) fill(op *openapi.Operation) {
	x.put(op.Responses["200"].Content, examples[op.ID].Answer)
	if op.Body == nil {
		return
	}
	name, _, variant := strings.Cut(op.ID, "_")
	sent := examples[op.ID].Body
	if sent == nil {
		sent = byHand[op.ID]
	}
	if sent == nil && variant && op.Body.Content[jsonKind].Schema.Ref == "" {
		sent = examples[name].Body // of the same message on another path
	}
	x.put(op.Body.Content, sent)
}

func (x shower) put(content map[string]openapi.Media, example any) {
	for kind, m := range content {
		if m.Example != nil || m.Schema == nil {
			continue
		}
		if m.Example = example; example == nil {
			m.Example = sampler{x, 0}.sample("", m.Schema)
		}
		content[kind] = m
	}
}

// sampler makes a value that a schema allows.
type sampler struct {
	shower
	depth int
}

// deepest keeps a message that holds itself from doing so for ever.
const deepest = 6

func (x sampler) sample(name string, s *openapi.Schema) any {
	x.depth++
	switch {
	case x.known[s.Ref] != nil:
		return x.known[s.Ref]
	case s.Ref != "":
		return x.sample(name, x.doc.Components.Schemas[strings.TrimPrefix(s.Ref, openapi.SchemaRef("").Ref)])
	case x.depth > deepest && s.Nullable:
		return nil
	case len(s.AllOf) > 0:
		return x.sample(name, s.AllOf[0])
	case len(s.AnyOf) > 0:
		return x.sample(name, s.AnyOf[0])
	case len(s.Enum) > 0:
		return s.Enum[min(1, len(s.Enum)-1)] // the first is the one that says nothing
	}
	switch s.Type {
	case "object":
		return x.object(s)
	case "array":
		if x.depth > deepest {
			return []any{}
		}
		return []any{x.sample(name, s.Items)}
	case "boolean":
		return false
	case "integer", "number":
		return 1
	}
	return text(name, s)
}

func (x sampler) object(s *openapi.Schema) any {
	out := map[string]any{}
	for name, member := range s.Properties {
		if !member.ReadOnly && !member.Alias {
			out[name] = x.sample(name, member)
		}
	}
	if each, ok := s.Additional.(*openapi.Schema); ok {
		out["name"] = x.sample("", each)
	}
	return out
}

// usual are strings that members of a name hold.
var usual = map[string]string{
	"acls": "api-key:model:*", "aclStrings": "api-key:model:*", "acl_strings": "api-key:model:*", "cluster": "local", "model": "grok-4",
	"target": "grok-4", "email": "ada@example.com", "ipRanges": "10.0.0.0/8", "ip_ranges": "10.0.0.0/8", "name": "example", "revision": "1.42",
	"fieldMask": "name", "field_mask": "name",
}

// text is a string of the kind that a member of this name holds.
func text(name string, s *openapi.Schema) string {
	switch {
	case usual[name] != "":
		return usual[name]
	case s.Format == "date-time":
		return "2099-12-31T12:00:00Z"
	case s.Format == "int64":
		return "1"
	case s.Format == "byte":
		return "AQI="
	case s.Pattern == sentDuration || s.Pattern == toldDuration:
		return "30s"
	case strings.HasSuffix(strings.ToLower(name), "id"):
		return "33333333-3333-4333-8333-333333333333"
	}
	return "text"
}
