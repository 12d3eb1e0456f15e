package limit

import (
	"math"
	"time"
)

// Ticket is one admitted request's place in its key's token count. A nil Ticket
// is that of a request whose tokens nobody counts; its methods do nothing. A
// ticket belongs to one request; its methods may be called from several
// goroutines.
type Ticket struct {
	shard   *shard
	entry   *entry
	posted  int64 // every token posted so far, also those that left the window
	held    int64 // reserve mode: what is promised and has not flowed yet
	gone    int64 // of posted: what left the window before settlement
	settled bool
	n       int8       // of own; beside settled, so that a ticket stays in 144 bytes
	own     [4]posting // where this request's tokens stand, oldest first
	more    []posting  // the same, when a stream outlives four sub-windows
	next    *Ticket    // of the same request, at another limit's tokens
}

// posting is what one request added in one sub-window.
type posting struct{ at, tokens int64 }

// Post counts tokens that have just flowed. In reserve mode they come out of
// what the request holds, and add to the count only beyond it.
func (t *Ticket) Post(now time.Duration, tokens int64) {
	if t == nil || tokens <= 0 {
		return
	}
	if t.next != nil {
		defer t.next.Post(now, tokens)
	}
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	if !t.settled {
		t.post(now, tokens)
	}
}

// Settle ends the request: whatever was estimated, posted or held becomes
// actual. It must be called exactly once for each ticket, also when nothing was
// sent; repeats do nothing.
func (t *Ticket) Settle(now time.Duration, actual int64) {
	if t == nil {
		return
	}
	if t.next != nil {
		defer t.next.Settle(now, actual)
	}
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	if t.settled {
		return
	}
	t.settled = true
	actual = max(actual, 0)
	if actual > t.posted {
		t.post(now, actual-t.posted)
	} else {
		t.takeBack(now, t.posted-actual)
	}
	t.entry.held -= t.held
	t.held = 0
	t.entry.open--
}

// post adds tokens at now. The lock is held.
func (t *Ticket) post(now time.Duration, tokens int64) {
	w := t.entry.tokens
	w.advance(int64(now / minutePart))
	t.entry.touch(now)
	fromHeld := min(tokens, t.held)
	t.held -= fromHeld
	t.entry.held -= fromHeld
	tokens = w.add(tokens)
	t.posted = saturate(t.posted, tokens)
	t.remember(w.head, tokens)
}

// remember notes where tokens were added, and forgets postings that have left
// the window, so that a stream of any length needs constant memory.
func (t *Ticket) remember(at, tokens int64) {
	if last := t.lastPosting(); last != nil && last.at == at {
		last.tokens += tokens
		return
	}
	if int(t.n) < len(t.own) {
		t.own[t.n] = posting{at, tokens}
		t.n++
		return
	}
	if len(t.more) >= slots {
		t.dropLeft()
	}
	t.more = append(t.more, posting{at, tokens})
}

func (t *Ticket) lastPosting() *posting {
	switch {
	case len(t.more) > 0:
		return &t.more[len(t.more)-1]
	case t.n > 0:
		return &t.own[t.n-1]
	}
	return nil
}

// dropLeft moves the postings that left the window into gone.
func (t *Ticket) dropLeft() {
	w, kept := t.entry.tokens, t.more[:0]
	for _, p := range t.more {
		if w.holds(p.at) {
			kept = append(kept, p)
			continue
		}
		t.gone += p.tokens
	}
	t.more = kept
}

// takeBack undoes n tokens that were never used, from the oldest of the
// request's own postings on. Oldest first leaves what remains in the count for
// as long as it could possibly belong there: the count may be late to fall but
// never too low, and no slot goes below zero, since a request takes back only
// what it added itself.
func (t *Ticket) takeBack(now time.Duration, n int64) {
	w := t.entry.tokens
	w.advance(int64(now / minutePart))
	n -= min(n, t.gone)
	for _, list := range [][]posting{t.own[:t.n], t.more} {
		for i := range list {
			take := min(n, list[i].tokens)
			if w.remove(list[i].at, take); planted("refund") {
				w.forgive(list[i].at, take)
			}
			list[i].tokens -= take
			n -= take
		}
	}
}

// saturate adds two numbers ≥ 0 without wrapping round.
func saturate(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
