package feed

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// SourceConfig is what a Source works with; all but the last two is required.
type SourceConfig struct {
	Store store.Store
	Sign  func(msg []byte) []byte // the installation's signing key
	Now   func() time.Time
	Log   *slog.Logger
	// Verifiers are the public keys that batches may be signed by from now on.
	// Gateways over a network take them over; nil leaves theirs as they are.
	Verifiers func() [][]byte
	// Rebury commits deletions that a gateway knows and the store may have lost;
	// nil passes them over.
	Rebury func(context.Context, gatehouse.ID, []Tombstone) error
}

// Source is the feed in process: over the store of a control node. Close it
// before the store.
type Source struct {
	SourceConfig
	pollers  pollers
	readings readings
	sessMu   sync.Mutex // guards sessions
	sessions map[place]*session
	ctx      context.Context // of what is nobody's alone; ends with Close
	stop     context.CancelFunc
	ending   sync.WaitGroup
	fleet    roll
	// epoch is the store's; zero until it was read. A new one begins only with a
	// restore, which no control node lives through.
	epoch atomic.Int64
}

// How often a source does what. Polls come every two seconds when nothing
// happens, and as fast as changes do when much does.
const (
	// checkEvery is the poll behind the hint of store.Changed: with several
	// control nodes a change of another node has no hint here.
	checkEvery = 250 * time.Millisecond
	// ackEvery bounds how often acknowledgements are written: each time is a
	// durable commit that competes with revocations, for however many gateways.
	ackEvery = 25 * time.Millisecond
	// seenEvery is how often an unchanged gateway is written, but for a checkEvery.
	seenEvery = 3 * time.Second
	// gather lets changes of one burst travel together.
	gather = 5 * time.Millisecond
	// maxChanges bounds a batch; what is beyond comes with the next.
	maxChanges = 1000
)

// leaseMargin is how far the written end of a lease lies beyond the write: the
// longest that any grant until the next write can reach, and a second.
const leaseMargin = seenEvery + pollLength + LeaseLength + time.Second

// NewSource returns a source over c.Store.
func NewSource(c SourceConfig) *Source {
	s := &Source{SourceConfig: c, sessions: map[place]*session{},
		pollers: pollers{seen: map[gatehouse.ID]*poller{}}, readings: readings{last: map[gatehouse.Revision]*reading{}}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Close ends snapshots under way, which hold a read transaction open, and waits
// for what is being read and written.
func (s *Source) Close() {
	s.stop()
	s.sessMu.Lock()
	for at, sess := range s.sessions {
		s.end(at, sess)
	}
	s.sessMu.Unlock()
	s.ending.Wait()
}

// Pull implements Feed.
func (s *Source) Pull(ctx context.Context, p Poll) (Signed, error) {
	if p.Gateway.IsZero() || p.Cluster == "" {
		return Signed{}, gatehouse.Errorf(gatehouse.InvalidArgument, "feed: a poll names its gateway and its cluster")
	}
	if err := s.takeOver(ctx, p); err != nil {
		return Signed{}, err
	}
	p.Wire = min(p.Wire, Wire)
	next := s.next
	if p.Archive {
		next = s.snapshotPart
	}
	b, err := next(ctx, p)
	if err != nil {
		return Signed{}, err
	}
	if p.Wire >= 2 {
		if err := s.addFleet(ctx, b); err != nil {
			return Signed{}, err
		}
	}
	b.Nonce, b.Time = p.Nonce, s.Now()
	return Sign(b, s.Sign), nil
}

// next waits for the batch that answers p.
func (s *Source) next(ctx context.Context, p Poll) (*Batch, error) {
	deadline := time.NewTimer(pollLength)
	defer deadline.Stop()
	arrived := s.readings.moment()
	s.gather(ctx, p)
	for last, hinted := false, true; ; {
		s.acknowledge(ctx, p)
		changed := s.Store.Changed() // before reading: a change in between still wakes us
		b, caughtUp, err := s.read(ctx, p, arrived, changed, hinted)
		if err != nil {
			return nil, err
		}
		if b.To != b.From || b.Snapshot || last {
			if caughtUp {
				b.Lease = s.grant(p)
			}
			s.mark(p)
			return b, nil
		}
		wake := time.NewTimer(checkEvery)
		hinted = false
		select {
		case <-changed:
			hinted = true
		case <-wake.C:
		case <-deadline.C:
			last = true
		case <-ctx.Done():
			wake.Stop()
			return nil, ctx.Err()
		}
		wake.Stop()
	}
}

// read makes the batch after p.Enforced, from the latest reading. caughtUp says
// that nothing newer existed then.
func (s *Source) read(ctx context.Context, p Poll, arrived uint64, changed <-chan struct{}, hinted bool) (b *Batch, caughtUp bool, err error) {
	if p.Ready && p.Session == 0 {
		r, err := s.latest(ctx, p.Enforced, arrived, changed, hinted)
		if err != nil {
			return nil, false, err
		}
		b, whole, err := r.batch(p)
		if err != nil || !whole {
			return b, r.to == r.now && !r.lost, err
		}
	}
	b, err = s.snapshotPart(ctx, p)
	return b, false, err
}
