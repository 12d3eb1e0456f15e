package api

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"gatehouse"
)

// limits holds one bucket per management key that proved itself. A key that
// did not is never entered: the public id in a token is no secret, and whoever
// repeats it must not slow down its owner. Those who show no credential have one
// per address.
type limits struct {
	rate    float64 // per second; negative: none
	whose   string  // in the refusal
	mu      sync.Mutex
	buckets map[gatehouse.ID]*rate.Limiter
	swept   time.Time
}

// sweepEvery bounds the memory: a full bucket is the same as none.
const sweepEvery = time.Minute

// strangerRate is requests per second and address that need no credential: a
// person signs in once a day, and many behind one address at nine o'clock.
const strangerRate = 5

func newLimits(perSecond float64, whose string) limits {
	return limits{rate: perSecond, whose: whose, buckets: map[gatehouse.ID]*rate.Limiter{}}
}

// open reports whether op takes no credential.
func open(op gatehouse.Operation) bool {
	return op == gatehouse.GetSignInMethod || op == gatehouse.SignInWithIdToken
}

// neighbourhood is what an address is limited as: of IPv6 the /64, since whoever
// has one address of it has all.
func neighbourhood(addr netip.Addr) gatehouse.ID {
	if addr = addr.Unmap(); addr.Is6() {
		prefix, _ := addr.Prefix(64) // of every IPv6 address
		addr = prefix.Addr()
	}
	if !addr.IsValid() {
		return gatehouse.ID{}
	}
	return addr.As16()
}

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
		return tooFast(l.whose, l.rate)
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
