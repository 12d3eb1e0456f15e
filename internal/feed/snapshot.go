package feed

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
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
)

// session is a snapshot being handed out: one read transaction, suspended
// between parts, so that all parts show the same revision.
type session struct {
	id     uint64
	to     gatehouse.Revision
	next   func() (Record, bool)
	end    func()
	err    error
	sent   *Batch // the part last made, in case its answer was lost
	used   time.Time
	ahead  Record // read but not sent yet
	queued bool
}

var errStopped = errors.New("feed: the snapshot was given up")

// snapshotPart makes the part that p asks for. An unknown session starts a new
// snapshot.
func (s *Source) snapshotPart(ctx context.Context, p Poll) (*Batch, error) {
	s.sessMu.Lock()
	defer s.sessMu.Unlock()
	s.dropIdle()
	sess := s.sessions[p.Gateway]
	switch {
	case sess != nil && p.Session == sess.id && p.Part == sess.sent.Part:
		again := *sess.sent
		return &again, nil
	case sess == nil || p.Session != sess.id || p.Part != sess.sent.Part+1 || !sess.sent.More:
		if sess != nil {
			sess.end()
		}
		sess = s.open(ctx, p.Cluster)
		s.sessions[p.Gateway] = sess
	}
	b, err := sess.part()
	if err != nil {
		sess.end()
		delete(s.sessions, p.Gateway)
		return nil, err
	}
	sess.used = s.Now()
	again := *b
	return &again, nil
}

// dropIdle ends snapshots that nobody asked about for a while.
func (s *Source) dropIdle() {
	for gw, sess := range s.sessions {
		if s.Now().Sub(sess.used) > sessionIdle {
			sess.end()
			delete(s.sessions, gw)
		}
	}
}

// open starts a snapshot. Its transaction outlives the poll that asked for it.
func (s *Source) open(ctx context.Context, cluster string) *session {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	sess := &session{id: rand.Uint64() | 1}
	next, stop := iter.Pull(func(yield func(Record) bool) {
		sess.err = s.Store.View(ctx, func(v store.View) (err error) {
			if sess.to, err = v.Revision(); err != nil {
				return err
			}
			return everything(v, cluster, yield)
		})
	})
	sess.next = next
	sess.end = func() { stop(); cancel() }
	return sess
}

// part makes the next part. Whether more follows is known by reading one record
// ahead.
func (sess *session) part() (*Batch, error) {
	b := &Batch{Snapshot: true, Session: sess.id}
	if sess.sent != nil {
		b.Part = sess.sent.Part + 1
	}
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
		sess.end() // the transaction is over; the part stays for a repeat
		if sess.err != nil {
			return nil, sess.err
		}
	}
	b.To, sess.sent = sess.to, b
	return b, nil
}

// everything yields all that gateways of a cluster need, what bounds keys
// before the keys. It stops at the first error: an iterator that said stop must
// not be called again.
func everything(v store.View, cluster string, yield func(Record) bool) error {
	upstream := func(u *gatehouse.Upstream) (Record, error) { return UpstreamRecord(u, cluster) }
	for _, f := range []func() error{
		func() error { return teams(v, yield) },
		func() error { return all(v.Clusters, clusterRecord, yield) },
		func() error { return all(v.Models, modelRecord, yield) },
		func() error { return all(v.Aliases, aliasRecord, yield) },
		func() error { return all(v.Prices, priceRecord, yield) },
		func() error { return all(v.Upstreams, upstream, yield) },
		func() error {
			return v.AllKeys(func(k *gatehouse.Key) error { return send(k, KeyRecord, yield) })
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

func teams(v store.View, yield func(Record) bool) error {
	var after store.Cursor
	for {
		page, err := v.Teams(after, teamPage)
		if err != nil {
			return err
		}
		for _, t := range page {
			if err := send(t, teamRecord, yield); err != nil {
				return err
			}
			after = store.Cursor{Time: t.CreateTime, ID: t.ID.String()}
		}
		if len(page) < teamPage {
			return nil
		}
	}
}
