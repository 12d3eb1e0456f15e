package gateway

import (
	"context"
	"sync"
	"time"
)

// leavers looks after the clients of exchanges under way. One that leaves while
// its upstream is silent is noticed within lookEvery: a hook on each request's
// context would notice at once, for five allocations of every request, and what
// it bounds lasts half a minute.
type leavers struct {
	mu  sync.Mutex
	all map[*exchange]leaver
}

// leaver is a client and how long its answer is still read without it.
type leaver struct {
	client context.Context
	drain  time.Duration
}

const lookEvery = 200 * time.Millisecond

func (l *leavers) add(x *exchange, client context.Context, drain time.Duration) {
	l.mu.Lock()
	l.all[x] = leaver{client, drain}
	l.mu.Unlock()
}

func (l *leavers) remove(x *exchange) {
	l.mu.Lock()
	delete(l.all, x)
	l.mu.Unlock()
}

// look bounds the exchanges whose clients have left. It holds the lock, so that
// none is bounded that has ended.
func (l *leavers) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for x, who := range l.all {
		if who.client.Err() != nil {
			x.leave(time.Now().Add(who.drain))
			delete(l.all, x)
		}
	}
}
