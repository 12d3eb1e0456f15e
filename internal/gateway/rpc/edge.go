package rpc

import (
	"io"
	"net/http"
	"sync"
	"time"
)

type edgeKey struct{}

// edge is one call's HTTP/2 stream. The library runs a call on a goroutine of
// its own and returns from the stream's when the client leaves; the gateway may
// then still be reading an upstream's answer to its usage. The stream's goroutine
// waits for that: it is what bounds how many calls one connection can have under
// way, and it keeps the stream's writer valid.
type edge struct {
	w   *http.ResponseController
	r   *http.Request
	tap tap

	mu   sync.Mutex
	over bool          // the stream's goroutine is done
	done chan struct{} // not nil: a call runs, and closes it
}

func newEdge(w http.ResponseWriter, r *http.Request) *edge {
	e := &edge{w: http.NewResponseController(w), r: r}
	e.tap.body = r.Body
	e.tap.more.L = &e.tap.mu
	return e
}

// enter begins a call, unless its stream has ended.
func (e *edge) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return false
	}
	e.done = make(chan struct{})
	return true
}

// leave ends the stream, once its call has.
func (e *edge) leave() {
	e.mu.Lock()
	e.over = true
	done := e.done
	e.mu.Unlock()
	if done != nil {
		<-done
	}
}

// tap is a stream's body. The library reads it ahead, without bound and before
// anybody knows who sends; here it gives only what was granted. What is not
// granted stays with the client, by HTTP/2's own flow control.
type tap struct {
	body io.ReadCloser

	mu     sync.Mutex
	more   sync.Cond
	left   int
	closed bool
}

// grant lets n more bytes through.
func (t *tap) grant(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left += n
	t.more.Broadcast()
}

// Read implements [io.Reader].
func (t *tap) Read(p []byte) (int, error) {
	t.mu.Lock()
	for t.left == 0 && !t.closed {
		t.more.Wait()
	}
	most := min(len(p), t.left)
	closed := t.closed
	t.mu.Unlock()
	if closed {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := t.body.Read(p[:most])
	t.mu.Lock()
	t.left -= n
	t.mu.Unlock()
	return n, err
}

// Close implements [io.Closer]; it ends a Read that waits.
func (t *tap) Close() error {
	t.mu.Lock()
	t.closed = true
	t.more.Broadcast()
	t.mu.Unlock()
	return t.body.Close()
}

// SetReadDeadline bounds how slowly a message may come. The gateway sets it.
func (e *edge) SetReadDeadline(t time.Time) error { return e.w.SetReadDeadline(t) }

// SetWriteDeadline bounds how slowly an answer may be taken. The gateway sets it.
func (e *edge) SetWriteDeadline(t time.Time) error { return e.w.SetWriteDeadline(t) }
