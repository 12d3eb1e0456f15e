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

// members are the gateways that poll here, and the write of what they
// acknowledge: one for all of them at a time.
type members struct {
	mu      sync.Mutex
	seen    map[gatehouse.ID]*member
	next    *note // what the next write is to hold; nil when nothing waits
	writing bool
	wrote   time.Time // when the last write ended
}

// member is what is remembered about a gateway.
type member struct {
	poll   Poll      // what was last written, without nonce and snapshot place
	wrote  time.Time // as of when; zero: never
	bound  time.Time // the lease end that was written: none granted may pass it
	served time.Time // when the last batch was handed out
	asked  *note     // holds what is to be written next; nil when that was written
}

// note is one write of acknowledgements.
type note struct {
	of   map[gatehouse.ID]heardOf
	done chan struct{} // closed when it was tried
}

// heardOf is a poll and when it came.
type heardOf struct {
	poll Poll
	at   time.Time
}

// member is p's, called with the lock.
func (a *members) member(p Poll) *member {
	m := a.seen[p.Gateway]
	if m == nil {
		m = new(member)
		a.seen[p.Gateway] = m
	}
	return m
}

// ackTime bounds a write of acknowledgements. A database that reads but does
// not commit must not hold up changes.
const ackTime = time.Second

// acknowledge has written what p says of its gateway: at once when it says
// something new, and else every seenEvery. It returns when to call again, and
// waits for the write only where no lease could be granted without it. A failed
// write is not an error of the poll: it costs the lease and leaves propagation
// false, and changes must reach a gateway even then.
func (s *Source) acknowledge(ctx context.Context, p Poll) (due time.Duration) {
	if old, err := s.outdated(ctx, p); old || err != nil {
		return checkEvery
	}
	p.Nonce, p.Session, p.Part, p.Offer = 0, 0, 0, nil
	a, now := &s.members, s.Now()
	a.mu.Lock()
	m := a.member(p)
	if rest := seenEvery - now.Sub(m.wrote); m.poll == p && rest > 0 && m.asked == nil {
		a.mu.Unlock()
		return rest
	}
	n := s.ask(m, p, now)
	covered := m.covers(now)
	a.mu.Unlock()
	if !covered {
		select {
		case <-n.done:
		case <-ctx.Done():
		}
	}
	return checkEvery
}

// ask puts p into the next write, with the lock.
func (s *Source) ask(m *member, p Poll, now time.Time) *note {
	a := &s.members
	if m.asked != nil && m.asked != a.next && m.asked.of[p.Gateway].poll == p {
		return m.asked // being written
	}
	if a.next == nil {
		a.next = &note{of: map[gatehouse.ID]heardOf{}, done: make(chan struct{})}
	}
	m.asked = a.next
	m.asked.of[p.Gateway] = heardOf{p, now}
	if !a.writing {
		a.writing = true
		s.ending.Go(s.write)
	}
	return m.asked
}

// write writes what is asked for until there is nothing more.
func (s *Source) write() {
	a := &s.members
	for {
		a.mu.Lock()
		rest := ackEvery - s.Now().Sub(a.wrote)
		a.mu.Unlock()
		pause(context.Background(), min(rest, ackEvery))
		a.mu.Lock()
		n := a.next
		a.next, a.writing = nil, n != nil
		a.mu.Unlock()
		if n == nil {
			return
		}
		err := s.record(n)
		if err != nil {
			s.Log.Warn("acknowledgements not recorded", "gateways", len(n.of), "err", err)
		}
		a.end(n, err == nil, s.Now())
	}
}

// record commits n. Gateways go in one order, or two nodes that write the same
// ones wait for each other.
func (s *Source) record(n *note) error {
	ctx, cancel := context.WithTimeout(context.Background(), ackTime)
	defer cancel()
	ids := slices.SortedFunc(maps.Keys(n.of), func(a, b gatehouse.ID) int { return bytes.Compare(a[:], b[:]) })
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
func (a *members) end(n *note, written bool, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, h := range n.of {
		m := a.seen[id]
		if m.asked == n {
			m.asked = nil
		}
		if written {
			m.poll, m.wrote, m.bound = h.poll, h.at, h.at.Add(leaseMargin)
		}
	}
	a.wrote = now
	close(n.done)
}

// covers reports whether a lease granted now ends before what was written.
func (m *member) covers(now time.Time) bool { return !now.Add(LeaseLength).After(m.bound) }

// grant is the lease that p's gateway gets now. The written bound must cover it,
// or propagation could call a key refused that the gateway still serves.
func (s *Source) grant(p Poll) time.Duration {
	a := &s.members
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.member(p).covers(s.Now()) {
		return 0
	}
	return LeaseLength
}

// gather waits until a moment after the last change was handed out, so that a
// burst becomes few batches and not one per change.
func (s *Source) gather(ctx context.Context, p Poll) {
	a := &s.members
	a.mu.Lock()
	rest := gather - s.Now().Sub(a.member(p).served)
	a.mu.Unlock()
	if rest > 0 && p.Ready {
		pause(ctx, min(rest, gather))
	}
}

func (s *Source) mark(p Poll) {
	a := &s.members
	a.mu.Lock()
	defer a.mu.Unlock()
	a.member(p).served = s.Now()
}
