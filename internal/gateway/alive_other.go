//go:build !unix

package gateway

import "net"

// ended cannot look without reading here; a failing write tells later.
func ended(uintptr) bool { return false }

// pushed leaves the writing to the connection.
func pushed(uintptr, []byte) (int, error) { return 0, nil }

// pulls says that sockets are read by pulled; here the connection does it.
const pulls = false

func pulled(uintptr, []byte) (n int, ok bool, err error) { return 0, true, nil }

// watch cannot look without reading here; the retry of a stale connection
// covers for it.
func watch(net.Conn) (alive func() bool) { return func() bool { return true } }

// turn is made of the poller's finer operations elsewhere.
type turn struct{}

func newTurn(net.Conn) *turn { return nil }

func (*turn) take(bool, []byte, []byte) (wrote, read int, err error) { return 0, 0, nil }
