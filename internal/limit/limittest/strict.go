package limittest

import (
	"fmt"
	"slices"
	"time"
)

// The times of a strict key's lease (design §7).
const (
	strictLease  = 10 * time.Second
	strictMargin = 500 * time.Millisecond
	strictPoll   = 2 * time.Second
)

// mistakes of the strict lease that SimulateStrict must find.
const (
	LeaseFromReceipt   = "lease counted from the reply"
	CheckBeforeRead    = "lease checked before the record is read"
	LeaseAcrossEpochs  = "lease not tied to the epoch"
	PropagatedByPushes = "propagated computed from pushes"
	TombstonesDropped  = "tombstones dropped on snapshot swap"
	RenewedFromCopy    = "a control node cut from the database renews leases"
)

// StrictMistakes lists them.
func StrictMistakes() []string {
	return []string{LeaseFromReceipt, CheckBeforeRead, LeaseAcrossEpochs, PropagatedByPushes, TombstonesDropped, RenewedFromCopy}
}

// SimulateStrict runs the protocol of strict keys: two control nodes over one
// database that fails over and loses its tail, gateways that poll either, and
// keys that are revoked one by one. It returns an admission after the bound,
// after propagation was reported, or of a key that had been dead at that
// gateway. Mistake plants one; empty is the protocol as it is.
func SimulateStrict(seed uint64, mistake string) error {
	s := &strict{world: newWorld(seed), mistake: mistake, epoch: 1}
	s.net = network{fast: 20 * time.Millisecond, slow: 3 * time.Second, slowly: s.Float64() * 0.3, loss: s.Float64() * 0.3, dup: 0.1}
	for range 1 + s.IntN(4) {
		g := &strictGateway{s: s, clock: s.world.clock(0.02), seen: map[int]bool{}, had: map[int]bool{}}
		s.gateways = append(s.gateways, g)
		s.at(s.between(0, time.Second), g.poll)
		s.at(time.Second, g.serve)
	}
	for range 20 {
		s.at(s.between(5*time.Second, 150*time.Second), s.revoke)
	}
	for range 8 {
		s.at(s.between(0, 150*time.Second), s.fault)
	}
	s.run(200 * time.Second)
	if s.failed != nil {
		return fmt.Errorf("seed %d: %w", seed, s.failed)
	}
	return nil
}

type strict struct {
	*world
	net      network
	mistake  string
	epoch    int
	log      []int // keys by the revision that revoked them, less one
	all      []*revoked
	copies   [2]copied // what each control node last read
	away     [2]bool   // cut from the database
	gateways []*strictGateway
	failed   error
}

// revoked is the truth about one key.
type revoked struct {
	key      int
	epoch, n int
	at       time.Duration
	lost     bool // its revision went with the tail of a database
	told     bool // propagation said true
}

type copied struct {
	epoch int
	log   []int
}

type strictGateway struct {
	s       *strict
	clock   clock
	epoch   int
	applied int          // revision within the epoch, as acknowledged
	seen    map[int]bool // what it refuses
	had     map[int]bool // what it ever refused: the truth
	lease   time.Duration
	cut     time.Duration
	paused  time.Duration
	pushed  int
	seq     int
}

func (g *strictGateway) local() time.Duration { return g.clock.read(g.s.now) }

// poll asks a control node for what is new, and for a lease.
func (g *strictGateway) poll() {
	s := g.s
	if g.paused > s.now {
		s.at(g.paused, g.poll)
		return
	}
	s.after(strictPoll, g.poll)
	g.seq++
	seq, sent, node := g.seq, g.local(), s.IntN(2)
	cut := func() bool { return g.cut > s.now }
	s.send(&s.net, cut, func() {
		renew := !s.away[node]
		if renew {
			s.copies[node] = copied{s.epoch, slices.Clone(s.log)}
		}
		renew = renew || s.mistake == RenewedFromCopy
		from := s.copies[node]
		s.send(&s.net, cut, func() { g.hear(seq, sent, from, renew) })
	})
}

func (g *strictGateway) hear(seq int, sent time.Duration, from copied, renew bool) {
	s := g.s
	if g.paused > s.now {
		s.at(g.paused, func() { g.hear(seq, sent, from, renew) })
		return
	}
	old := from.epoch < g.epoch || from.epoch == g.epoch && len(from.log) < g.applied
	switch {
	case s.mistake == LeaseAcrossEpochs:
		// Revisions are compared without their epochs.
		for _, key := range from.log[min(g.applied, len(from.log)):] {
			g.seen[key], g.had[key] = true, true
		}
		g.epoch, g.applied = from.epoch, max(g.applied, len(from.log))
	case old:
		return // a node that is behind us can tell us nothing, least of all a lease
	default:
		if s.mistake == TombstonesDropped && from.epoch > g.epoch {
			g.seen = map[int]bool{}
		}
		for _, key := range from.log {
			g.seen[key], g.had[key] = true, true
		}
		g.epoch, g.applied = from.epoch, len(from.log)
	}
	if !renew {
		return
	}
	if s.mistake == LeaseFromReceipt {
		sent = g.local()
	}
	g.lease = max(g.lease, sent+strictLease)
}

// serve admits a request with each revoked key, now and then.
func (g *strictGateway) serve() {
	s := g.s
	if g.paused > s.now {
		s.at(g.paused, g.serve)
		return
	}
	s.after(100*time.Millisecond, g.serve)
	leased := g.local() < g.lease
	if s.IntN(300) == 0 {
		// The process stops between reading the record and admitting.
		g.paused = s.now + s.between(time.Second, 30*time.Second)
		live := []*revoked{}
		for _, r := range s.all {
			if !g.seen[r.key] {
				live = append(live, r)
			}
		}
		g.resume(func() {
			if s.mistake != CheckBeforeRead {
				leased = g.local() < g.lease
			}
			for _, r := range live {
				g.admit(r, leased, false)
			}
		})
		return
	}
	for _, r := range s.all {
		if !g.seen[r.key] {
			g.admit(r, leased, true)
		}
	}
}

// resume does what was under way when the process stopped, first of all.
func (g *strictGateway) resume(do func()) {
	s := g.s
	s.at(g.paused, func() {
		if g.paused > s.now {
			g.resume(do) // stopped again meanwhile
			return
		}
		do()
	})
}

func (g *strictGateway) admit(r *revoked, leased, read bool) {
	s := g.s
	bound := r.at + strictLease + strictMargin
	if !leased || s.failed != nil {
		return
	}
	switch {
	case g.had[r.key] && read:
		s.failed = fmt.Errorf("key %d was dead at this gateway and admitted again at %v", r.key, s.now)
	case r.lost:
		// The new database does not know of it; only gateways that had it do.
	case s.now > bound:
		s.failed = fmt.Errorf("key %d was revoked at %v and admitted at %v", r.key, r.at, s.now)
	case r.told && read:
		s.failed = fmt.Errorf("key %d was admitted at %v after propagation said that it was dead everywhere", r.key, s.now)
	}
}

// revoke kills a key, hints all gateways and watches propagation.
func (s *strict) revoke() {
	key := len(s.all)
	s.log = append(s.log, key)
	r := &revoked{key: key, epoch: s.epoch, n: len(s.log), at: s.now}
	s.all = append(s.all, r)
	for _, g := range s.gateways {
		cut := func() bool { return g.cut > s.now }
		s.send(&s.net, cut, func() { g.pushed = max(g.pushed, r.n) })
	}
	s.after(100*time.Millisecond, func() { s.watch(r) })
}

// watch computes propagation as a node with a primary does. A revision that went
// with a lost tail stays as it was last reported.
func (s *strict) watch(r *revoked) {
	if r.told || r.lost {
		return
	}
	r.told = true
	for _, g := range s.gateways {
		enforces := g.epoch == r.epoch && g.applied >= r.n || g.epoch > r.epoch && g.seen[r.key]
		switch s.mistake {
		case PropagatedByPushes:
			enforces = g.pushed >= r.n
		case LeaseAcrossEpochs:
			enforces = g.applied >= r.n
		}
		if !enforces && s.now < r.at+strictLease+strictMargin {
			r.told = false
		}
	}
	s.after(100*time.Millisecond, func() { s.watch(r) })
}

// fault: a partition, a pause, a control node without its database, or a
// failover that loses the last revisions.
func (s *strict) fault() {
	g, node := s.gateways[s.IntN(len(s.gateways))], s.IntN(2)
	switch s.IntN(4) {
	case 0:
		g.cut = s.now + s.between(time.Second, 30*time.Second)
	case 1:
		// A pause does not end one that is under way.
		g.paused = max(g.paused, s.now+s.between(time.Second, 30*time.Second))
	case 2:
		s.away[node] = true
		s.after(s.between(5*time.Second, 60*time.Second), func() { s.away[node] = false })
	case 3:
		s.failover()
	}
}

func (s *strict) failover() {
	lose := min(s.IntN(4), len(s.log))
	for _, key := range s.log[len(s.log)-lose:] {
		s.all[key].lost = true
	}
	s.log = slices.Clone(s.log[:len(s.log)-lose])
	s.epoch++
}
