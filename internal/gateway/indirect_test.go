package gateway

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"gatehouse"
)

// stuck is a connection whose other side answers before it reads the body: all
// writes but the first, which holds the head, wait until released is closed.
type stuck struct {
	net.Conn
	begun    bool
	writes   chan []byte
	released chan struct{}
}

func (c *stuck) Write(p []byte) (int, error) {
	if !c.begun {
		c.begun = true
		return c.Conn.Write(p)
	}
	c.writes <- nil
	<-c.released
	c.writes <- bytes.Clone(p)
	return len(p), nil
}

// A transport goes on sending a body after its answer has come. By then the
// memory is another request's, perhaps of another team: not one byte of that may
// leave with this one.
func TestABodyIsNotSentOnceItsMemoryIsGivenBack(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	c := &stuck{Conn: near, writes: make(chan []byte, 64), released: make(chan struct{})}
	l, err := newLink(&gatehouse.Upstream{BaseURL: "http://models.example/v1", Proxy: "http://proxy.example:3128", HeaderTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer l.retire()
	l.transport.DialContext = func(context.Context, string, string) (net.Conn, error) { return c, nil }
	go func() {
		far.Read(make([]byte, 64<<10))
		io.WriteString(far, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
	}()
	body := bytes.Repeat([]byte("a"), 256<<10)
	x := new(exchange)
	if gone := x.send(l, &order{method: "POST", suffix: "/chat", header: http.Header{}, body: body}); gone != nil {
		t.Fatal(gone)
	}
	<-c.writes
	x.release()
	copy(body, bytes.Repeat([]byte("b"), len(body))) // as the next request does
	close(c.released)
	for {
		select {
		case p := <-c.writes:
			if n := bytes.Count(p, []byte("b")); n > 0 {
				t.Fatalf("%d bytes of the next request were sent", n)
			}
		case <-time.After(100 * time.Millisecond): // whoever still wrote would have
			return
		}
	}
}
