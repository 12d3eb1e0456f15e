package rpc

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	"gatehouse"
	"gatehouse/gen/xai"
	"gatehouse/internal/llm"
)

// TestRefusals walks the gateway's own refusals: REST's texts under gRPC's codes.
func TestRefusals(t *testing.T) {
	w, _ := simulated(t)
	key := w.key()
	with := func(f func(*gatehouse.Key)) context.Context { return w.key(f) }
	disabled := with(func(k *gatehouse.Key) { k.Disabled = true })
	noChat := with(func(k *gatehouse.Key) { k.ACL = gatehouse.ACL{"api-key:model:*", "api-key:endpoint:embed"} })
	noModel := with(func(k *gatehouse.Key) { k.ACL = gatehouse.ACL{"api-key:model:vector", "api-key:endpoint:*"} })
	once := with(func(k *gatehouse.Key) { k.Limits.QPM = 1 })
	unknown := bearer(gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Inference, gatehouse.NewID()).Reveal())
	w.start()
	chat := xai.NewChatClient(w.conn)
	var header metadata.MD
	_, err := chat.GetCompletion(once, ask("hi"), grpc.Header(&header))
	w.must(err)
	if got := header.Get("x-ratelimit-remaining-requests"); len(got) != 1 || got[0] != "0" {
		t.Errorf("what is left of the limit: %v", header)
	}
	nobody := ask("hi")
	nobody.Model = "nope"
	for _, c := range []struct {
		name  string
		ctx   context.Context
		in    *xai.GetCompletionsRequest
		code  codes.Code
		text  string
		retry bool
	}{
		{"no credential", context.Background(), ask("hi"), codes.Unauthenticated, llm.NoCredentialText, false},
		{"malformed key", bearer("nonsense"), ask("hi"), codes.Unauthenticated, "Incorrect API key provided: ***.", false},
		{"unknown key", unknown, ask("hi"), codes.Unauthenticated, "Incorrect API key provided: gt***", false},
		{"disabled", disabled, ask("hi"), codes.PermissionDenied, "is disabled.", false},
		{"endpoint", noChat, ask("hi"), codes.PermissionDenied, "Access to the chat endpoint is denied.", false},
		{"model", noModel, ask("hi"), codes.PermissionDenied, "cannot be used to make requests against small", false},
		{"unknown model", key, nobody, codes.NotFound, "The model nope does not exist", false},
		{"no model", key, &xai.GetCompletionsRequest{}, codes.InvalidArgument, "model", false},
		{"limit", once, ask("hi"), codes.ResourceExhausted, "rate limit (qpm)", true},
		{"upstream 400", key, ask("[[sim: status=400]]"), codes.InvalidArgument, "simulated status", false},
		{"upstream 404", key, ask("[[sim: status=404]]"), codes.NotFound, "simulated status", false},
		{"upstream 401", key, ask("[[sim: status=401]]"), codes.Internal, "did not accept this gateway's credential", false},
		{"upstream 429", key, ask("[[sim: status=429 retry-after=7]]"), codes.ResourceExhausted, "rate limit is exhausted", true},
		{"upstream 500", key, ask("[[sim: status=500]]"), codes.Unavailable, "answered with status 500", false},
		{"upstream's garbage", key, ask("[[sim: garbage]]"), codes.Unavailable, "upstream provider", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := chat.GetCompletion(c.ctx, c.in)
			check(t, err, c.code, c.text, c.retry)
			stream, err := chat.GetCompletionChunk(c.ctx, c.in)
			if err == nil {
				_, err = stream.Recv()
			}
			check(t, err, c.code, c.text, c.retry)
		})
	}
}

func check(t *testing.T, err error, code codes.Code, text string, retry bool) {
	t.Helper()
	st := status.Convert(err)
	if st.Code() != code || !strings.Contains(st.Message(), text) {
		t.Errorf("got %v\nwant %v %s", err, code, text)
	}
	told := false
	for _, d := range st.Details() {
		if r, ok := d.(*errdetails.RetryInfo); ok {
			told = r.RetryDelay.AsDuration() >= time.Second
		}
	}
	if told != retry {
		t.Errorf("%v: when to come again: %v", err, st.Details())
	}
}

func TestAGatewayThatCannotTellSaysSo(t *testing.T) {
	w, _ := simulated(t)
	key := w.key()
	w.listen() // and knows nothing
	_, err := xai.NewChatClient(w.conn).GetCompletion(key, ask("hi"))
	check(t, err, codes.Unavailable, "cannot tell yet", true)
}

// An answer that breaks off must not end like a whole one.
func TestAStreamThatBreaksOff(t *testing.T) {
	w, _ := simulated(t)
	key := w.key()
	w.start()
	for _, knob := range []string{"cut=2", "break=2"} {
		stream, err := xai.NewChatClient(w.conn).GetCompletionChunk(key, ask("[[sim: words=5 "+knob+"]]"))
		n := 0
		for err == nil {
			if _, err = stream.Recv(); err == nil {
				n++
			}
		}
		check(t, err, codes.Unavailable, "broke off its answer", false)
		if n != 2 {
			t.Errorf("%s: %d pieces came before", knob, n)
		}
	}
	for _, u := range w.usage() {
		if u.Outcome == gatehouse.ClientGone {
			t.Errorf("the client had not left: %+v", u)
		}
	}
}

// An upstream's own words for its failure reach the client, who has not left.
func TestAStreamThatEndsInAnError(t *testing.T) {
	for _, frame := range []string{`{"error":{"message":"overloaded"}}`, `{"code":"x","error":"overloaded"}`} {
		w := newWorld(t, newCanned(`data: {"choices":[{"index":0,"delta":{"content":"a"}}]}`+"\n\n", "data: "+frame+"\n\n", "data: [DONE]\n\n"))
		key := w.key()
		w.start()
		stream, err := xai.NewChatClient(w.conn).GetCompletionChunk(key, ask("hi"))
		w.must(err)
		_, err = stream.Recv()
		w.must(err)
		_, err = stream.Recv()
		check(t, err, codes.Unavailable, "ended in an error: overloaded", false)
		if u := w.usage(); len(u) != 1 || u[0].Outcome != gatehouse.Failed {
			t.Errorf("%+v", u)
		}
	}
}

// TestWhatCannotBeHonouredIsRefusedByName has one case for each kind of wish.
func TestWhatCannotBeHonouredIsRefusedByName(t *testing.T) {
	w, up := simulated(t)
	key := w.key()
	w.start()
	said := `"messages":[{"role":"ROLE_USER","content":[{"text":"hi"}]}]`
	for field, in := range map[string]string{
		"search_parameters":                       said + `,"search_parameters":{}`,
		"previous_response_id":                    said + `,"previous_response_id":"x"`,
		"store_messages":                          said + `,"store_messages":true`,
		"use_encrypted_content":                   said + `,"use_encrypted_content":true`,
		"max_turns":                               said + `,"max_turns":1`,
		"include":                                 said + `,"include":["INCLUDE_OPTION_INLINE_CITATIONS"]`,
		"agent_count":                             said + `,"agent_count":"AGENT_COUNT_4"`,
		"guidelines":                              said + `,"guidelines":[{"policy":{}}]`,
		"tools[1].web_search":                     said + `,"tools":[{"function":{"name":"f"}},{"web_search":{}}]`,
		"tools[0].mcp":                            said + `,"tools":[{"mcp":{}}]`,
		"tools[0]":                                said + `,"tools":[{}]`,
		"tools[0].function.parameters":            said + `,"tools":[{"function":{"name":"f","parameters":"[]"}}]`,
		"tool_choice.mode":                        said + `,"tool_choice":{"mode":"TOOL_MODE_INVALID"}`,
		"response_format.format_type":             said + `,"response_format":{}`,
		"response_format.schema":                  said + `,"response_format":{"format_type":"FORMAT_TYPE_JSON_SCHEMA","schema":"{"}`,
		"reasoning_effort":                        said + `,"reasoning_effort":"INVALID_EFFORT"`,
		"temperature":                             said + `,"temperature":"NaN"`,
		"service_tier":                            said + `,"service_tier":9`,
		"messages[0].role":                        `"messages":[{"content":[{"text":"hi"}]}]`,
		"messages[0].encrypted_content":           `"messages":[{"role":"ROLE_USER","encrypted_content":"x"}]`,
		"messages[0].content[0]":                  `"messages":[{"role":"ROLE_USER","content":[{}]}]`,
		"messages[0].content[0].file":             `"messages":[{"role":"ROLE_USER","content":[{"file":{"url":"u","file_id":"f"}}]}]`,
		"messages[0].tool_calls[0].type":          `"messages":[{"role":"ROLE_ASSISTANT","tool_calls":[{"type":"TOOL_CALL_TYPE_MCP_TOOL","function":{}}]}]`,
		"messages[0].tool_calls[0].status":        `"messages":[{"role":"ROLE_ASSISTANT","tool_calls":[{"status":"TOOL_CALL_STATUS_FAILED","function":{}}]}]`,
		"messages[0].tool_calls[0].error_message": `"messages":[{"role":"ROLE_ASSISTANT","tool_calls":[{"error_message":"x","function":{}}]}]`,
		"file_id":                                 `"messages":[{"role":"ROLE_USER","content":[{"file":{"file_id":"file_1"}}]}]`,
	} {
		_, err := xai.NewChatClient(w.conn).GetCompletion(key, message(t, &xai.GetCompletionsRequest{}, `{"model":"small",`+in+`}`))
		if st := status.Convert(err); st.Code() != codes.InvalidArgument || !strings.HasPrefix(st.Message(), field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
	strange := ask("hi")
	strange.Messages[0].ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
	_, err := xai.NewChatClient(w.conn).GetCompletion(key, strange)
	check(t, err, codes.InvalidArgument, "messages[0].99: unknown field number 99", false)
	many := &xai.GetCompletionsRequest{Model: "small", Messages: make([]*xai.Message, 1000)}
	for i := range many.Messages {
		many.Messages[i] = &xai.Message{}
	}
	_, err = xai.NewChatClient(w.conn).GetCompletion(key, many)
	check(t, err, codes.InvalidArgument, "and 984 more", false)
	if n := len(w.usage()) + len(up.Ledger()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// Nobody learns what a message should be who may not send one.
func TestTheCredentialIsJudgedBeforeTheMessage(t *testing.T) {
	w, _ := simulated(t)
	noModels := w.key(func(k *gatehouse.Key) { k.ACL = gatehouse.ACL{"api-key:model:*", "api-key:endpoint:chat"} })
	w.start()
	bad := ask("hi")
	bad.StoreMessages = true
	_, err := xai.NewChatClient(w.conn).GetCompletion(context.Background(), bad)
	check(t, err, codes.Unauthenticated, llm.NoCredentialText, false)
	_, err = xai.NewModelsClient(w.conn).GetLanguageModel(context.Background(), &xai.GetModelRequest{})
	check(t, err, codes.Unauthenticated, llm.NoCredentialText, false)
	_, err = xai.NewModelsClient(w.conn).GetLanguageModel(noModels, &xai.GetModelRequest{})
	check(t, err, codes.PermissionDenied, "Access to the models endpoint", false)
}

func TestWhatIsNotOfferedSaysSo(t *testing.T) {
	w, _ := simulated(t)
	key := w.key()
	w.start()
	for path, text := range map[string]string{
		"/xai_api.Chat/StartDeferredCompletion": "Chat/StartDeferredCompletion is not offered by this gateway: deferred",
		"/xai_api.Sample/SampleText":            "Sample/SampleText is not offered",
		"/xai_api.BatchMgmt/CreateBatch":        "BatchMgmt/CreateBatch is not offered",
		"/xai_api.Chat/Nothing":                 "There is no method /xai_api.Chat/Nothing here.",
		"/other.Service/Do":                     "There is no method /other.Service/Do here.",
	} {
		check(t, w.conn.Invoke(key, path, &emptypb.Empty{}, &emptypb.Empty{}), codes.Unimplemented, text, false)
	}
	page := page(t)
	for name, instead := range refused {
		if !strings.Contains(page, fmt.Sprintf("| `%s` | %s |", name, instead)) {
			t.Errorf("docs/reference/grpc.md lacks | `%s` | %s |", name, instead)
		}
	}
}

func page(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../../docs/reference/grpc.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Programs branch on these codes, and people look them up on the page.
func TestThePageHasEveryCode(t *testing.T) {
	page := page(t)
	for _, f := range llm.Faults() {
		code, ok := faultCodes[f]
		if !ok {
			t.Errorf("%s has no code", f.Slug())
		}
		if row := fmt.Sprintf("| `%s` | %d | %s |", f.Slug(), f.Status(llm.StyleXAI), words(code)); !strings.Contains(page, row) {
			t.Errorf("docs/reference/grpc.md lacks %s", row)
		}
	}
	if upstreamCode(http.StatusTeapot) != codes.InvalidArgument {
		t.Error("an upstream's other 4xx is the request's fault")
	}
}

// words is a code as gRPC's documents write it.
func words(c codes.Code) string {
	var b strings.Builder
	for i, r := range c.String() {
		if i > 0 && 'A' <= r && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}
