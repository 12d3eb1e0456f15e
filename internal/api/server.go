package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"golang.org/x/time/rate"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"gatehouse"
)

// Server serves faces. It is safe for concurrent use.
type Server struct {
	Options
	backend Backend
	routes  routes
	mux     *runtime.ServeMux
	limits  limits
}

// New makes a handler of faces. It panics when generated code does not
// register, which only a broken build can cause.
func New(b Backend, o Options, faces ...Face) *Server {
	s := &Server{Options: o.filled(), backend: b}
	s.limits = limits{rate: s.Rate, buckets: map[gatehouse.ID]*rate.Limiter{}}
	s.mux = runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.JSONPb{
			MarshalOptions: protojson.MarshalOptions{EmitUnpopulated: true},
		}),
		runtime.WithForwardResponseOption(func(ctx context.Context, w http.ResponseWriter, _ proto.Message) error {
			From(ctx).decorate(w.Header())
			return nil
		}),
		runtime.WithErrorHandler(s.gatewayError),
		runtime.WithUnescapingMode(runtime.UnescapingModeAllCharacters),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
	)
	for _, f := range faces {
		s.routes = append(s.routes, routesOf(f)...)
		if f.Register == nil {
			continue
		}
		if err := f.Register(s.mux); err != nil {
			panic(err)
		}
	}
	return s
}

func (s *Server) gatewayError(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) {
	s.fail(ctx, w, From(ctx).Call.Operation, err)
}

// ServeHTTP judges a request in the order that doc.go says, then lets the
// face answer.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := requestID(r.Header)
	w.Header().Set(requestIDHeader, id)
	w.Header().Set("Cache-Control", "no-store") // every answer is about a principal, and some hold a secret
	rt, vars, allow := s.routes.find(r.Method, r.URL)
	if rt == nil {
		if len(allow) > 0 {
			w.Header().Set("Allow", strings.Join(allow, ", "))
		}
		s.fail(r.Context(), w, "", s.noRoute(allow))
		return
	}
	defer func() {
		if v := recover(); v != nil {
			s.fail(r.Context(), w, rt.op, crashed(v))
		}
	}()
	req, out, err := s.admit(w, r, rt, vars, id)
	if err == nil {
		err = s.serve(w, out, rt, req)
	}
	if err != nil {
		s.fail(r.Context(), w, rt.op, err)
	}
}

// admit proves the caller, asks whether it may, and only then reads what it
// wants.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, rt *route, vars map[string]string, id string) (*Request, *http.Request, error) {
	token, err := credential(r.Header, s.Brand)
	if err != nil {
		return nil, nil, err
	}
	call := &gatehouse.Call{
		Token: token, IP: s.ClientIP(r), RequestID: id, Operation: rt.op, Committed: new(gatehouse.Revision),
	}
	caller := s.backend.As(call)
	if err := caller.Authenticate(r.Context()); err != nil {
		return nil, nil, err
	}
	if err := s.limits.allow(token.ID(), s.Now()); err != nil {
		return nil, nil, err
	}
	if err := caller.Authorize(r.Context(), rt.op); err != nil {
		return nil, nil, err
	}
	if err := headers(r.Header, call); err != nil {
		return nil, nil, err
	}
	c, err := s.receive(w, r, rt, vars)
	if err != nil {
		return nil, nil, err
	}
	call.BodyHash = c.hash(r)
	req := &Request{Caller: caller, Call: call, Brand: s.Brand, mutation: r.Method != http.MethodGet}
	return req, judged(r, c, req), nil
}

// receive reads and judges what the caller wants, for as long as a body may
// take to come. The bound goes before the answer is sought: the server's watch
// for a leaving client would end with it, and with that a long ?wait=.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, rt *route, vars map[string]string) (content, error) {
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Now().Add(s.BodyTime)) // the kernel's clock; a recorder in a test has none
	c, err := rt.decode(w, r, vars)
	if err == nil {
		_ = conn.SetReadDeadline(time.Time{})
	}
	return c, err
}

// judged is r with what was judged in place of what was sent. Nothing that
// grpc-gateway could read another way is left in it.
func judged(r *http.Request, c content, req *Request) *http.Request {
	out := r.Clone(context.WithValue(r.Context(), requestKey{}, req))
	out.Header = http.Header{"Content-Type": {"application/json"}}
	out.Body = io.NopCloser(bytes.NewReader(c.body))
	out.ContentLength = int64(len(c.body))
	out.TransferEncoding = nil
	out.URL.RawQuery = c.query
	return out
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, rt *route, req *Request) error {
	if rt.plain != nil {
		return rt.plain.Handle(w, r, req)
	}
	s.mux.ServeHTTP(w, r)
	return nil
}

// Routes lists what is served, for the check against gatehouse.Operations and
// for documentation.
func (s *Server) Routes() (out []gatehouse.OperationInfo) {
	for _, rt := range s.routes {
		out = append(out, gatehouse.OperationInfo{Name: rt.op, Method: rt.method, Path: rt.spelling})
	}
	return out
}
