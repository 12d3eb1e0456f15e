package limit

import (
	"math"
	"time"

	"gatehouse"
)

// The rhythm of a holder.
const (
	// tick is how often a holder looks for something to tell the authority. Design
	// says 200 ms for tokens; the rest of the half second in which an exceeded sum
	// must be felt is Fresh.
	tick = 150 * time.Millisecond
	// Fresh is how long, counted from sending the question, what others count may
	// be gone by: 500 ms less a tick and a little for the wire.
	Fresh = 330 * time.Millisecond
	// renewEvery leaves two more tries before a share ends.
	renewEvery = Life / 3
	// shortEvery is how often a holder that needs more asks again.
	shortEvery = time.Second
	// quiet is after how long without requests a share is given back. What is used
	// less than twice in that time is asked for one by one: a share would cost two
	// messages for each request and never admit one.
	quiet = 3 * time.Second
)

// hold is what a holder knows of one subject beside its windows. Its shard's
// lock guards it.
type hold struct {
	subject Subject
	listed  bool // in shard.held

	lease    [kinds]int64
	until    time.Duration
	free     [kinds]int64  // what the authority had left at the last reply
	seq      uint64        // of the newest request that names it; 0 for none yet
	asked    time.Duration // when that was sent
	answered bool
	short    [kinds]bool // more could have been used since asked
	tries    int64       // since asked
	tried    time.Duration
	busy     bool          // the last request came within quiet of the one before
	lacking  bool          // the last request found no share, and has not been taken either
	shared   bool          // at the last reply nothing was granted: others use it too
	rate     float64       // requests per second, smoothed
	since    time.Duration // of the first request that counts for rate
	weight   int64

	roster *roster // base was computed for
	base   [kinds]int64
	tokens int64 // base share of TPM

	others   int64 // tokens that other holders count
	othersAt time.Duration
	known    bool
	epoch    uint64
	floor    int64 // others is at least this
	floorEnd time.Duration
	posted   int64
}

// newHold is of a subject that was last asked for at tried.
func newHold(id gatehouse.ID, tried time.Duration) *hold {
	return &hold{subject: Subject{ID: id}, tried: tried, since: tried, listed: true}
}

// try counts a request.
func (h *hold) try(now time.Duration) {
	h.busy = now-h.tried < quiet
	if !h.busy && h.seq == 0 {
		h.since, h.tries = now, 0
	}
	h.tries++
	h.tried = max(h.tried, now)
}

// see notes what a request's limits are now.
func (h *hold) see(r *Request, with *roster) {
	if h.roster == with && h.subject.Limits == r.Limits && h.subject.Revision == r.Revision {
		return
	}
	h.subject = Subject{ID: r.Key, Limits: r.Limits, Revision: r.Revision}
	h.divide(with)
}

// divide computes the base share.
func (h *hold) divide(with *roster) {
	h.roster = with
	for k := range kinds {
		h.base[k] = with.part(baseOf(limitOf(h.subject.Limits, k)), h.subject.ID)
	}
	h.tokens = with.part(h.subject.Limits.TPM/10, h.subject.ID)
}

// part is what the subject may be admitted by now.
func (h *hold) part(now time.Duration) part {
	p := part{shared: true, tokens: h.tokens}
	for k := range kinds {
		p.bound[k] = h.baseAt(now, k) + h.leaseAt(now, k)
	}
	switch {
	case planted("local"):
	case h.fresh(now):
		p.others = h.others
		if now < h.floorEnd {
			p.others = max(h.others, h.floor)
		}
	default:
		p.blind = true
		if now < h.roster.from[perMinute] {
			p.tokens = 0
		}
	}
	return p
}

func (h *hold) fresh(now time.Duration) bool { return h.known && now <= h.othersAt+Fresh }

func (h *hold) baseAt(now time.Duration, kind int) int64 {
	if now < h.roster.from[kind] {
		return 0
	}
	return h.base[kind]
}

func (h *hold) leaseAt(now time.Duration, kind int) int64 {
	if now >= h.until {
		return 0
	}
	return h.lease[kind]
}

// mayTake says whether asking the authority for this one request makes sense:
// it had something left, or has not been heard.
func (h *hold) mayTake(now time.Duration, kind int) bool {
	return now >= h.until || h.free[kind] > 0
}

// due says whether the authority should hear of this subject now.
func (h *hold) due(now time.Duration) bool {
	since := now - h.asked
	switch {
	case h.subject.Limits.QPS == 0 && h.subject.Limits.QPM == 0:
		return false
	case now-h.tried >= quiet:
		return now < h.until && h.lease != [kinds]int64{}
	case !h.busy && !h.lacking && !h.shared:
		return false // used too rarely for a share
	case h.seq == 0:
		return true
	case now >= h.until:
		return since >= tick
	case !h.answered || h.short[perSecond] || h.short[perMinute]:
		return since >= shortEvery
	}
	return since >= renewEvery
}

// demand says in the request seq what the subject needs and starts counting
// anew. Windows are advanced.
func (h *hold) demand(now time.Duration, e *entry, seq uint64) Demand {
	var held, used, want [kinds]int64
	idle := now-h.tried >= quiet
	if idle {
		h.lease, h.until = [kinds]int64{}, now // given back: from here on it must not be used
	}
	for k := range kinds {
		limit := limitOf(h.subject.Limits, k)
		if limit == 0 {
			continue
		}
		sum := e.sum(k)
		held[k] = h.leaseAt(now, k)
		used[k] = max(sum-h.baseAt(now, k), 0)
		switch {
		case idle:
		case h.short[k] && held[k] > 0:
			want[k] = limit
		case held[k] > 0:
			want[k] = min(2*sum+2, limit)
		default:
			// Not the whole at once: of what is left, requests take one by one until the
			// reply is here.
			want[k] = min(2*sum+2+h.tries, limit)
		}
		h.short[k] = false
	}
	h.weigh(now)
	h.seq, h.asked, h.answered, h.lacking = seq, now, false, false
	return Demand{Subject: h.subject, Held: rates(held), Used: rates(used), Want: rates(want), Weight: h.weight}
}

// weigh smooths the demand, over half of what was seen of it and at most thirty
// seconds, and changes the weight only when it is off by a third: what moves
// from one holder to another is idle for a whole window on its way.
func (h *hold) weigh(now time.Duration) {
	passed := max(now-h.asked, tick).Seconds()
	if h.seq == 0 {
		passed = max(now-h.since, tick).Seconds()
		h.rate = float64(h.tries) / passed
	}
	over := min(max((now-h.since).Seconds()/2, 1), 30)
	h.rate += (float64(h.tries)/passed - h.rate) * (1 - math.Exp(-passed/over))
	h.tries = 0
	if w := min(int64(h.rate*10)+1, MaxWeight); 3*w > 4*h.weight || 4*w < 3*h.weight {
		h.weight = w
	}
}

// grant takes a share. Its life began when the request for it was sent.
func (h *hold) grant(now time.Duration, s Share) {
	h.lease, h.free, h.answered = s.Rates.kinds(), s.Free.kinds(), true
	h.until = h.asked + Life
	h.shared = false
	for k := range kinds {
		h.shared = h.shared || limitOf(h.subject.Limits, k) > 0 && h.lease[k] == 0
	}
	if planted("receive") {
		h.until = now + Life
	}
}

// hear takes what others count. Less than nothing, which no authority means,
// would open the limit.
func (h *hold) hear(now, sent time.Duration, others int64, r *ExchangeReply) {
	others = max(others, 0)
	switch complete := r.Age >= remembered(perMinute); {
	case h.epoch != 0 && h.epoch != r.Epoch && h.known && now-h.othersAt < 2*time.Second:
		// It forgot, we did not: nothing that others counted then may be forgotten
		// before it has left the minute.
		h.floor, h.floorEnd = max(h.others, h.floorNow(now)), now+remembered(perMinute)
		h.known = true
	case complete || now < h.floorEnd:
		h.known = true
	default:
		h.known = false
	}
	h.epoch, h.others, h.othersAt = r.Epoch, others, sent
	if planted("flush") {
		h.known, h.floorEnd = true, 0
	}
}

func (h *hold) floorNow(now time.Duration) int64 {
	if now < h.floorEnd {
		return h.floor
	}
	return 0
}

// sum is what a window holds; it is advanced.
func (e *entry) sum(kind int) int64 {
	w := e.second
	if kind == perMinute {
		w = e.minute
	}
	if w == nil {
		return 0
	}
	return w.sum
}
