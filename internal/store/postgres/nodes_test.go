package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// TestEveryNodeSeesEveryAct has nodes write and read the same keys at once: no
// revision is given twice, no row is refused by a node that did not write it,
// and each node's log is whole.
func TestEveryNodeSeesEveryAct(t *testing.T) {
	_, dsn := database(t)
	nodes := []store.Store{open(t, dsn), open(t, dsn), open(t, dsn)}
	team := gatehouse.NewID()
	shared := put(t, nodes[0], newKey(team, "shared"))
	var mu sync.Mutex
	seen := map[gatehouse.Revision]bool{shared.Revision: true}
	var wg sync.WaitGroup
	for n, node := range nodes {
		for w := range 4 {
			wg.Go(func() {
				for i := range 10 {
					rev, err := node.Update(system, gatehouse.Cause{}, func(tx store.Tx) error {
						k, err := tx.Key(shared.ID)
						if err != nil {
							return err
						}
						k.Name = fmt.Sprintf("%d-%d-%d", n, w, i)
						return tx.PutKey(k, act(team, k.Name))
					})
					if err == nil {
						err = nodes[(n+1)%3].View(system, func(v store.View) error {
							k, err := v.Key(shared.ID)
							if err == nil && k.Revision.Less(rev) {
								t.Errorf("a node shows %s after %s was committed", k.Revision, rev)
							}
							return err
						})
					}
					mu.Lock()
					if err != nil || seen[rev] {
						t.Errorf("revision %s, given before %t: %v", rev, seen[rev], err)
					}
					seen[rev] = true
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	again := open(t, dsn) // which replays and proves the log
	for _, node := range append(nodes, again) {
		err := node.View(system, func(v store.View) error {
			if tree, err := v.Tree(); err != nil || tree.Size != 121 {
				t.Errorf("%d leaves: %v", tree.Size, err)
			}
			_, err := v.Key(shared.ID)
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestANodeHearsOfOthersChanges: without it the feed would be as slow as its
// polls.
func TestANodeHearsOfOthersChanges(t *testing.T) {
	_, dsn := database(t)
	a, b := open(t, dsn), open(t, dsn)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		changed := b.Changed()
		put(t, a, newKey(gatehouse.NewID(), "k")) // more than once: the listener may not listen yet
		select {
		case <-changed:
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
	t.Error("never heard")
}

// TestALeaseIsOneNodes until it runs out.
func TestALeaseIsOneNodes(t *testing.T) {
	_, dsn := database(t)
	nodes := []store.Store{open(t, dsn), open(t, dsn)}
	take := func(n int, now time.Time) (held bool) {
		err := nodes[n].Work(system, func(w store.Work) (err error) {
			held, err = w.Lease("job", fmt.Sprint("node", n), now, now.Add(time.Minute))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return held
	}
	for _, c := range []struct {
		node int
		at   time.Duration
		want bool
	}{{0, 0, true}, {1, time.Second, false}, {0, 30 * time.Second, true}, {1, 80 * time.Second, false}, {1, 90 * time.Second, true}, {0, 91 * time.Second, false}} {
		if got := take(c.node, march.Add(c.at)); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}

// TestAFreezeHoldsEveryNode and nothing but Updates.
func TestAFreezeHoldsEveryNode(t *testing.T) {
	_, dsn := database(t)
	a, b := open(t, dsn), open(t, dsn)
	team := gatehouse.NewID()
	thaw, err := a.Freeze(system, "me", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Freeze(system, "you", time.Now().Add(time.Hour)); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
		t.Errorf("frozen twice: %v", err)
	}
	for _, node := range []store.Store{a, b} {
		_, err := node.Update(system, gatehouse.Cause{}, func(tx store.Tx) error { return tx.PutKey(newKey(team, "k"), act(team, "k")) })
		var said *gatehouse.Error
		if !errors.As(err, &said) || said.Code != gatehouse.Unavailable || said.RetryAfter <= 0 {
			t.Errorf("got %v", err)
		}
		ingest(t, node, record(team, march))
	}
	if err := thaw(context.Background()); err != nil {
		t.Fatal(err)
	}
	put(t, b, newKey(team, "k"))
}

// TestNodesIngestTogether: the same batches by two nodes at once count once.
func TestNodesIngestTogether(t *testing.T) {
	_, dsn := database(t)
	nodes := []store.Store{open(t, dsn), open(t, dsn)}
	team := gatehouse.NewID()
	var batches [][]gatehouse.UsageRecord
	for n := range 20 {
		var batch []gatehouse.UsageRecord
		for i := range 50 {
			u := record(team, march.Add(time.Duration(n*50+i)*time.Minute))
			u.Model = fmt.Sprint("m", n) // a new name in each
			batch = append(batch, u)
		}
		batches = append(batches, batch)
	}
	var wg sync.WaitGroup
	for _, node := range nodes {
		wg.Go(func() {
			for _, batch := range batches {
				if err := node.Ingest(system, func(i store.Ingest) error { _, err := i.InsertUsage(batch); return err }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	total := int64(0)
	scan := store.UsageScan{Team: team, Start: march.AddDate(0, 0, -1), End: march.AddDate(0, 0, 5), Width: 24 * time.Hour}
	err := nodes[0].View(system, func(v store.View) error {
		return v.UsageCells(scan, func(c store.UsageCell) error { total += c.Requests; return nil })
	})
	if err != nil || total != 1000 {
		t.Errorf("%d requests: %v", total, err)
	}
}
