//go:build unix

package gateway

import (
	"net"
	"syscall"
)

// watch returns a function that looks, without waiting, whether an idle
// connection is still open and silent. A byte that nobody asked for is as bad
// as an end: it would be read as the beginning of the next answer. It is asked
// before every reuse, so it allocates nothing.
func watch(nc net.Conn) (alive func() bool) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return func() bool { return true }
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return func() bool { return false }
	}
	quiet := false
	var b [1]byte
	peek := func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		quiet = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
		return true
	}
	return func() bool { return raw.Read(peek) == nil && quiet }
}
