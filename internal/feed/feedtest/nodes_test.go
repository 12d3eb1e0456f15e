package feedtest_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
	"gatehouse/internal/store"
)

// node is a control node whose way to the database can be cut, and whose clock
// can be wrong.
type node struct {
	*feed.Source
	way *way
}

// way is the node's way to the database.
type way struct {
	store.Store
	off  atomic.Int64 // of the node's clock, nanoseconds
	cut  bool         // neither reads nor writes come through
	hung bool         // reads come through, and no commit is answered: a primary that lost its standby
	done chan struct{}
}

func (n *way) View(ctx context.Context, f func(store.View) error) error {
	if n.cut {
		return errors.New("connection refused")
	}
	return n.Store.View(ctx, f)
}

func (n *way) Work(ctx context.Context, f func(store.Work) error) error {
	switch {
	case n.cut:
		return errors.New("connection refused")
	case n.hung: // a commit takes no context: it has the database's patience
		<-n.done
		return context.DeadlineExceeded
	}
	return n.Store.Work(ctx, f)
}

func newNode(t *testing.T, s store.Store) *node {
	w := &way{Store: s, done: make(chan struct{})}
	n := &node{source(t, w), w}
	t.Cleanup(func() { close(w.done) }) // before the source is closed
	n.Source.Now = func() time.Time { return time.Now().Add(time.Duration(w.off.Load())) }
	return n
}

func member(t *testing.T, s store.Store, id gatehouse.ID) *gatehouse.Gateway {
	t.Helper()
	var out *gatehouse.Gateway
	err := s.View(store.System(t.Context()), func(v store.View) error {
		all, err := v.Gateways()
		for _, g := range all {
			if g.ID == id {
				out = g
			}
		}
		return err
	})
	if err != nil || out == nil {
		t.Fatal(out, err)
	}
	return out
}

// Whichever node grants, and whatever its clock says, the store says at least as
// late an end before the lease is given: whoever computes propagation sees it.
func TestEveryLeaseIsWrittenDownBeforeItIsGranted(t *testing.T) {
	db := open(t)
	nodes := []*node{newNode(t, db), newNode(t, db), newNode(t, db)}
	nodes[1].way.off.Store(int64(-40 * time.Second))
	nodes[2].way.off.Store(int64(20 * time.Second))
	_, r, key, poll := started(t, db)
	latest := time.Time{} // by the true clock
	for i := range 9 {
		n := nodes[(i*i+i/3)%3]
		key.Name += "x"
		write(t, db, key) // so that the answer comes at once
		out, err := n.Pull(t.Context(), poll)
		if err != nil {
			t.Fatal(err)
		}
		b, err := feed.Open(out, verify)
		if err != nil {
			t.Fatal(err)
		}
		granted := time.Now()
		if err := r.Apply(&b, granted); err != nil {
			t.Fatal(err)
		}
		poll.Enforced = r.Applied()
		if end := granted.Add(b.Lease); b.Lease > 0 && end.After(latest) && n.way.off.Load() >= 0 {
			latest = end
		}
		if g := member(t, db, poll.Gateway); g.Lease.Before(latest) {
			t.Fatalf("poll %d: the store says %v, and a lease runs until %v", i, g.Lease, latest)
		}
	}
}

// A node that is cut from the database, and not from its gateway, grants
// nothing: the lease that runs is the last, and strict keys end with it.
func TestANodeCutFromTheDatabaseGrantsNothing(t *testing.T) {
	db := open(t)
	n := newNode(t, db)
	_, r, _, poll := started(t, db)
	take(t, n.Source, r, &poll)
	asked := time.Now()
	if !r.Leased(asked) {
		t.Fatal("there was no lease to begin with")
	}
	n.way.cut = true
	for range 3 {
		if _, err := n.Pull(t.Context(), poll); err == nil {
			t.Fatal("a node without a database answered")
		}
	}
	if r.Leased(asked.Add(feed.LeaseLength)) {
		t.Error("the lease goes on")
	}
	other := newNode(t, db)
	take(t, other.Source, r, &poll)
	if !r.Leased(time.Now()) {
		t.Error("another node does not take over")
	}
}

// A primary that was left behind still reads; what it cannot commit it must not
// promise. Changes that it knows go out all the same, and in time.
func TestANodeThatCannotCommitGrantsNothingNew(t *testing.T) {
	db := open(t)
	n := newNode(t, db)
	_, r, key, poll := started(t, db)
	n.way.hung = true
	key.Disabled = true
	write(t, db, key)
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	out, err := n.Pull(ctx, poll)
	if err != nil {
		t.Fatal(err)
	}
	b, err := feed.Open(out, verify)
	if err != nil || b.Lease != 0 {
		t.Fatalf("granted %v, %v", b.Lease, err)
	}
	if err := r.Apply(&b, begin); err != nil {
		t.Fatal(err)
	}
	if k, ok := r.Lookup(key.Secrets[0].Digest); !ok || !k.Disabled() {
		t.Error("the change did not arrive")
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
}

// A gateway goes from one node to another and back. What the first remembers of
// it is old; what the store says must be what the gateway says.
func TestAGatewayMovesBetweenNodes(t *testing.T) {
	db := open(t)
	a, b := newNode(t, db), newNode(t, db)
	_, r, key, poll := started(t, db)
	for i, n := range []*node{a, b, a, b, a} {
		key.Name += "x"
		write(t, db, key)
		enforced := r.Applied()
		take(t, n.Source, r, &poll) // acknowledges what was enforced before it
		acknowledged(t, db, poll.Gateway, enforced, i)
	}
	// It lost its disk and comes back empty: nobody may count on what it had.
	fresh := poll
	fresh.Ready, fresh.Enforced = false, gatehouse.Revision{}
	if _, err := b.Pull(t.Context(), fresh); err != nil {
		t.Fatal(err)
	}
	acknowledged(t, db, poll.Gateway, gatehouse.Revision{}, "empty")
}

// acknowledged waits until the store says what the gateway enforces.
func acknowledged(t *testing.T, s store.Store, id gatehouse.ID, want gatehouse.Revision, when any) {
	t.Helper()
	var got gatehouse.Revision
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if got = member(t, s, id).Enforced; got == want {
			return
		}
	}
	t.Fatalf("%v: the store says %s, the gateway enforces %s", when, got, want)
}

// Whoever stole a gateway could else delete any key: by saying that it comes out
// of an earlier epoch, and what was deleted there.
func TestAMemberDeletesNothingBySayingSo(t *testing.T) {
	db := open(t)
	src, r, key, poll := started(t, db)
	var believed []feed.Tombstone
	src.Rebury = func(_ context.Context, _ gatehouse.ID, list []feed.Tombstone) error {
		believed = append(believed, list...)
		return nil
	}
	write(t, db, key)
	take(t, src, r, &poll)
	lie := poll
	lie.SealTo[0], lie.Enforced = 9, gatehouse.Revision{Epoch: r.Applied().Epoch - 1, N: 5}
	for range 2 { // the first poll says so, the second names keys
		if _, err := src.Pull(t.Context(), lie); (err == nil) != (lie.Offer != nil) {
			t.Fatal(err)
		}
		lie.Offer = &feed.Offer{Tombstones: []feed.Tombstone{{ID: key.ID, Revision: lie.Enforced}}}
	}
	if _, err := src.Pull(t.Context(), lie); err != nil || len(believed) > 0 {
		t.Fatalf("a member of this epoch deleted %v, %v", believed, err)
	}
	// One that the store itself last heard of in the epoch before is believed.
	err := db.Work(store.System(t.Context()), func(w store.Work) error {
		return w.SeenGateway(&gatehouse.Gateway{ID: lie.Gateway, Cluster: "local", Enforced: lie.Enforced, Joined: time.Now(), LastSeen: time.Now()})
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := src.Pull(t.Context(), lie); err != nil || len(believed) != 1 {
		t.Fatalf("a member that was away during the restore was not believed: %v, %v", believed, err)
	}
}
