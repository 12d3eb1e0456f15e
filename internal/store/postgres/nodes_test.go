package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgres"
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

// TestNodesShareOneCredit to the tick: what one of them posts the other sees,
// and no draw is granted from what another took.
func TestNodesShareOneCredit(t *testing.T) {
	_, dsn := database(t)
	nodes := []store.Store{open(t, dsn), open(t, dsn), open(t, dsn)}
	team := gatehouse.NewID()
	spend(t, nodes[0], team) // has 100 of credit, and 10 of it used
	const each, cost = 20, 5
	var granted [3]gatehouse.Ticks
	var wg sync.WaitGroup
	for n, node := range nodes {
		wg.Go(func() {
			for i := range each {
				ingest(t, node, record(team, march.Add(time.Duration(i)*time.Minute)))
				err := node.Work(system, func(w store.Work) error {
					got, err := w.Draw(store.Draw{Fund: gatehouse.Fund{Team: team}, Gateway: gatehouse.ID{byte(n + 1)}, Incarnation: 1, Seq: int64(i), Want: granted[n] + 1})
					granted[n] = got.Drawn
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	err := nodes[0].View(system, func(v store.View) error {
		got, err := v.Balances(team)
		used := gatehouse.Ticks(10 + 3*each*cost)
		if got[gatehouse.AccountCredit] != 0 || got[gatehouse.AccountReceivable] != used-100 || got[gatehouse.AccountRevenue] != -used {
			t.Errorf("%v", got)
		}
		charges, cerr := v.Charges(team, gatehouse.CycleOf(march))
		sum := gatehouse.Ticks(0)
		for _, c := range charges {
			sum += c.Amount
		}
		if held, herr := v.HeldBy(gatehouse.Fund{Team: team}); sum != used || held != granted[0]+granted[1]+granted[2] || held > 90 {
			t.Errorf("charged %s, held %s of %v: %v, %v", sum, held, granted, cerr, herr)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestACycleClosesBetweenBatches: whoever closes it has every charge of it, and
// what is ingested meanwhile counts in the running cycle.
func TestACycleClosesBetweenBatches(t *testing.T) {
	admin, dsn := database(t)
	a, b := open(t, dsn), open(t, dsn)
	team, cycle := gatehouse.NewID(), gatehouse.CycleOf(march)
	sum := func(charges []gatehouse.Charge) (n int64) {
		for _, c := range charges {
			n += c.Units
		}
		return n
	}
	var wg sync.WaitGroup
	begun := make(chan struct{})
	wg.Go(func() {
		for i := range 60 {
			ingest(t, b, record(team, march.Add(time.Duration(i)*time.Minute)))
			if i == 10 {
				close(begun)
			}
		}
	})
	<-begun
	var invoiced int64
	_, err := a.Update(system, gatehouse.Cause{}, func(tx store.Tx) error {
		charges, err := tx.Charges(team, cycle)
		if err != nil {
			return err
		}
		invoiced = sum(charges)
		await(t, func() bool { return waiting(t, admin, "0s") > 0 })
		return tx.PutInvoice(&gatehouse.Invoice{ID: gatehouse.NewID(), TeamID: team, Cycle: cycle, CreateTime: march}, act(team, "invoice"))
	})
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	err = a.View(system, func(v store.View) error {
		then, err := v.Charges(team, cycle)
		var late int64
		postings, perr := v.Postings(team, store.Cursor{}, 1)
		if perr == nil && len(postings) == 1 {
			var now []gatehouse.Charge
			now, perr = v.Charges(team, postings[0].Cycle)
			late = sum(now)
		}
		if sum(then) != invoiced || invoiced+late != 60*7 || late == 0 {
			t.Errorf("invoiced %d, charged %d, late %d: %v, %v", invoiced, sum(then), late, err, perr)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// waiting is how many transactions wait for a team's books at least so long.
func waiting(t *testing.T, admin, long string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), admin)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	const q = `SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND NOT l.granted AND d.datname = current_database() AND clock_timestamp() - waitstart >= $1::text::interval`
	if err := conn.QueryRow(context.Background(), q, long).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestADeadlockEndsByItself: acts that lock teams in another order than ingest
// run again, and are done once.
func TestADeadlockEndsByItself(t *testing.T) {
	admin, dsn := database(t)
	a, b := open(t, dsn), open(t, dsn)
	low, high := gatehouse.ID{0: 1, 15: 1}, gatehouse.ID{0: 1, 15: 2}
	grant := func(tx store.Tx, team gatehouse.ID) error {
		return tx.Post(&gatehouse.Posting{TeamID: team, Kind: gatehouse.PostGrant, Cycle: gatehouse.CycleOf(march),
			Entries: []gatehouse.Entry{{Account: gatehouse.AccountGranted, Amount: 1}, {Account: gatehouse.AccountCredit, Amount: -1}}})
	}
	var wg sync.WaitGroup
	runs := 0
	_, err := a.Update(system, gatehouse.Cause{}, func(tx store.Tx) error {
		runs++
		if err := errors.Join(tx.Record(act(high, "grant")), grant(tx, high)); err != nil {
			return err
		}
		if runs == 1 {
			wg.Go(func() { ingest(t, b, record(low, march), record(high, march)) })
			// The server looks for a deadlock a second after somebody began to wait:
			// so late, the one that it finds is ours to end.
			await(t, func() bool { return waiting(t, admin, "1.2s") > 0 })
		}
		return grant(tx, low)
	})
	wg.Wait()
	if err != nil || runs != 2 {
		t.Errorf("%d runs: %v", runs, err)
	}
	err = a.View(system, func(v store.View) error {
		for _, team := range []gatehouse.ID{low, high} {
			got, err := v.Balances(team)
			if err != nil || got[gatehouse.AccountGranted] != 1 || got[gatehouse.AccountRevenue] != -5 {
				t.Errorf("%v, %v", got, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestMigrateBesideAFleetThatWorks changes rights while a node makes the table of
// a day, and while another administrator does the same.
func TestMigrateBesideAFleetThatWorks(t *testing.T) {
	admin, request := database(t)
	node := other(t, request, "SELECT gatehouse_usage_days(30000)")
	migrations := make(chan error)
	for range 2 {
		go func() { migrations <- postgres.Migrate(context.Background(), admin, requestRole) }()
	}
	waits(t, admin)
	if err := node.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-migrations; err != nil {
			t.Error(err)
		}
	}
}
