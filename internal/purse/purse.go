package purse

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse"
)

// Config is what a purse works with. Bank, Gateway and Incarnation are required.
type Config struct {
	Bank        Bank
	Gateway     gatehouse.ID
	Incarnation int64 // of the journal that the gateway writes
	// Shipped returns the incarnation before which all usage has been ingested, 0
	// as long as some has not. Nil never tells.
	Shipped func() int64
	Now     func() time.Time
}

// Purse decides for one gateway. Run must run beside it. A nil purse has no
// bank: whoever must pay is told that nobody can tell.
type Purse struct {
	c     Config
	epoch time.Time
	wake  chan struct{}

	mu   sync.Mutex
	book *book
	n    Counts

	draws, failures atomic.Uint64
}

// Counts is what became of requests that had to pay, since the start.
type Counts struct{ Paid, Waited, Refused, Unknown, Draws, Failures uint64 }

// New makes a purse.
func New(c Config) *Purse {
	return &Purse{c: c, epoch: c.Now(), wake: make(chan struct{}, 1), book: newBook(c.Gateway, c.Incarnation)}
}

// Reservation is a request's money. It is settled once; a nil one holds none.
type Reservation struct {
	p     *Purse
	funds []gatehouse.Fund
	worst gatehouse.Ticks
	done  bool
}

// Request is what is to be reserved, in all of the funds or in none.
type Request struct {
	Funds []gatehouse.Fund
	Worst gatehouse.Ticks // > 0
	// Modest, when positive, will do near the end of a fund, where there is not
	// enough for Worst: of a request that may cost that much and hardly ever does.
	Modest gatehouse.Ticks
}

// Reserve takes the worst case of a request. It waits, at most [MaxWait] in all,
// while there may come to be enough. Not enough is a Short; the error is
// [gatehouse.Unavailable]: nobody can tell, the client should come back.
func (p *Purse) Reserve(ctx context.Context, r Request) (*Reservation, *Short, error) {
	if p == nil {
		return nil, nil, cannotTell()
	}
	w := &waiter{funds: r.Funds, worst: r.Worst}
	if r.Modest < r.Worst {
		w.modest = r.Modest
	}
	return p.outcome(w, p.try(ctx, w))
}

// try reserves or waits.
func (p *Purse) try(ctx context.Context, w *waiter) verdict {
	p.mu.Lock()
	now := p.elapsed()
	w.arrived = now
	v := p.book.reserve(now, w)
	if v != waits {
		hungry := v == granted && p.hungry(now, w.funds)
		p.mu.Unlock()
		if hungry {
			p.poke()
		}
		return v
	}
	ended := make(chan struct{})
	w.done = func() { close(ended) }
	parked := p.book.park(w)
	p.n.Waited++
	p.mu.Unlock()
	if !parked {
		return unknown
	}
	p.poke()
	return p.await(ctx, w, ended)
}

// await waits for what others do.
func (p *Purse) await(ctx context.Context, w *waiter, ended <-chan struct{}) verdict {
	t := time.NewTimer(MaxWait)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.book.leave(p.elapsed(), w)
}

// outcome counts and words a verdict.
func (p *Purse) outcome(w *waiter, v verdict) (*Reservation, *Short, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch v {
	case granted:
		p.n.Paid++
		return &Reservation{p: p, funds: w.funds, worst: w.took}, nil, nil
	case refused:
		p.n.Refused++
		return nil, &w.short, nil
	}
	p.n.Unknown++
	return nil, nil, cannotTell()
}

func cannotTell() error {
	return gatehouse.Errorf(gatehouse.Unavailable, "This gateway cannot tell at the moment whether there is money for this request. Please retry.").After(time.Second)
}

// hungry reports that a slice is half used up. The lock is held.
func (p *Purse) hungry(now time.Duration, funds []gatehouse.Fund) bool {
	for _, f := range funds {
		a := p.book.accounts[f]
		if more, _ := p.book.want(now, a); more > 0 && now >= a.after && !a.asking {
			return true
		}
	}
	return false
}

// Settle puts what the request cost in the place of what was reserved. Repeats
// do nothing.
func (r *Reservation) Settle(actual gatehouse.Ticks) {
	if r == nil {
		return
	}
	if r.p.settle(r, max(actual, 0)) {
		r.p.poke()
	}
}

func (p *Purse) settle(r *Reservation, actual gatehouse.Ticks) (tell bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.done {
		return false
	}
	r.done = true
	return p.book.settle(p.elapsed(), r.funds, r.worst, actual)
}

// Run talks to the bank until ctx ends.
func (p *Purse) Run(ctx context.Context) {
	t := time.NewTicker(look)
	defer t.Stop()
	for {
		for p.exchange(ctx) {
		}
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-t.C:
		}
	}
}

// look is how often accounts are looked at when nothing happens.
const look = 50 * time.Millisecond

// drawTime is how long the bank has for an answer.
const drawTime = time.Second

// exchange asks the bank once, if there is anything to ask, and reports whether
// it answered.
func (p *Purse) exchange(ctx context.Context) bool {
	shipped := int64(0)
	if p.c.Shipped != nil {
		shipped = p.c.Shipped()
	}
	p.mu.Lock()
	r, ok := p.book.ask(p.elapsed(), shipped)
	p.mu.Unlock()
	if !ok || ctx.Err() != nil {
		return false
	}
	p.draws.Add(1)
	bounded, cancel := context.WithTimeout(ctx, drawTime)
	reply, err := p.c.Bank.Draw(bounded, r)
	cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failures.Add(1)
		p.book.fail(p.elapsed(), &r)
		return false
	}
	p.book.answer(p.elapsed(), &r, reply)
	return true
}

// Close gives back what is not spent. Requests are settled by then, and Run has
// ended.
func (p *Purse) Close(ctx context.Context) error {
	p.mu.Lock()
	p.book.closing = true
	p.mu.Unlock()
	for {
		for p.exchange(ctx) {
		}
		p.mu.Lock()
		done := p.book.rests()
		p.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return gatehouse.Errorf(gatehouse.Unavailable, "money that this gateway holds is not given back: it is free again when the gateway has started anew and shipped its usage").Because(ctx.Err())
		case <-time.After(look):
		}
	}
}

// Counts is for metrics.
func (p *Purse) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.n
	n.Draws, n.Failures = p.draws.Load(), p.failures.Load()
	return n
}

func (p *Purse) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *Purse) elapsed() time.Duration { return p.c.Now().Sub(p.epoch) }
