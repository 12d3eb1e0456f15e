package library

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/library/assertion"
)

// Local is a gateway's way to a library in the same process: what is asked goes
// through a connection in memory, so that a body flows, a client that leaves and
// an answer that breaks off are just what they are between two machines. Close
// it.
type Local struct {
	key       []byte
	gateway   gatehouse.ID
	now       func() time.Time
	server    *http.Server
	transport *http.Transport
	done      chan struct{}
}

// ioBuffer is how much moves from one side to the other at a time.
const ioBuffer = 64 << 10

// NewLocal serves a handler to one gateway, whose key its Keys must return too.
func NewLocal(handler http.Handler, key []byte, gateway gatehouse.ID, now func() time.Time) *Local {
	pipes := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	l := &Local{key: key, gateway: gateway, now: now, server: &http.Server{Handler: handler}, done: make(chan struct{})}
	l.transport = &http.Transport{
		DialContext: pipes.dial, DisableCompression: true, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute,
		ReadBufferSize: ioBuffer, WriteBufferSize: ioBuffer,
	}
	go func() {
		defer close(l.done)
		_ = l.server.Serve(pipes) // ends with Close
	}()
	return l
}

// Ask sends a request to the library as the gateway asserts it.
func (l *Local) Ask(r *http.Request, a assertion.Assertion) (*http.Response, error) {
	a.Gateway, a.Method, a.Target, a.Expire = l.gateway, r.Method, r.URL.RequestURI(), l.now().Add(assertion.Life)
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.Host = "http", "library", "library"
	out.Header.Set(assertion.Header, assertion.Sign(l.key, a))
	resp, err := l.transport.RoundTrip(out)
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.Unavailable, "the library is not to be reached").Because(err)
	}
	return resp, nil
}

// Close breaks off what is under way.
func (l *Local) Close() error {
	l.transport.CloseIdleConnections()
	err := l.server.Close()
	<-l.done
	return err
}

// pipes is a listener without an address.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, errors.New("the library is closed")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements [net.Listener].
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr implements [net.Listener].
func (p *pipes) Addr() net.Addr { return memory{} }

type memory struct{}

// Network implements [net.Addr].
func (memory) Network() string { return "memory" }

// String implements [net.Addr].
func (memory) String() string { return "memory" }
