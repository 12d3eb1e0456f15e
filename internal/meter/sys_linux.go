package meter

import (
	"errors"
	"os"
	"syscall"
)

// preallocate reserves blocks, so that a full disk is found when a segment is
// made and not in the middle of a request.
func preallocate(f *os.File, size int64) error {
	err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return f.Truncate(size)
	}
	return err
}

// datasync flushes the data and what is needed to find it again.
func datasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
