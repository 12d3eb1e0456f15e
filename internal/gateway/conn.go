package gateway

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	readBuffer = 8 << 10
	// joined is up to which size a body goes out in one write with its head.
	joined = 32 << 10
	// writePart is how much of a large body is written under one deadline.
	writePart = 256 << 10
)

// conn is one HTTP/1.1 connection to an upstream.
type conn struct {
	nc     net.Conn
	alive  func() bool // still open and silent; for idle ones
	turn   *turn       // which looks itself; nil where there is no plain socket
	due    bool        // out leaves with the next read
	wrote  bool        // a byte of out left
	cut    bool        // and not all of it
	br     *bufio.Reader
	out    []byte
	line   []byte
	head   head
	rested time.Time
	until  time.Time // the deadline that is set
	used   bool      // an answer was read from it before
}

func newConn(nc, raw net.Conn) *conn {
	c := &conn{nc: nc, turn: newTurn(nc), alive: watch(raw)}
	c.br = bufio.NewReaderSize(c, readBuffer)
	return c
}

// Read is what br reads from. A request that is due leaves first.
func (c *conn) Read(p []byte) (int, error) {
	if !c.due {
		return c.nc.Read(p)
	}
	c.due = false
	wrote, n, err := c.turn.take(c.used, c.out, p)
	c.wrote = wrote > 0
	if err != nil || wrote == len(c.out) {
		return n, err
	}
	if _, err := c.nc.Write(c.out[wrote:]); err != nil {
		c.wrote, c.cut = true, true
		c.nc.SetDeadline(time.Now().Add(lastWords))
	}
	return c.nc.Read(p)
}

// lastWords is how long an upstream that would not read a whole request may
// take to say why: 413 or 401.
const lastWords = time.Second

// order is a request to an upstream.
type order struct {
	method string
	suffix string // below the base URL's path
	query  string
	header http.Header // without framing and credential
	body   []byte
}

// lost says why there is no answer.
type lost struct {
	reached bool // a byte of the request may have reached the upstream
	timeout bool
	cause   error
}

func (e *lost) Error() string { return "no answer from the upstream: " + e.cause.Error() }
func (e *lost) Unwrap() error { return e.cause }

func lose(reached bool, err error) *lost {
	var ne net.Error
	return &lost{reached: reached, timeout: errors.As(err, &ne) && ne.Timeout(), cause: err}
}

// exchange is one request and its answer. It is used by one goroutine, but for
// leave. Its deadlines are real time, not the injected clock: the kernel's.
type exchange struct {
	status int
	header http.Header // valid until release
	length int64       // of the body; -1 when not declared

	link    *link
	c       *conn
	chunks  io.Reader
	left    int64 // of a body with a length
	chunked bool
	done    bool // the body was read to its end as framed
	armed   time.Time

	mu    sync.Mutex  // guards c and timer against leave
	timer *time.Timer // the deadline of the indirect way
	by    time.Time   // the end, whatever else: set when the client has left

	response *http.Response // of the indirect way
	cancel   func()
	expired  *atomic.Bool // of this attempt: its timer may outlive it
	lent     *lent        // the body of this attempt

	leaver // guarded by leavers.mu
}

// send sends o and reads the head of the answer.
func (x *exchange) send(l *link, o *order) *lost {
	x.link = l
	if l.transport != nil {
		return x.sendIndirect(o)
	}
	for fresh := false; ; {
		c, err := l.take(fresh)
		if err != nil {
			return lose(false, err)
		}
		wrote, started, err := x.try(c, o)
		if err == nil {
			return nil
		}
		x.detach()
		c.nc.Close()
		if err == errStale {
			continue // it had ended before anything was sent
		}
		// A connection that rested may have been closed by the other side while
		// the request was on its way. Then no byte of an answer came, and the
		// upstream has not read the request: it is sent again, once, on a new
		// connection. A fresh connection that does this is broken.
		if c.used && !started && closedByPeer(err) && !fresh {
			fresh = true
			continue
		}
		return lose(wrote, err)
	}
}

// try is one attempt on one connection.
func (x *exchange) try(c *conn, o *order) (wrote, started bool, err error) {
	x.attach(c)
	wrote, writeErr := x.write(c, o)
	if writeErr != nil && !wrote {
		return false, false, writeErr
	}
	if writeErr != nil {
		x.setDeadline(time.Now().Add(lastWords))
	}
	started, err = c.head.read(c.br, &c.line)
	wrote = wrote || c.wrote
	if err != nil {
		if writeErr != nil && !started {
			err = writeErr
		}
		return wrote, started, err
	}
	x.accept(c, writeErr == nil && !c.cut)
	return wrote, started, nil
}

func (x *exchange) write(c *conn, o *order) (wrote bool, err error) {
	c.out = x.link.appendHead(c.out[:0], o)
	c.wrote, c.cut = false, false
	rest := o.body
	if len(rest) <= joined {
		c.out, rest = append(c.out, rest...), nil
		if c.turn != nil {
			c.due = true
			return false, nil
		}
	}
	if c.used && c.turn != nil && !c.alive() {
		return false, errStale
	}
	n, err := c.nc.Write(c.out)
	wrote = n > 0
	for len(rest) > 0 && err == nil {
		x.setDeadline(time.Now().Add(x.link.header))
		n, err = c.nc.Write(rest[:min(writePart, len(rest))])
		rest = rest[n:]
	}
	if cap(c.out) > 2*joined {
		c.out = nil
	}
	return wrote, err
}

// accept takes over the head and prepares for the body.
func (x *exchange) accept(c *conn, whole bool) {
	h := &c.head
	x.status, x.header, x.length = h.status, h.header, h.length
	x.chunked, x.left, x.done, x.chunks = h.chunked, h.length, h.length == 0, nil
	x.armed = time.Time{}
	h.closes = h.closes || !whole
	if h.chunked {
		x.chunks = httputil.NewChunkedReader(c.br)
	}
}

// Read reads the body. io.EOF comes only when the framing says that this was
// all; a connection that just ends is io.ErrUnexpectedEOF. It returns what has
// arrived rather than wait for more, across chunks.
func (x *exchange) Read(p []byte) (n int, err error) {
	if x.done {
		return 0, io.EOF
	}
	if x.c == nil || x.length < 0 || int64(x.c.br.Buffered()) < x.left {
		x.arm()
	}
	switch {
	case x.response != nil:
		n, err = x.readIndirect(p)
	case x.chunked:
		if n, err = x.chunks.Read(p); err == io.EOF {
			if trailing := readTrailer(x.c.br); trailing != nil {
				return n, trailing
			}
		}
	case x.length >= 0:
		n, err = x.c.br.Read(p[:min(int64(len(p)), x.left)])
		if x.left -= int64(n); x.left == 0 {
			err = io.EOF
		} else if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	default:
		n, err = x.c.br.Read(p)
	}
	x.done = err == io.EOF
	return n, err
}

// release ends the exchange. The connection is kept only when the answer was
// read to its end and nothing follows it.
func (x *exchange) release() {
	c := x.c
	x.detach()
	x.releaseIndirect()
	if c == nil {
		return
	}
	if x.done && !c.head.closes && c.br.Buffered() == 0 {
		x.link.give(c)
		return
	}
	c.nc.Close()
}

// attach starts the clock of the header timeout on c. A deadline that an earlier
// exchange left and that is no more than an eighth too late is good enough:
// moving it costs a timer.
func (x *exchange) attach(c *conn) {
	header, now := x.link.header, time.Now()
	x.mu.Lock()
	x.c = c
	left := c.until.Sub(now)
	keep := x.by.IsZero() && left >= header && left <= header+header/8
	x.mu.Unlock()
	if !keep {
		x.setDeadline(now.Add(header + header/8))
	}
}

func (x *exchange) detach() {
	x.mu.Lock()
	x.c, x.timer = nil, nil
	x.mu.Unlock()
}

// arm gives the next read the idle timeout. Moving a deadline costs a timer, so
// it is moved only when an eighth of it has passed.
func (x *exchange) arm() {
	now := time.Now()
	if !x.armed.IsZero() && now.Sub(x.armed) < x.link.idle/8 {
		return
	}
	x.armed = now
	x.setDeadline(now.Add(x.link.idle + x.link.idle/8))
}

// hurry bounds all reads that follow together, up to a second.
func (x *exchange) hurry(d time.Duration) {
	x.armed = time.Now().Add(time.Second)
	x.setDeadline(time.Now().Add(d))
}

func (x *exchange) setDeadline(t time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.by.IsZero() && x.by.Before(t) {
		t = x.by
	}
	x.move(t)
}

// move needs mu.
func (x *exchange) move(t time.Time) {
	switch {
	case x.c != nil:
		x.c.until = t
		x.c.nc.SetDeadline(t)
	case x.timer != nil:
		x.timer.Reset(time.Until(t))
	}
}

// leave bounds all that is still to come: the client is gone. Any goroutine may
// call it; the first call counts, also for attempts that follow.
func (x *exchange) leave(by time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.by.IsZero() {
		return
	}
	x.by = by
	x.move(by)
}

// errStale is an idle connection that was no longer quiet. Nothing was sent.
var errStale = errors.New("the idle connection had ended")

// closedByPeer tells the errors of a connection that the other side had closed.
func closedByPeer(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// appendHead writes the request line and the header.
func (l *link) appendHead(b []byte, o *order) []byte {
	b = append(b, o.method...)
	b = append(b, ' ')
	b = l.appendTarget(b, o)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, l.host...)
	b = append(b, "\r\nAccept-Encoding: identity\r\n"...)
	for name, values := range o.header {
		for _, v := range values {
			b = append(append(append(b, name...), ": "...), v...)
			b = append(b, "\r\n"...)
		}
	}
	if len(o.body) > 0 || o.method == http.MethodPost {
		b = strconv.AppendInt(append(b, "Content-Length: "...), int64(len(o.body)), 10)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

func (l *link) appendTarget(b []byte, o *order) []byte {
	b = append(append(b, l.prefix...), o.suffix...)
	if l.query != "" {
		b = append(append(b, '?'), l.query...)
	}
	if o.query != "" {
		mark := byte('?')
		if l.query != "" {
			mark = '&'
		}
		b = append(append(b, mark), o.query...)
	}
	return b
}
