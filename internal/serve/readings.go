package serve

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse"
	"gatehouse/internal/feed"
	"gatehouse/internal/limit"
	"gatehouse/internal/meter"
	"gatehouse/internal/observe"
	"gatehouse/internal/store"
)

// readGateway registers what alarms about a gateway read.
func (p *program) readGateway(reg prometheus.Registerer, replica *feed.Replica, journal *meter.Journal, shipper *meter.Shipper, limits *limit.Limiter) error {
	return observe.GatewayReadings{
		Ready:        func() bool { return replica.Fresh(p.now()) && journal.Ready() == nil },
		Leased:       func() bool { return replica.Leased(p.now()) },
		ReplicaAge:   func() time.Duration { return replica.Stale(p.now()) },
		Quarantined:  replica.Quarantined,
		JournalBytes: func() int64 { return journal.Stats().Bytes },
		JournalLimit: func() int64 { return max(journal.Stats().Limit, 0) },
		JournalAge:   func() time.Duration { return shipper.Lag().Age },
		JournalBad:   func() int { return journal.Stats().Damaged },
		ShipFailures: func() int64 { return shipper.Lag().Failed },
		AuthorityUp:  limits.Reached,
		BaseShares:   func() bool { return limits.Shared() && !limits.Reached() },
	}.Register(reg)
}

// readControl registers what alarms about a control node read. ingest counts
// the failures of its ingester.
func (p *program) readControl(reg prometheus.Registerer, ingest *countingSink) error {
	f := &fleetReading{p: p}
	return observe.ControlReadings{
		DatabaseUp:       func() bool { return f.look().up },
		DatabaseWarnings: func() int { return len(p.warnings) },
		CheckpointLag:    func() time.Duration { return f.look().checkpoint },
		Awaited:          func() time.Duration { return f.look().awaited },
		GatewaysLive:     func() int { return f.look().live },
		GatewaysSilent:   func() int { return f.look().silent },
		IngestFailures:   ingest.failed.Load,
	}.Register(reg)
}

// countingSink counts the batches that could not be written.
type countingSink struct {
	meter.Sink
	failed atomic.Int64
}

// Ingest implements [meter.Sink].
func (s *countingSink) Ingest(ctx context.Context, b meter.Batch) error {
	err := s.Sink.Ingest(ctx, b)
	if err != nil {
		s.failed.Add(1)
	}
	return err
}

// fleetReading asks the database once for all series of a scrape.
type fleetReading struct {
	p      *program
	mu     sync.Mutex
	at     time.Time
	seen   fleetState
	books  lag
	member map[gatehouse.ID]*lag
}

type fleetState struct {
	up                  bool
	live, silent        int
	awaited, checkpoint time.Duration
}

// readingAge is how long one answer serves: a scrape takes less.
const readingAge = time.Second

// liveWithin is how recently a live gateway was heard, as in propagation.
const liveWithin = 10 * time.Second

func (f *fleetReading) look() fleetState {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.p.now()
	if !f.at.IsZero() && now.Sub(f.at) < readingAge {
		return f.seen
	}
	ctx, cancel := context.WithTimeout(store.System(context.Background()), readyTime)
	defer cancel()
	f.at, f.seen = now, fleetState{}
	f.seen.up = f.p.store.View(ctx, func(v store.View) error { return f.read(v, now) }) == nil
	return f.seen
}

func (f *fleetReading) read(v store.View, now time.Time) error {
	tree, err := v.Tree()
	if err != nil {
		return err
	}
	size, err := f.signed(v)
	if err != nil {
		return err
	}
	f.seen.checkpoint = f.books.at(now, size >= tree.Size, f.books.want <= size, tree.Size)
	head, err := v.Revision()
	if err != nil {
		return err
	}
	gateways, err := v.Gateways()
	if err != nil {
		return err
	}
	member := make(map[gatehouse.ID]*lag, len(gateways))
	for _, g := range gateways {
		f.gateway(g, head, now, member)
	}
	f.member = member
	return nil
}

// signed is the size that the newest checkpoint vouches for.
func (f *fleetReading) signed(v store.View) (int64, error) {
	note, err := v.Checkpoint()
	if err != nil || note == nil {
		return 0, err
	}
	size, _, err := f.p.openCheckpoint(note)
	return size, err
}

// gateway counts one member. One that was silent for longer than a gateway
// serves without control is no longer waited for.
func (f *fleetReading) gateway(g *gatehouse.Gateway, head gatehouse.Revision, now time.Time, member map[gatehouse.ID]*lag) {
	silence := now.Sub(g.LastSeen)
	if g.Forgotten {
		return
	}
	if silence < liveWithin {
		f.seen.live++
	} else {
		f.seen.silent++
	}
	if silence > feed.MaxStale {
		return
	}
	l := f.member[g.ID]
	if l == nil {
		l = &lag{}
	}
	member[g.ID] = l
	reached := g.Enforced.Epoch == head.Epoch && g.Enforced.N >= l.want
	f.seen.awaited = max(f.seen.awaited, l.at(now, g.Enforced == head, reached, head.N))
}

// lag is how long something has not reached what it was first seen to lack.
// Who keeps up is always a little behind: what counts is how long it has not
// got to where the others were then.
type lag struct {
	want  int64
	since time.Time // zero: nothing is lacking
}

// at notes a look: level says that nothing is lacking now, reached that what was
// lacking has come, and want what is there to reach.
func (l *lag) at(now time.Time, level, reached bool, want int64) time.Duration {
	switch {
	case level:
		l.since = time.Time{}
		return 0
	case l.since.IsZero() || reached:
		l.want, l.since = want, now
	}
	return now.Sub(l.since)
}
