//go:build linux || darwin || freebsd

package meter

import "syscall"

// freeSpace is how many bytes an ordinary user may still write on dir's disk.
func freeSpace(dir string) int64 {
	var st syscall.Statfs_t
	if syscall.Statfs(dir, &st) != nil {
		return -1
	}
	return int64(st.Bavail) * int64(st.Bsize)
}
