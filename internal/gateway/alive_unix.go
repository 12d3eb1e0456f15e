//go:build unix

package gateway

import (
	"io"
	"net"
	"syscall"
)

// ended looks, without waiting, whether the other side has closed or broken a
// connection. A byte that waits is no end.
func ended(fd uintptr) bool {
	var b [1]byte
	n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return n == 0 && err == nil || err != nil && err != syscall.EAGAIN && err != syscall.EINTR
}

// quiet looks, without waiting, whether an idle connection is still open and
// silent. A byte that nobody asked for is as bad as an end: it would be read as
// the beginning of the next answer.
func quiet(fd uintptr, b []byte) bool {
	return peekNow(fd, b) == syscall.EAGAIN
}

// pushed writes what fits without waiting.
func pushed(fd uintptr, p []byte) (int, error) {
	n, err := writeNow(fd, p)
	if err == syscall.EAGAIN || err == syscall.EINTR {
		err = nil
	}
	return max(n, 0), err
}

// pulls says that sockets are read by pulled.
const pulls = true

// pulled reads what is there without waiting; false: nothing is.
func pulled(fd uintptr, p []byte) (n int, ok bool, err error) {
	n, err = readNow(fd, p)
	for err == syscall.EINTR {
		n, err = readNow(fd, p)
	}
	switch {
	case err == syscall.EAGAIN:
		return 0, false, nil
	case err != nil:
		return 0, true, err
	case n == 0 && len(p) > 0:
		return 0, true, io.EOF
	}
	return n, true, nil
}

// watch returns a function that looks whether an idle connection is quiet. It is
// asked before every reuse, so it allocates nothing.
func watch(nc net.Conn) (alive func() bool) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return func() bool { return true }
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return func() bool { return false }
	}
	silent := false
	var b [1]byte
	peek := func(fd uintptr) bool {
		silent = quiet(fd, b[:])
		return true
	}
	return func() bool { return raw.Read(peek) == nil && silent }
}

// turn is one request out and the first bytes of its answer in, on a plain
// socket, as one operation of the poller: the look at the idle connection, the
// write, and the wait for the answer, which net.Conn would begin with a read
// that finds nothing. The poller forgets what it was told before the operation
// began, so the look must come after that, and an answer that is faster than
// the wait is not missed.
type turn struct {
	raw   syscall.RawConn
	step  func(fd uintptr) bool // of this turn; made once
	look  bool                  // the connection rested
	sent  bool                  // the write was tried
	out   []byte
	in    []byte
	wrote int
	read  int
	err   error
	peek  [1]byte
}

// newTurn returns nil for what is no plain socket.
func newTurn(nc net.Conn) *turn {
	sc, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	t := &turn{raw: raw}
	t.step = t.move
	return t
}

// take writes out and reads into in. When not all of out left and err is nil,
// the rest is the caller's to write, and nothing was read.
func (t *turn) take(look bool, out, in []byte) (wrote, read int, err error) {
	t.look, t.sent, t.out, t.in, t.wrote, t.read, t.err = look, false, out, in, 0, 0, nil
	err = t.raw.Read(t.step)
	t.out, t.in = nil, nil
	if t.err != nil {
		err = t.err
	}
	return t.wrote, t.read, err
}

// move is called before waiting, and after it whenever the socket may have
// become readable. true ends the turn.
func (t *turn) move(fd uintptr) bool {
	if !t.sent {
		t.sent = true
		if t.look && !quiet(fd, t.peek[:]) {
			t.err = errStale
			return true
		}
		t.wrote, t.err = pushed(fd, t.out)
		return t.err != nil || t.wrote < len(t.out)
	}
	var ok bool
	t.read, ok, t.err = pulled(fd, t.in)
	return ok
}
