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
	all leaver // ring
}

// leaver is a client and how long its answer is still read without it.
type leaver struct {
	prev, next *leaver
	exchange   *exchange
	client     context.Context
	wire       *wire // nil when only client tells
	drain      time.Duration
}

const lookEvery = 200 * time.Millisecond

func (l *leavers) init() { l.all.prev, l.all.next = &l.all, &l.all }

func (l *leavers) add(x *exchange, client context.Context, w *wire, drain time.Duration) {
	x.leaver = leaver{exchange: x, client: client, wire: w, drain: drain}
	l.mu.Lock()
	x.prev, x.next = l.all.prev, &l.all
	x.prev.next, l.all.prev = &x.leaver, &x.leaver
	l.mu.Unlock()
}

func (l *leavers) remove(x *exchange) {
	l.mu.Lock()
	x.leaver.unlink()
	l.mu.Unlock()
}

func (who *leaver) unlink() {
	if who.next != nil {
		who.prev.next, who.next.prev = who.next, who.prev
		who.prev, who.next = nil, nil
	}
}

// look bounds the exchanges whose clients have left. It holds the lock, so that
// none is bounded that has ended.
func (l *leavers) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for who := l.all.next; who != &l.all; {
		next := who.next
		if who.left() {
			who.exchange.leave(time.Now().Add(who.drain))
			who.unlink()
		}
		who = next
	}
}

func (who *leaver) left() bool {
	if who.wire != nil && who.wire.look() {
		return true
	}
	return who.client.Err() != nil
}
