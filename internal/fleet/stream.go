package fleet

import (
	"context"
	"sync"
	"time"

	"connectrpc.com/connect"

	"gatehouse"
	wire "gatehouse/gen/fleet"
	"gatehouse/internal/feed"
)

// answerTime is within what a poll is answered. The other side waits for news
// for two seconds; the rest is for its database and the way. It lies below
// feed.LeaseLength, so that a node that hangs costs less than a lease.
const answerTime = 7 * time.Second

// stream is one Follow at a time. A failed poll gives it up; the next opens
// another, on the next node when this one did not answer.
type stream struct {
	nodes *nodes
	turn  chan struct{} // held by the caller of pull

	mu  sync.Mutex // guards cur
	cur *follow
}

// follow is one open call.
type follow struct {
	node *node
	end  context.CancelFunc
	conn *connect.BidiStreamForClientSimple[wire.Poll, wire.SignedBatch]
}

func newStream(n *nodes) *stream { return &stream{nodes: n, turn: make(chan struct{}, 1)} }

// pull sends one poll and waits for its answer.
func (s *stream) pull(ctx context.Context, p feed.Poll) (feed.Signed, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return feed.Signed{}, ctx.Err()
	}
	f, err := s.open()
	if err != nil {
		return feed.Signed{}, err
	}
	late := time.AfterFunc(answerTime, f.end)
	stop := context.AfterFunc(ctx, f.end)
	out, err := f.ask(p)
	late.Stop()
	if stop() && err == nil {
		return out, nil
	}
	s.drop(f)
	switch {
	case ctx.Err() != nil:
		return feed.Signed{}, ctx.Err()
	case err == nil: // ctx ended with the answer
		return out, nil
	}
	if err = fault(err); away(err) {
		s.nodes.failed(f.node)
	}
	return feed.Signed{}, err
}

// open returns the stream, a new one when there is none. Its context is its own:
// it outlives the poll that opened it.
func (s *stream) open() (*follow, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur != nil {
		return s.cur, nil
	}
	ctx, end := context.WithCancel(context.Background())
	n := s.nodes.now()
	conn, err := n.rpc.Follow(ctx)
	if err != nil {
		end()
		s.nodes.failed(n)
		return nil, fault(err)
	}
	s.cur = &follow{node: n, end: end, conn: conn}
	return s.cur, nil
}

// drop gives f up, or whatever is open when f is nil.
func (s *stream) drop(f *follow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur == nil || f != nil && s.cur != f {
		return
	}
	s.cur.end()
	s.cur = nil
}

func (f *follow) ask(p feed.Poll) (feed.Signed, error) {
	if err := f.conn.Send(poll(p)); err != nil {
		// Why the other side hung up is what its answer says, not that it did.
		if _, why := f.conn.Receive(); why != nil {
			return feed.Signed{}, why
		}
		return feed.Signed{}, err
	}
	b, err := f.conn.Receive()
	if err != nil {
		return feed.Signed{}, err
	}
	if len(b.GetPayload()) > feed.MaxPayload {
		return feed.Signed{}, gatehouse.Errorf(gatehouse.Unavailable, "control sent more than a batch can be")
	}
	return feed.Signed{Payload: b.GetPayload(), Signature: b.GetSignature()}, nil
}

func poll(p feed.Poll) *wire.Poll {
	return &wire.Poll{
		GatewayId: p.Gateway[:], Cluster: p.Cluster, Version: p.Version, Epoch: p.Enforced.Epoch, N: p.Enforced.N,
		Ready: p.Ready, Problem: p.Problem, Nonce: p.Nonce, Session: p.Session, Part: p.Part,
		Wire: p.Wire, Archive: p.Archive, Offer: offer(p.Offer),
	}
}

func offer(o *feed.Offer) *wire.Offer {
	if o == nil {
		return nil
	}
	out := &wire.Offer{}
	for _, t := range o.Tombstones {
		out.Tombstones = append(out.Tombstones, &wire.Tombstone{KeyId: t.ID[:], Epoch: t.Revision.Epoch, N: t.Revision.N})
	}
	return out
}
