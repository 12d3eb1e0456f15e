package limit

import (
	"math"
	"time"
)

// slots is how many counters a window has: 64 sub-windows, and the one that the
// window's far end cuts through. With 64 alone, admissions at the very start of
// the oldest sub-window would be forgotten up to 1/64 of a window too early,
// and a sliding window could overshoot.
const (
	parts = 64
	slots = parts + 1
)

// The widths of one sub-window. Both divide exactly, so a boundary is never
// rounded.
const (
	secondPart = time.Second / parts
	minutePart = time.Minute / parts
)

// counter is what a slot holds at first: a key sends few requests, and few
// tokens, in one sub-window, and there are three windows for every key in use.
type counter interface{ uint8 | uint16 }

// window counts over a sliding time. The zero window is empty. Its methods take
// the number of the current sub-window, which never decreases: callers go
// through advance.
type window[T counter] struct {
	head int64 // the sub-window that slot head%slots stands for
	last int64 // the newest sub-window that anything was added to
	sum  int64
	wide *[slots]int64 // instead of slot, from the first count on that does not fit there
	slot [slots]T
}

func (w *window[T]) at(i int64) int64 {
	if w.wide != nil {
		return w.wide[i%slots]
	}
	return int64(w.slot[i%slots])
}

func (w *window[T]) set(i, n int64) {
	if w.wide == nil && n > int64(^T(0)) {
		w.wide = new([slots]int64)
		for k, v := range w.slot {
			w.wide[k] = int64(v)
		}
	}
	if w.wide != nil {
		w.wide[i%slots] = n
		return
	}
	w.slot[i%slots] = T(n)
}

// advance moves to the sub-window at and forgets what left the window. A time
// before the head counts as the head: two cores may take their times in one
// order and the lock in the other, and the order of the lock is the true one.
func (w *window[T]) advance(at int64) {
	switch n := at - w.head; {
	case n <= 0:
		return
	case n >= slots:
		w.slot, w.wide, w.sum = [slots]T{}, nil, 0
	default:
		for i := w.head + 1; i <= at; i++ {
			w.sum -= w.at(i)
			w.set(i, 0)
		}
	}
	w.head = at
}

// add counts n ≥ 0 now and returns how much fitted: sums saturate instead of
// wrapping round, since a wrapped sum would open the limit.
func (w *window[T]) add(n int64) int64 {
	n = min(n, math.MaxInt64/2-w.sum)
	w.sum += n
	w.set(w.head, w.at(w.head)+n)
	w.last = w.head
	return n
}

// remove takes back up to n of what was added in the sub-window at, and returns
// how much it took. What has left the window cannot be taken.
func (w *window[T]) remove(at, n int64) int64 {
	if !w.holds(at) {
		return 0
	}
	have := w.at(at)
	n = min(n, have)
	w.set(at, have-n)
	w.sum -= n
	return n
}

// holds reports whether the sub-window at still counts.
func (w *window[T]) holds(at int64) bool { return at > w.head-slots && at <= w.head }

// until returns the number of the first sub-window in which the sum is at most
// most, if nothing is added before. Negative sums do not exist: the answer to
// most < 0 is that of an empty window.
func (w *window[T]) until(most int64) int64 {
	rest := w.sum
	if rest <= most {
		return w.head
	}
	for i := w.head - parts; i <= w.head; i++ {
		// Slots before time zero hold nothing, and % of a negative is negative.
		if i < 0 {
			continue
		}
		if rest -= w.at(i); rest <= most {
			return i + slots
		}
	}
	return w.head + slots
}

// empties returns the number of the sub-window in which everything has left.
func (w *window[T]) empties() int64 {
	if w.sum == 0 {
		return w.head
	}
	return w.last + slots
}
