//go:build unix

package meter

import (
	"os"
	"syscall"
)

// lockDir keeps a second process out. The kernel lets go when the holder dies,
// so a crash leaves nothing to clean up.
func lockDir(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
