package rpc

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"gatehouse"
	"gatehouse/gen/xai"
)

// message reads one as protojson, which is shorter than Go.
func message[M proto.Message](t *testing.T, m M, text string) M {
	t.Helper()
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	return m
}

func ask(text string) *xai.GetCompletionsRequest {
	return &xai.GetCompletionsRequest{Model: "small", Messages: []*xai.Message{{
		Role: xai.MessageRole_ROLE_USER, Content: []*xai.Content{{Content: &xai.Content_Text{Text: text}}},
	}}}
}

func same(t *testing.T, want, got proto.Message) {
	t.Helper()
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Error(d)
	}
}

// all reads a stream to its end.
func all(t *testing.T, stream grpc.ServerStreamingClient[xai.GetChatCompletionChunk], err error) (out []*xai.GetChatCompletionChunk) {
	t.Helper()
	for err == nil {
		var c *xai.GetChatCompletionChunk
		if c, err = stream.Recv(); err == nil {
			out = append(out, c)
		}
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return out
}

func TestACompletionIsMeteredAsOverREST(t *testing.T) {
	w, up := simulated(t)
	key := w.key()
	w.start()
	var header metadata.MD
	ctx := metadata.AppendToOutgoingContext(key, "x-request-id", "mine")
	r, err := xai.NewChatClient(w.conn).GetCompletion(ctx, ask("[[sim: words=5 prompt=40 cached=30 reasoning=7]] hi"), grpc.Header(&header))
	w.must(err)
	if got := r.Outputs[0].Message; got.Content != "the quick brown fox jumps" || got.Role != xai.MessageRole_ROLE_ASSISTANT || r.Outputs[0].FinishReason != xai.FinishReason_REASON_STOP {
		t.Errorf("%v", r)
	}
	same(t, message(t, &xai.SamplingUsage{}, `{"prompt_tokens":40,"prompt_text_tokens":40,"cached_prompt_text_tokens":30,"completion_tokens":5,"reasoning_tokens":7,"total_tokens":52}`), r.Usage)
	if got := header.Get("x-request-id"); len(got) != 1 || got[0] != "mine" {
		t.Errorf("header %v", header)
	}
	u := w.usage()
	if len(u) != 1 || u[0].Outcome != gatehouse.Completed || u[0].Endpoint != "/v1/chat/completions" || u[0].RequestID != "mine" || u[0].Usage.Tokens() != 52 {
		t.Errorf("%+v", u)
	}
	if e := up.Ledger(); len(e) != 1 || e[0].RequestID != "mine" || e[0].Streamed {
		t.Errorf("%+v", e)
	}
}

func TestAStreamedCompletion(t *testing.T) {
	w, _ := simulated(t)
	key := w.key()
	w.start()
	stream, err := xai.NewChatClient(w.conn).GetCompletionChunk(key, ask("[[sim: words=4 prompt=3]] hi"))
	got := all(t, stream, err)
	text := ""
	for _, c := range got {
		for _, o := range c.Outputs {
			text += o.Delta.Content
			if o.Delta.Role != xai.MessageRole_ROLE_ASSISTANT {
				t.Errorf("a piece without its role: the SDK keeps the last one's; %v", c)
			}
		}
	}
	last, before := got[len(got)-1], got[len(got)-2]
	if text != "the quick brown fox " || before.Outputs[0].FinishReason != xai.FinishReason_REASON_STOP {
		t.Errorf("%q, %v", text, before)
	}
	if last.Usage.GetTotalTokens() != 7 || last.Id == "" || last.Model != "small" {
		t.Errorf("the SDK keeps the last piece's usage, id and model: %v", last)
	}
	if u := w.usage(); len(u) != 1 || u[0].Usage.Tokens() != 7 || u[0].Estimated {
		t.Errorf("%+v", u)
	}
}

// Everything that a conversation can hold, as it reaches the upstream.
func TestWhatTheUpstreamIsAsked(t *testing.T) {
	up := newCanned(`{"id":"c1","choices":[{"index":0,"message":{"content":"ok"},"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
	w := newWorld(t, up)
	key := w.key()
	w.start()
	in := message(t, &xai.GetCompletionsRequest{}, `{"model":"small","user":"u","safety_identifier":"s","n":2,"max_tokens":9,"seed":7,"stop":["a","b"],"temperature":0.2,"top_p":0.9,
		"logprobs":true,"top_logprobs":3,"frequency_penalty":0.5,"presence_penalty":-0.5,"reasoning_effort":"EFFORT_XHIGH","parallel_tool_calls":false,
		"service_tier":"SERVICE_TIER_PRIORITY","tool_choice":{"function_name":"weather"},
		"response_format":{"format_type":"FORMAT_TYPE_JSON_SCHEMA","schema":"{\"type\":\"object\"}"},
		"tools":[{"function":{"name":"weather","description":"d","strict":true,"parameters":"{\"type\":\"object\",\"properties\":{\"file_id\":{\"type\":\"string\"}}}"}},{"function":{"name":"none"}}],
		"messages":[
			{"role":"ROLE_SYSTEM","content":[{"text":"be <brief>"}]},
			{"role":"ROLE_USER","name":"ann","content":[{"text":"look"},{"image_url":{"image_url":"data:image/png;base64,AA==","detail":"DETAIL_HIGH"}},{"file":{"data":"aGk=","filename":"a.txt","mime_type":"text/plain"}},{"file":{"url":"https://example.com/b.pdf"}}]},
			{"role":"ROLE_ASSISTANT","content":[{"text":""}],"reasoning_content":"hm","tool_calls":[{"id":"x","type":"TOOL_CALL_TYPE_CLIENT_SIDE_TOOL","function":{"name":"weather","arguments":"{}"}},{"id":"y","function":{"name":"weather","arguments":"{}"}}]},
			{"role":"ROLE_TOOL","content":[{"text":"hot"}],"tool_call_id":"y"},
			{"role":"ROLE_TOOL","content":[{"text":"cold"}]},
			{"role":"ROLE_DEVELOPER","content":[{"text":"go on"}]}]}`)
	r, err := xai.NewChatClient(w.conn).GetCompletion(key, in)
	w.must(err)
	if r.Outputs[0].FinishReason != xai.FinishReason_REASON_MAX_LEN || r.Settings.GetMaxTokens() != 9 || r.Settings.ParallelToolCalls {
		t.Errorf("%v", r)
	}
	want := `{"model":"small","messages":[{"role":"system","content":"be <brief>"},` +
		`{"role":"user","content":[{"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA==","detail":"high"}},` +
		`{"type":"file","file":{"file_data":"data:text/plain;base64,aGk=","filename":"a.txt"}},{"type":"file","file":{"url":"https://example.com/b.pdf"}}],"name":"ann"},` +
		`{"role":"assistant","content":null,"reasoning_content":"hm","tool_calls":[{"id":"x","type":"function","function":{"name":"weather","arguments":"{}"}},{"id":"y","type":"function","function":{"name":"weather","arguments":"{}"}}]},` +
		`{"role":"tool","content":"hot","tool_call_id":"y"},{"role":"tool","content":"cold","tool_call_id":"x"},{"role":"developer","content":"go on"}],` +
		`"n":2,"max_completion_tokens":9,"seed":7,"stop":["a","b"],"temperature":0.2,"top_p":0.9,"frequency_penalty":0.5,"presence_penalty":-0.5,"logprobs":true,"top_logprobs":3,` +
		`"tools":[{"type":"function","function":{"name":"weather","description":"d","parameters":{"type":"object","properties":{"file_id":{"type":"string"}}},"strict":true}},{"type":"function","function":{"name":"none"}}],` +
		`"tool_choice":{"type":"function","function":{"name":"weather"}},"parallel_tool_calls":false,"response_format":{"type":"json_schema","json_schema":{"name":"response","strict":true,"schema":{"type":"object"}}},` +
		`"reasoning_effort":"xhigh","service_tier":"priority","user":"u","safety_identifier":"s"}`
	if got := strings.TrimSpace(<-up.asked); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWhatTheUpstreamAnswers(t *testing.T) {
	up := newCanned(`{"id":"c1","created":1700000000,"model":"m","system_fingerprint":"fp","service_tier":"priority","citations":["https://a"],"choices":[
		{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":null,"reasoning_content":"hm","tool_calls":[{"id":"x","type":"function","function":{"name":"weather","arguments":"{}"}}]}},
		{"index":1,"finish_reason":"content_filter","message":{"content":null,"refusal":"no"},"logprobs":{"content":[{"token":"n","logprob":-0.5,"bytes":[110],"top_logprobs":[{"token":"y","logprob":-2,"bytes":[121]}]}]}}],
		"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":20,"prompt_tokens_details":{"text_tokens":7,"image_tokens":3},"completion_tokens_details":{"reasoning_tokens":6},"num_sources_used":1,"cost_in_usd_ticks":55}}`)
	w := newWorld(t, up)
	key := w.key()
	w.start()
	got, err := xai.NewChatClient(w.conn).GetCompletion(key, ask("hi"))
	w.must(err)
	same(t, message(t, &xai.GetChatCompletionResponse{}, `{"id":"c1","created":"2023-11-14T22:13:20Z","model":"m","system_fingerprint":"fp","service_tier":"SERVICE_TIER_PRIORITY","citations":["https://a"],
		"settings":{"parallel_tool_calls":true},"outputs":[
		{"finish_reason":"REASON_TOOL_CALLS","message":{"role":"ROLE_ASSISTANT","reasoning_content":"hm","tool_calls":[{"id":"x","type":"TOOL_CALL_TYPE_CLIENT_SIDE_TOOL","function":{"name":"weather","arguments":"{}"}}]}},
		{"index":1,"message":{"role":"ROLE_ASSISTANT","content":"no"},"logprobs":{"content":[{"token":"n","logprob":-0.5,"bytes":"bg==","top_logprobs":[{"token":"y","logprob":-2,"bytes":"eQ=="}]}]}}],
		"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":20,"prompt_text_tokens":7,"prompt_image_tokens":3,"reasoning_tokens":6,"num_sources_used":1,"cost_in_usd_ticks":"55"}}`), got)
}

// The SDK takes each tool call of each piece for one of its own.
func TestToolCallsInAStreamComeWhole(t *testing.T) {
	piece := func(s string) string {
		return `data: {"id":"c1","model":"m","choices":[{"index":0,` + s + "}]}\r\n\r\n"
	}
	w := newWorld(t, newCanned(
		piece(`"delta":{"role":"assistant","reasoning_content":"hm"}`),
		piece(`"delta":{"tool_calls":[{"index":0,"id":"x","function":{"name":"weather","arguments":""}}]}`),
		piece(`"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}},{"index":1,"id":"y","function":{"name":"time","arguments":"{"}}]}`),
		piece(`"delta":{"tool_calls":[{"index":0,"id":"x","function":{"arguments":":1}"}},{"index":1,"function":{"arguments":"}"}}]}`),
		": a comment\n\n",
		piece(`"delta":{"tool_calls":[{"id":"z","function":{"name":"whole","arguments":"{}"}}]}`),
		piece(`"delta":{},"finish_reason":"tool_calls"`),
		`data: {"id":"c1","model":"m","choices":[],"usage":{"prompt_tokens":2,"completion_tokens":9,"total_tokens":11,"completion_tokens_details":{"reasoning_tokens":4}}}`+"\n\n", "data: [DONE]\n\n"))
	key := w.key()
	w.start()
	stream, err := xai.NewChatClient(w.conn).GetCompletionChunk(key, ask("hi"))
	got := all(t, stream, err)
	if len(got) != 3 {
		t.Fatal(got)
	}
	same(t, message(t, &xai.GetChatCompletionChunk{}, `{"id":"c1","model":"m","outputs":[{"delta":{"role":"ROLE_ASSISTANT","reasoning_content":"hm"}}]}`), got[0])
	call := func(id, name, arguments string) string {
		return `{"id":"` + id + `","type":"TOOL_CALL_TYPE_CLIENT_SIDE_TOOL","function":{"name":"` + name + `","arguments":"` + arguments + `"}}`
	}
	same(t, message(t, &xai.GetChatCompletionChunk{}, `{"id":"c1","model":"m","outputs":[{"finish_reason":"REASON_TOOL_CALLS","delta":{"role":"ROLE_ASSISTANT","tool_calls":[`+
		call("x", "weather", `{\"a\":1}`)+","+call("y", "time", "{}")+","+call("z", "whole", "{}")+`]}}]}`), got[1])
	same(t, message(t, &xai.SamplingUsage{}, `{"prompt_tokens":2,"prompt_text_tokens":2,"completion_tokens":5,"reasoning_tokens":4,"total_tokens":11}`), got[2].Usage)
}

func TestToolsAndStructuredOutputThroughASimulatedProvider(t *testing.T) {
	w, _ := simulated(t)
	key := w.key()
	w.start()
	in := ask("[[sim: tool words=1]] weather?")
	in.Tools = []*xai.Tool{{Tool: &xai.Tool_Function{Function: &xai.Function{Name: "weather", Parameters: `{"type":"object"}`}}}}
	in.ResponseFormat = &xai.ResponseFormat{FormatType: xai.FormatType_FORMAT_TYPE_JSON_OBJECT}
	r, err := xai.NewChatClient(w.conn).GetCompletion(key, in)
	w.must(err)
	if c := r.Outputs[0].Message.ToolCalls; len(c) != 1 || c[0].GetFunction().Arguments != `{"city":"Paris"}` || r.Outputs[0].FinishReason != xai.FinishReason_REASON_TOOL_CALLS {
		t.Errorf("%v", r)
	}
	stream, err := xai.NewChatClient(w.conn).GetCompletionChunk(key, in)
	if got := all(t, stream, err); got[0].Outputs[0].Delta.ToolCalls[0].GetFunction().Name != "weather" {
		t.Errorf("%v", got)
	}
}

// A client that leaves costs what was made until then, once.
func TestAClientThatLeavesAmidAStreamIsBilledOnce(t *testing.T) {
	w, up := simulated(t)
	key := w.key()
	w.start()
	ctx, cancel := context.WithCancel(key)
	defer cancel()
	stream, err := xai.NewChatClient(w.conn).GetCompletionChunk(ctx, ask("[[sim: words=400 delay=1ms prompt=3]] hi"))
	w.must(err)
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	u := w.usage()
	if len(u) != 1 || u[0].Outcome != gatehouse.ClientGone || u[0].Estimated || u[0].Usage.Tokens() != 403 {
		t.Errorf("%+v", u)
	}
	if e := up.Ledger(); len(e) != 1 || !e[0].Finished {
		t.Errorf("the answer was not read to its usage: %+v", e)
	}
}
