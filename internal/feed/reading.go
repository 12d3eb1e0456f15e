package feed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/limit"
	"gatehouse/internal/store"
)

// readings are shared by polls: a change wakes those of a whole fleet at once,
// and each of them would ask the database the same questions.
//
// A poll may only use a reading that began after the poll arrived. That is what
// makes a lease honest that is granted with it (design §7).
type readings struct {
	mu    sync.Mutex
	begun uint64
	last  map[gatehouse.Revision]*reading // by the revision that polls stand at
}

// reading is what the store said at one moment to those who stand at from.
type reading struct {
	from    gatehouse.Revision
	began   uint64          // its number among the readings of the source
	changed <-chan struct{} // open when it began, closed by the next change
	done    chan struct{}   // closed when the rest is there
	said
	err error
}

// said is what a reading found.
type said struct {
	now     gatehouse.Revision // the newest
	whole   bool               // changes do not lead there: it takes a snapshot
	lost    bool               // deletions may be missing, so nobody gets a lease
	to      gatehouse.Revision // where the changes lead
	changes []telling
	members []limit.Member // nil without changes
}

// news reports whether the reading answers a poll that waits for changes.
func (r *reading) news() bool { return r.now != r.from }

// moment is the number of the newest reading: those after it begin later.
func (a *readings) moment() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.begun
}

// latest returns a reading that began after arrived. One is shared if it tells of
// changes after from, or if every change that it missed closes changed, which is
// what the poll watches. A poll that looks by the clock and not for a hint has its
// own: other nodes' changes may close nothing.
//
// Nobody waits long for another's reading, whose connection may have died; and one
// that failed is tried again, or its error would fail the whole fleet.
func (s *Source) latest(ctx context.Context, from gatehouse.Revision, arrived uint64, changed <-chan struct{}, hinted bool) (*reading, error) {
	now := s.readings.moment()
	soon, cancel := context.WithTimeout(ctx, checkEvery)
	r, err := s.join(soon, from, changed, func(r *reading) bool {
		return r.began > arrived && (hinted && r.changed == changed || r.over() && r.err == nil && r.news())
	})
	cancel()
	if err != nil && ctx.Err() == nil {
		now = max(now, r.began)
		r, err = s.join(ctx, from, changed, func(r *reading) bool { return r.began > now })
	}
	return r, err
}

// readTime bounds a reading: by then every poll that waited for it is given up.
const readTime = 10 * time.Second

// join waits for the newest reading if it fits; else the first to come begins
// one. Those that are over are dropped whatever they are of: two revisions that
// polls stand at cost a few readings more, and what was read may hold credentials.
func (s *Source) join(ctx context.Context, from gatehouse.Revision, changed <-chan struct{}, fits func(*reading) bool) (*reading, error) {
	a := &s.readings
	a.mu.Lock()
	r := a.last[from]
	if r == nil || !fits(r) {
		maps.DeleteFunc(a.last, func(_ gatehouse.Revision, old *reading) bool { return old.over() })
		a.begun++
		r = &reading{from: from, began: a.begun, changed: changed, done: make(chan struct{})}
		a.last[from] = r
		s.ending.Go(func() {
			defer close(r.done)
			ctx, cancel := context.WithTimeout(s.ctx, readTime) // not one poll's context: others wait for it too
			defer cancel()
			r.err = guarded(func() error {
				return s.Store.View(store.System(ctx), func(v store.View) (err error) {
					r.said, err = s.look(v, from)
					return err
				})
			})
		})
	}
	a.mu.Unlock()
	select {
	case <-r.done:
		return r, r.err
	case <-ctx.Done():
		return r, ctx.Err()
	}
}

// guarded makes an error of a panic: these goroutines are nobody's request, and
// what one record does must not end the process.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("feed: a panic at %s", debug.Stack()) // its value may hold anything
		}
	}()
	return f()
}

func (r *reading) over() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// look reads what there is to say. The members are of the same moment as the
// changes: who applied those has a list that is at least as new, which is what
// Settled rests on.
func (s *Source) look(v store.View, from gatehouse.Revision) (r said, err error) {
	if r.now, err = v.Revision(); err != nil {
		return r, err
	}
	if r.lost, err = unaccounted(v, r.now); err != nil {
		return r, err
	}
	r.to = r.now
	if r.now.Epoch != from.Epoch || !from.Less(r.now) {
		return r, nil
	}
	changes, upTo, ok, err := v.Changes(from, maxChanges)
	if r.whole = !ok; err != nil || r.whole {
		return r, err
	}
	r.to = upTo
	for _, c := range changes {
		t, err := load(v, c)
		if err != nil {
			return r, err
		}
		if t != nil {
			r.changes = append(r.changes, t)
		}
	}
	r.members, err = s.fleet.members(v, r.now)
	return r, err
}

// batch is the answer to p; whole says that only a snapshot is one.
func (r *reading) batch(p Poll) (b *Batch, whole bool, err error) {
	switch {
	case r.now.Less(p.Enforced):
		// A store that went back without a new epoch. Serving it would revive what
		// was removed since.
		return nil, false, gatehouse.Errorf(gatehouse.FailedPrecondition,
			"feed: the store is at %s, behind what gateway %s enforces, %s: restore with a new epoch", r.now, p.Gateway, p.Enforced)
	case r.now.Epoch != p.Enforced.Epoch:
		return nil, true, offerFirst(p, r.now)
	case r.whole:
		return nil, true, nil
	}
	b = &Batch{From: p.Enforced, To: r.to}
	if p.Wire >= 2 {
		b.Members = r.members
	}
	for _, tell := range r.changes {
		record, err := tell(p.viewer())
		if err != nil {
			return nil, false, err
		}
		b.Records = append(b.Records, record)
	}
	return b, false, nil
}

// telling makes the record of one change for a gateway.
type telling func(viewer) (Record, error)

// load reads what a change is about; nil is for kinds that gateways do not need.
// What the store does not find is withheld: it failed its seal, and control
// cannot vouch for it.
func load(v store.View, c gatehouse.Change) (telling, error) {
	t, err := one(v, c)
	if errors.Is(err, gatehouse.NotFound) {
		return func(viewer) (Record, error) { return Record{Kind: c.Kind, ID: c.ID, Revision: c.Revision}, nil }, nil
	}
	return t, err
}

func one(v store.View, c gatehouse.Change) (telling, error) {
	switch c.Kind {
	case gatehouse.KindModel:
		return told(viewer.model)(v.Model(c.ID))
	case gatehouse.KindAlias:
		return told(viewer.alias)(v.Alias(c.ID))
	case gatehouse.KindCluster:
		return told(viewer.cluster)(v.Cluster(c.ID))
	case gatehouse.KindKey, gatehouse.KindTeam, gatehouse.KindUpstream, gatehouse.KindPrice:
	default:
		return nil, nil
	}
	id, err := gatehouse.ParseID(c.ID)
	if err != nil {
		return nil, err
	}
	switch c.Kind {
	case gatehouse.KindKey:
		return told(viewer.key)(v.Key(id))
	case gatehouse.KindTeam:
		return told(viewer.team)(v.Team(id))
	case gatehouse.KindPrice:
		return told(viewer.price)(v.Price(id))
	}
	return told(viewer.upstream)(v.Upstream(id))
}

// told joins a read and the making of records of it.
func told[T any](of func(viewer, T) (Record, error)) func(T, error) (telling, error) {
	return func(v T, err error) (telling, error) {
		if err != nil {
			return nil, err
		}
		return func(to viewer) (Record, error) { return of(to, v) }, nil
	}
}
