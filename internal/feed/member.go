package feed

import (
	"context"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// member is what is remembered about a gateway.
type member struct {
	mu     sync.Mutex
	poll   Poll      // what was last written, without nonce and snapshot place
	wrote  time.Time // when; zero: never
	bound  time.Time // the lease end that was written: none granted may pass it
	served time.Time // when the last batch was handed out
}

func (s *Source) member(p Poll) *member {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.seen[p.Gateway]
	if m == nil {
		m = new(member)
		s.seen[p.Gateway] = m
	}
	return m
}

// ackTime bounds a write of an acknowledgement. A database that reads but does
// not commit must not hold up changes.
const ackTime = time.Second

// acknowledge writes what p says of its gateway: at once when it says something
// new, but at most every ackEvery, and else every seenEvery. It returns when to
// call again. A failed write is not an error of the poll: it costs the lease and
// leaves propagation false, and changes must reach a gateway even then.
func (s *Source) acknowledge(ctx context.Context, p Poll) (due time.Duration) {
	if old, err := s.outdated(ctx, p); old || err != nil {
		return checkEvery
	}
	p.Nonce, p.Session, p.Part, p.Offer = 0, 0, 0, nil
	m, now := s.member(p), s.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	due = seenEvery
	if m.poll != p {
		due = ackEvery
	}
	if rest := due - now.Sub(m.wrote); rest > 0 && !m.wrote.IsZero() {
		return rest
	}
	bound := now.Add(leaseMargin)
	g := &gatehouse.Gateway{
		ID: p.Gateway, Cluster: p.Cluster, Version: p.Version, Joined: now, LastSeen: now,
		Enforced: p.Enforced, Problem: p.Problem, Lease: bound,
	}
	ctx, cancel := context.WithTimeout(ctx, ackTime)
	defer cancel()
	if err := s.Store.Work(store.System(ctx), func(w store.Work) error { return w.SeenGateway(g) }); err != nil {
		s.Log.Warn("gateway acknowledgement not recorded", "gateway", p.Gateway.String(), "err", err)
		return checkEvery
	}
	m.poll, m.wrote, m.bound = p, now, bound
	return seenEvery
}

// grant is the lease that p's gateway gets now. The written bound must cover it,
// or propagation could call a key refused that the gateway still serves.
func (s *Source) grant(p Poll) time.Duration {
	m := s.member(p)
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.Now().Add(LeaseLength).After(m.bound) {
		return 0
	}
	return LeaseLength
}

// gather waits until a moment after the last change was handed out, so that a
// burst becomes few batches and not one per change.
func (s *Source) gather(ctx context.Context, p Poll) {
	m := s.member(p)
	m.mu.Lock()
	rest := gather - s.Now().Sub(m.served)
	m.mu.Unlock()
	if rest > 0 && p.Ready {
		pause(ctx, min(rest, gather))
	}
}

func (s *Source) mark(p Poll) {
	m := s.member(p)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.served = s.Now()
}
