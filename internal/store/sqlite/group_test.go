package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

// rollupTables are all rollups.
var rollupTables = []string{"usage_quarter", "usage_quarter_models", "usage_day", "usage_day_models", "usage_day_keys"}

// dump lists a rollup's rows as text.
func (v *vault) dump(table string) (out []string) {
	v.Helper()
	rows, err := v.raw.Query("SELECT * FROM " + table + " ORDER BY 1, 2, 3, 4, 5, 6")
	v.must(err)
	defer rows.Close()
	columns, err := rows.Columns()
	v.must(err)
	for rows.Next() {
		values, into := make([]int64, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		v.must(rows.Scan(into...))
		out = append(out, fmt.Sprint(values))
	}
	v.must(rows.Err())
	return out
}

// TestRollupsFollowFromRows recomputes them from rows and expects what ingest
// had made, also after somebody spoilt them.
func TestRollupsFollowFromRows(t *testing.T) {
	v := newVault(t)
	at := time.Date(2026, 3, 1, 23, 50, 0, 0, time.UTC)
	for n := range 3 {
		var batch []gatehouse.UsageRecord
		for i := range 50 {
			u := gatehouse.UsageRecord{
				ID: gatehouse.NewID(), Start: at.Add(time.Duration(n*50+i) * 7 * time.Minute), TeamID: v.team,
				KeyID: gatehouse.ID{1, byte(i % 3)}, Model: fmt.Sprint("m", i%2), Endpoint: "chat", Cluster: fmt.Sprint("c", i%5),
			}
			u.Usage[gatehouse.Unit(i)%gatehouse.NumUnits] = int64(i)
			u.Costs[gatehouse.Unit(i)%gatehouse.NumUnits] = gatehouse.Ticks(i * 3)
			batch = append(batch, u)
		}
		v.must(v.db.Ingest(context.Background(), func(i store.Ingest) error { _, err := i.InsertUsage(batch); return err }))
	}
	want := map[string][]string{}
	for _, table := range rollupTables {
		want[table] = v.dump(table)
		var requests int
		v.must(v.raw.QueryRow("SELECT SUM(requests) FROM " + table).Scan(&requests))
		if requests != 150 {
			t.Errorf("%s sums %d requests of 150", table, requests)
		}
		v.exec("UPDATE " + table + " SET tokens = tokens + 1, slot = slot WHERE requests > 0")
	}
	v.exec("DELETE FROM usage_day")
	v.must(v.db.RecomputeRollups(context.Background(), at, at.Add(48*time.Hour)))
	for _, table := range rollupTables {
		if got := v.dump(table); strings.Join(got, "\n") != strings.Join(want[table], "\n") {
			t.Errorf("%s differs from its rows", table)
		}
	}
}
