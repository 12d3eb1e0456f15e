package rpc

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"gatehouse"
	"gatehouse/gen/xai"
	"gatehouse/internal/feed"
	"gatehouse/internal/simulate"
)

// provider is an upstream that speaks gRPC itself: it says what it is told to,
// and keeps what it was asked.
type provider struct {
	xai.UnimplementedChatServer
	asked  []*xai.GetCompletionsRequest
	header metadata.MD
	whole  *xai.GetChatCompletionResponse
	chunks []*xai.GetChatCompletionChunk
	fails  error // after all that
}

func (p *provider) note(ctx context.Context, in *xai.GetCompletionsRequest) {
	p.header, _ = metadata.FromIncomingContext(ctx)
	p.asked = append(p.asked, in)
}

func (p *provider) GetCompletion(ctx context.Context, in *xai.GetCompletionsRequest) (*xai.GetChatCompletionResponse, error) {
	p.note(ctx, in)
	return p.whole, p.fails
}

func (p *provider) GetCompletionChunk(in *xai.GetCompletionsRequest, s grpc.ServerStreamingServer[xai.GetChatCompletionChunk]) error {
	p.note(s.Context(), in)
	for _, c := range p.chunks {
		if err := s.Send(c); err != nil {
			return err
		}
	}
	return p.fails
}

// speaks adds the provider as an upstream for the model small, which it has
// another name for.
func (p *provider) speaks(w *world) *httptest.Server {
	server := grpc.NewServer()
	xai.RegisterChatServer(server, p)
	return w.native(server)
}

// native adds an upstream that speaks gRPC itself.
func (w *world) native(upstream http.Handler) *httptest.Server {
	srv := httptest.NewUnstartedServer(upstream)
	srv.Config.Protocols = simulate.Protocols()
	srv.Start()
	w.t.Cleanup(srv.Close)
	w.nativeAt(srv.URL)
	return srv
}

func (w *world) nativeAt(url string) {
	r, err := feed.UpstreamRecord(&gatehouse.Upstream{
		ID: gatehouse.NewID(), Name: "native", Kind: gatehouse.XAI, BaseURL: url + "/v1", Credential: "sk-provider", Families: []gatehouse.Family{gatehouse.FamilyGRPC},
		Serves: []gatehouse.Serve{{Model: "small", As: "small-0709"}, {Model: "dear"}}, AllowPrivate: true, HeaderTimeout: 5 * time.Second, IdleTimeout: 5 * time.Second, Revision: first,
	}, "local")
	w.must(err)
	w.records = append(w.records, r)
}

// searching is a message that REST cannot say.
const searching = `{"model":"small","max_turns":2,"use_encrypted_content":true,"search_parameters":{"mode":"ON_SEARCH_MODE","sources":[{"web":{"country":"CH"}}]},
	"tools":[{"web_search":{"allowed_domains":["example.com"]}},{"function":{"name":"weather","parameters":"{}"}}],
	"messages":[{"role":"ROLE_USER","content":[{"text":"hi"}]},
		{"role":"ROLE_ASSISTANT","encrypted_content":"opaque","tool_calls":[{"id":"1","type":"TOOL_CALL_TYPE_WEB_SEARCH_TOOL","status":"TOOL_CALL_STATUS_FAILED","error_message":"none found","function":{"name":"web_search","arguments":"{}"}}]}]}`

const used = `{"prompt_tokens":40,"prompt_text_tokens":40,"cached_prompt_text_tokens":30,"completion_tokens":5,"reasoning_tokens":7,"total_tokens":52,
	"num_sources_used":3,"server_side_tools_used":["SERVER_SIDE_TOOL_WEB_SEARCH","SERVER_SIDE_TOOL_WEB_SEARCH"]}`

func (w *world) billed(u []gatehouse.UsageRecord) {
	w.t.Helper()
	if len(u) != 1 {
		w.t.Fatalf("%+v", u)
	}
	r := u[0]
	if r.Outcome != gatehouse.Completed || r.Endpoint != "/v1/chat/completions" || r.Model != "small" || r.Upstream != "native" || r.Estimated {
		w.t.Errorf("%+v", r)
	}
	if r.ServiceTier != "priority" {
		w.t.Errorf("tier %q: it has a price of its own", r.ServiceTier)
	}
	if r.Usage.Tokens() != 52 || r.Usage[gatehouse.CacheRead] != 30 || r.Usage[gatehouse.Searches] != 3 || r.Usage[gatehouse.ServerTools] != 2 {
		w.t.Errorf("%+v", r.Usage)
	}
}

func TestAMessageGoesAsItCame(t *testing.T) {
	w, rest := simulated(t)
	p := &provider{whole: message(t, &xai.GetChatCompletionResponse{}, `{"id":"c1","model":"small-0709","service_tier":"SERVICE_TIER_PRIORITY","citations":["https://example.com"],"usage":`+used+`,
		"outputs":[{"finish_reason":"REASON_STOP","message":{"role":"ROLE_ASSISTANT","content":"found","encrypted_content":"opaque"}}]}`)}
	p.speaks(w)
	key := w.key()
	w.start()
	in := message(t, &xai.GetCompletionsRequest{}, searching)
	got, err := xai.NewChatClient(w.conn).GetCompletion(key, in)
	w.must(err)
	same(t, p.whole, got)
	in.Model = "small-0709"
	same(t, in, p.asked[0])
	if a := p.header.Get("authorization"); len(a) != 1 || a[0] != "Bearer sk-provider" {
		t.Errorf("the provider was told %d credentials, and not its own alone", len(a))
	}
	w.billed(w.usage())
	if len(rest.Ledger()) != 0 {
		t.Error("it went as its body too")
	}
}

func TestAStreamPassesAsItCame(t *testing.T) {
	w, _ := simulated(t)
	p := &provider{chunks: []*xai.GetChatCompletionChunk{
		message(t, &xai.GetChatCompletionChunk{}, `{"id":"c1","model":"small-0709","outputs":[{"delta":{"role":"ROLE_ASSISTANT","content":"fo"}}]}`),
		message(t, &xai.GetChatCompletionChunk{}, `{"id":"c1","model":"small-0709","outputs":[{"delta":{"content":"und","citations":[{"id":"1"}]},"finish_reason":"REASON_STOP"}],"service_tier":"SERVICE_TIER_PRIORITY","usage":`+used+`}`),
	}}
	p.speaks(w)
	key := w.key()
	w.start()
	stream, err := xai.NewChatClient(w.conn).GetCompletionChunk(key, message(t, &xai.GetCompletionsRequest{}, searching))
	got := all(t, stream, err)
	if len(got) != 2 {
		t.Fatalf("%v", got)
	}
	for i := range got {
		same(t, p.chunks[i], got[i])
	}
	w.billed(w.usage())
}

// What refers to things that the provider keeps for the account, which teams
// share, is refused whoever answers; so is what nobody takes as it came.
func TestWhatIsRefusedBeforeANativeUpstream(t *testing.T) {
	for field, text := range map[string]string{
		"previous_response_id":        `{"model":"small","previous_response_id":"x"}`,
		"store_messages":              `{"model":"small","store_messages":true}`,
		"tools[0].collections_search": `{"model":"small","tools":[{"collections_search":{"collection_ids":["c"]}}]}`,
		"tools[0].attachment_search":  `{"model":"small","tools":[{"attachment_search":{}}]}`,
		"max_turns":                   `{"model":"small","max_turns":2,"messages":[{"role":"ROLE_USER","content":[{"file":{"file_id":"file-of-another"}}]}]}`,
		"search_parameters":           `{"model":"paint","search_parameters":{}}`,
		"include[0]":                  `{"model":"small","include":["INCLUDE_OPTION_CODE_EXECUTION_FILES_OUTPUT"]}`,
		"tool_calls[0].type":          `{"model":"small","messages":[{"role":"ROLE_ASSISTANT","tool_calls":[{"id":"1","type":"TOOL_CALL_TYPE_COLLECTIONS_SEARCH_TOOL","function":{"name":"a"}}]}]}`,
		"no price":                    `{"model":"dear","max_turns":2}`,
	} {
		t.Run(field, func(t *testing.T) {
			w, _ := simulated(t)
			w.add(gatehouse.KindModel, "paint", &gatehouse.Model{Name: "paint", Type: gatehouse.LanguageModel, Revision: first})
			w.add(gatehouse.KindModel, "dear", &gatehouse.Model{Name: "dear", Type: gatehouse.LanguageModel, Revision: first})
			p := &provider{}
			p.speaks(w)
			key := w.key()
			w.start()
			_, err := xai.NewChatClient(w.conn).GetCompletion(key, message(t, &xai.GetCompletionsRequest{}, text))
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), field) {
				t.Error(err)
			}
			if len(p.asked) != 0 || len(w.usage()) != 0 {
				t.Error("it was sent")
			}
		})
	}
}

// There is one way in: what the key may not use is not sent in any form.
func TestAMessageIsAdmittedAsItsBodyIs(t *testing.T) {
	w, _ := simulated(t)
	p := &provider{}
	p.speaks(w)
	key := w.key(func(k *gatehouse.Key) { k.ACL = gatehouse.ACL{"api-key:model:vector", "api-key:endpoint:*"} })
	w.start()
	_, err := xai.NewChatClient(w.conn).GetCompletion(key, message(t, &xai.GetCompletionsRequest{}, searching))
	if status.Code(err) != codes.PermissionDenied || len(p.asked) != 0 {
		t.Error(err, p.asked)
	}
}

// The body stands in where it says the same, and the answer is then the body's.
func TestABodyStandsInForItsMessage(t *testing.T) {
	w, rest := simulated(t)
	busy, err := status.New(codes.ResourceExhausted, "slow down").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(30 * time.Second)})
	w.must(err)
	p := &provider{fails: busy.Err()}
	p.speaks(w)
	key := w.key()
	w.start()
	chat := xai.NewChatClient(w.conn)
	got, err := chat.GetCompletion(key, ask("[[sim: words=2]] hi"))
	w.must(err)
	if got.Outputs[0].Message.Content != "the quick" || len(p.asked) != 1 || len(rest.Ledger()) != 1 {
		t.Errorf("%v, asked %d, as its body %d", got, len(p.asked), len(rest.Ledger()))
	}
	stream, err := chat.GetCompletionChunk(key, ask("[[sim: words=2]] hi"))
	if got := all(t, stream, err); len(got) == 0 || len(p.asked) != 1 {
		t.Errorf("%d, asked %d: it said that it needs a rest", len(got), len(p.asked))
	}
	_, err = chat.GetCompletion(key, message(t, &xai.GetCompletionsRequest{}, searching))
	if status.Code(err) != codes.ResourceExhausted || len(p.asked) != 2 {
		t.Error(err, "and there is no body that says this")
	}
}

// What never left may be sent elsewhere: nobody listens, or nobody whose certificate
// is believed.
func TestABodyStandsInForAnUpstreamThatIsNotReached(t *testing.T) {
	for name, start := range map[string]func(*world){
		"closed": func(w *world) { new(provider).speaks(w).Close() },
		"a stranger's certificate": func(w *world) {
			srv := httptest.NewTLSServer(http.NotFoundHandler())
			srv.Config.ErrorLog = log.New(io.Discard, "", 0)
			t.Cleanup(srv.Close)
			w.nativeAt(srv.URL)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := simulated(t)
			start(w)
			key := w.key()
			w.start()
			got, err := xai.NewChatClient(w.conn).GetCompletion(key, ask("[[sim: words=2]] hi"))
			w.must(err)
			if u := w.usage(); got.Outputs[0].Message.Content != "the quick" || len(u) != 1 || u[0].Upstream != "one" {
				t.Errorf("%v %+v", got, u)
			}
		})
	}
}

func TestANativeUpstreamsErrors(t *testing.T) {
	for code, want := range map[codes.Code]codes.Code{
		codes.InvalidArgument: codes.InvalidArgument, codes.Unauthenticated: codes.Internal, codes.PermissionDenied: codes.Internal,
		codes.NotFound: codes.NotFound, codes.Internal: codes.Unavailable, codes.Unavailable: codes.Unavailable, codes.Unimplemented: codes.Unavailable,
	} {
		w, _ := simulated(t)
		p := &provider{fails: status.Error(code, "what it says")}
		p.speaks(w)
		key := w.key()
		w.start()
		_, err := xai.NewChatClient(w.conn).GetCompletion(key, message(t, &xai.GetCompletionsRequest{}, searching))
		if status.Code(err) != want || want == code && code != codes.Unavailable && !strings.Contains(err.Error(), "what it says") {
			t.Errorf("%v: %v", code, err)
		}
	}
}

// A stream that ends in an error never looks whole, and what flowed is billed.
func TestANativeStreamThatFails(t *testing.T) {
	w, _ := simulated(t)
	p := &provider{fails: status.Error(codes.Internal, "lost it"), chunks: []*xai.GetChatCompletionChunk{
		message(t, &xai.GetChatCompletionChunk{}, `{"id":"c1","outputs":[{"delta":{"content":"`+strings.Repeat("word ", 40)+`"}}]}`),
	}}
	p.speaks(w)
	key := w.key()
	w.start()
	stream, err := xai.NewChatClient(w.conn).GetCompletionChunk(key, message(t, &xai.GetCompletionsRequest{}, searching))
	w.must(err)
	first, err := stream.Recv()
	w.must(err)
	if !proto.Equal(first, p.chunks[0]) {
		t.Errorf("%v", first)
	}
	if _, err = stream.Recv(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "lost it") {
		t.Error(err)
	}
	if u := w.usage(); len(u) != 1 || u[0].Outcome != gatehouse.Failed || !u[0].Estimated || u[0].Usage.Completion() < 40 {
		t.Errorf("%+v", u)
	}
}

func TestANativeStreamThatBreaksOff(t *testing.T) {
	w, _ := simulated(t)
	up := simulate.New(simulate.Options{Kind: gatehouse.XAI, Key: "sk-provider"})
	w.native(up)
	key := w.key()
	w.start()
	stream, err := xai.NewChatClient(w.conn).GetCompletionChunk(key, ask("[[sim: words=9 cut=3 prompt=4]] hi"))
	pieces := 0
	for ; err == nil; pieces++ {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unavailable || pieces < 2 {
		t.Error(pieces, err)
	}
	if u := w.usage(); len(u) != 1 || u[0].Outcome != gatehouse.UpstreamLost || !u[0].Estimated || u[0].Upstream != "native" {
		t.Errorf("%+v", u)
	}
}

// Who answers before a gRPC server may speak none: a balancer.
func TestABodyStandsInWhereNobodySpeaksGRPC(t *testing.T) {
	w, rest := simulated(t)
	asked := 0
	w.native(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { asked++; rw.WriteHeader(http.StatusServiceUnavailable) }))
	key := w.key()
	w.start()
	for range 2 {
		_, err := xai.NewChatClient(w.conn).GetCompletion(key, ask("[[sim: words=2]] hi"))
		w.must(err)
	}
	if asked != 1 || len(rest.Ledger()) != 2 {
		t.Errorf("asked %d times, and its body %d", asked, len(rest.Ledger()))
	}
}

// An answer that was under way when it broke off may have been worked for: it is
// not asked for again.
func TestAMessageThatMayHaveArrivedIsSentOnce(t *testing.T) {
	w, rest := simulated(t)
	w.native(simulate.New(simulate.Options{Kind: gatehouse.XAI, Key: "sk-provider"}))
	key := w.key()
	w.start()
	_, err := xai.NewChatClient(w.conn).GetCompletion(key, ask("[[sim: lie]] hi"))
	if status.Code(err) != codes.Unavailable || len(rest.Ledger()) != 0 {
		t.Error(err, len(rest.Ledger()))
	}
}

// A tap reads so much of a frame and no more; usage is billed none the less.
func TestUsageBesideMuchText(t *testing.T) {
	w, _ := simulated(t)
	long := strings.Repeat("<word>", 400_000)
	p := &provider{chunks: []*xai.GetChatCompletionChunk{
		message(t, &xai.GetChatCompletionChunk{}, `{"id":"c1","model":"small-0709","service_tier":"SERVICE_TIER_PRIORITY","usage":`+used+`}`),
	}}
	p.chunks[0].Outputs = []*xai.CompletionOutputChunk{{Delta: &xai.Delta{Content: long}}}
	p.speaks(w)
	key := w.key()
	w.start()
	stream, err := xai.NewChatClient(w.conn).GetCompletionChunk(key, message(t, &xai.GetCompletionsRequest{}, searching))
	if got := all(t, stream, err); len(got) != 1 || got[0].Outputs[0].Delta.Content != long {
		t.Errorf("%d messages", len(got))
	}
	w.billed(w.usage())
}
