package api

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"gatehouse"
)

// limits holds one bucket per management key that proved itself. A key that
// did not is never entered: the public id in a token is no secret, and whoever
// repeats it must not slow down its owner.
type limits struct {
	rate    float64 // per second; negative: none
	mu      sync.Mutex
	buckets map[gatehouse.ID]*rate.Limiter
	swept   time.Time
}

// sweepEvery bounds the memory: a full bucket is the same as none.
const sweepEvery = time.Minute

func (l *limits) allow(id gatehouse.ID, now time.Time) error {
	if l.rate < 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.swept) > sweepEvery {
		l.sweep(now)
	}
	b := l.buckets[id]
	if b == nil {
		b = rate.NewLimiter(rate.Limit(l.rate), max(1, int(l.rate)))
		l.buckets[id] = b
	}
	if !b.AllowN(now, 1) {
		return tooFast(l.rate)
	}
	return nil
}

func (l *limits) sweep(now time.Time) {
	for id, b := range l.buckets {
		if b.TokensAt(now) >= float64(b.Burst()) {
			delete(l.buckets, id)
		}
	}
	l.swept = now
}
