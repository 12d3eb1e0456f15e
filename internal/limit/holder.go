package limit

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse"
)

// Holder is one run of a gateway that shares limits with others: its windows,
// its shares, and what it knows of the others. It has no clock and does no I/O;
// [Limiter] gives it both, and the simulation drives it the same way.
type Holder struct {
	gateway, id gatehouse.ID
	table       *Table
	roster      atomic.Pointer[roster]

	mu     sync.Mutex
	seq    uint64 // of leases
	counts flight
	cursor int // the shard to go on with, so that a full batch starves nobody
}

// flight is the newest exchange, to which a reply is awaited.
type flight struct {
	seq      uint64
	at       time.Duration
	subjects []gatehouse.ID
}

// batch is how many subjects a holder names in one request for leases. The
// authority does nothing else meanwhile, and the takes of requests wait: 256
// are 4 ms at Redis, and what is lost with one request is theirs alone.
const batch = 256

// NewHolder returns a holder that has nothing. Id must be new for every run.
func NewHolder(gateway, id gatehouse.ID) *Holder {
	h := &Holder{gateway: gateway, id: id, table: NewTable()}
	h.roster.Store(newRoster(nil, 0, gateway, nil))
	return h
}

// Roster says who the members are. Unchanged ones change nothing.
func (h *Holder) Roster(now time.Duration, members []Member) {
	if old := h.roster.Load(); !slices.Equal(old.members, members) {
		h.roster.Store(newRoster(old, now, h.gateway, members))
	}
}

// Outcome is what Admit could decide by itself.
type Outcome struct {
	Verdict Verdict
	Ticket  *Ticket
	// Take has a bit for each subject that the authority must be asked for:
	// bit 0 is the key, 1 on are Request.More.
	Take uint8
	// Stale asks for an exchange first.
	Stale bool
	// Unavailable says that the refusal is for want of a share, not of room.
	Unavailable bool
}

// Admit decides about one request. Taken has the bits of the subjects whose
// rates were just taken from the authority. Final says that nobody will be
// asked any more. The clock is read under the locks, after which nothing can
// change: whoever was paused before finds its shares ended.
func (h *Holder) Admit(clock func() time.Duration, r *Request, taken uint8, final bool) Outcome {
	var room [1 + MaxMore]one
	all := split(r, room[:0])
	early := time.Duration(-1)
	if planted("check") {
		early = clock()
	}
	defer h.table.lock(all)()
	now, with := clock(), h.roster.Load()
	var out Outcome
	for i := range all {
		o := &all[i]
		if o.enter(now); o.entry == nil {
			continue
		}
		h.enter(now, o, with, r.counted)
		at := now
		if early >= 0 {
			at = early
		}
		o.part = o.entry.hold.part(at)
		if o.part.taken = taken&(1<<i) != 0; o.part.taken {
			o.entry.hold.lacking = false
		}
		out.Stale = out.Stale || o.r.Limits.TPM > 0 && o.part.blind
	}
	r.counted = true
	if out.Stale && !final {
		return out
	}
	out.Verdict, out.Ticket = admitLocked(now, all)
	out.Verdict.At = now
	if !out.Verdict.OK {
		out.help(now, all, final)
	}
	return out
}

func (h *Holder) enter(now time.Duration, o *one, with *roster, counted bool) {
	e := o.entry
	if e.hold == nil {
		e.hold = newHold(o.r.Key, now-quiet)
		e.hold.listed = false
	}
	if !counted {
		e.hold.try(now)
	}
	e.hold.see(&o.r, with)
	if !e.hold.listed {
		e.hold.listed = true
		o.shard.held = append(o.shard.held, e)
	}
}

// help says what could turn the refusal: takes, if they can for every subject
// that refuses; otherwise whether it is for want of a share.
func (out *Outcome) help(now time.Duration, all []one, final bool) {
	var take uint8
	lost := false
	for i := range all {
		e := all[i].entry
		if e == nil {
			continue
		}
		v := e.judge(now, &all[i].r, &all[i].part)
		if v.OK {
			continue
		}
		kind := slices.Index(kindNames[:], v.Limit)
		if kind < 0 {
			out.Unavailable = out.Unavailable || all[i].part.blind
			lost = true
			continue
		}
		e.hold.short[kind], e.hold.lacking = true, true
		if all[i].part.bound[kind] == 0 {
			out.Unavailable = true
		}
		if !e.hold.mayTake(now, kind) {
			lost = true
		}
		take |= 1 << i
	}
	if !lost && !final {
		out.Take = take
	}
}

// Demands is the next request for leases; ok is false when there is nothing to
// say. Whoever sends it hands the reply to Leased. Several may be under way: of
// two that name a subject only the reply to the newer counts for it.
func (h *Holder) Demands(now time.Duration) (r LeaseRequest, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	var demands []Demand
	h.each(func(e *entry) bool {
		if e.hold.due(now) {
			e.advance(now)
			demands = append(demands, e.hold.demand(now, e, h.seq))
		}
		return len(demands) < batch
	}, now)
	return LeaseRequest{Gateway: h.gateway, Holder: h.id, Seq: h.seq, Demands: demands}, len(demands) > 0
}

// Leased takes the reply to a request. A share's life is counted from when its
// subject was named, so a reply that comes twice does not last longer; and a
// subject that was named again since goes by that request's reply. What was
// given back is not taken again, whatever the reply says.
func (h *Holder) Leased(now time.Duration, asked LeaseRequest, r LeaseReply) {
	if r.Seq != asked.Seq || len(r.Shares) != len(asked.Demands) {
		return
	}
	for i := range asked.Demands {
		if d := &asked.Demands[i]; d.Want != (Rates{}) {
			h.with(d.Subject.ID, func(x *hold) {
				if x.seq == asked.Seq || planted("late") {
					x.grant(now, r.Shares[i])
				}
			})
		}
	}
}

// Counts is the next exchange of tokens.
func (h *Holder) Counts(now time.Duration) (r ExchangeRequest, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := flight{seq: h.counts.seq + 1, at: now}
	var counts []Count
	h.each(func(e *entry) bool {
		if e.tokens == nil {
			return true
		}
		e.advance(now)
		sum := max(e.tokens.sum+e.held, 0)
		if sum != e.hold.posted || now-e.hold.tried < time.Second {
			e.hold.posted = sum
			counts = append(counts, Count{Subject: e.key, Tokens: sum})
			f.subjects = append(f.subjects, e.key)
		}
		return len(counts) < MaxBatch
	}, now)
	if len(counts) == 0 {
		return r, false
	}
	h.counts = f
	return ExchangeRequest{Gateway: h.gateway, Holder: h.id, Seq: f.seq, Counts: counts}, true
}

// Counted takes a reply.
func (h *Holder) Counted(now time.Duration, r ExchangeReply) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := &h.counts
	if r.Seq != f.seq || len(r.Others) != len(f.subjects) {
		return
	}
	for i, id := range f.subjects {
		h.with(id, func(x *hold) { x.hear(now, f.at, r.Others[i], &r) })
	}
	f.subjects = nil
}

// Len is how many subjects are in use.
func (h *Holder) Len() int { return h.table.Len() }

// each visits what may have something to tell, and drops what has not for a
// minute, until visit says no.
func (h *Holder) each(visit func(*entry) bool, now time.Duration) {
	for range shardCount {
		s := &h.table.shards[h.cursor]
		s.mu.Lock()
		more := s.visit(visit, now)
		s.mu.Unlock()
		if !more {
			return // and go on with the same shard
		}
		h.cursor = (h.cursor + 1) % shardCount
	}
}

func (s *shard) visit(visit func(*entry) bool, now time.Duration) bool {
	kept, more := s.held[:0], true
	for i, e := range s.held {
		if now-e.hold.tried > idle && e.open == 0 {
			e.hold.listed = false
			continue
		}
		if kept = append(kept, e); !visit(e) {
			kept, more = append(kept, s.held[i+1:]...), false
			break
		}
	}
	clear(s.held[len(kept):])
	s.held = kept
	return more
}

func (h *Holder) with(id gatehouse.ID, do func(*hold)) {
	s := &h.table.shards[id[15]%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byKey[id]; e != nil && e.hold != nil {
		do(e.hold)
	}
}
