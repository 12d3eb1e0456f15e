//go:build planted

package limit

import "os"

// planted reports whether the mistake of this name is built in now.
func planted(name string) bool { return os.Getenv("GATEHOUSE_PLANTED") == name }

// forgive takes what has left the window from what is still in it.
func (w *window[T]) forgive(left, n int64) {
	for at := w.head; !w.holds(left) && n > 0 && w.holds(at) && at >= 0; at-- {
		n -= w.remove(at, n)
	}
}
