package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Listen wraps a listener, so that what net/http is lenient about never reaches
// it: see framing. It is put outside TLS, where the bytes can be read; a server
// on top of TLS must then allow unencrypted HTTP/2, since it no longer sees the
// TLS, and offer "h2" itself.
func Listen(l net.Listener) net.Listener { return &wires{Listener: l, patience: writeTime} }

// ConnContext is the [http.Server.ConnContext] of a server on top of [Listen].
// Without it everything works, and costs more.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if w, ok := c.(*wire); ok {
		return context.WithValue(ctx, wireKey{}, w)
	}
	return ctx
}

type wires struct {
	net.Listener
	closed   atomic.Bool   // the server is going
	patience time.Duration // with a client that does not read
}

// Accept implements [net.Listener].
func (l *wires) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newWire(c, l), nil
}

// Close implements [net.Listener]. A server that shuts down begins with it.
func (l *wires) Close() error {
	l.closed.Store(true)
	return l.Listener.Close()
}

type wireKey struct{}

// wireOf is the connection of an HTTP/1 request, which no other request uses
// meanwhile; nil when there is none.
func wireOf(r *http.Request) *wire {
	if r.ProtoMajor != 1 {
		return nil
	}
	w, _ := r.Context().Value(wireKey{}).(*wire)
	return w
}

// wire is a client's connection below net/http. It adds three things.
//
// The framing of every request is checked before net/http reads it.
//
// Deadlines are lazy. net/http moves the read deadline nine times for a request
// on a kept connection, and the poller's timer with it, though almost none of
// these times is a read waiting. Here only the deadline of a read that is about
// to wait counts, and an armed one that ends too early is moved on when it does.
//
// The watch for a leaving client is by looking. net/http reads ahead in a
// goroutine of its own while a handler runs, which costs a read, two moves of
// the deadline and two switches for every request, however short. While the
// handler says hush that read returns at once, with nothing, and leavers looks
// at the socket of those that last.
type wire struct {
	net.Conn
	from    *wires
	raw     syscall.RawConn // nil where there is no plain socket: then nothing is lazy
	framing framing
	refused bool        // nothing more is read
	hush    atomic.Bool // the handler looks for itself whether the client left
	gone    atomic.Bool // it did
	call    *call       // of the request before, to be used again
	out     []byte      // of an answer that the call writes itself
	push    push        // of what is being written
	pull    pull        // of what is being read
	mute    bool        // the next write is net/http's idea of that answer
	peer    netip.Addr  // the client of the request before, and
	said    string      // how it is written

	mu      sync.Mutex
	want    time.Time // the read deadline asked for
	armed   time.Time // the one that is set: never later than want while a read waits
	reading bool
}

func newWire(c net.Conn, from *wires) *wire {
	w := &wire{Conn: c, from: from}
	if sc, ok := c.(syscall.Conn); ok {
		w.raw, _ = sc.SyscallConn()
		w.push.step, w.pull.step = w.push.move, w.pull.move
	}
	return w
}

// errFraming makes net/http answer 400 and close.
var errFraming = errors.New("the request's framing is ambiguous")

// Read implements [net.Conn].
func (w *wire) Read(p []byte) (int, error) {
	if len(p) == 1 && w.hush.Load() {
		// Only the watch reads a single byte while a body of known length has been
		// read to its end: net/http's buffer is empty then, and filled whole.
		return 0, nil
	}
	if w.refused {
		return 0, errFraming
	}
	n, err := w.read(p)
	if good, ok := w.framing.check(p[:n]); !ok {
		w.refused = true
		if good == 0 {
			return 0, errFraming
		}
		return good, nil // the error comes next: what came before may be answered
	}
	return n, err
}

func (w *wire) read(p []byte) (int, error) {
	if w.raw == nil {
		return w.Conn.Read(p)
	}
	for {
		w.mu.Lock()
		w.reading = true
		if !w.want.IsZero() && (w.armed.IsZero() || w.armed.After(w.want)) {
			w.arm()
		}
		w.mu.Unlock()
		n, err := w.take(p)
		w.mu.Lock()
		w.reading = false
		early := n == 0 && err != nil && errors.Is(err, os.ErrDeadlineExceeded) && (w.want.IsZero() || time.Now().Before(w.want))
		if early {
			w.arm()
		}
		w.mu.Unlock()
		if !early {
			return n, err
		}
	}
}

// take is a read, with what waits for it where it is the poller's alone.
func (w *wire) take(p []byte) (int, error) {
	if !pulls || len(p) == 0 {
		return w.Conn.Read(p)
	}
	n, err := w.pull.take(w.raw, p)
	switch e := err.(type) { // by its op net/http tells a connection that ended from a request that is bad
	case *net.OpError:
		e.Op = "read"
	case syscall.Errno:
		err = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", e)}
	}
	return n, err
}

// arm needs mu.
func (w *wire) arm() error {
	w.armed = w.want
	return w.Conn.SetReadDeadline(w.want)
}

// SetReadDeadline implements [net.Conn].
func (w *wire) SetReadDeadline(t time.Time) error {
	if w.raw == nil {
		return w.Conn.SetReadDeadline(t)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.want = t
	if w.reading {
		return w.arm()
	}
	return nil
}

// SetDeadline implements [net.Conn].
func (w *wire) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.Conn.SetWriteDeadline(t))
}

// CloseWrite is what net/http closes with, so that its last words arrive.
func (w *wire) CloseWrite() error {
	if c, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// look says whether the client has left, without waiting.
func (w *wire) look() bool {
	// Control, and not Read, which would wait for a read that waits.
	if w.raw == nil {
		return false
	}
	left := false
	if err := w.raw.Control(func(fd uintptr) { left = ended(fd) }); err != nil || left {
		w.gone.Store(true)
		return true
	}
	return false
}

// maxSpare bounds what a connection keeps of its buffer between requests.
const maxSpare = 8 << 10

// answered says that the answer is written: what net/http writes next is an
// empty one in its place, head and all in one write, since the handler wrote
// nothing.
func (w *wire) answered() {
	w.mute = true
	if cap(w.out) > maxSpare {
		w.out = nil
	}
}

// Write implements [net.Conn].
func (w *wire) Write(p []byte) (int, error) {
	if w.mute {
		w.mute = false
		return len(p), nil
	}
	return w.write(p)
}

// write writes at once what the socket takes, mostly all. Only what must wait
// for the client gets a deadline: a client that sends request upon request and
// reads no answer would else keep its goroutine for ever.
func (w *wire) write(p []byte) (int, error) {
	if w.raw == nil {
		return w.Conn.Write(p)
	}
	n, err := w.push.take(w.raw, p)
	if err != nil || n == len(p) {
		return n, err
	}
	if err := w.Conn.SetWriteDeadline(time.Now().Add(w.from.patience)); err != nil {
		return n, err
	}
	more, err := w.Conn.Write(p[n:])
	if err == nil {
		err = w.Conn.SetWriteDeadline(time.Time{})
	}
	return n + more, err
}

// push is one write that does not wait, as one operation of the poller.
type push struct {
	step func(fd uintptr) bool // made once
	p    []byte
	n    int
	err  error
}

func (u *push) take(raw syscall.RawConn, p []byte) (int, error) {
	u.p, u.n, u.err = p, 0, nil
	err := raw.Write(u.step)
	u.p = nil
	if err == nil {
		err = u.err
	}
	return u.n, err
}

func (u *push) move(fd uintptr) bool {
	u.n, u.err = pushed(fd, u.p)
	return true
}

// pull is one read, as one operation of the poller.
type pull struct {
	step func(fd uintptr) bool // made once
	p    []byte
	n    int
	err  error
}

func (u *pull) take(raw syscall.RawConn, p []byte) (int, error) {
	u.p, u.n, u.err = p, 0, nil
	err := raw.Read(u.step)
	u.p = nil
	if err == nil {
		err = u.err
	}
	return u.n, err
}

func (u *pull) move(fd uintptr) (ok bool) {
	u.n, ok, u.err = pulled(fd, u.p)
	return ok
}

// spare is a call to use, empty. What the one before left is wiped here too, since
// nothing else keeps one key's data from the next request of a connection.
func (w *wire) spare() *call {
	if w == nil {
		return new(call)
	}
	w.mute = false
	if w.call == nil {
		w.call = new(call)
	}
	w.call.wipe()
	return w.call
}

// wipe forgets a request. An idle connection must not keep what it pointed to:
// a request, its answer, a whole catalogue that is no longer in force.
func (c *call) wipe() {
	if c.g != nil {
		clear(c.fields)
		*c = call{fields: c.fields[:0]}
	}
}

// text is how an address is written, which for one connection is mostly the same
// address.
func (w *wire) text(addr netip.Addr) string {
	if w == nil {
		return addr.String()
	}
	if w.peer != addr || w.said == "" {
		w.peer, w.said = addr, addr.String()
	}
	return w.said
}

// hush stops or lets go net/http's watch for a leaving client.
func (c *call) hush(on bool) {
	if c.wire != nil && c.wire.raw != nil {
		c.wire.hush.Store(on)
	}
}
