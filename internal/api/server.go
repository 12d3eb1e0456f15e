package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/proto"

	"gatehouse"
	"gatehouse/internal/openapi"
)

// Server serves faces. It is safe for concurrent use.
type Server struct {
	Options
	backend   Backend
	faces     []Face
	pages     func() *openapi.Pages // made when first asked for
	routes    routes
	limits    limits
	strangers limits // of operations that take no credential
	calls     *calls
}

// New makes a handler of faces. It panics when generated code does not
// register, which only a broken build can cause.
func New(b Backend, o Options, faces ...Face) *Server {
	s := &Server{Options: o.filled(), backend: b, faces: faces}
	s.pages = sync.OnceValue(func() *openapi.Pages { return s.Document().Pages() })
	s.limits = newLimits(s.Rate, "this management key")
	s.strangers = newLimits(min(s.Rate, strangerRate), "this address")
	s.calls = newCalls(s)
	for _, f := range faces {
		if f.GRPC != nil {
			f.GRPC(s.calls.of(f))
		}
		mux := s.muxOf(f)
		for _, rt := range routesOf(f) {
			rt.mux = mux
			s.routes = append(s.routes, rt)
		}
	}
	return s
}

// muxOf makes what runs the generated code of a face.
func (s *Server) muxOf(f Face) *runtime.ServeMux {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.JSONPb{
			MarshalOptions: f.json(),
		}),
		runtime.WithForwardResponseOption(func(ctx context.Context, w http.ResponseWriter, _ proto.Message) error {
			From(ctx).decorate(w.Header())
			return nil
		}),
		runtime.WithErrorHandler(func(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) {
			s.fail(ctx, w, f.Errors, From(ctx).Call.Operation, err)
		}),
		runtime.WithUnescapingMode(runtime.UnescapingModeAllCharacters),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
	)
	if f.Register != nil {
		if err := f.Register(mux); err != nil {
			panic(err)
		}
	}
	return mux
}

// ServeHTTP judges a request in the order that doc.go says, then lets the
// face answer.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := requestID(r.Header)
	w.Header().Set(requestIDHeader, id)
	w.Header().Set("Cache-Control", "no-store") // every answer is about a principal, and some hold a secret
	if isGRPC(r) {
		s.calls.serve(w, r, id)
		return
	}
	if openapi.Serves(r.URL.Path) {
		s.pages().ServeHTTP(w, r)
		return
	}
	if r.URL.Path == acceptPath {
		serveAccept(w, r)
		return
	}
	rt, vars, allow := s.routes.find(r.Method, r.URL)
	if rt == nil {
		if len(allow) > 0 {
			w.Header().Set("Allow", strings.Join(allow, ", "))
		}
		s.fail(r.Context(), w, s.styleAt(r.URL.Path), "", s.noRoute(allow))
		return
	}
	defer func() {
		if v := recover(); v != nil {
			s.fail(r.Context(), w, rt.errors, rt.op, crashed(v))
		}
	}()
	req, out, err := s.admit(w, r, rt, vars, id)
	if err == nil {
		err = s.serve(w, out, rt, req)
	}
	if err != nil {
		s.fail(r.Context(), w, rt.errors, rt.op, err)
	}
}

// admit proves the caller, asks whether it may, and only then reads what it
// wants.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, rt *route, vars map[string]string, id string) (*Request, *http.Request, error) {
	req, err := s.enter(r, rt.op, id)
	if err != nil {
		return nil, nil, err
	}
	c, err := s.receive(w, r, rt, vars)
	if err != nil {
		return nil, nil, err
	}
	req.Call.BodyHash, req.Call.TeamID = c.hash(r), c.team
	req.vars, req.json, req.Form, req.mutation = vars, rt.json, c.form, r.Method != http.MethodGet
	return req, judged(r, c, req), nil
}

// enter proves the caller and asks whether it may call op.
func (s *Server) enter(r *http.Request, op gatehouse.Operation, id string) (*Request, error) {
	call := &gatehouse.Call{IP: s.ClientIP(r), RequestID: id, Operation: op, Committed: new(gatehouse.Revision)}
	req := &Request{Caller: s.backend.As(call), Call: call, Brand: s.Brand, Now: s.Now()}
	if open(op) {
		if err := s.strangers.allow(neighbourhood(call.IP), s.Now()); err != nil {
			return nil, err
		}
		return req, headers(r.Header, call)
	}
	var err error
	if call.Token, err = credential(r.Header, s.Brand, op); err != nil {
		return nil, err
	}
	if err := req.Authenticate(r.Context()); err != nil {
		return nil, err
	}
	if err := s.limits.allow(call.Token.ID(), s.Now()); err != nil {
		return nil, err
	}
	if err := req.Authorize(r.Context(), op); err != nil {
		return nil, err
	}
	return req, headers(r.Header, call)
}

// receive reads and judges what the caller wants, for as long as a body may
// take to come. The bound goes before the answer is sought: the server's watch
// for a leaving client would end with it, and with that a long ?wait=.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, rt *route, vars map[string]string) (content, error) {
	r = s.paced(w, r)
	c, err := rt.decode(w, r, vars)
	if err == nil && rt.upload() != nil {
		c.form, err = s.form(w, r, rt.upload())
	}
	if err == nil {
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	}
	return c, err
}

// paced bounds the time between one maxBody of a body and the next.
func (s *Server) paced(w http.ResponseWriter, r *http.Request) *http.Request {
	conn := http.NewResponseController(w)
	more := func() {
		_ = conn.SetReadDeadline(time.Now().Add(s.BodyTime)) // the kernel's clock; a recorder in a test has none
	}
	more()
	out := *r
	out.Body = &pacedBody{r.Body, more, maxBody}
	return &out
}

type pacedBody struct {
	io.ReadCloser
	more func()
	left int // until more time is given
}

// Read implements io.Reader.
func (b *pacedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left <= 0 {
		b.more()
		b.left = maxBody
	}
	return n, err
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
	out.URL.RawPath = r.URL.EscapedPath() // where it is empty grpc-gateway decodes what is decoded: %2541 would be A
	return out
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, rt *route, req *Request) error {
	defer req.Form.Close()
	if rt.plain != nil {
		return rt.plain.Handle(w, r, req)
	}
	rt.mux.ServeHTTP(w, r)
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
