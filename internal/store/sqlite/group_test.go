package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// together holds the writer while n updates queue up, so that they make one
// group, and returns their results.
func (v *vault) together(n int) (revs []gatehouse.Revision, errs []error) {
	revs, errs = make([]gatehouse.Revision, n), make([]error, n)
	held, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		v.db.Work(context.Background(), func(store.Work) error { close(held); <-release; return nil })
	})
	<-held

	for i := range n {
		wg.Go(func() {
			k := benchKey(v.team, int64(i))
			revs[i], errs[i] = v.db.Update(context.Background(), gatehouse.Cause{}, func(tx store.Tx) error { return tx.PutKey(k, created(v.team, k.Name)) })
		})
	}
	time.AfterFunc(30*time.Millisecond, func() { close(release) })
	wg.Wait()
	return revs, errs
}

// TestGroupFailureReplaysSingly makes the commit of more than one leaf
// impossible: each member must then commit alone.
func TestGroupFailureReplaysSingly(t *testing.T) {
	v := newVault(t)
	v.exec(`CREATE TRIGGER lonely BEFORE UPDATE OF tree_size ON installation WHEN NEW.tree_size > OLD.tree_size + 1
BEGIN SELECT RAISE(ROLLBACK, 'not so many'); END`)
	revs, errs := v.together(8)
	seen := map[gatehouse.Revision]bool{}
	for i := range revs {
		v.must(errs[i])
		seen[revs[i]] = true
	}
	if len(seen) != 8 || !seen[gatehouse.Revision{Epoch: 1, N: 8}] {
		t.Errorf("revisions %v", revs)
	}
	v.must(v.reopen())
}

// TestFailedCommitLeavesNothing has the engine refuse the third leaf: two
// members stand, the others learn that nothing happened, and nothing did.
func TestFailedCommitLeavesNothing(t *testing.T) {
	v := newVault(t)
	v.exec(`CREATE TRIGGER full BEFORE UPDATE OF tree_size ON installation WHEN NEW.tree_size > 2
BEGIN SELECT RAISE(ROLLBACK, 'disk full'); END`)
	_, errs := v.together(6)
	failures := 0
	for _, err := range errs {
		if errors.Is(err, gatehouse.Unavailable) {
			failures++
		} else {
			v.must(err)
		}
	}
	if failures != 4 {
		t.Errorf("%d failed, want 4: %v", failures, errs)
	}
	v.exec("DROP TRIGGER full")
	v.must(v.db.View(context.Background(), func(w store.View) error {
		keys, err := w.Keys(store.KeyList{Team: v.team, Limit: 10})
		if len(keys) != 2 {
			t.Errorf("%d keys", len(keys))
		}
		rev, _ := w.Revision()
		if rev.N != 2 {
			t.Errorf("revision %s", rev)
		}
		return err
	}))
	if len(v.said) > 0 {
		t.Errorf("healthy rows were reported: %v", v.said)
	}
	v.put(benchKey(v.team, 9))
	v.must(v.reopen())
}

// sums lists what the rollups say at their finest, as text.
func (v *vault) sums(from, to time.Time) (out []string) {
	v.Helper()
	scan := store.UsageScan{Team: v.team, Start: from, End: to, Width: 15 * time.Minute,
		GroupBy: []store.Dimension{store.ByKey, store.ByModel, store.ByEndpoint, store.ByCluster}}
	v.must(v.db.View(context.Background(), func(w store.View) error {
		return w.UsageCells(scan, func(c store.UsageCell) error {
			out = append(out, fmt.Sprintf("%+v", c))
			return nil
		})
	}))
	slices.Sort(out)
	return out
}

// usageBatch is fifty requests, the n-th fifty of a series that spans days.
func (v *vault) usageBatch(at time.Time, n int) (batch []gatehouse.UsageRecord) {
	for i := range 50 {
		u := gatehouse.UsageRecord{
			ID: gatehouse.NewID(), Start: at.Add(time.Duration(n*50+i) * 7 * time.Minute), TeamID: v.team,
			KeyID: gatehouse.ID{1, byte(i % 3)}, Model: fmt.Sprint("m", i%2), Endpoint: "chat", Cluster: fmt.Sprint("c", i%5),
		}
		u.Usage[gatehouse.Unit(i)%gatehouse.NumUnits] = int64(i)
		u.Costs[gatehouse.Unit(i)%gatehouse.NumUnits] = gatehouse.Ticks(i * 3)
		batch = append(batch, u)
	}
	return batch
}

func (v *vault) ingest(batch []gatehouse.UsageRecord) {
	v.Helper()
	v.must(v.db.Ingest(context.Background(), func(i store.Ingest) error { _, err := i.InsertUsage(batch); return err }))
}

// recount repairs the rollups of some days and counts what differed.
func (v *vault) recount(from, to time.Time) (drifts int) {
	v.Helper()
	for d := from; d.Before(to); d = d.AddDate(0, 0, 1) {
		check, err := v.db.CheckUsage(context.Background(), d, true)
		v.must(err)
		for _, drift := range check.Drifts {
			if drifts++; !drift.Repaired {
				v.Errorf("not repaired: %+v", drift)
			}
		}
	}
	return drifts
}

// TestRollupsFollowFromRows recomputes them from rows and expects what ingest
// had made, also after somebody spoilt them.
func TestRollupsFollowFromRows(t *testing.T) {
	v := newVault(t)
	at := time.Date(2026, 3, 1, 23, 50, 0, 0, time.UTC)
	for n := range 3 {
		v.ingest(v.usageBatch(at, n))
	}
	from, to := at.Truncate(24*time.Hour), at.Add(48*time.Hour).Truncate(24*time.Hour)
	want := v.sums(from, to)
	if len(want) < 140 {
		t.Fatalf("%d sums of 150 requests", len(want))
	}
	for _, spoil := range []string{"SELECT 1", "DELETE FROM usage_runs WHERE day % 2 = 0", "DELETE FROM usage_runs", "UPDATE usage_runs SET quarters = cells"} {
		v.exec(spoil)
		if drifts := v.recount(from, to); (drifts > 0) != (spoil != "SELECT 1") {
			t.Errorf("after %s: %d drifts", spoil, drifts)
		}
		if got := v.sums(from, to); !slices.Equal(got, want) {
			t.Errorf("after %s the rollups differ from the rows", spoil)
		}
	}
}

// TestMergingRunsChangesNoAnswer ingests until runs were merged over and over,
// late rows and repeats included, and recomputes from rows.
func TestMergingRunsChangesNoAnswer(t *testing.T) {
	v := newVault(t)
	at := time.Date(2026, 3, 1, 23, 50, 0, 0, time.UTC)
	for n := range 100 {
		batch := v.usageBatch(at, n%9)
		v.ingest(batch)
		if n%10 == 0 {
			v.ingest(batch) // again
		}
	}
	var runs, requests int
	v.must(v.raw.QueryRow("SELECT COUNT(*), SUM(requests) FROM usage_runs").Scan(&runs, &requests))
	if requests != 5_000 || runs > 60 {
		t.Errorf("%d runs of %d requests, want few of 5000", runs, requests)
	}
	from, to := at.Truncate(24*time.Hour), at.Add(72*time.Hour).Truncate(24*time.Hour)
	got := v.sums(from, to)
	if drifts := v.recount(from, to); drifts != 0 {
		t.Errorf("%d drifts of merged runs", drifts)
	}
	v.exec("DELETE FROM usage_runs")
	v.recount(from, to)
	if want := v.sums(from, to); !slices.Equal(got, want) {
		t.Error("merged runs differ from the rows")
	}
}

// TestADamagedRunIsAnErrorNotAnAnswer: too little usage would be a lie.
func TestADamagedRunIsAnErrorNotAnAnswer(t *testing.T) {
	v := newVault(t)
	at := time.Date(2026, 3, 1, 1, 0, 0, 0, time.UTC)
	v.ingest(v.usageBatch(at, 0))
	v.exec("UPDATE usage_runs SET cells = substr(cells, 1, length(cells) - 3)")
	scan := store.UsageScan{Team: v.team, Start: at.Truncate(24 * time.Hour), End: at.Truncate(24*time.Hour).AddDate(0, 0, 1), GroupBy: []store.Dimension{store.ByKey}}
	err := v.db.View(context.Background(), func(w store.View) error { return w.UsageCells(scan, func(store.UsageCell) error { return nil }) })
	if gatehouse.CodeOf(err) != gatehouse.Internal {
		t.Errorf("got %v", err)
	}
}
