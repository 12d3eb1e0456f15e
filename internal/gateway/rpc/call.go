package rpc

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"gatehouse/internal/llm"
)

// method is one RPC: how its message becomes a request of a route, and how the
// route's answer becomes messages.
type method struct {
	name    string
	message func() proto.Message
	verb    string
	path    string
	// where completes path, for a route whose address says what is meant. The
	// message is then read before the credential is judged, so it must be small.
	where func(in proto.Message) (where, error)
	// body is the request's JSON; nil for a route without one.
	body func(in proto.Message) ([]byte, error)
	// form is set for a method whose client streams: its messages become the form
	// that is the request's body, as the gateway reads it.
	form bool
	// whole makes the answer of a route's whole body.
	whole func(in proto.Message, body []byte) (proto.Message, error)
	// frame makes what reads the data of a stream's frames, for a method whose
	// answer is a stream. It returns nil for a frame that says nothing.
	frame func() func(data []byte) (proto.Message, error)
	// piece makes a message of the next bytes of an answer that are bytes, for a
	// method whose answer is a stream of them.
	piece func(data []byte) proto.Message
}

// where is what a message adds to its route's path.
type where struct {
	names []string // behind the path, each a segment of it
	query url.Values
}

// The bytes that are let in of a message: prefixes, and room for the end to be
// seen, included.
const (
	grantWhole = maxMessage + 64<<10
	grantSmall = 16 << 10
	smallTime  = 10 * time.Second
)

// call is one RPC on its way through the gateway: the body of the request that
// the gateway serves, and the writer of its answer.
type call struct {
	*edge
	m        *method
	ss       grpc.ServerStream
	in       proto.Message
	text     io.Reader // what Read gives; nil until the message was read
	took     bool      // the message was read, if only to find a mistake
	upload   *upload   // of a client that streams
	mistake  error     // of the message: the client's
	original *original // beside the body; nil when there is none
	blamed   bool      // the gateway was told of it instead of a body

	header http.Header
	status int
	body   []byte // a whole answer, or what of a piece has come
	wrote  int64  // bytes of an answer in pieces
	frames frames
	next   func(data []byte) (proto.Message, error)
	failed error // why no message can follow
	gone   error // of sending one

	isRefused bool
	fault     llm.Fault
	message   string
	after     time.Duration
}

// answer runs a call on the library's goroutine.
func (s *Server) answer(m *method, ss grpc.ServerStream) (err error) {
	e := ss.Context().Value(edgeKey{}).(*edge)
	if !e.enter() {
		return status.FromContextError(context.Canceled).Err()
	}
	defer close(e.done)
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic in a gRPC call", "method", m.name, "stack", string(debug.Stack())) // its value may hold anything
			err = status.Error(codes.Internal, "internal error")
		}
	}()
	c := &call{edge: e, m: m, ss: ss, in: m.message(), header: http.Header{}}
	if m.frame != nil {
		c.next = m.frame()
	}
	aborted := s.through(c, c.request())
	return c.end(aborted)
}

// through lets the gateway serve a request, and reports whether it broke off.
func (s *Server) through(c *call, r *http.Request) (aborted bool) {
	defer func() {
		if p := recover(); p == http.ErrAbortHandler {
			aborted = true
		} else if p != nil {
			panic(p)
		}
	}()
	s.gateway.ServeHTTP(c, r)
	return false
}

// request is the call as the gateway serves it.
func (c *call) request() *http.Request {
	r := &http.Request{
		Method: c.m.verb, URL: &url.URL{Path: c.m.path}, Proto: "HTTP/2.0", ProtoMajor: 2, Header: inward(c.r.Header), Host: c.r.Host,
		Body: io.NopCloser(c), ContentLength: -1, RemoteAddr: c.r.RemoteAddr,
	}
	if c.m.where != nil {
		_ = c.SetReadDeadline(time.Now().Add(smallTime)) // the kernel's clock
		c.address(r.URL)
		_ = c.SetReadDeadline(time.Time{})
	}
	if c.m.form {
		c.upload = newUpload(c)
		r.Body = io.NopCloser(c.upload)
		r.Header["Content-Type"] = []string{c.upload.contentType()}
	}
	return r.WithContext(c.ss.Context())
}

// inward are the headers of a call without those that describe its own framing.
// What of them goes on is the gateway's business.
func inward(from http.Header) http.Header {
	h := make(http.Header, len(from)+1)
	for name, values := range from {
		switch {
		case strings.HasPrefix(name, "Grpc-"), strings.HasPrefix(name, "Content-"):
		case name == "Te", name == "Trailer", name == "Accept", name == "Accept-Encoding":
		default:
			h[name] = values
		}
	}
	h["Content-Type"] = []string{"application/json"}
	return h
}

// address reads a message that the address depends on. One that is wrong leaves
// the path as it is: the gateway judges the credential, and then the client
// learns of the mistake.
func (c *call) address(u *url.URL) {
	if c.mistake = c.take(grantSmall); c.mistake != nil {
		return
	}
	at, err := c.m.where(c.in)
	if c.mistake = err; err != nil {
		return
	}
	u.RawPath = u.Path
	for _, name := range at.names {
		u.Path, u.RawPath = u.Path+"/"+name, u.RawPath+"/"+url.PathEscape(name)
	}
	u.RawQuery = at.query.Encode()
}

// Read is the body that the gateway reads. It takes the message first.
func (c *call) Read(p []byte) (int, error) {
	if !c.took {
		c.mistake = c.take(grantWhole)
	}
	if c.mistake == nil && c.text == nil {
		c.mistake = c.translate()
	}
	if c.mistake != nil {
		c.blamed = true
		return 0, c.mistake
	}
	n, err := c.text.Read(p)
	if err == io.EOF {
		c.text = http.NoBody // a prompt is not kept for as long as its answer lasts
		c.edge.tap.release()
	}
	return n, err
}

// SetReadDeadline bounds how slowly a message may come. The gateway sets it.
func (c *call) SetReadDeadline(t time.Time) error {
	if c.upload != nil {
		c.upload.limit.set(t)
		return nil
	}
	return c.edge.SetReadDeadline(t)
}

func (c *call) translate() error {
	c.text = http.NoBody
	if c.m.body == nil {
		return nil
	}
	text, err := c.m.body(c.in)
	c.text = bytes.NewReader(text)
	if c.original == nil {
		c.forget() // as long as the answer lasts, it is there as the body alone
	} else if errors.As(err, new(unsayable)) {
		c.original.unsaid, err = cmp.Or(c.original.unsaid, err), nil
	}
	return err
}

// take reads the message and refuses what nobody would heed.
func (c *call) take(most int) error {
	c.took = true
	c.edge.tap.grant(most, true)
	var raw []byte
	if err := c.ss.RecvMsg(&raw); err != nil {
		return err // the library has told the client
	}
	if err := countable(c.in.ProtoReflect().Descriptor(), raw); err != nil {
		return err
	}
	if err := proto.Unmarshal(raw, c.in); err != nil {
		return status.Errorf(codes.InvalidArgument, "The message is none of %s.", c.m.name)
	}
	return c.keep(len(raw), known(c.in))
}
