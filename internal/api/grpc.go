package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers itself
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"gatehouse"
)

// calls answers gRPC with the structs that answer REST. A call is judged as a
// request is: credential, rate, scope, and only then what it says.
type calls struct {
	*Server
	methods map[string]method // by path
	refuser *grpc.Server      // of what never comes to its message
}

// method is what answers a path. Each face has a server of its own, since its
// messages have their own bound.
type method struct {
	op     gatehouse.Operation
	server *grpc.Server
}

func newCalls(s *Server) *calls {
	c := &calls{Server: s, methods: map[string]method{}}
	c.refuser = grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		e := stream.Context().Value(edgeKey{}).(*edge)
		return c.status(stream.Context(), e.op, e.id, e.err)
	}))
	return c
}

// registrar takes the services of one face.
type registrar struct {
	*calls
	grpc *grpc.Server
}

func (c *calls) of(f Face) registrar {
	return registrar{c, grpc.NewServer(grpc.MaxRecvMsgSize(max(f.MaxMessage, maxBody)), grpc.ForceServerCodecV2(unread{encoding.GetCodecV2("proto")}))}
}

// unread hands messages on as bytes: the library would call one that is
// malformed an internal error.
type unread struct{ encoding.CodecV2 }

// Unmarshal implements encoding.CodecV2.
func (unread) Unmarshal(in mem.BufferSlice, out any) error {
	*out.(*[]byte) = in.Materialize()
	return nil
}

// isGRPC tells calls from requests, which share a listener.
func isGRPC(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return r.ProtoMajor == 2 && (kind == "application/grpc" || strings.HasPrefix(kind, "application/grpc+"))
}

type edgeKey struct{}

// edge is a call before its message: who makes it, or why it is refused.
type edge struct {
	*http.Request
	op  gatehouse.Operation
	id  string
	req *Request
	err error
}

// serve judges the caller before a byte of the message is kept: it may be large.
func (c *calls) serve(w http.ResponseWriter, r *http.Request, id string) {
	m, known := c.methods[r.URL.Path]
	e := &edge{Request: r, op: m.op, id: id, err: gatehouse.Errorf(gatehouse.Unimplemented, "unknown method %s", clip(r.URL.Path))}
	server := c.refuser
	if known {
		e.req, e.err = c.caller(e)
	}
	if e.err == nil {
		server = m.server
	}
	server.ServeHTTP(w, c.paced(w, r.WithContext(context.WithValue(r.Context(), edgeKey{}, e))))
}

func (c *calls) caller(e *edge) (req *Request, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = crashed(v)
		}
	}()
	return c.enter(e.Request, e.op, e.id)
}

// RegisterService implements grpc.ServiceRegistrar. A method's name is its
// operation.
func (r registrar) RegisterService(d *grpc.ServiceDesc, impl any) {
	judged := *d
	judged.Methods = slices.Clone(d.Methods)
	for i, m := range d.Methods {
		op := gatehouse.Operation(m.MethodName)
		judged.Methods[i].Handler = r.judge(op, m.Handler)
		r.methods["/"+d.ServiceName+"/"+m.MethodName] = method{op, r.grpc}
	}
	r.grpc.RegisterService(&judged, impl)
}

func (c *calls) judge(op gatehouse.Operation, next grpc.MethodHandler) grpc.MethodHandler {
	return func(srv any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (out any, err error) {
		e := ctx.Value(edgeKey{}).(*edge)
		defer func() {
			if v := recover(); v != nil {
				err = crashed(v)
			}
			if err != nil {
				out, err = nil, c.status(ctx, op, e.id, err)
			}
		}()
		e.req.mutation = mutates(op)
		ctx = context.WithValue(ctx, requestKey{}, e.req)
		out, err = next(srv, ctx, func(m any) error { return e.req.take(e.URL.Path, dec, m.(proto.Message)) }, nil)
		if err == nil {
			err = e.req.announce(ctx, e.id)
		}
		return out, err
	}
}

// mutates reports whether an operation changes something: over gRPC all are POST.
func mutates(op gatehouse.Operation) bool {
	return slices.ContainsFunc(gatehouse.Operations, func(o gatehouse.OperationInfo) bool {
		return o.Name == op && o.Method != http.MethodGet
	})
}

// announce sends what the headers of an answer over REST say.
func (r *Request) announce(ctx context.Context, id string) error {
	h := http.Header{requestIDHeader: {id}}
	r.decorate(h)
	md := metadata.MD{}
	for name, values := range h {
		md.Append(name, values...)
	}
	return grpc.SetHeader(ctx, md)
}

// take reads and judges a message, and binds an Idempotency-Key to it.
func (r *Request) take(method string, read func(any) error, m proto.Message) error {
	var raw []byte
	if err := read(&raw); err != nil {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "the message is too large, ended early or came too slowly").Because(err)
	}
	if err := proto.Unmarshal(raw, m); err != nil {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "the message is none of this method").Because(err)
	}
	var bad gatehouse.Violations
	known(m.ProtoReflect(), "", &bad)
	text, _ := proto.MarshalOptions{Deterministic: true}.Marshal(m) // what was decoded can be encoded
	r.Call.BodyHash = sha256.Sum256(append([]byte(method+"\n"), text...))
	return bad.Err()
}

// known refuses what this program does not know, as its scan of JSON does: a
// member that is ignored is a wish that is.
func known(m protoreflect.Message, path string, bad *gatehouse.Violations) {
	for rest := m.GetUnknown(); len(rest) > 0; {
		number, _, n := protowire.ConsumeField(rest)
		if n < 0 {
			break
		}
		bad.Addf(orBody(path), "unknown field number %d", number)
		rest = rest[n:]
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		at := join(path, f.JSONName())
		switch {
		case f.IsMap(): // of strings, which protobuf has read
		case f.IsList():
			for i := range v.List().Len() {
				knownValue(f, v.List().Get(i), at, bad)
			}
		default:
			knownValue(f, v, at, bad)
		}
		return true
	})
}

func knownValue(f protoreflect.FieldDescriptor, v protoreflect.Value, path string, bad *gatehouse.Violations) {
	switch {
	case f.Message() != nil:
		known(v.Message(), path, bad)
	case f.Enum() != nil && f.Enum().Values().ByNumber(v.Enum()) == nil:
		bad.Addf(path, "unknown value %d", v.Enum())
	}
}

// status is an error in gRPC's words, with the details that REST has.
func (c *calls) status(ctx context.Context, op gatehouse.Operation, id string, err error) error {
	a, err := c.refused(ctx, op, id, err)
	_ = grpc.SetHeader(ctx, metadata.Pairs(requestIDHeader, id)) // fails when the client is gone
	st := status.New(a.grpc, gatehouse.Public(err))
	var e *gatehouse.Error
	if !errors.As(err, &e) {
		return st.Err()
	}
	var details []protoadapt.MessageV1
	if len(e.Violations) > 0 {
		bad := &errdetails.BadRequest{}
		for _, v := range e.Violations {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: v.Field, Description: v.Problem})
		}
		details = append(details, bad)
	}
	if e.RetryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
	}
	if full, err := st.WithDetails(details...); err == nil {
		st = full
	}
	return st.Err()
}
