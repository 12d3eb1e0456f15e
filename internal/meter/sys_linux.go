package meter

import (
	"errors"
	"os"
	"syscall"
)

// preallocate reserves blocks, so that a full disk is found when a segment is
// made and not in the middle of a request. Only a file that has its blocks may
// be written through a mapping: there a full disk is a signal, not an error.
func preallocate(f *os.File, size int64) (mappable bool, err error) {
	err = syscall.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return false, f.Truncate(size)
	}
	return err == nil, err
}

func mapFile(f *os.File, from int64, size int) ([]byte, error) {
	return syscall.Mmap(int(f.Fd()), from, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
}

func unmapFile(view []byte) error { return syscall.Munmap(view) }

// datasync flushes the data and what is needed to find it again.
func datasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
