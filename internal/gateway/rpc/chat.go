package rpc

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"net/http"

	"google.golang.org/protobuf/proto"

	"gatehouse/gen/xai"
)

const chatPath = "/v1/chat/completions"

var chat = service{"Chat", []method{
	{
		name: "GetCompletion", message: completions, verb: http.MethodPost, path: chatPath,
		body: func(in proto.Message) ([]byte, error) { return chatBody(in.(*xai.GetCompletionsRequest), false) },
		whole: func(in proto.Message, body []byte) (proto.Message, error) {
			return completion(in.(*xai.GetCompletionsRequest), body)
		},
	},
	{
		name: "GetCompletionChunk", message: completions, verb: http.MethodPost, path: chatPath,
		body:  func(in proto.Message) ([]byte, error) { return chatBody(in.(*xai.GetCompletionsRequest), true) },
		frame: func() func([]byte) (proto.Message, error) { return new(chunker).frame },
	},
}}

func completions() proto.Message { return &xai.GetCompletionsRequest{} }

// chatRequest is the body of /v1/chat/completions. The names are those that
// xAI, OpenAI and Anthropic's compatible route all take; max_completion_tokens
// is the one of its kind that none of them refuses.
type chatRequest struct {
	Model             string          `json:"model"`
	Messages          []turn          `json:"messages"`
	N                 *int32          `json:"n,omitempty"`
	MaxTokens         *int32          `json:"max_completion_tokens,omitempty"`
	Seed              *int32          `json:"seed,omitempty"`
	Stop              []string        `json:"stop,omitempty"`
	Temperature       *float32        `json:"temperature,omitempty"`
	TopP              *float32        `json:"top_p,omitempty"`
	FrequencyPenalty  *float32        `json:"frequency_penalty,omitempty"`
	PresencePenalty   *float32        `json:"presence_penalty,omitempty"`
	Logprobs          bool            `json:"logprobs,omitempty"`
	TopLogprobs       *int32          `json:"top_logprobs,omitempty"`
	Tools             []tool          `json:"tools,omitempty"`
	ToolChoice        any             `json:"tool_choice,omitempty"`
	ParallelToolCalls *bool           `json:"parallel_tool_calls,omitempty"`
	ResponseFormat    *responseFormat `json:"response_format,omitempty"`
	ReasoningEffort   string          `json:"reasoning_effort,omitempty"`
	ServiceTier       string          `json:"service_tier,omitempty"`
	User              string          `json:"user,omitempty"`
	SafetyIdentifier  *string         `json:"safety_identifier,omitempty"`
	Stream            bool            `json:"stream,omitempty"`
	StreamOptions     *streamOptions  `json:"stream_options,omitempty"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

type tool struct {
	Type     string   `json:"type"`
	Function function `json:"function"`
}

type function struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"`
	Strict      bool            `json:"strict,omitempty"`
}

type responseFormat struct {
	Type   string      `json:"type"`
	Schema *jsonSchema `json:"json_schema,omitempty"`
}

type jsonSchema struct {
	Name   string          `json:"name"`
	Strict bool            `json:"strict"`
	Schema json.RawMessage `json:"schema"`
}

// named is a tool choice that names the function.
type named struct {
	Type     string `json:"type"`
	Function struct {
		Name string `json:"name"`
	} `json:"function"`
}

// efforts and tiers are what the enums' values are called in JSON. INVALID and
// UNSPECIFIED are not wishes.
var (
	efforts = map[xai.ReasoningEffort]string{
		xai.ReasoningEffort_EFFORT_NONE: "none", xai.ReasoningEffort_EFFORT_LOW: "low", xai.ReasoningEffort_EFFORT_MEDIUM: "medium",
		xai.ReasoningEffort_EFFORT_HIGH: "high", xai.ReasoningEffort_EFFORT_XHIGH: "xhigh",
	}
	tiers = map[xai.ServiceTier]string{
		xai.ServiceTier_SERVICE_TIER_DEFAULT: "default", xai.ServiceTier_SERVICE_TIER_PRIORITY: "priority",
	}
	modes = map[xai.ToolMode]string{
		xai.ToolMode_TOOL_MODE_AUTO: "auto", xai.ToolMode_TOOL_MODE_NONE: "none", xai.ToolMode_TOOL_MODE_REQUIRED: "required",
	}
)

// chatBody is a completion's request as JSON. With an unsayable error it is
// what can be said.
func chatBody(in *xai.GetCompletionsRequest, stream bool) ([]byte, error) {
	var bad problems
	out := chatRequest{
		Model: in.Model, Messages: turns(in.Messages, &bad), N: in.N, MaxTokens: in.MaxTokens, Seed: in.Seed, Stop: in.Stop,
		Temperature: in.Temperature, TopP: in.TopP, FrequencyPenalty: in.FrequencyPenalty, PresencePenalty: in.PresencePenalty,
		Logprobs: in.Logprobs, TopLogprobs: in.TopLogprobs, Tools: tools(in.Tools, &bad), ToolChoice: toolChoice(in.ToolChoice, &bad),
		ParallelToolCalls: in.ParallelToolCalls, ResponseFormat: format(in.ResponseFormat, &bad),
		ServiceTier: tiers[in.ServiceTier], User: in.User, SafetyIdentifier: in.SafetyIdentifier,
	}
	if in.ReasoningEffort != nil {
		if out.ReasoningEffort = efforts[*in.ReasoningEffort]; out.ReasoningEffort == "" {
			bad.addf("reasoning_effort", "INVALID_EFFORT says nothing; leave it out")
		}
	}
	if stream {
		out.Stream, out.StreamOptions = true, &streamOptions{IncludeUsage: true}
	}
	for i, o := range in.Include {
		if o == xai.IncludeOption_INCLUDE_OPTION_CODE_EXECUTION_FILES_OUTPUT {
			bad.addf(at("include", i), "would make files in the provider's account; leave it out")
		}
	}
	finite(in, &bad)
	err := bad.err()
	if err != nil && !errors.As(err, new(unsayable)) {
		return nil, err
	}
	text, mistake := encode(out)
	return text, cmp.Or(mistake, err)
}

// finite refuses the numbers that JSON cannot say.
func finite(in *xai.GetCompletionsRequest, bad *problems) {
	for name, v := range map[string]*float32{
		"temperature": in.Temperature, "top_p": in.TopP, "frequency_penalty": in.FrequencyPenalty, "presence_penalty": in.PresencePenalty,
	} {
		if v != nil && *v-*v != 0 { // NaN and the infinities
			bad.addf(name, "must be a finite number")
		}
	}
}

func tools(list []*xai.Tool, bad *problems) (out []tool) {
	for i, t := range list {
		f := t.GetFunction()
		switch {
		case t.GetTool() == nil:
			bad.addf(at("tools", i), "must be a function")
			continue
		case f == nil:
			continue // known has named it
		}
		out = append(out, tool{"function", function{
			f.Name, f.Description, object(f.Parameters, at("tools", i)+".function.parameters", bad), f.Strict,
		}})
	}
	return out
}

func toolChoice(c *xai.ToolChoice, bad *problems) any {
	switch c := c.GetToolChoice().(type) {
	case *xai.ToolChoice_Mode:
		if mode := modes[c.Mode]; mode != "" {
			return mode
		}
		bad.addf("tool_choice.mode", "TOOL_MODE_INVALID says nothing; leave it out")
	case *xai.ToolChoice_FunctionName:
		n := named{Type: "function"}
		n.Function.Name = c.FunctionName
		return n
	}
	return nil
}

// format is strict with a schema: that the answer fits is what the field
// promises.
func format(f *xai.ResponseFormat, bad *problems) *responseFormat {
	if f == nil {
		return nil
	}
	if f.Schema != nil && f.FormatType != xai.FormatType_FORMAT_TYPE_JSON_SCHEMA {
		bad.addf("response_format.schema", "goes with FORMAT_TYPE_JSON_SCHEMA")
	}
	switch f.FormatType {
	case xai.FormatType_FORMAT_TYPE_TEXT:
		return &responseFormat{Type: "text"}
	case xai.FormatType_FORMAT_TYPE_JSON_OBJECT:
		return &responseFormat{Type: "json_object"}
	case xai.FormatType_FORMAT_TYPE_JSON_SCHEMA:
		if f.GetSchema() == "" {
			bad.addf("response_format.schema", "is required with FORMAT_TYPE_JSON_SCHEMA")
		}
		return &responseFormat{"json_schema", &jsonSchema{"response", true, object(f.GetSchema(), "response_format.schema", bad)}}
	}
	bad.addf("response_format.format_type", "FORMAT_TYPE_INVALID says nothing; leave response_format out")
	return nil
}

// object is JSON that a field carries as text; nil when there is none.
func object(text, field string, bad *problems) json.RawMessage {
	if text == "" {
		return nil
	}
	var any map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &any) != nil || any == nil {
		bad.addf(field, "must be a JSON object as text")
		return nil
	}
	return json.RawMessage(text)
}

// encode is v as JSON, with text as it is: a body of HTML must not grow sixfold.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}
