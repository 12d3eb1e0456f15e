//go:build !linux

package meter

import (
	"errors"
	"os"
)

func preallocate(f *os.File, size int64) (mappable bool, err error) { return false, f.Truncate(size) }

func mapFile(*os.File, int64, int) ([]byte, error) { return nil, errors.ErrUnsupported }

func unmapFile([]byte) error { return nil }

func datasync(f *os.File) error { return f.Sync() }
