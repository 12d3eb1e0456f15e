package feed

import (
	"context"
	"errors"
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
	mu       sync.Mutex // guards seen
	seen     map[gatehouse.ID]*member
	sessMu   sync.Mutex // guards sessions
	sessions map[place]*session
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
	// ackEvery bounds how often an acknowledgement is written per gateway: each
	// is a durable commit that competes with revocations.
	ackEvery = 25 * time.Millisecond
	// seenEvery is how often an unchanged member is written.
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
	return &Source{SourceConfig: c, seen: map[gatehouse.ID]*member{}, sessions: map[place]*session{}}
}

// Close ends snapshots under way, which hold a read transaction open.
func (s *Source) Close() {
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
	s.gather(ctx, p)
	for last := false; ; {
		ackDue := s.acknowledge(ctx, p)
		changed := s.Store.Changed() // before reading: a change in between still wakes us
		b, caughtUp, err := s.read(ctx, p)
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
		wake := time.NewTimer(min(checkEvery, ackDue))
		select {
		case <-changed:
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

// read makes the batch after p.Enforced, in one snapshot of the store taken
// after p arrived: that is what makes a lease granted with it honest. caughtUp
// says that nothing newer existed.
func (s *Source) read(ctx context.Context, p Poll) (b *Batch, caughtUp bool, err error) {
	whole := !p.Ready || p.Session != 0
	if !whole {
		err = s.Store.View(store.System(ctx), func(v store.View) error {
			b, whole, caughtUp, err = safely(v, p)
			return err
		})
	}
	if err == nil && whole {
		b, err = s.snapshotPart(ctx, p)
		return b, false, err
	}
	return b, caughtUp, err
}

// delta reads the changes after p.Enforced. whole says that only a snapshot helps.
func delta(v store.View, p Poll) (b *Batch, whole, caughtUp bool, err error) {
	now, err := v.Revision()
	if err != nil {
		return nil, false, false, err
	}
	switch {
	case now.Less(p.Enforced):
		// A store that went back without a new epoch. Serving it would revive what
		// was removed since.
		return nil, false, false, gatehouse.Errorf(gatehouse.FailedPrecondition,
			"feed: the store is at %s, behind what gateway %s enforces, %s: restore with a new epoch", now, p.Gateway, p.Enforced)
	case now.Epoch != p.Enforced.Epoch:
		return nil, true, false, offerFirst(p, now)
	case now == p.Enforced:
		return &Batch{From: now, To: now}, false, true, nil
	}
	changes, upTo, ok, err := v.Changes(p.Enforced, maxChanges)
	if err != nil || !ok {
		return nil, true, false, err
	}
	b = &Batch{From: p.Enforced, To: upTo}
	for _, c := range changes {
		r, ours, err := load(v, c, p.viewer())
		if err != nil {
			return nil, false, false, err
		}
		if ours {
			b.Records = append(b.Records, r)
		}
	}
	return b, false, upTo == now, nil
}

// load reads the record of a change. One that the store does not find is
// withheld: it failed its seal, and control cannot vouch for it.
func load(v store.View, c gatehouse.Change, to viewer) (r Record, ours bool, err error) {
	r, err = one(v, c, to)
	if errors.Is(err, gatehouse.NotFound) {
		r, err = Record{Kind: c.Kind, ID: c.ID, Revision: c.Revision}, nil
	}
	return r, r.Kind != "", err
}

// one returns the zero Record for kinds that gateways do not need.
func one(v store.View, c gatehouse.Change, to viewer) (Record, error) {
	switch c.Kind {
	case gatehouse.KindModel:
		return made(to.model)(v.Model(c.ID))
	case gatehouse.KindAlias:
		return made(aliasRecord)(v.Alias(c.ID))
	case gatehouse.KindCluster:
		return made(clusterRecord)(v.Cluster(c.ID))
	case gatehouse.KindKey, gatehouse.KindTeam, gatehouse.KindUpstream, gatehouse.KindPrice:
	default:
		return Record{}, nil
	}
	id, err := gatehouse.ParseID(c.ID)
	if err != nil {
		return Record{}, err
	}
	switch c.Kind {
	case gatehouse.KindKey:
		return made(to.key)(v.Key(id))
	case gatehouse.KindTeam:
		return made(teamRecord)(v.Team(id))
	case gatehouse.KindPrice:
		return made(priceRecord)(v.Price(id))
	}
	return made(to.upstream)(v.Upstream(id))
}

// made joins a read and the making of its record.
func made[T any](of func(T) (Record, error)) func(T, error) (Record, error) {
	return func(v T, err error) (Record, error) {
		if err != nil {
			return Record{}, err
		}
		return of(v)
	}
}
