package limit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse"
)

// Config is what a limiter works with.
type Config struct {
	Now func() time.Time // required
	// Authority is who shares out the limits between several gateways. Nil is this
	// process alone: every limit is its own, and nothing below is needed.
	Authority Authority
	// Alone begins without the authority, as the one gateway there is, until Share.
	Alone   bool
	Gateway gatehouse.ID
	// Members returns the gateways of the fleet as the feed knows them. Nil, or an
	// empty answer, leaves this gateway without base shares.
	Members func() []Member
}

// Limiter is what a gateway asks before it dispatches. Without an authority it
// is a [Table] and costs no more.
type Limiter struct {
	c      Config
	epoch  time.Time
	alone  *Table                 // also the holder's, once there is one
	holder atomic.Pointer[Holder] // nil while alone
	pace   pace                   // of takes
	failed atomic.Uint64
	// Times of this limiter's clock, in nanoseconds.
	heard  atomic.Int64 // when the authority last answered
	silent atomic.Int64 // when the first call was sent since which nothing was heard; 0 for none
	missed atomic.Int64 // when a call was last not answered, and nothing heard meanwhile
	noTake atomic.Int64 // no takes before this time: the authority does not answer
	noTell atomic.Int64 // the same of exchanges that a request would wait for

	counting sync.Mutex    // one exchange at a time
	lanes    chan struct{} // has one of each renewal under way
	renewals sync.WaitGroup
}

// lanes is how many renewals are under way at once: where the way is long, one
// after the other would not do for many keys.
const lanes = 2

// New returns a limiter. With an authority, Run must run beside it.
func New(c Config) *Limiter {
	l := &Limiter{c: c, epoch: c.Now(), alone: NewTable(), lanes: make(chan struct{}, lanes)}
	l.pace.slowest = MaxGuard / 2
	if c.Authority != nil && !c.Alone {
		l.Share()
	}
	return l
}

// Share ends being alone: from its return on every admission is under shares of
// the authority, which must have begun its memory before. What was admitted
// alone stays in the windows, and is told as used. Again it does nothing.
func (l *Limiter) Share() {
	if l.c.Authority == nil {
		return
	}
	h := NewHolder(l.c.Gateway, gatehouse.NewID())
	h.table = l.alone
	if l.holder.CompareAndSwap(nil, h) {
		l.alone.share()
		l.members()
	}
}

// Epoch is the time from which Admit, Post and Settle count.
func (l *Limiter) Epoch() time.Time { return l.epoch }

// Len is how many subjects are in use.
func (l *Limiter) Len() int {
	return l.alone.Len()
}

// Failed is how many calls the authority did not answer, for metrics.
func (l *Limiter) Failed() uint64 { return l.failed.Load() }

// Shared reports whether limits are shared with other gateways.
func (l *Limiter) Shared() bool { return l.holder.Load() != nil }

// Reached reports that the authority has not failed lately. Who asks it nothing
// cannot tell.
func (l *Limiter) Reached() bool {
	missed := time.Duration(l.missed.Load())
	return missed == 0 || l.elapsed() > missed+lately
}

// lately is for how long a failure of the authority shows.
const lately = 5 * time.Second

// Admit decides about one request at now, the time since Epoch. It waits for
// the authority only when this gateway's own share does not do. The error is
// [gatehouse.Unavailable]: nobody can tell, and the client should come back.
func (l *Limiter) Admit(ctx context.Context, now time.Duration, r Request) (Verdict, *Ticket, error) {
	if l.holder.Load() == nil {
		if v, t, mine := l.alone.admit(now, &r); mine {
			return v, t, nil
		}
	}
	if r.Limits == (gatehouse.Limits{}) && len(r.More) == 0 {
		return Verdict{OK: true}, nil, nil
	}
	return l.shared(ctx, r)
}

func (l *Limiter) shared(ctx context.Context, r Request) (Verdict, *Ticket, error) {
	out := l.holder.Load().Admit(l.elapsed, &r, 0, false)
	if out.Stale {
		out = l.informed(ctx, &r)
	}
	if out.Take != 0 {
		out = l.take(ctx, &r, out)
	}
	if !out.Verdict.OK && out.Unavailable {
		return out.Verdict, nil, gatehouse.Errorf(gatehouse.Unavailable, "This gateway cannot tell yet whether the limits allow this request. Please retry.").After(time.Second)
	}
	return out.Verdict, out.Ticket, nil
}

// informed decides after asking what others count: this is the first request
// for a while. One asks for all that wait, since only the newest answer counts.
func (l *Limiter) informed(ctx context.Context, r *Request) Outcome {
	l.counting.Lock()
	out := l.holder.Load().Admit(l.elapsed, r, 0, false)
	if out.Stale && l.elapsed() >= time.Duration(l.noTell.Load()) {
		l.exchange(context.WithoutCancel(ctx)) // for all that wait, also if this client leaves
		out = l.holder.Load().Admit(l.elapsed, r, 0, false)
	}
	l.counting.Unlock()
	if out.Stale {
		out = l.holder.Load().Admit(l.elapsed, r, 0, true)
	}
	return out
}

// take asks the authority for this one request.
func (l *Limiter) take(ctx context.Context, r *Request, refused Outcome) Outcome {
	sent := l.elapsed()
	if sent < time.Duration(l.noTake.Load()) {
		return refused
	}
	guard := l.pace.guard(sent)
	ask := TakeRequest{Gateway: l.c.Gateway, Holder: l.holder.Load().id, Guard: guard, Cost: 1}
	var place []int
	for i, s := range append([]Subject{{ID: r.Key, Limits: r.Limits, Revision: r.Revision}}, r.More...) {
		if refused.Take&(1<<i) != 0 {
			ask.Subjects, place = append(ask.Subjects, s), append(place, i)
		}
	}
	within, cancel := context.WithTimeout(ctx, guard)
	defer cancel()
	reply, err := l.c.Authority.Take(within, ask)
	now := l.elapsed()
	took := now - sent
	if err != nil {
		if ctx.Err() == nil { // else it is the client who is gone
			l.pace.note(now, took)
			if l.fail(sent) {
				l.noTake.Store(int64(now + tick))
			}
		}
		return refused
	}
	l.pace.note(now, took)
	l.answered(now)
	switch {
	case !reply.OK:
		refused.Unavailable = !reply.Full
		if reply.Full {
			refused.Verdict.Requests.Remaining = 0 // here there may be room; there is none in all
		}
		refused.Verdict.Subject = place[min(max(reply.Index, 0), len(place)-1)]
		refused.Verdict.Limit = reply.Limit
		refused.Verdict.RetryAfter = max(min(reply.RetryAfter, idle), refused.Verdict.RetryAfter)
		return refused
	case took > guard:
		// Too late to be dispatched where it was counted.
		refused.Unavailable = true
		return refused
	}
	return l.holder.Load().Admit(l.elapsed, r, refused.Take, true)
}

func (l *Limiter) answered(now time.Duration) {
	l.heard.Store(int64(now))
	l.silent.Store(0)
}

// fail remembers that a call was not answered, and reports whether the authority
// is away: it has been silent to all for as long as a request may wait. One call
// that is late while others are answered says nothing of the next.
func (l *Limiter) fail(sent time.Duration) (away bool) {
	l.failed.Add(1)
	if heard := l.heard.Load(); heard > 0 && heard >= int64(sent) {
		return false
	}
	now := l.elapsed()
	l.silent.CompareAndSwap(0, max(int64(sent), 1))
	l.missed.Store(int64(now))
	return now-time.Duration(l.silent.Load()) >= MaxGuard
}

// Run renews shares and exchanges counts until ctx ends. The two do not wait
// for each other: an authority that is slow at one must not starve the other.
func (l *Limiter) Run(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.every(ctx, func() {
			l.counting.Lock()
			defer l.counting.Unlock()
			l.exchange(ctx)
		})
	}()
	l.every(ctx, func() { l.renew(ctx) })
	l.renewals.Wait()
	<-done
	return ctx.Err()
}

func (l *Limiter) every(ctx context.Context, do func()) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			do()
		}
	}
}

func (l *Limiter) members() {
	if h := l.holder.Load(); h != nil && l.c.Members != nil {
		h.Roster(l.elapsed(), l.c.Members())
	}
}

// renew sends all demands that are due, a batch in each lane that is free, until
// one fails or a lane is not free for a tick: the others are due again then.
func (l *Limiter) renew(ctx context.Context) {
	var failed atomic.Bool
	for !failed.Load() {
		l.members()
		h := l.holder.Load()
		if h == nil {
			return
		}
		select {
		case l.lanes <- struct{}{}:
		case <-time.After(tick):
			return
		}
		r, ok := h.Demands(l.elapsed())
		if !ok {
			<-l.lanes
			return
		}
		l.renewals.Go(func() {
			if !l.lease(ctx, h, r) {
				failed.Store(true)
			}
			<-l.lanes
		})
	}
}

// renewTime is how long a renewal may take. It leaves two more tries before a
// share ends.
const renewTime = 2 * time.Second

// lease sends one batch and reports whether it was answered. Its failure harms
// the subjects that it names and closes nothing: takes find out for themselves.
func (l *Limiter) lease(ctx context.Context, h *Holder, r LeaseRequest) bool {
	sent := l.elapsed()
	ctx, cancel := context.WithTimeout(ctx, renewTime)
	defer cancel()
	reply, err := l.c.Authority.Lease(ctx, r)
	if err != nil {
		l.fail(sent)
		return false
	}
	now := l.elapsed()
	l.answered(now)
	h.Leased(now, r, reply)
	return true
}

// exchange posts and asks once. The caller holds counting.
func (l *Limiter) exchange(ctx context.Context) {
	h := l.holder.Load()
	if h == nil {
		return
	}
	sent := l.elapsed()
	r, ok := h.Counts(sent)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, MaxGuard)
	defer cancel()
	reply, err := l.c.Authority.Exchange(ctx, r)
	if err != nil {
		l.fail(sent)
		l.noTell.Store(int64(l.elapsed() + tick))
		return
	}
	now := l.elapsed()
	l.answered(now)
	h.Counted(now, reply)
}

func (l *Limiter) elapsed() time.Duration { return l.c.Now().Sub(l.epoch) }
