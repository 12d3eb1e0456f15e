package sqlite

import (
	"os"
	"syscall"

	"gatehouse"
)

// lock makes sure that one process has the database: the audit heads and the
// revision are held in memory, and a second writer would not be in them. The
// kernel drops the lock with the process, however it dies.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, cannot("create its lock file", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "the database is open in another process").Because(err)
	}
	return f, nil
}
