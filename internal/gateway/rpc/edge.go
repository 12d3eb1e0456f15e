package rpc

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
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

func newEdge(w http.ResponseWriter, r *http.Request, held *atomic.Int64) *edge {
	e := &edge{w: http.NewResponseController(w), r: r}
	e.tap.body, e.tap.held = r.Body, held
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
	e.tap.release()
}

// tap is a stream's body. The library reads it ahead, without bound and before
// anybody knows who sends; here it gives only what was granted. What is not
// granted stays with the client, by HTTP/2's own flow control.
type tap struct {
	body io.ReadCloser
	held *atomic.Int64 // bytes of all messages that are not yet the gateway's

	mu     sync.Mutex
	more   sync.Cond
	left   int
	last   bool  // nothing is granted after left
	head   int   // bytes that are missing of a message's prefix; see next
	size   int   // of the message, as far as its prefix is there
	taken  int64 // part of held
	above  bool  // held was too much, once
	closed bool
}

// maxHeld bounds held. A message is there up to four times while it is
// translated; what comes of it is in the gateway's own budget for bodies.
const maxHeld = 128 << 20

var errFull = errors.New("too many messages are in flight; please retry")

// grant lets n more bytes through. What comes after the last of them is an
// unexpected end; after others it waits for the next grant.
func (t *tap) grant(n int, last bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left, t.last = t.left+n, last
	t.more.Broadcast()
}

// prefix is what stands before each message: whether it is compressed, and its
// size in four bytes.
const prefix = 5

// next lets one more message through, and nothing of the one behind it: how fast
// a client may stream is how fast its messages are taken.
func (t *tap) next() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left, t.head, t.size = prefix, prefix, 0
	t.more.Broadcast()
}

// measure reads a prefix as it passes, and grants what it announces. A message
// that is too large is refused by the library for its prefix alone.
func (t *tap) measure(p []byte) {
	for _, b := range p[:min(len(p), t.head)] {
		if t.head < prefix {
			t.size = t.size<<8 | int(b)
		}
		if t.head--; t.head == 0 {
			t.left += min(t.size, maxMessage)
		}
	}
}

// Read implements [io.Reader].
func (t *tap) Read(p []byte) (int, error) {
	t.mu.Lock()
	for t.left == 0 && !t.last && !t.closed {
		t.more.Wait()
	}
	most := min(len(p), t.left)
	ended := t.closed || most == 0
	t.mu.Unlock()
	if ended {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := t.body.Read(p[:most])
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left -= n
	t.measure(p[:n])
	t.taken += int64(n)
	if t.held.Add(int64(n)) > maxHeld {
		t.above = true
		return 0, errFull // UNAVAILABLE, as the library has it
	}
	return n, err
}

// full says whether a message was not taken in because too many are in flight.
func (t *tap) full() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.above
}

// release says that the message has become the gateway's, or nothing.
func (t *tap) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held.Add(-t.taken)
	t.taken = 0
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
