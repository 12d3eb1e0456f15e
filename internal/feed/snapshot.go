package feed

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// The bounds of one part of a snapshot, in records and in bytes of bodies.
const (
	partRecords = 2000
	partBytes   = 4 << 20
	// sessionIdle is after how long an unfinished snapshot is given up: it holds
	// a read transaction, and with it the engine's old pages.
	sessionIdle = 30 * time.Second
	// maxSnapshots is how many are under way at a time. A fleet that lost its
	// disks comes back four by four, and revocations do not wait behind it.
	maxSnapshots = 4
	// snapshotRetry is how long the others are told to wait, at least; as much
	// again at random, so that they do not come back as one.
	snapshotRetry = time.Second
)

// session is a snapshot being handed out: one read transaction, suspended
// between parts, so that all parts show the same revision.
type session struct {
	id     uint64
	to     viewer
	cancel context.CancelFunc
	done   atomic.Bool // the last part was handed out, or it was given up
	used   atomic.Int64

	mu     sync.Mutex // held while a part is made; iterators are not concurrent
	at     gatehouse.Revision
	next   func() (Record, bool)
	stop   func()
	err    error
	sent   *Batch // the part last handed out, in case its answer was lost
	ready  *Batch // the one after it, made while the gateway takes that one in
	parts  uint32 // made
	ahead  Record // read but not sent yet
	queued bool
}

// place is whose snapshot a session is: one for serving, one for the disk.
type place struct {
	gateway gatehouse.ID
	archive bool
}

var (
	errStopped = errors.New("feed: the snapshot was given up")
	errLost    = errors.New("feed: not a part that can be asked for")
)

// snapshotPart makes the part that p asks for. An unknown session starts a new
// snapshot.
func (s *Source) snapshotPart(ctx context.Context, p Poll) (*Batch, error) {
	for {
		sess, err := s.session(ctx, p)
		if err != nil {
			return nil, err
		}
		b, err := sess.ask(p)
		if err == nil {
			sess.used.Store(s.Now().UnixNano())
			if b.More {
				s.ending.Go(sess.prepare)
			}
			return b, nil
		}
		s.give(place{p.Gateway, p.Archive}, sess)
		if !errors.Is(err, errLost) || p.Session == 0 {
			return nil, err
		}
		p.Session = 0
	}
}

// session is the one that p is about, or a new one.
func (s *Source) session(ctx context.Context, p Poll) (*session, error) {
	s.sessMu.Lock()
	defer s.sessMu.Unlock()
	at := place{p.Gateway, p.Archive}
	if cur := s.sessions[at]; cur != nil {
		if cur.id == p.Session && cur.to == p.viewer() {
			return cur, nil
		}
		s.end(at, cur)
	}
	running := 0
	for at, sess := range s.sessions {
		switch {
		case s.Now().UnixNano()-sess.used.Load() > int64(sessionIdle):
			s.end(at, sess)
		case !sess.done.Load():
			running++
		}
	}
	if running >= maxSnapshots {
		return nil, gatehouse.Errorf(gatehouse.Unavailable, "feed: %d gateways are taking a snapshot; this one waits", running).
			After(snapshotRetry + rand.N(snapshotRetry))
	}
	sess := s.open(ctx, p.viewer())
	sess.used.Store(s.Now().UnixNano())
	s.sessions[at] = sess
	return sess, nil
}

// give ends a session that failed.
func (s *Source) give(at place, sess *session) {
	s.sessMu.Lock()
	defer s.sessMu.Unlock()
	if s.sessions[at] == sess {
		s.end(at, sess)
	}
}

// end gives a session up without waiting for a part that is being made: its
// transaction may hang as long as its database does.
func (s *Source) end(at place, sess *session) {
	delete(s.sessions, at)
	sess.done.Store(true)
	sess.cancel()
	s.ending.Go(sess.close)
}

// open starts a snapshot. Its transaction outlives the poll that asked for it.
func (s *Source) open(ctx context.Context, to viewer) *session {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	sess := &session{id: rand.Uint64() | 1, to: to, cancel: cancel}
	sess.next, sess.stop = iter.Pull(func(yield func(Record) bool) {
		sess.err = s.Store.View(store.System(ctx), func(v store.View) (err error) {
			if sess.at, err = v.Revision(); err != nil {
				return err
			}
			return everything(v, to, yield)
		})
	})
	return sess
}

func (sess *session) close() {
	sess.mu.Lock()
	defer sess.mu.Unlock()
	sess.stop()
	sess.cancel()
}

// ask answers a poll: the part it names when that was the last or is the next.
func (sess *session) ask(p Poll) (*Batch, error) {
	sess.mu.Lock()
	defer sess.mu.Unlock()
	switch {
	case sess.sent == nil:
	case p.Session == sess.id && p.Part == sess.sent.Part:
		again := *sess.sent
		return &again, nil
	case p.Part != sess.sent.Part+1 || !sess.sent.More:
		return nil, errLost
	}
	b := sess.ready
	if b == nil {
		var err error
		if b, err = sess.part(); err != nil {
			return nil, err
		}
	}
	sess.sent, sess.ready = b, nil
	if !b.More {
		sess.done.Store(true)
	}
	again := *b
	return &again, nil
}

// prepare makes the next part ahead of being asked. A failure is found again,
// and told, by whoever asks.
func (sess *session) prepare() {
	sess.mu.Lock()
	defer sess.mu.Unlock()
	if sess.ready == nil && sess.sent.More && !sess.done.Load() {
		if b, err := sess.part(); err == nil {
			sess.ready = b
		}
	}
}

// part makes the next part. Whether more follows is known by reading one record
// ahead.
func (sess *session) part() (*Batch, error) {
	b := &Batch{Snapshot: true, Session: sess.id, Part: sess.parts}
	size := 0
	for {
		r, ok := sess.ahead, sess.queued
		sess.queued = false
		if !ok {
			r, ok = sess.next()
		}
		if !ok {
			break
		}
		if len(b.Records) >= partRecords || size >= partBytes {
			sess.ahead, sess.queued, b.More = r, true, true
			break
		}
		b.Records = append(b.Records, r)
		size += len(r.Body)
	}
	if !b.More {
		sess.stop() // the transaction is over; the part stays for a repeat
		sess.cancel()
		if sess.err != nil {
			return nil, sess.err
		}
	}
	b.To = sess.at
	sess.parts++
	return b, nil
}

// everything yields all that gateways of a cluster need, what bounds keys
// before the keys. It stops at the first error: an iterator that said stop must
// not be called again.
func everything(v store.View, to viewer, yield func(Record) bool) error {
	for _, f := range []func() error{
		func() error { return teams(v, to, yield) },
		func() error { return all(v.Clusters, to.cluster, yield) },
		func() error { return all(v.Models, to.model, yield) },
		func() error { return all(v.Aliases, to.alias, yield) },
		func() error { return all(v.Prices, to.price, yield) },
		func() error { return all(v.Upstreams, to.upstream, yield) },
		func() error {
			return v.AllKeys(func(k *gatehouse.Key) error { return send(k, to.key, yield) })
		},
	} {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

func all[T any](list func() ([]T, error), of func(T) (Record, error), yield func(Record) bool) error {
	items, err := list()
	if err != nil {
		return err
	}
	for _, it := range items {
		if err := send(it, of, yield); err != nil {
			return err
		}
	}
	return nil
}

func send[T any](v T, of func(T) (Record, error), yield func(Record) bool) error {
	r, err := of(v)
	if err != nil {
		return err
	}
	if !yield(r) {
		return errStopped
	}
	return nil
}

// teamPage is how many teams are read at once.
const teamPage = 500

func teams(v store.View, to viewer, yield func(Record) bool) error {
	var after store.Cursor
	for {
		page, err := v.Teams(after, teamPage)
		if err != nil {
			return err
		}
		for _, t := range page {
			if err := send(t, to.team, yield); err != nil {
				return err
			}
			after = store.Cursor{Time: t.CreateTime, ID: t.ID.String()}
		}
		if len(page) < teamPage {
			return nil
		}
	}
}
