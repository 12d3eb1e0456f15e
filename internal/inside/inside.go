// Package inside is HTTP within one process: a server that only its own
// transport reaches, over connections in memory. Bodies flow, clients leave and
// answers break off as they do between two machines.
package inside

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// buffer is how much moves from one side to the other at a time.
const buffer = 64 << 10

// Server answers what is sent by its RoundTrip, whatever host a request names.
// Close it.
type Server struct {
	*http.Transport
	server http.Server
	done   chan struct{}
}

// Serve answers by a handler.
func Serve(h http.Handler) *Server {
	pipes := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	s := &Server{server: http.Server{Handler: h}, done: make(chan struct{})}
	s.Transport = &http.Transport{
		DialContext: pipes.dial, DisableCompression: true, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute,
		ReadBufferSize: buffer, WriteBufferSize: buffer,
	}
	go func() {
		defer close(s.done)
		_ = s.server.Serve(pipes) // ends with Close
	}()
	return s
}

// Close breaks off what is under way.
func (s *Server) Close() error {
	s.CloseIdleConnections()
	err := s.server.Close()
	<-s.done
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
		return nil, errors.New("the server in this process is closed")
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
