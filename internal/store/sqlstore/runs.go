package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"math/bits"
	"slices"
	"strings"
	"sync"

	"gatehouse"
)

const (
	// Numbers only tell the runs of a day apart. They rise as long as the day has
	// any: a number that came back would let a merge that was planned before take
	// away what it never read.
	insertRun query = `INSERT INTO usage_runs (team, day, seq, requests, models, cells, units, quarters)
SELECT ?, ?, COALESCE(MAX(seq), 0) + 1, ?, ?, ?, ?, ? FROM usage_runs WHERE team = ? AND day = ?`
	listRuns query = `SELECT seq, requests FROM usage_runs WHERE team = ? AND day = ? ORDER BY seq`
)

// insertRun appends a run.
func (s *session) insertRun(k runKey, r run) error {
	_, err := s.exec(insertRun, k.team, k.day, r.requests, r.models, r.cells, r.units, r.quarters, k.team, k.day)
	return failed(err)
}

// runSums collects what a batch adds to each day.
type runSums map[runKey][]*entry

func (s runSums) add(u *gatehouse.UsageRecord, p place) {
	at := u.Start.Unix()
	k := runKey{p.team, dayOf(u.Start)}
	s[k] = append(s[k], &entry{cell{p.key, p.model, p.endpoint, p.cluster, (at - k.day*day) / quarter}, sumOf(&u.Usage, &u.Costs)})
}

// write appends a run for each day, in a fixed order: writers of other engines
// lock in it.
func (s runSums) write(w *session) error {
	keys := make([]runKey, 0, len(s))
	for k := range s {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b runKey) int { return slices.Compare([]int64{a.team, a.day}, []int64{b.team, b.day}) })
	for _, k := range keys {
		if err := w.insertRun(k, newRun(s[k])); err != nil {
			return err
		}
	}
	return nil
}

// fanIn is how many runs of a size a day gathers before they become one: a row
// is packed again about once per factor of eight that its day grows by.
const fanIn = 8

// tidiesPerIngest bounds the merging after one batch, so that a morning's first
// batch of a thousand teams does not fold a thousand yesterdays at once.
const tidiesPerIngest = 4

// tidier remembers which days want merging. It may forget: a day that is never
// merged is read a little slower.
type tidier struct {
	// busy is held from reading runs to replacing them: nobody else may have
	// merged or recomputed them meanwhile.
	busy sync.Mutex

	mu     sync.Mutex
	added  map[runKey]int  // runs since the last look
	latest map[int64]int64 // each team's last day
	due    []chore
}

// chore is a day to look after; fold merges all of it.
type chore struct {
	runKey
	fold bool
}

// tidyMax bounds what is remembered.
const tidyMax = 20_000

// note is told of committed runs. A team's first usage of a day ends the day
// before, whose runs are then folded into one.
func (t *tidier) note(keys []runKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.added == nil || len(t.added) > tidyMax {
		t.added, t.latest = map[runKey]int{}, map[int64]int64{}
	}
	for _, k := range keys {
		if last, ok := t.latest[k.team]; !ok || k.day > last {
			t.latest[k.team] = k.day
			t.due = append(t.due, chore{runKey{k.team, k.day - 1}, true})
			if ok && last < k.day-1 {
				t.due = append(t.due, chore{runKey{k.team, last}, true})
			}
		}
		if t.added[k]++; t.added[k] >= fanIn {
			delete(t.added, k)
			t.due = append(t.due, chore{k, false})
		}
	}
	if len(t.due) > tidyMax {
		t.due = t.due[len(t.due)-tidyMax:]
	}
}

// later puts a chore back.
func (t *tidier) later(c chore) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.due = append(t.due, c)
}

// take takes the next chore.
func (t *tidier) take() (c chore, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.due) == 0 {
		return c, false
	}
	c, t.due = t.due[0], t.due[1:]
	return c, true
}

// tidy does a few chores, in the goroutine of whoever ingested: ingest slows
// down rather than leave more behind than it clears up, and the writer goes on
// with Updates meanwhile. Failing is no failure of the ingest.
func (s *Store) tidy(ctx context.Context) {
	if !s.tidier.busy.TryLock() {
		return
	}
	defer s.tidier.busy.Unlock()
	for range tidiesPerIngest {
		c, ok := s.tidier.take()
		if !ok {
			return
		}
		// Another process that merged the same day did the chore.
		if err := s.tidyDay(ctx, c); err != nil && ctx.Err() == nil && !errors.Is(err, errRunsMoved) {
			s.opts.Logger.Warn("rollups not merged", "error", err)
		}
	}
}

// tidyDay merges what has the same size until no size has fanIn runs.
func (s *Store) tidyDay(ctx context.Context, c chore) error {
	for {
		var seqs []int64
		var merged run
		// Usage must not wait for a reader behind those who ask long questions.
		ran, err := s.idleView(ctx, func(v *view) (err error) {
			if seqs, err = v.mergeable(c); err != nil || len(seqs) < 2 {
				return err
			}
			merged, err = v.mergeRuns(c.runKey, seqs)
			return err
		})
		if !ran {
			s.tidier.later(c)
		}
		if err != nil || len(seqs) < 2 {
			return err
		}
		if err := s.perform(ctx, func(w *session) error { return w.replaceRuns(c.runKey, seqs, merged) }); err != nil {
			return err
		}
	}
}

// mergeable chooses runs of a day: all, or those of the first size that has
// enough of them.
func (v *view) mergeable(c chore) ([]int64, error) {
	var all []int64
	sizes := map[int][]int64{}
	err := v.sess.each(v.ctx, listRuns, []any{c.team, c.day}, func(rows *sql.Rows) (bool, error) {
		var seq, requests int64
		if err := rows.Scan(&seq, &requests); err != nil {
			return false, err
		}
		size := bits.Len64(uint64(requests)) / 3 // by factors of eight
		all, sizes[size] = append(all, seq), append(sizes[size], seq)
		return true, nil
	})
	if err != nil {
		return nil, failed(err)
	}
	if c.fold {
		return all, nil
	}
	for size := range 64 {
		if len(sizes[size]) >= fanIn {
			return sizes[size], nil
		}
	}
	return nil, nil
}

func (v *view) mergeRuns(k runKey, seqs []int64) (run, error) {
	var all []run
	q := query(`SELECT requests, models, cells, units, quarters FROM usage_runs WHERE team = ? AND day = ? AND seq IN (?` + strings.Repeat(", ?", len(seqs)-1) + `)`)
	err := v.sess.each(v.ctx, q, runArgs(k, seqs), func(rows *sql.Rows) (bool, error) {
		var r run
		err := rows.Scan(&r.requests, &r.models, &r.cells, &r.units, &r.quarters)
		all = append(all, r)
		return true, err
	})
	if err != nil {
		return run{}, failed(err)
	}
	return mergeRuns(all)
}

func runArgs(k runKey, seqs []int64) []any {
	args := []any{k.team, k.day}
	for _, seq := range seqs {
		args = append(args, seq)
	}
	return args
}

var errRunsMoved = errors.New("runs were merged by somebody else")

// replaceRuns puts a run in the place of those it was made of, if all are still
// there: anything else would count twice. It inserts first, so that the highest
// number is never free again.
func (s *session) replaceRuns(k runKey, seqs []int64, merged run) error {
	if err := s.insertRun(k, merged); err != nil || len(seqs) == 0 {
		return err
	}
	q := query(`DELETE FROM usage_runs WHERE team = ? AND day = ? AND seq IN (?` + strings.Repeat(", ?", len(seqs)-1) + `)`)
	res, err := s.exec(q, runArgs(k, seqs)...)
	if err != nil {
		return failed(err)
	}
	if n, err := res.RowsAffected(); err != nil || n != int64(len(seqs)) {
		return failed(errors.Join(errRunsMoved, err))
	}
	return nil
}
