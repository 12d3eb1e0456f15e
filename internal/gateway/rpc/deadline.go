package rpc

import (
	"sync"
	"time"
)

// deadline ends a wait at a time that may change while it lasts.
type deadline struct {
	mu     sync.Mutex
	timer  *time.Timer
	passed chan struct{}
}

// set moves the deadline; the zero time is none.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.passed // it is closing it now
	}
	d.timer = nil
	over := false
	select {
	case <-d.passed:
		over = true
	default:
	}
	left := time.Until(t) // the kernel's clock, as of any connection's deadline
	if !t.IsZero() && left <= 0 {
		if !over {
			close(d.passed)
		}
		return
	}
	if over {
		d.passed = make(chan struct{})
	}
	if !t.IsZero() {
		passed := d.passed
		d.timer = time.AfterFunc(left, func() { close(passed) })
	}
}

// wait is closed when the deadline has passed.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passed
}
