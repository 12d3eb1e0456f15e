//go:build unix && (!linux || 386 || race)

package gateway

import "syscall"

// The race detector takes what one side of a socket writes and the other reads
// for an order between the two only when they go through package syscall.

func readNow(fd uintptr, p []byte) (int, error)  { return syscall.Read(int(fd), p) }
func writeNow(fd uintptr, p []byte) (int, error) { return syscall.Write(int(fd), p) }

// peekNow reads without taking.
func peekNow(fd uintptr, p []byte) error {
	_, _, err := syscall.Recvfrom(int(fd), p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err
}
