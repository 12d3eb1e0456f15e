package sqlstore

import (
	"database/sql"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// columns of the dimensions that rollups have.
var dimensions = map[store.Dimension]string{
	store.ByKey: "api_key", store.ByModel: "model", store.ByEndpoint: "endpoint", store.ByCluster: "cluster",
}

// UsageCells implements [store.UsageView].
func (v *view) UsageCells(s store.UsageScan, yield func(store.UsageCell) error) error {
	if err := checkScan(s); err != nil {
		return err
	}
	if rowsOnly(s) {
		return v.cellsOfRows(s, yield)
	}
	t, none, err := v.newTally(s)
	if err != nil || none {
		return err
	}
	if s.Most > 0 {
		if err := t.choose(v); err != nil {
			return err
		}
	}
	return t.cells(v, yield)
}

// checkScan refuses what is no dimension before any of it reaches SQL.
func checkScan(s store.UsageScan) error {
	switch s.Width {
	case 0, quarter * time.Second, time.Hour, day * time.Second:
	default:
		return gatehouse.Errorf(gatehouse.InvalidArgument, "usage has no buckets of %s", s.Width)
	}
	for i, d := range s.GroupBy {
		if slices.Contains(s.GroupBy[:i], d) {
			return gatehouse.Errorf(gatehouse.InvalidArgument, "usage is grouped by %q twice", string(d))
		}
	}
	for _, d := range usedBy(s) {
		if _, ok := dimensions[d]; !ok && d != store.ByIP && d != store.ByUser {
			return gatehouse.Errorf(gatehouse.InvalidArgument, "usage has no dimension %q", string(d))
		}
	}
	if _, ok := measures[s.Rank]; s.Most > 0 && (!ok || rowsOnly(s)) {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "usage cannot be ranked by %q here", string(s.Rank))
	}
	return nil
}

// usedBy lists the dimensions that a scan groups or filters by.
func usedBy(s store.UsageScan) []store.Dimension {
	used := slices.Clone(s.GroupBy)
	for d := range s.Where {
		used = append(used, d)
	}
	return used
}

// rowsOnly says that no rollup can answer.
func rowsOnly(s store.UsageScan) bool {
	return slices.ContainsFunc(usedBy(s), func(d store.Dimension) bool { return dimensions[d] == "" })
}

// span is a piece of one day: whole quarters, and what sticks out before and
// behind them.
type span struct {
	day         int64
	first, last int64 // slots [first, last)
	edges       [][2]time.Time
}

// whole reports whether the span is all of its day.
func (p span) whole() bool { return p.first == 0 && p.last == slotsPerDay }

// spans cuts a scan's time into days.
func spans(start, end time.Time) []span {
	var out []span
	for d := dayOf(start); time.Unix(d*day, 0).Before(end); d++ {
		p := span{day: d, last: slotsPerDay}
		from, to := time.Unix(d*day, 0), time.Unix((d+1)*day, 0)
		if start.After(from) {
			from = start
		}
		if end.Before(to) {
			to = end
		}
		first, last := from.Truncate(quarter*time.Second), to.Truncate(quarter*time.Second)
		if first.Before(from) {
			first = first.Add(quarter * time.Second)
		}
		if !first.Before(last) { // not one whole quarter
			p.first, p.last, p.edges = 0, 0, [][2]time.Time{{from, to}}
			out = append(out, p)
			continue
		}
		p.first, p.last = (first.Unix()-d*day)/quarter, (last.Unix()-d*day)/quarter
		for _, e := range [][2]time.Time{{from, first}, {last, to}} {
			if e[0].Before(e[1]) {
				p.edges = append(p.edges, e)
			}
		}
		out = append(out, p)
	}
	return out
}

// merge adds cells of rows up by bucket and group.
type merge struct {
	cells map[string]*store.UsageCell
	order []*store.UsageCell
}

// at finds or makes the cell of a bucket and group, framed so that no two
// groups run together.
func (m *merge) at(start time.Time, group []string) *store.UsageCell {
	id := string(frame(nil, start.Unix()))
	for _, g := range group {
		id += string(frame(nil, g))
	}
	c := m.cells[id]
	if c == nil {
		c = &store.UsageCell{Start: start, Group: group}
		m.cells[id] = c
		m.order = append(m.order, c)
	}
	return c
}

// cellsOfRows adds rows up here, for what no rollup knows.
func (v *view) cellsOfRows(s store.UsageScan, yield func(store.UsageCell) error) error {
	m := &merge{cells: map[string]*store.UsageCell{}}
	err := v.UsageRows(s, func(u *gatehouse.UsageRecord) error {
		start, group := s.Start, make([]string, 0, len(s.GroupBy))
		if s.Width != 0 {
			start = u.Start.Truncate(s.Width)
		}
		for _, d := range s.GroupBy {
			group = append(group, valueOf(u, d))
		}
		x := sumOf(&u.Usage, &u.Costs)
		if s.Totals {
			x.units, x.costs = gatehouse.Usage{}, gatehouse.Costs{}
		}
		addTo(m.at(start, group), &x)
		return nil
	})
	if err != nil {
		return err
	}
	for _, c := range m.order {
		if err := yield(*c); err != nil {
			return err
		}
	}
	return nil
}

// addTo adds a sum to a cell.
func addTo(c *store.UsageCell, x *sum) {
	c.Requests += x.requests
	c.Items += x.items
	c.Amount += x.amount
	c.Tokens += x.tokens
	c.Ticks += gatehouse.Ticks(x.ticks)
	for i := range x.units {
		c.Units[i] += x.units[i]
		c.Costs[i] += x.costs[i]
	}
}

// valueOf is a record's value of a dimension, as rollups would name it.
func valueOf(u *gatehouse.UsageRecord, d store.Dimension) string {
	switch d {
	case store.ByKey:
		return u.KeyID.String()
	case store.ByModel:
		return u.Model
	case store.ByEndpoint:
		return u.Endpoint
	case store.ByCluster:
		return u.Cluster
	case store.ByIP:
		return u.ClientIP
	}
	return u.UserID.String()
}

const selectEdge query = `SELECT start_us, api_key, model, endpoint, cluster, vector FROM usage_rows WHERE team = ? AND start_us >= ? AND start_us < ? AND day >= ? AND day <= ?`

// edge yields the rows of a piece shorter than a quarter of an hour as entries.
func (v *view) edge(team int64, from, to time.Time, yield func(*entry) error) error {
	var own error
	err := v.sess.each(v.ctx, selectEdge, []any{team, micros(from), micros(to), dayOf(from), dayOf(to)}, func(rows *sql.Rows) (bool, error) {
		var e entry
		var us int64
		var vector sql.RawBytes
		if err := rows.Scan(&us, &e.key, &e.model, &e.endpoint, &e.cluster, &vector); err != nil {
			return false, err
		}
		var usage gatehouse.Usage
		var costs gatehouse.Costs
		if err := unpackVector(vector, &usage, &costs); err != nil {
			return false, err
		}
		e.slot, e.sum = time.UnixMicro(us).Unix()%day/quarter, sumOf(&usage, &costs)
		own = yield(&e)
		return own == nil, nil
	})
	if own != nil {
		return own
	}
	return failed(err)
}

// column is what of the runs answers, smallest first, and its second piece.
func (t *tally) column(p span) (pack, units string) {
	switch {
	case !t.used[0]:
		return "models", "NULL"
	case !p.whole() || t.width != 0 && t.width != day:
		return "quarters", "NULL"
	case t.scan.Totals:
		return "cells", "NULL"
	}
	return "cells", "units"
}
