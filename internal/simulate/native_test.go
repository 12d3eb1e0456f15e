package simulate

import (
	"context"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"gatehouse/gen/xai"
)

// chat is an upstream that demands a key, its gRPC, and a context with the key.
func chat(t *testing.T) (*Upstream, xai.ChatClient, context.Context) {
	t.Helper()
	u, s := start(t, Options{Key: "sk-right"})
	conn, err := grpc.NewClient(strings.TrimPrefix(s.URL, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return u, xai.NewChatClient(conn), metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer sk-right", "x-request-id", "r-1")
}

func asking(text string) *xai.GetCompletionsRequest {
	return &xai.GetCompletionsRequest{Model: "m", Messages: []*xai.Message{{
		Role: xai.MessageRole_ROLE_USER, Content: []*xai.Content{{Content: &xai.Content_Text{Text: text}}},
	}}}
}

// chunks reads a stream to its end: its text, its last chunk, and what ended it.
func chunks(t *testing.T, c xai.ChatClient, ctx context.Context, in *xai.GetCompletionsRequest) (text string, last *xai.GetChatCompletionChunk, err error) {
	t.Helper()
	s, err := c.GetCompletionChunk(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	for {
		chunk, err := s.Recv()
		if err == io.EOF {
			return text, last, nil
		}
		if err != nil {
			return text, last, err
		}
		text, last = text+chunk.Outputs[0].Delta.Content, chunk
	}
}

func exact(t *testing.T, e Entry, path string, u *xai.SamplingUsage) {
	t.Helper()
	want := Entry{RequestID: "r-1", Path: path, Model: "m", Credential: "ight", Status: 200, Streamed: strings.HasSuffix(path, "Chunk"),
		Finished: true, Prompt: 8, Cached: 2, Completion: 7, Reasoning: 3}
	if e != want {
		t.Errorf("ledger %+v, want %+v", e, want)
	}
	if u.PromptTokens != 8 || u.PromptTextTokens != 8 || u.CachedPromptTextTokens != 2 || u.CompletionTokens != 7 || u.ReasoningTokens != 3 || u.TotalTokens != 18 {
		t.Errorf("usage %v", u)
	}
}

func TestTheLedgerEqualsTheUsageOverGRPC(t *testing.T) {
	u, c, ctx := chat(t)
	in := asking("[[sim: prompt=8 words=7 cached=2 reasoning=3]] one two")
	whole, err := c.GetCompletion(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	exact(t, u.Ledger()[0], "/xai_api.Chat/GetCompletion", whole.Usage)
	text, last, err := chunks(t, c, ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	exact(t, u.Ledger()[1], "/xai_api.Chat/GetCompletionChunk", last.Usage)
	if said := whole.Outputs[0].Message.Content; strings.TrimSpace(text) != said || len(strings.Fields(said)) != 7 {
		t.Errorf("whole %q, in chunks %q", said, text)
	}
	if last.Outputs[0].FinishReason != xai.FinishReason_REASON_STOP || whole.Settings == nil {
		t.Errorf("last chunk %v, settings %v", last, whole.Settings)
	}
}

func TestASearchIsCounted(t *testing.T) {
	u, c, ctx := chat(t)
	tool, live, off := asking("hello"), asking("[[sim: sources=5]]"), asking("hello")
	tool.Tools = []*xai.Tool{{Tool: &xai.Tool_WebSearch{WebSearch: &xai.WebSearch{}}}}
	live.SearchParameters = &xai.SearchParameters{Mode: xai.SearchMode_ON_SEARCH_MODE}
	off.SearchParameters = &xai.SearchParameters{Mode: xai.SearchMode_OFF_SEARCH_MODE}
	for i, want := range []struct {
		in      *xai.GetCompletionsRequest
		sources int
		used    int
	}{{tool, 3, 1}, {live, 5, 1}, {off, 0, 0}} {
		out, err := c.GetCompletion(ctx, want.in)
		if err != nil {
			t.Fatal(err)
		}
		if e := u.Ledger()[i]; int(out.Usage.NumSourcesUsed) != want.sources || int(e.Sources) != want.sources || len(out.Citations) != want.sources || len(out.Usage.ServerSideToolsUsed) != want.used {
			t.Errorf("%d: usage %v, citations %v, ledger %+v", i, out.Usage, out.Citations, e)
		}
	}
}

func TestAToolIsCalledOverGRPC(t *testing.T) {
	_, c, ctx := chat(t)
	in := asking("[[sim: tool]]")
	in.Tools = []*xai.Tool{{Tool: &xai.Tool_CodeExecution{CodeExecution: &xai.CodeExecution{}}}, {Tool: &xai.Tool_Function{Function: &xai.Function{Name: "weather"}}}}
	out, err := c.GetCompletion(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	if o := out.Outputs[0]; o.FinishReason != xai.FinishReason_REASON_TOOL_CALLS || o.Message.ToolCalls[0].GetFunction().GetName() != "weather" {
		t.Errorf("%v", o)
	}
}

func TestFaultsOverGRPCAreWhatTheySay(t *testing.T) {
	u, c, ctx := chat(t)
	for knob, want := range map[string]codes.Code{
		"status=400": codes.InvalidArgument, "status=401": codes.Unauthenticated, "status=403": codes.PermissionDenied, "status=404": codes.NotFound,
		"status=429 retry-after=7": codes.ResourceExhausted, "status=500": codes.Internal, "status=503": codes.Unavailable,
		"garbage": codes.Internal, "break=2": codes.Unavailable, "cut=2": codes.Internal, // a reset stream
	} {
		text, _, err := chunks(t, c, ctx, asking("[[sim: "+knob+"]]"))
		if status.Code(err) != want {
			t.Errorf("%s: %v", knob, err)
		}
		if told := len(status.Convert(err).Details()); strings.Contains(knob, "retry-after") != (told == 1) {
			t.Errorf("%s: %d details", knob, told)
		}
		if half := strings.HasSuffix(knob, "=2"); half && len(strings.Fields(text)) != 2 {
			t.Errorf("%s came after %q", knob, text)
		}
	}
	if _, err := c.GetCompletion(ctx, asking("[[sim: lie]]")); status.Code(err) != codes.Internal {
		t.Errorf("lie: %v", err)
	}
	for _, e := range u.Ledger() {
		if e.Finished || e.Status != 200 && e.Prompt+e.Completion != 0 {
			t.Errorf("an answer that failed is booked as one: %+v", e)
		}
	}
}

func TestGRPCDemandsTheCredentialAndRefusesWhatItLacks(t *testing.T) {
	u, c, ctx := chat(t)
	if _, err := c.GetCompletion(t.Context(), asking("hello")); status.Code(err) != codes.Unauthenticated {
		t.Errorf("no credential: %v", err)
	}
	if _, err := c.StartDeferredCompletion(ctx, asking("hello")); status.Code(err) != codes.Unimplemented {
		t.Errorf("another method: %v", err)
	}
	if len(u.Ledger()) != 0 {
		t.Errorf("refused calls are booked: %+v", u.Ledger())
	}
}
