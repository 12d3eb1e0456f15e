package purse

import (
	"cmp"
	"math"
	"slices"
	"time"

	"gatehouse"
)

// MaxWait is the longest that a request waits for money.
const MaxWait = 2 * time.Second

const (
	// parts is into how many slices what is left is divided: ten gateways that
	// each hold one and use half of it strand less than a tenth of what is left,
	// and so less than a twentieth of any fund that is half used.
	parts = 64
	// idle is how long money lies unused before it goes back.
	idle = time.Second
	// beat is how often the bank hears of money that is held near the end of a
	// fund, so that all who share it know of each other.
	beat = 500 * time.Millisecond
	// firstPause and lastPause are how long a gateway that got nothing waits
	// before it asks for the same again.
	firstPause = 20 * time.Millisecond
	lastPause  = 160 * time.Millisecond
	// stale is how long a refusal of the bank holds for requests that come later.
	stale = 250 * time.Millisecond
	// patience is how long the bank may fail before requests stop waiting for it,
	// and again how often it is tried then.
	patience = time.Second
	again    = 100 * time.Millisecond
	// maxWaiters bounds what waits for one fund: each holds a client's request.
	maxWaiters = 512
	// forget is how long an account rests before it is dropped. The bank keeps its
	// totals for much longer.
	forget = 10 * time.Minute
	// remember is how long one rests whose requests cost more than was there: the
	// next draw makes up for it.
	remember = 24 * time.Hour
	sweep    = time.Minute
)

// ask is the next request to the bank; ok is false when there is nothing to say.
// Its answer goes to answer or fail, before ask is called again. shipped is as
// in [DrawRequest].
func (b *book) ask(now time.Duration, shipped int64) (r DrawRequest, ok bool) {
	if b.failed && now < b.retry {
		return r, false
	}
	b.settleDown(now)
	if len(b.awake) > MaxAsks { // none waits for ever behind the others
		slices.SortStableFunc(b.awake, func(x, y *account) int { return cmp.Compare(x.asked, y.asked) })
	}
	for _, urgent := range []bool{true, false} {
		for _, a := range b.awake {
			if len(r.Asks) < MaxAsks && !a.asking && (len(a.waiters) > 0) == urgent {
				if q, due := b.due(now, a); due {
					a.asking, a.asked = true, now
					r.Asks = append(r.Asks, q)
				}
			}
		}
	}
	if len(r.Asks) == 0 && shipped <= b.shipped {
		return r, false
	}
	b.seq++
	r.Gateway, r.Incarnation, r.Seq, r.Shipped = b.gateway, b.incarnation, b.seq, shipped
	return r, true
}

// settleDown lets accounts without anything to say rest, and drops those that
// have rested for long. Dropped ones have nothing left at the bank.
func (b *book) settleDown(now time.Duration) {
	b.awake = slices.DeleteFunc(b.awake, func(a *account) bool {
		a.awake = len(a.waiters) > 0 || a.owed || a.reserved != 0 || a.free() > 0 || now-a.used < idle
		return !a.awake
	})
	if now-b.swept < sweep {
		return
	}
	b.swept = now
	for f, a := range b.accounts {
		if !a.awake && now-a.used > forget && (a.free() >= 0 || now-a.used > remember) {
			delete(b.accounts, f)
			b.forgot = true
		}
	}
}

// due says whether the bank should hear of the account now, and what.
func (b *book) due(now time.Duration, a *account) (q Ask, due bool) {
	a.smooth(now)
	q = Ask{Fund: a.fund}
	if !a.known {
		return q, true // a question: nothing is drawn on totals that are not known
	}
	back := b.excess(now, a)
	a.returned += back
	q.Returned = a.returned
	if more, least := b.want(now, a); more > 0 && now >= a.after {
		q.Want, q.Least = a.drawn+more, a.drawn+least
		return q, true
	}
	since := now - a.asked
	tell := back > 0 || a.owed || a.near() && a.mine() > 0 && a.answered && since >= beat || len(a.waiters) > 0 && since >= lastPause
	return q, tell
}

// slice is what the account should hold ahead of need.
func (a *account) slice() gatehouse.Ticks {
	if a.near() {
		return 0
	}
	return max(a.worst, min(gatehouse.Ticks(min(a.rate, math.MaxInt64/4)), a.left/parts))
}

// near reports that a slice of what is left would be less than one request.
func (a *account) near() bool { return a.left/parts < a.worst }

// excess is what should go back: what is beyond this gateway's part, and what
// lies idle.
func (b *book) excess(now time.Duration, a *account) gatehouse.Ticks {
	free := a.free()
	if free <= 0 {
		return 0
	}
	beyond := -a.room()
	switch {
	case b.closing, now-a.used >= idle:
		return free
	case a.near() && a.others > 0:
		return free // the bank decides who gets a whole request's worth of the rest
	case len(a.waiters) > 0 && a.reserved == 0:
		return 0 // on its way to what the cheapest of them takes
	case beyond > 0:
		return min(beyond, free)
	case len(a.waiters) == 0 && free > 2*a.slice()+2*a.worst:
		return free - a.slice() - a.worst
	}
	return 0
}

// want is how much more to draw, and the least of it that is of use.
func (b *book) want(now time.Duration, a *account) (more, least gatehouse.Ticks) {
	free := a.free()
	first, least, need := a.waiting()
	if need == 0 {
		if s := a.slice(); !b.closing && now-a.used < idle && a.answered && a.left > 0 && free < s/2 {
			return min(s-free, a.room()), 1
		}
		return 0, 0
	}
	least -= free
	// The answer may find this gateway dead, so even for what waits it is not much
	// at a time; but the oldest is not starved by smaller ones.
	most := max(2*a.left/parts, first-free, least)
	more = min(add(need, a.slice())-free, most, a.room())
	if more < least {
		if more = 0; a.reserved == 0 {
			more = least // one request at a time, whatever the part is
		}
	}
	return more, least
}

// waiting is what the oldest that waits goes on with, the cheapest, and what all
// may cost together. What has to wait for another fund first is left out: what it
// drew here would lie idle.
func (a *account) waiting() (first, least, all gatehouse.Ticks) {
	for _, w := range a.waiters {
		if w.elsewhere(a) {
			continue
		}
		if first == 0 {
			first, least = w.small(), w.small()
		}
		least, all = min(least, w.small()), add(all, w.worst)
	}
	return first, least, all
}

func (w *waiter) elsewhere(than *account) bool {
	return slices.ContainsFunc(w.at, func(o *account) bool {
		return o != than && o.answered && add(o.left, o.free()) < w.small()
	})
}

// room is what this gateway may draw before it holds more than its part.
func (a *account) room() gatehouse.Ticks { return add(a.part(), -a.mine()) }

// smooth follows what is reserved in a second.
func (a *account) smooth(now time.Duration) {
	passed := (now - a.weigh).Seconds()
	if passed < 0.1 {
		return
	}
	a.rate += (float64(a.sum)/passed - a.rate) * (1 - math.Exp(-passed))
	a.sum, a.weigh = 0, now
}

// answer takes the bank's reply to what ask returned. One that does not fit is
// no answer.
func (b *book) answer(now time.Duration, r *DrawRequest, reply DrawReply) {
	if len(reply.Answers) != len(r.Asks) {
		b.fail(now, r)
		return
	}
	b.failed = false
	b.shipped = max(b.shipped, r.Shipped)
	for i := range r.Asks {
		if a := b.accounts[r.Asks[i].Fund]; a != nil && a.asking {
			b.take(now, a, &r.Asks[i], &reply.Answers[i])
		}
	}
}

// take brings one account up to date. The bank's totals count, whatever was
// believed: it may have been restored from a backup, or an operator has written
// a slice off.
func (b *book) take(now time.Duration, a *account, q *Ask, is *Answer) {
	if !a.known {
		a.known, a.spent = true, is.Drawn-is.Returned // it was dropped with nothing left
	}
	if is.Drawn < a.drawn {
		// The bank has lost what it knew, with a restore: the old totals mean nothing
		// to it, and what was spent by them is not held against the fund any more.
		a.drawn, a.returned, a.spent = is.Drawn, is.Returned, is.Drawn-is.Returned
	}
	was := a.drawn
	a.drawn, a.returned = is.Drawn, max(a.returned, is.Returned)
	a.left, a.held, a.others, a.never = is.Left, is.Held, is.Others, is.Never
	a.asking, a.owed, a.answered, a.heard = false, false, true, now
	switch {
	case a.drawn > was:
		a.pause, a.after, a.dry = 0, 0, 0
	case q.Want > was:
		a.pause = min(max(2*a.pause, firstPause), lastPause)
		a.after = now + a.pause
	}
	b.serve(now, a)
	b.refuse(now, a)
}

// refuse ends the waiting of those that nothing can come free for.
func (b *book) refuse(now time.Duration, a *account) {
	for _, w := range slices.Clone(a.waiters) {
		if a.hopeless(now, w.small()) {
			w.short = Short{slices.Index(w.funds, a.fund), a.never}
			b.end(w, refused)
		}
	}
}

// fail says that a request was not answered. What it did shows in the answer to
// the next.
func (b *book) fail(now time.Duration, r *DrawRequest) {
	if !b.failed {
		b.failed, b.failing = true, now
	}
	b.retry = now + again
	if b.unreachable(now) {
		b.retry = now + patience
	}
	for i := range r.Asks {
		if a := b.accounts[r.Asks[i].Fund]; a != nil {
			a.asking, a.owed = false, true
		}
	}
	if !b.unreachable(now) {
		return
	}
	for _, a := range b.awake {
		for _, w := range slices.Clone(a.waiters) {
			b.end(w, unknown)
		}
	}
}

// rests reports that nothing is left to tell the bank, for a stop.
func (b *book) rests() bool {
	return !slices.ContainsFunc(b.awake, func(a *account) bool { return a.owed || a.asking || a.free() > 0 })
}
