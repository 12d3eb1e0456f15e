//go:build linux && !386 && !race

package gateway

import (
	"syscall"
	"unsafe"
)

// The calls below go to sockets that never wait, and so past the scheduler: told
// of a call, it is ready to hand this thread's work to another one, and where a
// write takes its 20 µs, since the kernel delivers on loopback before it returns,
// it does so, and back again. That and the telling is a twentieth of a request.

// maxNow bounds what one such call copies, during which no collection can begin.
const maxNow = 64 << 10

func readNow(fd uintptr, p []byte) (int, error) {
	return result(syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(min(len(p), maxNow))))
}

func writeNow(fd uintptr, p []byte) (int, error) {
	return result(syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(min(len(p), maxNow))))
}

// peekNow reads without taking.
func peekNow(fd uintptr, p []byte) error {
	_, err := result(syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0))
	return err
}

func result(n, _ uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
