package rpc

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"gatehouse"
)

// honoured is what of each message is translated. A field that is set and not
// here is refused by its name: what is ignored is a wish that is.
var honoured = map[protoreflect.Name]string{
	"Empty":               "",
	"GetModelRequest":     "name",
	"TokenizeTextRequest": "text model user",
	"EmbedRequest":        "input model encoding_format user",
	"EmbedInput":          "string",
	"GetCompletionsRequest": "messages model user n max_tokens seed stop temperature top_p logprobs top_logprobs tools tool_choice" +
		" response_format frequency_penalty presence_penalty reasoning_effort parallel_tool_calls service_tier safety_identifier",
	"Message":         "content reasoning_content role name tool_calls tool_call_id",
	"Content":         "text image_url file",
	"ImageUrlContent": "image_url file_id detail",
	"FileContent":     "file_id data filename mime_type url",
	"ToolCall":        "id type status function",
	"FunctionCall":    "name arguments",
	"Tool":            "function",
	"Function":        "name description strict parameters",
	"ToolChoice":      "mode function_name",
	"ResponseFormat":  "format_type schema",

	"UploadFileChunk": "init data", "UploadFileInit": "name expires_after",
	"ListFilesRequest":           "limit order pagination_token sort_by filter",
	"RetrieveFileRequest":        "file_id",
	"DeleteFileRequest":          "file_id",
	"RetrieveFileContentRequest": "file_id format",
	"CreatePublicUrlRequest":     "file_id expires_after",
	"RevokePublicUrlRequest":     "file_id",
	"SearchRequest":              "query source limit instructions hybrid_retrieval semantic_retrieval keyword_retrieval",
	"DocumentsSource":            "collection_ids",
	"HybridRetrieval":            "search_multiplier reciprocal_rank_fusion",
	"ReciprocalRankFusion":       "k embedding_weight text_weight",
	"SemanticRetrieval":          "", "KeywordRetrieval": "",
}

// carried is what an upstream takes beyond that when it speaks gRPC itself, with
// all that stands below: it refers to nothing that the provider keeps for the
// account, which teams share, and what it costs is in the usage that it answers.
var carried = map[protoreflect.Name]string{
	"GetCompletionsRequest": "search_parameters use_encrypted_content max_turns include agent_count guidelines",
	"Message":               "encrypted_content",
	"Tool":                  "web_search x_search code_execution mcp",
	"ToolCall":              "error_message",
}

// unsayable is the error of a message in which nothing is wrong, but that no
// body of the route says. It goes as it came, or not at all.
type unsayable struct{ error }

// Unwrap is for errors.As.
func (u unsayable) Unwrap() error { return u.error }

// maxProblems is how many problems of one message are told: they end in a
// trailer.
const maxProblems = 16

// maxFields bounds the fields of a message, inner ones included. One of two bytes
// becomes a hundred when it is decoded, so that a message within its size could
// take gigabytes.
const maxFields = 100_000

// countable refuses a message of more than maxFields, before it is decoded.
func countable(d protoreflect.MessageDescriptor, raw []byte) error {
	if left := maxFields; !count(d, raw, &left) {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "The message has more than %d fields.", maxFields)
	}
	return nil
}

// count takes the fields of raw from left. What is malformed is left to the
// decoder.
func count(d protoreflect.MessageDescriptor, raw []byte, left *int) bool {
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return true
		}
		raw = raw[n:]
		if n = protowire.ConsumeFieldValue(number, kind, raw); n < 0 {
			return true
		}
		if *left--; *left < 0 {
			return false
		}
		if f := d.Fields().ByNumber(number); f != nil && f.Message() != nil && kind == protowire.BytesType {
			inner, _ := protowire.ConsumeBytes(raw)
			if !count(f.Message(), inner, left) {
				return false
			}
		}
		raw = raw[n:]
	}
	return true
}

// problems collects what is wrong with a message.
type problems struct {
	list   gatehouse.Violations
	unsaid gatehouse.Violations // what is carried
	more   int
}

func (p *problems) addf(field, format string, args ...any) {
	if len(p.list) == maxProblems {
		p.more++
		return
	}
	p.list.Addf(field, format, args...)
}

// carryf is addf for what is carried.
func (p *problems) carryf(field, format string, args ...any) {
	if len(p.unsaid)+len(p.list) < maxProblems {
		p.unsaid.Addf(field, format, args...)
	}
}

func (p *problems) err() error {
	if len(p.list) == 0 && len(p.unsaid) > 0 {
		return unsayable{p.unsaid.Err()}
	}
	p.list = append(p.list, p.unsaid...)
	if p.more > 0 {
		p.list.Addf("…", "and %d more", p.more)
		p.more = 0
	}
	return p.list.Err()
}

// known refuses whatever is set in a message and not honoured.
func known(m proto.Message) error {
	var bad problems
	walk(m.ProtoReflect(), "", false, &bad)
	return bad.err()
}

// walk looks at the fields of m; within says that m is part of what is carried.
func walk(m protoreflect.Message, path string, within bool, bad *problems) {
	for rest := m.GetUnknown(); len(rest) > 0; {
		number, _, n := protowire.ConsumeField(rest)
		if n < 0 {
			break
		}
		bad.addf(join(path, fmt.Sprint(number)), "unknown field number %d", number)
		rest = rest[n:]
	}
	heeded, also := strings.Fields(honoured[m.Descriptor().Name()]), strings.Fields(carried[m.Descriptor().Name()])
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		if !m.Has(f) {
			continue
		}
		at, v, within := join(path, string(f.Name())), m.Get(f), within
		switch {
		case within, slices.Contains(heeded, string(f.Name())):
		case slices.Contains(also, string(f.Name())):
			bad.carryf(at, notOffered)
			within = true
		default:
			bad.addf(at, notOffered)
			continue
		}
		if !f.IsList() {
			walkValue(f, v, at, within, bad)
			continue
		}
		for i := range v.List().Len() {
			walkValue(f, v.List().Get(i), fmt.Sprintf("%s[%d]", at, i), within, bad)
		}
	}
}

const notOffered = "is not offered by this gateway; leave it out"

func walkValue(f protoreflect.FieldDescriptor, v protoreflect.Value, path string, within bool, bad *problems) {
	switch {
	case f.IsMap(): // of texts
	case f.Message() != nil:
		walk(v.Message(), path, within, bad)
	case f.Enum() != nil && f.Enum().Values().ByNumber(v.Enum()) == nil:
		bad.addf(path, "unknown value %d", v.Enum())
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
