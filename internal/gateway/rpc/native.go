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
// itself. It is kept until the answer begins, since it may be sent again.
type original struct {
	raw    []byte
	unsaid error // why the body cannot stand for it
	sent   bool  // the answer to come holds messages as they came
}

// keep makes a form of a message that was read.
func (c *call) keep(raw []byte, mistake error) error {
	in, ok := c.in.(*xai.GetCompletionsRequest)
	if !ok || mistake != nil && !errors.As(mistake, new(unsayable)) || namesFiles(in) {
		return mistake
	}
	c.original = &original{raw: raw, unsaid: mistake}
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

// Native is asked by the gateway, once it has read the body: whether there is a
// form beside it, and why the body cannot stand for that.
func (c *call) Native() (has bool, bodyFails error) {
	if c.original == nil {
		return false, nil
	}
	return true, c.original.unsaid
}

// BodyAlone says that SendNative will not be called.
func (c *call) BodyAlone() {
	c.original = nil
	c.edge.tap.release()
}

// SendNative sends the form to an upstream, and makes of its answer one to the
// body: what the gateway counts, with the messages as they came inside.
func (c *call) SendNative(t http.RoundTripper, r *http.Request, model string) (*http.Response, error) {
	in := new(xai.GetCompletionsRequest)
	if err := proto.Unmarshal(c.original.raw, in); err != nil {
		return nil, err
	}
	in.Model = model
	c.original.sent = true
	origin := strings.TrimSuffix(r.URL.String(), "/")
	if c.m.frame != nil {
		return streamOf(r.Context(), methodOf[xai.GetChatCompletionChunk](t, r.Header, origin+xai.Chat_GetCompletionChunk_FullMethodName), in)
	}
	got, err := methodOf[xai.GetChatCompletionResponse](t, r.Header, origin+xai.Chat_GetCompletion_FullMethodName).CallUnary(r.Context(), connect.NewRequest(in))
	if err != nil {
		return refusedBy(err)
	}
	whole, err := wholeAnswer(got.Msg)
	return reply(http.StatusOK, "application/json", bytes.NewReader(whole)), err
}

// methodOf is a client of one method.
func methodOf[Out any](t http.RoundTripper, header http.Header, url string) *connect.Client[xai.GetCompletionsRequest, Out] {
	return connect.NewClient[xai.GetCompletionsRequest, Out](sender{t, header}, url, connect.WithGRPC(),
		connect.WithReadMaxBytes(maxMessage), connect.WithAcceptCompression("gzip", nil, nil))
}

// sender adds the headers that the gateway chose, its credential among them.
type sender struct {
	http.RoundTripper
	header http.Header
}

// Do implements [connect.HTTPClient]. There is no client, which would follow
// redirects.
func (s sender) Do(r *http.Request) (*http.Response, error) {
	for name, values := range s.header {
		if name != "Content-Type" && !strings.HasPrefix(name, "Accept") {
			r.Header[name] = values
		}
	}
	return s.RoundTrip(r)
}

func reply(status int, kind string, body io.Reader) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {kind}}, ContentLength: -1, Body: io.NopCloser(body)}
}

// streamOf is a stream of frames, once its first message has come.
func streamOf(ctx context.Context, method *connect.Client[xai.GetCompletionsRequest, xai.GetChatCompletionChunk], in *xai.GetCompletionsRequest) (*http.Response, error) {
	stream, err := method.CallServerStream(ctx, connect.NewRequest(in))
	if err != nil {
		return refusedBy(err)
	}
	f := &framed{stream: stream}
	if !stream.Receive() {
		defer stream.Close()
		if err := stream.Err(); err != nil {
			return refusedBy(err)
		}
		return nil, errNoAnswer
	}
	f.next, f.err = chunkFrame(stream.Msg())
	resp := reply(http.StatusOK, "text/event-stream", f)
	resp.Body = f
	return resp, nil
}

// framed reads a stream's messages as frames. The status at its end is what says
// whether it is whole.
type framed struct {
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
		f.next, f.err = chunkFrame(f.stream.Msg())
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

// counted is an answer as the gateway reads it, in xAI's REST, and the message
// itself.
type counted struct {
	ID      string          `json:"id"`
	Model   string          `json:"model"`
	Choices []countedChoice `json:"choices"`
	Usage   *usage          `json:"usage,omitempty"`
	Message []byte          `json:"grpc_message"`
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

func output(content, reasoning string, calls []*xai.ToolCall) *wrote {
	all := content + reasoning
	for _, c := range calls {
		all += c.GetFunction().GetName() + c.GetFunction().GetArguments()
	}
	return &wrote{all}
}

func wholeAnswer(m *xai.GetChatCompletionResponse) ([]byte, error) {
	raw, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	out := counted{ID: m.Id, Model: m.Model, Usage: countedUsage(m.Usage), Message: raw}
	for _, o := range m.Outputs {
		out.Choices = append(out.Choices, countedChoice{Index: o.Index, Message: output(o.Message.GetContent(), o.Message.GetReasoningContent(), o.Message.GetToolCalls())})
	}
	return json.Marshal(out)
}

func chunkFrame(m *xai.GetChatCompletionChunk) ([]byte, error) {
	raw, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	out := counted{ID: m.Id, Model: m.Model, Usage: countedUsage(m.Usage), Message: raw}
	for _, o := range m.Outputs {
		out.Choices = append(out.Choices, countedChoice{Index: o.Index, Delta: output(o.Delta.GetContent(), o.Delta.GetReasoningContent(), o.Delta.GetToolCalls())})
	}
	data, err := json.Marshal(out)
	return frame(data), err
}

func frame(data []byte) []byte { return append(append([]byte("data: "), data...), "\n\n"...) }

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

// asItCame is the message inside what SendNative made; nil when it made nothing
// of it, but another upstream answered to the body.
func (c *call) asItCame(data []byte, into proto.Message) (proto.Message, error) {
	if c.original == nil || !c.original.sent {
		return nil, nil
	}
	var in struct {
		Message []byte `json:"grpc_message"`
	}
	if json.Unmarshal(data, &in) != nil || in.Message == nil {
		return nil, nil
	}
	return into, proto.Unmarshal(in.Message, into)
}

// statuses are those that REST has for what an upstream says by a code. What is
// not here is the upstream's own failure.
var statuses = map[connect.Code]int{
	connect.CodeInvalidArgument: 400, connect.CodeFailedPrecondition: 400, connect.CodeOutOfRange: 400, connect.CodeUnauthenticated: 401,
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
