package purse

import (
	"math"
	"slices"
	"time"

	"gatehouse"
)

// book is the arithmetic of a purse: it has neither a clock nor a lock, and does
// no I/O. Times are monotonic.
type book struct {
	gateway     gatehouse.ID
	incarnation int64
	seq         int64
	accounts    map[gatehouse.Fund]*account
	awake       []*account // those that may have something to ask
	forgot      bool       // accounts were dropped: an unknown fund may have figures at the bank
	failing     time.Duration
	failed      bool // the bank has not answered since failing
	retry       time.Duration
	closing     bool
	swept       time.Duration
	shipped     int64 // what the bank knows to be shipped
}

// account is one fund as this gateway has it. Drawn, returned and spent are
// totals of the incarnation.
type account struct {
	fund                             gatehouse.Fund
	drawn, returned, spent, reserved gatehouse.Ticks
	known                            bool // the totals are: they are not for a fund that was dropped and comes again

	// As the bank last said.
	left, held gatehouse.Ticks
	others     int
	never      bool
	heard      time.Duration
	answered   bool // at least once

	asked  time.Duration // when the last request was sent; below zero: never
	asking bool          // and it is under way
	owed   bool          // and its answer never came
	after  time.Duration // no use to ask for more before
	pause  time.Duration // how long that was put off

	used   time.Duration // the last reservation or settlement
	served time.Duration // the last reservation
	worst  gatehouse.Ticks
	sum    gatehouse.Ticks // reserved since weighed
	weigh  time.Duration
	rate   float64         // reserved in a second, smoothed
	dry    gatehouse.Ticks // somebody waited for this much for all of MaxWait, and nobody got anything; 0: no

	awake   bool
	waiters []*waiter
}

// waiter is a request for which there was not enough at once.
type waiter struct {
	funds   []gatehouse.Fund
	worst   gatehouse.Ticks
	modest  gatehouse.Ticks // will do near the end of a fund; 0: nothing below worst does
	took    gatehouse.Ticks // what was reserved
	arrived time.Duration
	at      []*account // those that lacked money for it, now or earlier: it waits at all of them
	verdict verdict
	short   Short
	done    func() // called once, when verdict is set
}

// verdict is what becomes of a request.
type verdict uint8

const (
	waits   verdict = iota
	granted         // reserved in all its funds
	refused         // short says where
	unknown         // the bank cannot be asked
)

// Short says which fund had not enough.
type Short struct {
	Index int  // of the request's funds
	Never bool // a team's money, of which there never was any
}

func newBook(gateway gatehouse.ID, incarnation int64) *book {
	return &book{gateway: gateway, incarnation: incarnation, accounts: map[gatehouse.Fund]*account{}}
}

// free is what may be reserved. It is negative when requests cost more than
// their worst case.
func (a *account) free() gatehouse.Ticks { return a.drawn - a.returned - a.spent - a.reserved }

// mine is what this gateway holds and has not spent.
func (a *account) mine() gatehouse.Ticks { return a.free() + a.reserved }

// rest is what nobody has spent, as far as is known: what may come free.
func (a *account) rest() gatehouse.Ticks { return add(add(a.left, a.held), a.mine()) }

// part is what one of those who share the rest may hold: an equal part, or more
// as long as half of what nobody holds stays for the others.
func (a *account) part() gatehouse.Ticks {
	if a.others == 0 {
		return math.MaxInt64
	}
	return max(a.rest()/gatehouse.Ticks(a.others+1), add(a.mine(), a.left/2))
}

// fits reports whether worst may be reserved. One request at a time always may,
// whatever this gateway's part is.
func (a *account) fits(worst gatehouse.Ticks) bool {
	return a.known && a.free() >= worst && (a.reserved == 0 || a.reserved+worst <= a.part())
}

// account finds or opens the account of a fund.
func (b *book) account(now time.Duration, f gatehouse.Fund) *account {
	a := b.accounts[f]
	if a == nil {
		a = &account{fund: f, known: !b.forgot, asked: -1, weigh: now, used: now}
		b.accounts[f] = a
	}
	return a
}

// rouse has the account looked at by the next ask.
func (b *book) rouse(a *account) {
	if !a.awake {
		a.awake = true
		b.awake = append(b.awake, a)
	}
}

// small is the least that the request goes on with.
func (w *waiter) small() gatehouse.Ticks {
	if w.modest > 0 {
		return w.modest
	}
	return w.worst
}

// reserve takes the worst case from all funds of the request, or near the end of
// those that lack it what is modest, or says how it stands with those that lack
// that too: w.short is the one that has least left.
func (b *book) reserve(now time.Duration, w *waiter) verdict {
	amount, short := w.worst, false
	for _, f := range w.funds {
		a := b.account(now, f)
		b.rouse(a)
		a.used, a.worst = now, w.worst
		short = short || !a.fits(w.worst) && a.near()
	}
	if short {
		amount = w.small()
	}
	if v := b.judge(now, w, amount); v != granted {
		return v
	}
	w.took = amount
	for _, f := range w.funds {
		a := b.accounts[f]
		a.reserved += amount
		a.sum = add(a.sum, amount)
		a.served, a.dry = now, 0
	}
	return granted
}

func (b *book) judge(now time.Duration, w *waiter, amount gatehouse.Ticks) verdict {
	v := granted
	for i, f := range w.funds {
		a := b.accounts[f]
		switch {
		case a.fits(amount):
		case b.unreachable(now):
			return unknown
		case a.hopeless(now, amount):
			w.short = Short{i, a.never}
			return refused
		default:
			if v == granted || a.left < b.accounts[w.funds[w.short.Index]].left {
				w.short = Short{i, a.never}
			}
			w.lack(a)
			v = waits
		}
	}
	return v
}

// lack notes that the request cannot go on for want of money in a fund.
func (w *waiter) lack(a *account) {
	if !slices.Contains(w.at, a) {
		w.at = append(w.at, a)
	}
}

// hopeless reports that the bank has just said that it would be no use to ask.
func (a *account) hopeless(now time.Duration, worst gatehouse.Ticks) bool {
	if !a.answered || now-a.heard >= stale {
		return false
	}
	return a.dry > 0 && worst >= a.dry || worst > a.rest()
}

// park makes the request wait where it lacks money; false when too many do.
func (b *book) park(w *waiter) bool {
	for _, a := range w.at {
		if slices.Contains(a.waiters, w) {
			continue
		}
		if len(a.waiters) >= maxWaiters {
			b.unpark(w)
			return false
		}
		a.waiters = append(a.waiters, w)
	}
	return true
}

func (b *book) unpark(w *waiter) {
	for _, a := range w.at {
		a.waiters = slices.DeleteFunc(a.waiters, func(x *waiter) bool { return x == w })
	}
}

// leave takes a request that waits away, and says what it is told: its time is
// up, or its client left.
func (b *book) leave(now time.Duration, w *waiter) verdict {
	if w.verdict != waits {
		return w.verdict
	}
	b.unpark(w)
	if v := b.reserve(now, w); v != waits {
		return v
	}
	a := b.accounts[w.funds[w.short.Index]]
	if !a.answered || a.heard < w.arrived || b.failed {
		return unknown
	}
	if now-w.arrived >= MaxWait && a.served < w.arrived {
		a.dry = w.small()
	}
	return refused
}

// settle puts the actual cost in the place of the reservation, and reports
// whether others may be waiting for what came free.
func (b *book) settle(now time.Duration, funds []gatehouse.Fund, worst, actual gatehouse.Ticks) (tell bool) {
	for _, f := range funds {
		a := b.account(now, f)
		a.reserved -= worst
		a.spent = add(a.spent, actual)
		a.used = now
		if actual < worst {
			a.dry = 0
		}
		b.rouse(a)
	}
	for _, f := range funds {
		a := b.accounts[f]
		b.serve(now, a)
		tell = tell || a.near() && a.others > 0 && a.free() > 0
	}
	return tell
}

// serve lets those that wait for the account have what there is now, the first
// first. One that is too large does not hold up the others.
func (b *book) serve(now time.Duration, a *account) {
	for _, w := range slices.Clone(a.waiters) {
		if a.free() <= 0 {
			return
		}
		if !a.fits(w.small()) {
			continue
		}
		v := b.reserve(now, w)
		if v == waits && !b.park(w) {
			v = unknown
		}
		if v != waits {
			b.end(w, v)
		}
	}
}

func (b *book) end(w *waiter, v verdict) {
	b.unpark(w)
	w.verdict = v
	w.done()
}

// unreachable reports that the bank has not answered for so long that waiting
// for it makes no sense.
func (b *book) unreachable(now time.Duration) bool {
	return b.failed && now-b.failing >= patience && now < b.retry+patience // later nobody has tried for long
}

// add saturates: a sum of money that does not fit is more than anybody has.
func add(x, y gatehouse.Ticks) gatehouse.Ticks {
	sum, ok := x.Add(y)
	switch {
	case ok:
		return sum
	case x > 0:
		return math.MaxInt64
	}
	return math.MinInt64
}
