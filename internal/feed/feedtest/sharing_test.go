package feedtest_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
	"gatehouse/internal/store"
)

// watched counts what costs a database most, and can hold a reading back.
type watched struct {
	store.Store
	changes, works atomic.Int64
	hold           chan chan struct{} // the next view takes its answer and waits for this
}

func (w *watched) View(ctx context.Context, f func(store.View) error) error {
	err := w.Store.View(ctx, func(v store.View) error { return f(counted{v, w}) })
	select {
	case release := <-w.hold:
		<-release
	default:
	}
	return err
}

func (w *watched) Work(ctx context.Context, f func(store.Work) error) error {
	w.works.Add(1)
	return w.Store.Work(ctx, f)
}

type counted struct {
	store.View
	*watched
}

func (c counted) Changes(after gatehouse.Revision, most int) ([]gatehouse.Change, gatehouse.Revision, bool, error) {
	c.changes.Add(1)
	return c.View.Changes(after, most)
}

// steady is a source that knows what it asks for once, and a poll that takes
// changes.
func steady(t *testing.T, s store.Store) (*feed.Source, *gatehouse.Key, feed.Poll) {
	src, r, key, poll := started(t, s)
	write(t, s, key)
	take(t, src, r, &poll)
	return src, key, poll
}

// A change that wakes a fleet is read once for all, and what they acknowledge is
// written together: else the database does as many times the work as there are
// gateways, just when a revocation waits.
func TestAFleetThatWakesReadsOnce(t *testing.T) {
	const fleet = 40
	w := &watched{Store: open(t)}
	src, _, key, poll := started(t, w)
	var woken sync.WaitGroup
	pull := func(p feed.Poll) {
		woken.Go(func() {
			out, err := src.Pull(t.Context(), p)
			if err != nil {
				t.Error(err)
				return
			}
			if b, err := feed.Open(out, verify); err != nil || len(b.Records) != 1 || b.Lease != feed.LeaseLength {
				t.Errorf("%+v %v", b, err)
			}
		})
	}
	ids := make([]gatehouse.ID, fleet)
	for i := range ids {
		ids[i] = gatehouse.NewID()
		p := poll
		p.Gateway = ids[i]
		pull(p)
	}
	for _, id := range ids {
		for !knows(t, w.Store, id) {
			time.Sleep(time.Millisecond)
		}
	}
	if n := w.works.Load(); n > fleet/2 {
		t.Errorf("%d gateways that came at once were written down in %d commits", fleet, n)
	}
	w.changes.Store(0)
	write(t, w, key)
	woken.Wait()
	if n := w.changes.Load(); n > fleet/8 {
		t.Errorf("%d gateways made the database look for changes %d times", fleet, n)
	}
}

func knows(t *testing.T, s store.Store, id gatehouse.ID) (there bool) {
	t.Helper()
	err := s.View(store.System(t.Context()), func(v store.View) error {
		all, err := v.Gateways()
		for _, g := range all {
			there = there || g.ID == id
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return there
}

// A lease is honest only with what was read after the poll arrived: a reading
// that was under way by then may be older than a revocation.
func TestAPollSharesNoReadingThatBeganBeforeIt(t *testing.T) {
	w := &watched{Store: open(t), hold: make(chan chan struct{}, 1)}
	src, key, poll := steady(t, w)
	release := make(chan struct{})
	w.hold <- release
	var first sync.WaitGroup
	first.Go(func() { src.Pull(t.Context(), poll) })
	for len(w.hold) > 0 { // until the first reading is held back
		time.Sleep(time.Millisecond)
	}
	write(t, w, key)
	second := poll
	second.Gateway = gatehouse.NewID()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	out, err := src.Pull(ctx, second)
	close(release)
	first.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := feed.Open(out, verify); err != nil || len(b.Records) != 1 {
		t.Errorf("the change is not in %+v, %v", b, err)
	}
}

// The connection of a reading may have died. A fleet that shared it would learn
// of a revocation when the database's patience ends.
func TestAReadingThatHangsHoldsNobodyUp(t *testing.T) {
	w := &watched{Store: open(t), hold: make(chan chan struct{}, 1)}
	src, key, poll := steady(t, w)
	release := make(chan struct{})
	w.hold <- release
	var fleet sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	for range 8 {
		p := poll
		p.Gateway = gatehouse.NewID()
		fleet.Go(func() {
			if _, err := src.Pull(ctx, p); err != nil {
				t.Error(err)
			}
		})
	}
	for len(w.hold) > 0 {
		time.Sleep(time.Millisecond)
	}
	write(t, w, key)
	fleet.Wait()
	close(release)
}

// broken fails one view.
type broken struct {
	store.Store
	fails atomic.Int64
}

func (b *broken) View(ctx context.Context, f func(store.View) error) error {
	if b.fails.Add(-1) >= 0 {
		panic("a row that nobody thought of")
	}
	return b.Store.View(ctx, f)
}

// A reading that fails, however it fails, fails for one poll at most.
func TestAReadingThatFailsIsTriedAgain(t *testing.T) {
	b := &broken{Store: open(t)}
	src, key, poll := steady(t, b)
	write(t, b, key)
	b.fails.Store(1)
	out, err := src.Pull(t.Context(), poll)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := feed.Open(out, verify); err != nil || len(got.Records) != 1 {
		t.Errorf("%+v %v", got, err)
	}
}
