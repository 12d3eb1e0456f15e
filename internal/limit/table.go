package limit

import (
	"sync"
	"time"

	"gatehouse"
)

// Request asks for one admission.
type Request struct {
	Key    gatehouse.ID
	Limits gatehouse.Limits
	// Revision is that of the limits. Only a [Limiter] with an authority reads it:
	// of two gateways that state different limits, the newer is right.
	Revision gatehouse.Revision
	// More are the other limits that the request must fit, all or none: those of
	// its team for the model, and of the upstream. At most MaxMore.
	More []Subject
	// Estimate is what the request will certainly count before any answer: the
	// prompt's tokens. Admit posts it. With Reserve it is prompt plus the most
	// that may be answered.
	Estimate int64
	// Reserve holds Estimate against the limit until settlement, and refuses
	// when it does not fit.
	Reserve bool

	counted bool // as a request: asking again for the same one is none
}

// MaxMore bounds Request.More.
const MaxMore = 2

// Verdict is the answer, with everything that Retry-After and the x-ratelimit
// headers say, so that they cannot contradict the decision.
type Verdict struct {
	OK bool
	// At is when it was decided, on the caller's clock: where an admission stands
	// in its windows. Zero for who shares no limit.
	At time.Duration
	// Limit is "qps", "qpm" or "tpm" when refused: the one that lasts longest.
	Limit string
	// Subject is whose limit refused: 0 is the key, 1 on are Request.More.
	Subject int
	// RetryAfter is when the same request passes if no other comes before, and no
	// sooner: an admission counts until its sub-window has left whole, so after up
	// to 65/64 of a window. A minute that filled at once is therefore told as 61
	// seconds, never 60, when rounded up for a header. What requests in flight will still post, or hold in reserve, is unknown and not in it.
	RetryAfter time.Duration
	Requests   Allowance // of QPS and QPM, the one with less left
	Tokens     Allowance // of TPM
}

// Allowance is one limit as headers show it. A zero Limit is no limit.
type Allowance struct {
	Limit     int64
	Remaining int64
	Reset     time.Duration // until the window is empty again
}

// shardCount spreads keys over locks. With two to sixteen cores a collision of
// two busy keys is rare enough not to show.
const shardCount = 128

// Table holds the windows of the keys in use. Its methods are safe for
// concurrent use.
type Table struct {
	shards [shardCount]shard
}

// NewTable returns an empty table.
func NewTable() *Table {
	t := new(Table)
	for i := range t.shards {
		t.shards[i].byKey = make(map[gatehouse.ID]*entry)
	}
	return t
}

// Admit decides about one request at now, a monotonic time ≥ 0 from any fixed
// origin. Nothing is taken unless everything fits. The ticket is nil when the
// key has no token limit, and when the request is refused; either way it may be
// used.
func (t *Table) Admit(now time.Duration, r Request) (Verdict, *Ticket) {
	v, ticket, _ := t.admit(now, &r)
	return v, ticket
}

// admit is Admit until the table is shared; from then on it decides nothing,
// and mine is false.
func (t *Table) admit(now time.Duration, r *Request) (v Verdict, ticket *Ticket, mine bool) {
	if len(r.More) > 0 {
		return t.admitMore(now, r)
	}
	if r.Limits == (gatehouse.Limits{}) {
		return Verdict{OK: true}, nil, true
	}
	// IDs are random in every byte but two (RFC 9562), so any other byte spreads.
	s := &t.shards[r.Key[15]%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shared {
		return v, nil, false
	}
	e := s.entry(r.Key, now)
	e.use(r.Limits)
	e.advance(now)
	if v = e.judge(now, r, &whole); v.OK {
		ticket = e.take(s, now, r, &whole, &v)
	}
	return v, ticket, true
}

// share hands the table over to a holder. It asks under every lock, so that
// whoever found the table unshared has decided when it returns. What is in the
// windows stays there, and is told to the authority: a stream that began before
// goes on using tokens.
func (t *Table) share() {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.shared = true
		for _, e := range s.all {
			if e.hold == nil { // else the holder was here first
				e.hold = newHold(e.key, e.used)
				s.held = append(s.held, e)
			}
		}
		s.mu.Unlock()
	}
}

// Len is how many keys the table holds, for metrics.
func (t *Table) Len() int {
	n := 0
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += len(s.byKey)
		s.mu.Unlock()
	}
	return n
}

// shard is one lock and the keys under it.
type shard struct {
	mu    sync.Mutex
	byKey map[gatehouse.ID]*entry
	all   []*entry // the same entries, for the sweep
	held  []*entry // those with something to tell the authority
	hand  int
	calls uint32
	// shared: only a holder admits from now on.
	shared bool
	_      [64]byte // keeps neighbours' locks off this cache line
}

// entry is the state of one key.
type entry struct {
	key    gatehouse.ID
	place  int           // in shard.all
	used   time.Duration // when last used
	open   int           // tickets not settled
	held   int64         // tokens promised to requests in reserve mode
	second *window[uint8]
	minute *window[uint8]
	tokens *window[uint16]
	hold   *hold // with an authority: the share, and what others count
}

// idle is after how long an unused entry holds nothing: the longest window and
// its partial sub-window.
const idle = slots * minutePart

// sweepEvery is how many calls pass between two looks at an old entry.
// Together with two looks per new entry, memory follows use without a goroutine
// and no call does more than two removals.
const sweepEvery = 16

func (s *shard) entry(key gatehouse.ID, now time.Duration) *entry {
	if s.calls++; s.calls%sweepEvery == 0 {
		s.sweep(now)
	}
	if e := s.byKey[key]; e != nil {
		e.touch(now)
		return e
	}
	s.sweep(now)
	s.sweep(now)
	e := &entry{key: key, place: len(s.all), used: now}
	s.byKey[key] = e
	s.all = append(s.all, e)
	return e
}

// sweep looks at one entry and drops it if nothing in it counts any more.
func (s *shard) sweep(now time.Duration) {
	if len(s.all) == 0 {
		return
	}
	s.hand = (s.hand + 1) % len(s.all)
	e := s.all[s.hand]
	if e.open > 0 || now-e.used <= idle || e.hold != nil && e.hold.listed {
		return
	}
	last := s.all[len(s.all)-1]
	s.all[e.place], last.place = last, e.place
	s.all[len(s.all)-1] = nil
	s.all = s.all[:len(s.all)-1]
	delete(s.byKey, e.key)
}

func (e *entry) touch(now time.Duration) { e.used = max(e.used, now) }

// use makes the windows that limits need. A window is kept when its limit
// changes or goes away, so what it counted carries over; only a limit that a
// key never had starts empty.
func (e *entry) use(l gatehouse.Limits) {
	if l.QPS > 0 && e.second == nil {
		e.second = new(window[uint8])
	}
	if l.QPM > 0 && e.minute == nil {
		e.minute = new(window[uint8])
	}
	if l.TPM > 0 && e.tokens == nil {
		e.tokens = new(window[uint16])
	}
}

func (e *entry) advance(now time.Duration) {
	if e.second != nil {
		e.second.advance(int64(now / secondPart))
	}
	if e.minute != nil {
		e.minute.advance(int64(now / minutePart))
	}
	if e.tokens != nil {
		e.tokens.advance(int64(now / minutePart))
	}
}
