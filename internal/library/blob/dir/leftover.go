package dir

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// clear removes what is pending and locked by nobody: its writer is dead, for
// the kernel drops a lock with the process.
func (s *Store) clear() error {
	files, err := fs.ReadDir(s.root.FS(), pending)
	for _, f := range files {
		at := path.Join(pending, f.Name())
		if f.Type().IsRegular() && s.locked(at) {
			continue
		}
		err = errors.Join(err, s.root.RemoveAll(at))
	}
	return err
}

func (s *Store) locked(at string) bool {
	f, err := s.root.Open(at)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(lock(f), syscall.EWOULDBLOCK)
}

// lock marks a file as one that somebody is writing.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
