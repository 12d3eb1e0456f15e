package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"

	"gatehouse/gen/xai"
)

// original is a completion's message as it came, for an upstream that speaks gRPC
// itself: the call's in, which stays whole for it until the answer begins, since
// it may be sent again.
type original struct {
	size   int64
	unsaid error           // why the body cannot stand for it
	said   []proto.Message // by the upstream, whose frames the gateway has not passed on yet
	spoke  bool            // an upstream answered to the message
}

// keep says that a message that was read may go as it came.
func (c *call) keep(size int, mistake error) error {
	in, ok := c.in.(*xai.GetCompletionsRequest)
	if !ok || mistake != nil && !errors.As(mistake, new(unsayable)) || namesFiles(in) {
		return mistake
	}
	c.original = &original{size: int64(size), unsaid: mistake}
	return nil
}

// namesFiles says whether a message names files of the library. They are written
// into the body; the upstream's own of that name are nobody's.
func namesFiles(in *xai.GetCompletionsRequest) bool {
	for _, m := range in.Messages {
		for _, part := range m.Content {
			if part.GetFile().GetFileId() != "" || part.GetImageUrl().GetFileId() != "" {
				return true
			}
		}
	}
	return false
}

// forget lets go of what only SendNative needs.
func (c *call) forget() {
	if in, ok := c.in.(*xai.GetCompletionsRequest); ok {
		in.Messages = nil
	}
}

// Native is asked by the gateway, once it has read the body: how large the message
// is, 0 when the body is all there is, and why the body cannot stand for it.
func (c *call) Native() (size int64, bodyFails error) {
	if c.original == nil {
		return 0, nil
	}
	return c.original.size, c.original.unsaid
}

// BodyAlone says that SendNative will not be called.
func (c *call) BodyAlone() {
	c.original = nil
	c.forget()
}

// SendNative sends the message to an upstream, and makes of its answer one to the
// body, which the gateway counts. The messages wait here for their frames.
func (c *call) SendNative(t http.RoundTripper, r *http.Request, model string) (*http.Response, error) {
	in := c.in.(*xai.GetCompletionsRequest)
	in.Model = model
	s := &sender{t: t, header: r.Header}
	origin := strings.TrimSuffix(r.URL.String(), "/")
	var resp *http.Response
	var err error
	if c.m.frame != nil {
		resp, err = c.stream(r.Context(), methodOf[xai.GetChatCompletionChunk](s, origin+xai.Chat_GetCompletionChunk_FullMethodName), in)
	} else {
		resp, err = c.unary(r.Context(), methodOf[xai.GetChatCompletionResponse](s, origin+xai.Chat_GetCompletion_FullMethodName), in)
	}
	if err != nil && s.refused != nil {
		return s.refused, nil
	}
	return resp, err
}

// methodOf is a client of one method.
func methodOf[Out any](s *sender, url string) *connect.Client[xai.GetCompletionsRequest, Out] {
	return connect.NewClient[xai.GetCompletionsRequest, Out](s, url, connect.WithGRPC(),
		connect.WithReadMaxBytes(maxMessage), connect.WithAcceptCompression("gzip", nil, nil))
}

// sender adds the headers that the gateway chose, its credential among them, and
// notes an answer of who speaks no gRPC, such as a balancer.
type sender struct {
	t       http.RoundTripper
	header  http.Header
	refused *http.Response
}

// Do implements [connect.HTTPClient]. There is no client, which would follow
// redirects.
func (s *sender) Do(r *http.Request) (*http.Response, error) {
	for name, values := range s.header {
		if name != "Content-Type" && !strings.HasPrefix(name, "Accept") {
			r.Header[name] = values
		}
	}
	resp, err := s.t.RoundTrip(r)
	if err == nil && resp.StatusCode != http.StatusOK {
		s.refused = reply(resp.StatusCode, "application/json", strings.NewReader("{}"))
		s.refused.Header["Retry-After"] = resp.Header["Retry-After"]
	}
	return resp, err
}

func reply(status int, kind string, body io.Reader) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {kind}}, ContentLength: -1, Body: io.NopCloser(body)}
}

func (c *call) unary(ctx context.Context, method *connect.Client[xai.GetCompletionsRequest, xai.GetChatCompletionResponse], in *xai.GetCompletionsRequest) (*http.Response, error) {
	got, err := method.CallUnary(ctx, connect.NewRequest(in))
	if err != nil {
		return refusedBy(err)
	}
	m := got.Msg
	out := counted{ID: m.Id, Model: m.Model, Tier: tiers[m.ServiceTier], Usage: countedUsage(m.Usage)}
	for _, o := range m.Outputs {
		out.Choices = append(out.Choices, countedChoice{Index: o.Index, Message: output(o.Message)})
	}
	whole, err := c.count(m, out)
	return reply(http.StatusOK, "application/json", bytes.NewReader(whole)), err
}

// stream is an answer once its first message has come.
func (c *call) stream(ctx context.Context, method *connect.Client[xai.GetCompletionsRequest, xai.GetChatCompletionChunk], in *xai.GetCompletionsRequest) (*http.Response, error) {
	stream, err := method.CallServerStream(ctx, connect.NewRequest(in))
	if err != nil {
		return refusedBy(err)
	}
	f := &framed{c: c, stream: stream}
	if !stream.Receive() {
		defer stream.Close()
		if err := stream.Err(); err != nil {
			return refusedBy(err)
		}
		return nil, errNoAnswer
	}
	f.next, f.err = c.chunk(stream.Msg())
	resp := reply(http.StatusOK, "text/event-stream", nil)
	resp.Body = f
	return resp, nil
}

// chunk is the frame of a message of a stream.
func (c *call) chunk(m *xai.GetChatCompletionChunk) ([]byte, error) {
	out := counted{ID: m.Id, Model: m.Model, Tier: tiers[m.ServiceTier], Usage: countedUsage(m.Usage)}
	for _, o := range m.Outputs {
		out.Choices = append(out.Choices, countedChoice{Index: o.Index, Delta: output(o.Delta)})
	}
	data, err := c.count(m, out)
	return frame(data), err
}

// count is what the gateway reads of a message, which waits for it to pass on.
func (c *call) count(m proto.Message, as counted) ([]byte, error) {
	c.original.spoke = true
	if c.ss.Context().Err() == nil { // else nothing will be passed on
		c.original.said = append(c.original.said, m)
	}
	return encode(as)
}

// asItCame is the message whose frame the gateway passes on; nil where the answer
// is one to the body.
func (c *call) asItCame() proto.Message {
	if c.original == nil || len(c.original.said) == 0 {
		return nil
	}
	m := c.original.said[0]
	c.original.said = c.original.said[1:]
	return m
}

// framed reads a stream's messages as frames. The status at its end is what says
// whether it is whole.
type framed struct {
	c      *call
	stream *connect.ServerStreamForClient[xai.GetChatCompletionChunk]
	next   []byte
	err    error
}

// Read implements [io.Reader].
func (f *framed) Read(p []byte) (int, error) {
	if len(f.next) == 0 && f.err == nil {
		f.receive()
	}
	if len(f.next) == 0 {
		return 0, f.err
	}
	n := copy(p, f.next)
	f.next = f.next[n:]
	return n, nil
}

func (f *framed) receive() {
	var said *connect.Error
	switch {
	case f.stream.Receive():
		f.next, f.err = f.c.chunk(f.stream.Msg())
	case f.stream.Err() == nil:
		f.next, f.err = []byte("data: [DONE]\n\n"), io.EOF
	case connect.IsWireError(f.stream.Err()) && errors.As(f.stream.Err(), &said):
		text, _ := json.Marshal(map[string]any{"error": said.Message()})
		f.next, f.err = frame(text), io.EOF
	default:
		f.err = f.stream.Err()
	}
}

// Close implements [io.Closer].
func (f *framed) Close() error { return f.stream.Close() }

// counted is an answer as the gateway reads it, in xAI's REST. Usage comes before
// text, of which a tap reads so much and no more.
type counted struct {
	ID      string          `json:"id"`
	Model   string          `json:"model"`
	Tier    string          `json:"service_tier,omitempty"`
	Usage   *usage          `json:"usage,omitempty"`
	Choices []countedChoice `json:"choices"`
}

type countedChoice struct {
	Index   int32  `json:"index"`
	Message *wrote `json:"message,omitempty"`
	Delta   *wrote `json:"delta,omitempty"`
}

// wrote is what a model wrote, arguments of tools among it.
type wrote struct {
	Content string `json:"content"`
}

func output(m interface {
	GetContent() string
	GetReasoningContent() string
	GetToolCalls() []*xai.ToolCall
}) *wrote {
	all := m.GetContent() + m.GetReasoningContent()
	for _, c := range m.GetToolCalls() {
		all += c.GetFunction().GetName() + c.GetFunction().GetArguments()
	}
	return &wrote{all}
}

func frame(data []byte) []byte {
	return append(append([]byte("data: "), bytes.TrimSuffix(data, []byte("\n"))...), "\n\n"...)
}

// countedUsage is usage in the words of REST.
func countedUsage(u *xai.SamplingUsage) *usage {
	if u == nil {
		return nil
	}
	out := &usage{
		Prompt: u.PromptTokens, Completion: u.CompletionTokens, Total: u.TotalTokens, Sources: u.NumSourcesUsed,
		Tools: int32(len(u.ServerSideToolsUsed)), Cost: u.CostInUsdTicks,
	}
	out.PromptDetails.Image, out.PromptDetails.Cached = u.PromptImageTokens, u.CachedPromptTextTokens
	out.CompletionDetails.Reasoning = u.ReasoningTokens
	return out
}

// statuses are those that REST has for what an upstream says by a code. What is
// not here is the upstream's own failure.
var statuses = map[connect.Code]int{
	connect.CodeInvalidArgument: 400, connect.CodeFailedPrecondition: 412, connect.CodeOutOfRange: 400, connect.CodeUnauthenticated: 401,
	connect.CodePermissionDenied: 403, connect.CodeNotFound: 404, connect.CodeAlreadyExists: 409, connect.CodeAborted: 409,
	connect.CodeResourceExhausted: 429, connect.CodeUnimplemented: 501, connect.CodeUnavailable: 503, connect.CodeDeadlineExceeded: 504,
}

// refusedBy is an upstream's refusal as REST has it. An error that is not the
// upstream's word is one of the way there, and stays one.
func refusedBy(err error) (*http.Response, error) {
	var said *connect.Error
	if !connect.IsWireError(err) || !errors.As(err, &said) {
		return nil, err
	}
	status, ok := statuses[said.Code()]
	if !ok {
		status = http.StatusInternalServerError
	}
	text, err := json.Marshal(map[string]any{"error": clip(said.Message())})
	resp := reply(status, "application/json", bytes.NewReader(text))
	for _, d := range said.Details() {
		if v, err := d.Value(); err == nil {
			if wait, ok := v.(*errdetails.RetryInfo); ok {
				resp.Header.Set("Retry-After", strconv.FormatFloat(max(0, wait.RetryDelay.AsDuration().Seconds()), 'f', 3, 64))
			}
		}
	}
	return resp, err
}
