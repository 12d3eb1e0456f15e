package feed

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// pollers are the gateways that poll here, and the writes of what they
// acknowledge: one at a time, for all of them.
type pollers struct {
	mu      sync.Mutex
	seen    map[gatehouse.ID]*poller
	next    *acks // what the next write is to hold; nil when nothing waits
	writing bool
	wrote   time.Time // when the last write ended
}

// poller is what is remembered about a gateway.
type poller struct {
	poll    Poll      // what was last written, without nonce and snapshot place
	wrote   time.Time // as of when; zero: never
	bound   time.Time // the lease end that was written: none granted may pass it
	served  time.Time // when the last batch was handed out
	pending *acks     // holds what is to be written next; nil when that was written
}

// acks are written together.
type acks struct {
	of   map[gatehouse.ID]ack
	done chan struct{} // closed when it was tried
}

// ack is what a poll acknowledges, and when it came.
type ack struct {
	poll Poll
	at   time.Time
}

// of is p's, called with the lock.
func (a *pollers) of(p Poll) *poller {
	m := a.seen[p.Gateway]
	if m == nil {
		m = new(poller)
		a.seen[p.Gateway] = m
	}
	return m
}

// ackTime bounds how long a poll waits for its acknowledgement, and a write for
// its turn. A database that reads but does not commit must not hold up changes.
const ackTime = time.Second

// ackMost is how many acknowledgements share a commit: revocations wait for the
// same door, which is to open within ten milliseconds or so.
const ackMost = 100

// acknowledge asks that what p says of its gateway be written: when it says
// something new, and else every seenEvery. It waits only where no lease could be
// granted before it is written. A failed write is not an error of the poll: it
// costs the lease and leaves propagation false, and changes must reach a gateway
// even then. Callers call again every checkEvery.
func (s *Source) acknowledge(ctx context.Context, p Poll) {
	if old, err := s.outdated(ctx, p); old || err != nil {
		return
	}
	p.Nonce, p.Session, p.Part, p.Offer = 0, 0, 0, nil
	a, now := &s.pollers, s.Now()
	a.mu.Lock()
	m := a.of(p)
	if m.poll == p && m.pending == nil && now.Sub(m.wrote) < seenEvery {
		a.mu.Unlock()
		return
	}
	n := s.enqueue(m, p, now)
	covered := m.covers(now)
	a.mu.Unlock()
	if !covered {
		most := time.NewTimer(ackTime)
		defer most.Stop()
		select {
		case <-n.done:
		case <-most.C:
		case <-ctx.Done():
		}
	}
}

// enqueue puts p into the next write, with the lock.
func (s *Source) enqueue(m *poller, p Poll, now time.Time) *acks {
	a := &s.pollers
	if m.pending != nil && m.pending != a.next && m.pending.of[p.Gateway].poll == p {
		return m.pending // being written
	}
	if a.next == nil {
		a.next = &acks{of: map[gatehouse.ID]ack{}, done: make(chan struct{})}
	}
	m.pending = a.next
	m.pending.of[p.Gateway] = ack{p, now}
	if !a.writing {
		a.writing = true
		s.ending.Go(s.write)
	}
	return m.pending
}

// write writes what is asked for until there is nothing more.
func (s *Source) write() {
	a := &s.pollers
	for {
		a.mu.Lock()
		rest := ackEvery - s.Now().Sub(a.wrote)
		a.mu.Unlock()
		pause(s.ctx, min(rest, ackEvery))
		a.mu.Lock()
		n := a.next
		a.next, a.writing = nil, n != nil
		a.mu.Unlock()
		if n == nil {
			return
		}
		err := guarded(func() error { return s.record(n) })
		if err != nil {
			s.Log.Warn("acknowledgements not recorded", "gateways", len(n.of), "err", err)
		}
		a.end(n, err == nil, s.Now())
	}
}

// record commits n. Gateways go in one order, or two nodes that write the same
// ones wait for each other.
func (s *Source) record(n *acks) error {
	ids := slices.SortedFunc(maps.Keys(n.of), func(a, b gatehouse.ID) int { return bytes.Compare(a[:], b[:]) })
	for some := range slices.Chunk(ids, ackMost) {
		if err := s.recordSome(n, some); err != nil {
			return err
		}
	}
	return nil
}

func (s *Source) recordSome(n *acks, ids []gatehouse.ID) error {
	ctx, cancel := context.WithTimeout(s.ctx, ackTime)
	defer cancel()
	return s.Store.Work(store.System(ctx), func(w store.Work) error {
		for _, id := range ids {
			p, at := n.of[id].poll, n.of[id].at
			err := w.SeenGateway(&gatehouse.Gateway{
				ID: id, Cluster: p.Cluster, Version: p.Version, Joined: at, LastSeen: at,
				Enforced: p.Enforced, Problem: p.Problem, Lease: at.Add(leaseMargin),
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// end takes over what was written.
func (a *pollers) end(n *acks, written bool, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, h := range n.of {
		m := a.seen[id]
		if m.pending == n {
			m.pending = nil
		}
		if written {
			m.poll, m.wrote, m.bound = h.poll, h.at, h.at.Add(leaseMargin)
		}
	}
	a.wrote = now
	close(n.done)
}

// covers reports whether a lease granted now ends before what was written.
func (m *poller) covers(now time.Time) bool { return !now.Add(LeaseLength).After(m.bound) }

// grant is the lease that p's gateway gets now. The written bound must cover it,
// or propagation could call a key refused that the gateway still serves.
func (s *Source) grant(p Poll) time.Duration {
	a := &s.pollers
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.of(p).covers(s.Now()) {
		return 0
	}
	return LeaseLength
}

// gather waits until a moment after the last change was handed out, so that a
// burst becomes few batches and not one per change.
func (s *Source) gather(ctx context.Context, p Poll) {
	a := &s.pollers
	a.mu.Lock()
	rest := gather - s.Now().Sub(a.of(p).served)
	a.mu.Unlock()
	if rest > 0 && p.Ready {
		pause(ctx, min(rest, gather))
	}
}

func (s *Source) mark(p Poll) {
	a := &s.pollers
	a.mu.Lock()
	defer a.mu.Unlock()
	a.of(p).served = s.Now()
}
