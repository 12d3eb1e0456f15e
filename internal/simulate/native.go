package simulate

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"gatehouse/gen/xai"
)

// Protocols are what the server of an [Upstream] must speak: HTTP/1 for REST,
// and HTTP/2 without TLS for xAI's gRPC.
func Protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

func isGRPC(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return r.ProtoMajor == 2 && (kind == "application/grpc" || strings.HasPrefix(kind, "application/grpc+"))
}

// native serves the chat of xAI's gRPC API. GetCompletion is a stream of one
// message: on the wire that is the same, and sending it tells whether it went out.
func (u *Upstream) native() http.Handler {
	mux, refuse := http.NewServeMux(), connect.NewErrorWriter()
	mux.Handle(xai.Chat_GetCompletion_FullMethodName, connect.NewServerStreamHandler(xai.Chat_GetCompletion_FullMethodName, u.completion))
	mux.Handle(xai.Chat_GetCompletionChunk_FullMethodName, connect.NewServerStreamHandler(xai.Chat_GetCompletionChunk_FullMethodName, u.completionChunk))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse.Write(w, r, connect.NewError(connect.CodeUnimplemented, errors.New("not simulated")))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u.opt.Key != "" && r.Header.Get("Authorization") != "Bearer "+u.opt.Key {
			refuse.Write(w, r, connect.NewError(connect.CodeUnauthenticated, errors.New("invalid credential")))
			return
		}
		mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, exchange{w, r})))
	})
}

// exchange is the HTTP below a call: its writer can break a message off.
type exchange struct {
	w http.ResponseWriter
	r *http.Request
}

type exchangeKey struct{}

// nativeCall is a call of xAI's gRPC API, understood like one over REST.
type nativeCall struct {
	*call
	in   *xai.GetCompletionsRequest
	w    http.ResponseWriter
	used []xai.ServerSideTool
}

func (u *Upstream) newNative(ctx context.Context, in *xai.GetCompletionsRequest, stream bool) (*nativeCall, error) {
	x := ctx.Value(exchangeKey{}).(exchange)
	body, err := chatBody(in, stream)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	n := &nativeCall{call: u.understand(x.r, body), in: in, w: x.w}
	n.search()
	return n, nil
}

// chatBody is a request in the names of REST, as far as an answer depends on it:
// those that differ are who may be called, and whether somebody must.
func chatBody(in *xai.GetCompletionsRequest, stream bool) (map[string]any, error) {
	raw, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(in)
	if err != nil {
		return nil, err
	}
	body := map[string]any{}
	if err := json.Unmarshal(raw, &body); err != nil {
		return nil, err
	}
	functions := []any{}
	for _, t := range in.Tools {
		if f := t.GetFunction(); f != nil {
			functions = append(functions, map[string]any{"name": f.Name})
		}
	}
	body["tools"], body["stream"] = functions, stream
	if in.ToolChoice.GetMode() == xai.ToolMode_TOOL_MODE_REQUIRED {
		body["tool_choice"] = "required"
	}
	return body, nil
}

// search uses each of the provider's own tools that the request has once. A
// search, by tool or by search_parameters, reads the sources of the knob.
func (n *nativeCall) search() {
	for _, t := range n.in.Tools {
		m := t.ProtoReflect()
		kind := m.WhichOneof(m.Descriptor().Oneofs().ByName("tool"))
		if kind == nil || t.GetFunction() != nil {
			continue
		}
		n.used = append(n.used, xai.ServerSideTool(xai.ServerSideTool_value["SERVER_SIDE_TOOL_"+strings.ToUpper(string(kind.Name()))]))
	}
	const web, x = xai.ServerSideTool_SERVER_SIDE_TOOL_WEB_SEARCH, xai.ServerSideTool_SERVER_SIDE_TOOL_X_SEARCH
	if p := n.in.SearchParameters; p != nil && p.Mode != xai.SearchMode_OFF_SEARCH_MODE && !slices.Contains(n.used, web) {
		n.used = append(n.used, web)
	}
	if slices.Contains(n.used, web) || slices.Contains(n.used, x) {
		n.entry.Sources = n.knobs.Sources
	}
}

// misbehave plays the faults that come before an answer.
func (n *nativeCall) misbehave(ctx context.Context) error {
	if err := wait(ctx, n.knobs.First); err != nil {
		return err
	}
	switch {
	case n.knobs.Status != 0:
		n.refuse()
		return refusal(n.knobs)
	case n.knobs.Hang:
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// refusal is a status of REST in gRPC's words.
func refusal(k Knobs) error {
	e := connect.NewError(codeOf(k.Status), errors.New("simulated status"))
	if s, err := strconv.Atoi(k.RetryAfter); err == nil {
		d, _ := connect.NewErrorDetail(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Duration(s) * time.Second)}) // a known message: cannot fail
		e.AddDetail(d)
	}
	return e
}

func codeOf(status int) connect.Code {
	switch status {
	case http.StatusUnauthorized:
		return connect.CodeUnauthenticated
	case http.StatusForbidden:
		return connect.CodePermissionDenied
	case http.StatusNotFound:
		return connect.CodeNotFound
	case http.StatusTooManyRequests:
		return connect.CodeResourceExhausted
	case http.StatusInternalServerError:
		return connect.CodeInternal
	}
	if status > http.StatusInternalServerError {
		return connect.CodeUnavailable
	}
	return connect.CodeInvalidArgument
}

// breakOff promises a message, gives half of it and resets the stream.
func (n *nativeCall) breakOff(m proto.Message) {
	body, _ := proto.Marshal(m) // made here: cannot fail
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body)))
	n.w.Write(append(frame, body[:len(body)/2]...))
	http.NewResponseController(n.w).Flush()
	panic(http.ErrAbortHandler)
}

// garble makes a message one that no client can read.
func garble[M proto.Message](m M) M {
	m.ProtoReflect().SetUnknown([]byte("\x00\xff<html>not protobuf"))
	return m
}
