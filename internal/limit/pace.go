package limit

import (
	"math"
	"sync"
	"time"
)

// pace is how slow takes have been lately: the longest one, of which half is
// forgotten every second. A mean would not do: a busy authority answers most at
// once and some late, and those are the ones to wait for.
type pace struct {
	mu      sync.Mutex
	slowest time.Duration
	at      time.Duration // when slowest was true
}

// leastGuard is for how long a take is waited for at least.
const leastGuard = 10 * time.Millisecond

// guard is for how long to wait for a take that is sent now. The authority
// counts an admission as late as it may be dispatched, so what is longer than
// need be is taken from limits per second.
func (p *pace) guard(now time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return min(max(2*p.now(now), leastGuard), MaxGuard)
}

// note takes in how long a take took, or was waited for in vain.
func (p *pace) note(now, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slowest := p.now(now); took >= slowest {
		p.slowest, p.at = took, now
	}
}

func (p *pace) now(now time.Duration) time.Duration {
	return time.Duration(float64(p.slowest) * math.Exp2(-max(now-p.at, 0).Seconds()))
}
