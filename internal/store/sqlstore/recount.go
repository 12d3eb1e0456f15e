package sqlstore

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

const (
	selectDay     query = `SELECT start_us, team, api_key, model, endpoint, cluster, vector FROM usage_rows WHERE day = ? ORDER BY id`
	selectDayRuns query = `SELECT team, seq FROM usage_runs WHERE day = ? ORDER BY team, seq`

	// recountRows is how many rows are summed at once.
	recountRows = 20_000
)

// recount is a day of one team, twice: as its rows add up and as it is stored.
type recount struct {
	rows   []run // parts of the truth
	seqs   []int64
	stored run
	broken error // why the stored runs cannot be read
}

// CheckUsage implements [store.Store]. Rows and runs are read from one
// snapshot, so whatever is ingested meanwhile stands in runs that are not
// touched. No merge of this process runs beside it; one of another process is
// found out when the runs are replaced.
func (s *Store) CheckUsage(ctx context.Context, at time.Time, repair bool) (check store.UsageCheck, err error) {
	s.tidier.busy.Lock()
	defer s.tidier.busy.Unlock()
	ctx = store.System(ctx)
	d := dayOf(at)
	check.Day = time.Unix(d*day, 0).UTC()
	truths := map[runKey]*recount{}
	var found []runKey
	err = s.View(ctx, func(sv store.View) error {
		v := sv.(*view)
		floor, err := v.floor()
		if err == nil && d < floor {
			err = gatehouse.Errorf(gatehouse.FailedPrecondition, "rows of %s were dropped, so its rollups cannot be recomputed", check.Day.Format(time.DateOnly))
		}
		if err == nil {
			check.Rows, err = v.sumDay(d, truths)
		}
		if err == nil {
			err = v.storedDay(d, truths)
		}
		if err != nil {
			return err
		}
		found, err = v.compareAll(&check, truths)
		return err
	})
	if err != nil || !repair {
		return check, err
	}
	for i, k := range found {
		if check.Drifts[i].Repaired, err = s.repair(ctx, k, truths[k]); err != nil {
			return check, err
		}
	}
	return check, nil
}

// repair puts the truth in the place of what was read; done is false when
// somebody else replaced that meanwhile.
func (s *Store) repair(ctx context.Context, k runKey, r *recount) (done bool, err error) {
	truth, err := mergeRuns(r.rows)
	if err != nil {
		return false, err
	}
	err = s.perform(ctx, func(w *session) error { return w.replaceRuns(k, r.seqs, truth) })
	if errors.Is(err, errRunsMoved) {
		return false, nil
	}
	return err == nil, err
}

// sumDay adds a day's rows up.
func (v *view) sumDay(d int64, into map[runKey]*recount) (rows int64, err error) {
	sums, held := runSums{}, 0
	flush := func() {
		for k, entries := range sums {
			if into[k] == nil {
				into[k] = &recount{}
			}
			into[k].rows = append(into[k].rows, newRun(entries))
		}
		sums, held = runSums{}, 0
	}
	err = v.sess.each(v.ctx, selectDay, []any{d}, func(r *sql.Rows) (bool, error) {
		if err := sums.addRow(r); err != nil {
			return false, err
		}
		rows++
		if held++; held == recountRows {
			flush()
		}
		return true, nil
	})
	flush()
	return rows, failed(err)
}

// addRow adds a row of selectDay.
func (s runSums) addRow(rows *sql.Rows) error {
	var p place
	var us int64
	var vector []byte
	if err := rows.Scan(&us, &p.team, &p.key, &p.model, &p.endpoint, &p.cluster, &vector); err != nil {
		return err
	}
	u := gatehouse.UsageRecord{Start: fromMicros(us)}
	if err := unpackVector(vector, &u.Usage, &u.Costs); err != nil {
		return err
	}
	s.add(&u, p)
	return nil
}

// storedDay reads a day's runs.
func (v *view) storedDay(d int64, into map[runKey]*recount) error {
	err := v.sess.each(v.ctx, selectDayRuns, []any{d}, func(rows *sql.Rows) (bool, error) {
		k := runKey{day: d}
		var seq int64
		if err := rows.Scan(&k.team, &seq); err != nil {
			return false, err
		}
		if into[k] == nil {
			into[k] = &recount{}
		}
		into[k].seqs = append(into[k].seqs, seq)
		return true, nil
	})
	for k, r := range into {
		if err == nil && len(r.seqs) > 0 {
			// Runs that do not decode are a drift and no failure: to replace them is
			// what this is for.
			r.stored, r.broken = v.mergeRuns(k, r.seqs)
			err = v.sess.sick // a statement that failed says nothing about the runs
		}
	}
	return failed(err)
}

// compareAll reports the days whose runs are not what their rows say, in the
// order of Drifts.
func (v *view) compareAll(check *store.UsageCheck, all map[runKey]*recount) (found []runKey, err error) {
	for _, k := range slices.SortedFunc(maps.Keys(all), func(a, b runKey) int { return cmp.Compare(a.team, b.team) }) {
		drift, same, err := all[k].compare()
		if err != nil {
			return nil, err
		}
		if same {
			continue
		}
		name, err := v.named(k.team)
		if err != nil {
			return nil, err
		}
		if err := drift.Team.UnmarshalText([]byte(name)); err != nil {
			return nil, err
		}
		check.Drifts, found = append(check.Drifts, drift), append(found, k)
	}
	return found, nil
}

// compare compares to the byte: both sides were merged, and there is one way to
// pack the same sums.
func (r *recount) compare() (drift store.UsageDrift, same bool, err error) {
	truth, err := mergeRuns(r.rows)
	if err != nil {
		return drift, false, err
	}
	stored := r.stored
	if len(r.seqs) == 0 {
		stored, _ = mergeRuns(nil)
	}
	same = r.broken == nil && bytes.Equal(truth.models, stored.models) && bytes.Equal(truth.cells, stored.cells) &&
		bytes.Equal(truth.units, stored.units) && bytes.Equal(truth.quarters, stored.quarters) && truth.requests == stored.requests
	if same {
		return drift, true, nil
	}
	if drift.Rows, err = truth.sum(); err == nil && r.broken == nil {
		drift.Rollups, err = stored.sum()
	}
	return drift, false, err
}

// sum adds up a run.
func (r *run) sum() (out store.UsageSum, err error) {
	for u := (&unpacker{pack: r.models}); ; u.next++ {
		if err := u.fill(); err != nil || u.done() {
			return out, err
		}
		e := u.at()
		out.Requests += e.requests
		out.Tokens += e.tokens
		out.Ticks += gatehouse.Ticks(e.ticks)
	}
}
