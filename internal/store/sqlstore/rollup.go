package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gatehouse"
)

// Widths of slots in seconds.
const (
	quarter = 15 * 60
	day     = 24 * 60 * 60
)

func dayOf(t time.Time) int64 { return t.Unix() / day }

// rollup is one table of sums. byKey and byModel say whether it tells keys
// apart, and models, endpoints and clusters; a dimension it sums over is 0.
type rollup struct {
	table          string
	width          int64 // of a slot, seconds
	byKey, byModel bool
}

// rollups, coarsest first: a scan takes the first that can answer it.
var rollups = []rollup{
	{"usage_day_models", day, false, true},
	{"usage_day_keys", day, true, false},
	{"usage_day", day, true, true},
	{"usage_quarter_models", quarter, false, true},
	{"usage_quarter", quarter, true, true},
}

// cell is the place of one sum.
type cell struct {
	slot int64
	place
}

// cellOf is where a record is counted.
func (r rollup) cellOf(start time.Time, p place) cell {
	c := cell{start.Unix() / r.width, p}
	if !r.byKey {
		c.key = 0
	}
	if !r.byModel {
		c.model, c.endpoint, c.cluster = 0, 0, 0
	}
	return c
}

// sum is what a rollup adds up. amount counts every unit, tokens or not.
type sum struct {
	requests, items, amount, tokens, ticks int64

	units gatehouse.Usage
	costs gatehouse.Costs
}

func (s *sum) add(u *gatehouse.Usage, c *gatehouse.Costs) {
	s.requests++
	s.items += u.Items()
	s.tokens += u.Tokens()
	s.ticks += int64(c.Total())
	for i := range u {
		s.amount += u[i]
		s.units[i] += u[i]
		s.costs[i] += c[i]
	}
}

func (s *sum) values() []any {
	out := []any{s.requests, s.items, s.amount, s.tokens, s.ticks}
	for _, n := range s.units {
		out = append(out, n)
	}
	for _, t := range s.costs {
		out = append(out, int64(t))
	}
	return out
}

// sums collects a batch, so that a cell is touched once per batch.
type sums []map[cell]*sum

func newSums() sums {
	s := make(sums, len(rollups))
	for i := range s {
		s[i] = map[cell]*sum{}
	}
	return s
}

func (s sums) add(u *gatehouse.UsageRecord, p place) {
	for i, r := range rollups {
		c := r.cellOf(u.Start, p)
		if s[i][c] == nil {
			s[i][c] = &sum{}
		}
		s[i][c].add(&u.Usage, &u.Costs)
	}
}

const cellColumns = `team, slot, api_key, model, endpoint, cluster`

// sumColumns are the columns of a sum, totals first.
func sumColumns() []string {
	out := []string{"requests", "items", "amount", "tokens", "ticks"}
	for _, letter := range []string{"u", "t"} {
		for i := range gatehouse.NumUnits {
			out = append(out, fmt.Sprintf("%s%d", letter, i))
		}
	}
	return out
}

// upsert adds a sum to its cell, or makes the cell.
func (r rollup) upsert() query {
	columns := sumColumns()
	sets := make([]string, len(columns))
	for i, c := range columns {
		sets[i] = c + " = " + r.table + "." + c + " + excluded." + c
	}
	return query("INSERT INTO " + r.table + " (" + cellColumns + ", " + strings.Join(columns, ", ") + ") VALUES (?" +
		strings.Repeat(", ?", 5+len(columns)) + ") ON CONFLICT (" + cellColumns + ") DO UPDATE SET " + strings.Join(sets, ", "))
}

// upsert writes the batch, cells in the order of their table: neighbours share
// pages, and writers of other engines lock in one order.
func (s sums) upsert(w *session) error {
	for i, r := range rollups {
		q := r.upsert()
		for _, c := range slices.SortedFunc(maps.Keys(s[i]), compareCells) {
			args := append([]any{c.team, c.slot, c.key, c.model, c.endpoint, c.cluster}, s[i][c].values()...)
			if _, err := w.exec(q, args...); err != nil {
				return failed(err)
			}
		}
	}
	return nil
}

// compareCells is the order of the tables' keys.
func compareCells(a, b cell) int {
	return slices.Compare(
		[]int64{a.team, a.slot, a.key, a.model, a.endpoint, a.cluster},
		[]int64{b.team, b.slot, b.key, b.model, b.endpoint, b.cluster})
}

const selectDay query = `SELECT start_us, team, api_key, model, endpoint, cluster, vector FROM usage_rows WHERE day = ? ORDER BY id`

// RecomputeRollups replaces the rollups of the UTC days from start to end with
// what the rows say: after a correction of rows, or as a check that they agree.
// Each day is a transaction of its own. It is for maintenance and ignores the
// door's ten milliseconds.
func (s *Store) RecomputeRollups(ctx context.Context, start, end time.Time) error {
	for d := dayOf(start); d <= dayOf(end.Add(-time.Microsecond)); d++ {
		if err := s.perform(ctx, func(w *session) error { return recomputeDay(ctx, w, d) }); err != nil {
			return err
		}
	}
	return nil
}

// recomputeDay drops a day's cells of every rollup and sums its rows again.
func recomputeDay(ctx context.Context, w *session, d int64) error {
	for _, r := range rollups {
		slots := day / r.width
		if _, err := w.exec(query(`DELETE FROM `+r.table+` WHERE slot >= ? AND slot < ?`), d*slots, (d+1)*slots); err != nil {
			return failed(err)
		}
	}
	all := newSums()
	err := w.each(ctx, selectDay, []any{d}, func(rows *sql.Rows) (bool, error) {
		var p place
		var us int64
		var vector []byte
		if err := rows.Scan(&us, &p.team, &p.key, &p.model, &p.endpoint, &p.cluster, &vector); err != nil {
			return false, err
		}
		var u gatehouse.UsageRecord
		u.Start = fromMicros(us)
		if err := unpackVector(vector, &u.Usage, &u.Costs); err != nil {
			return false, err
		}
		all.add(&u, p)
		return true, nil
	})
	if err != nil {
		return failed(err)
	}
	return all.upsert(w)
}
