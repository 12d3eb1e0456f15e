package limittest

import (
	"encoding/binary"
	"fmt"
	"time"

	"gatehouse"
	"gatehouse/internal/limit"
)

// fleet is gateways that share limits through one authority.
type fleet struct {
	*world
	net      network
	calm     bool // no message is late or lost: the promise about tokens can be kept
	book     *limit.Book
	epoch    uint64
	clock    clock // the authority's
	gone     bool  // the authority does not answer
	gateways []*gateway
	subjects []*subject
	ids      uint64
}

// subject is one limit and the truth about it.
type subject struct {
	limit.Subject
	every    time.Duration // mean time between requests, over the fleet
	tokens   int64         // mean size of a request
	admitted []time.Duration
	posts    []posting
	over     []time.Duration // when it was admitted by what all count of its tokens
	blind    error
	ranges   []span // which limits were in force somewhere
}

// span is a limit and until when somebody may still go by it.
type span struct {
	limits gatehouse.Limits
	until  time.Duration
}

type posting struct {
	at     time.Duration
	tokens int64
	by     *run
}

// gateway is a member of the fleet; run is one life of its process.
type gateway struct {
	f      *fleet
	id     gatehouse.ID
	clock  clock
	cut    time.Duration // no network until then
	paused time.Duration // does not run until then
	run    *run
	known  []limit.Subject // the limits as its replica has them
}

type run struct {
	g      *gateway
	holder *limit.Holder
	id     gatehouse.ID
	died   time.Duration
}

func (f *fleet) newID() (id gatehouse.ID) {
	f.ids++
	binary.BigEndian.PutUint64(id[:], f.ids*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(id[8:], f.Uint64())
	return id
}

func (g *gateway) start() {
	id := g.f.newID()
	g.run = &run{g: g, id: id, holder: limit.NewHolder(g.id, id), died: 1 << 62}
	members := make([]limit.Member, len(g.f.gateways))
	for i, m := range g.f.gateways {
		members[i] = limit.Member{ID: m.id, Settled: true}
	}
	g.run.holder.Roster(g.local(), members)
	g.run.tick()
}

func (g *gateway) local() time.Duration { return g.clock.read(g.f.now) }

// lives says whether the process is still this one.
func (r *run) lives() bool { return r.g.run == r }

// when runs do now, or when the process runs again.
func (r *run) when(do func()) {
	if !r.lives() {
		return
	}
	if r.g.paused > r.g.f.now {
		r.g.f.at(r.g.paused, func() { r.when(do) })
		return
	}
	do()
}

func (r *run) cut() bool { return !r.lives() || r.g.cut > r.g.f.now || r.g.f.gone }

// ask sends a request to the authority, and its answer back.
func (r *run) ask(handle func(now time.Duration) func()) {
	f := r.g.f
	f.send(&f.net, r.cut, func() {
		answer := handle(f.clock.read(f.now))
		f.send(&f.net, r.cut, func() { r.when(answer) })
	})
}

// tick is what Limiter's loops do.
func (r *run) tick() {
	r.when(func() {
		f := r.g.f
		if ask, ok := r.holder.Demands(r.g.local()); ok {
			r.ask(func(now time.Duration) func() {
				reply := f.book.Lease(now, ask)
				return func() { r.holder.Leased(r.g.local(), ask, reply) }
			})
		}
		r.exchange()
		f.after(150*time.Millisecond, r.tick)
	})
}

func (r *run) exchange() {
	f := r.g.f
	if ask, ok := r.holder.Counts(r.g.local()); ok {
		r.ask(func(now time.Duration) func() {
			reply := f.book.Exchange(now, ask)
			return func() { r.holder.Counted(r.g.local(), reply) }
		})
	}
}

// arrive is one request of one client, as Limiter.Admit treats it.
func (r *run) arrive(s *subject, tokens int64) {
	f, g := r.g.f, r.g
	req := g.request(s, tokens)
	at := f.now
	clock := func() time.Duration {
		at = f.now
		if g.paused > at {
			at = g.paused // it was stopped on its way here
		} else if !f.calm && f.Float64() < 0.0003 {
			g.paused = at + 30*time.Second
		}
		return g.clock.read(at)
	}
	out := r.holder.Admit(clock, &req, 0, false)
	if out.Stale {
		r.exchange()
		f.after(f.net.fast*3, func() {
			r.when(func() { r.settle(s, tokens, r.holder.Admit(clock, &req, 0, true), &at) })
		})
		return
	}
	if out.Take == 0 {
		r.settle(s, tokens, out, &at)
		return
	}
	const guard = 100 * time.Millisecond
	sent, once := g.local(), false
	take := limit.TakeRequest{Gateway: g.id, Holder: r.id, Guard: guard, Cost: 1, Subjects: []limit.Subject{{ID: req.Key, Limits: req.Limits, Revision: req.Revision}}}
	r.ask(func(now time.Duration) func() {
		reply := f.book.Take(now, take)
		return func() {
			if reply.OK && !once && g.local()-sent <= guard {
				once = true
				// The process may stop once more before it looks at its clock again; the
				// taken admission was counted for the time of asking.
				still := func() time.Duration { at = f.now; return g.local() }
				r.settle(s, tokens, r.holder.Admit(still, &req, out.Take, true), &at)
			}
		}
	})
}

func (g *gateway) request(s *subject, tokens int64) limit.Request {
	for i := range g.known {
		if k := &g.known[i]; k.ID == s.ID {
			return limit.Request{Key: k.ID, Limits: k.Limits, Revision: k.Revision, Estimate: tokens}
		}
	}
	panic("a subject that nobody knows")
}

// settle notes an admission at the instant at, and lets its answer flow.
func (r *run) settle(s *subject, tokens int64, out limit.Outcome, at *time.Duration) {
	if !out.Verdict.OK {
		return
	}
	f, then := r.g.f, *at
	s.admitted = append(s.admitted, then)
	if out.Ticket == nil {
		return
	}
	if !out.Stale {
		s.over = append(s.over, then)
	} else if own := s.counted(r, then-59*time.Second, then); own > s.Limits.TPM/10+1 {
		// Without knowing the others it may go by its base share alone.
		s.blind = fmt.Errorf("admitted at %v by a gateway that knew nothing of the others and had counted %d tokens itself, limit %d", then, own, s.Limits.TPM)
	}
	// A third are estimated far too high and end after the estimate has left the
	// minute; the others are streams that end with twice their estimate.
	actual, span := 2*tokens, f.between(0, 5*time.Second)
	if f.IntN(3) == 0 {
		actual, span = tokens/10, f.between(55*time.Second, 75*time.Second)
	}
	s.posts = append(s.posts, posting{then, min(actual, tokens), r})
	f.at(then+span, func() {
		r.when(func() {
			out.Ticket.Settle(r.g.local(), actual)
			if actual > tokens {
				s.posts = append(s.posts, posting{f.now, actual - tokens, r})
			}
		})
	})
}

// counted sums what one run posted in a time.
func (s *subject) counted(by *run, from, to time.Duration) (sum int64) {
	for _, p := range s.posts {
		if p.by == by && p.at > from && p.at <= to {
			sum += p.tokens
		}
	}
	return sum
}
