package sqlstore

import (
	"database/sql"
	"slices"
	"strings"
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
	parts := cut(s)
	if len(parts) == 1 || s.Width != 0 {
		for _, p := range parts {
			if err := v.cellsOf(s, p, yield); err != nil {
				return err
			}
		}
		return nil
	}
	merged := newMerge(s)
	for _, p := range parts {
		if err := v.cellsOf(s, p, merged.add); err != nil {
			return err
		}
	}
	return merged.each(yield)
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
	return slices.ContainsFunc(usedBy(s), func(d store.Dimension) bool { return dimensions[d] == "" }) ||
		!aligned(s.Start, quarter) || !aligned(s.End, quarter)
}

func aligned(t time.Time, width int64) bool { return t.Unix()%width == 0 && t.Nanosecond() == 0 }

// part is a piece of the scan's time, in Unix seconds, answered by one rollup.
type part struct {
	start, end int64
	rollup     rollup
}

// cut gives whole days to the rollups of days, where buckets allow, and what
// sticks out at either end to those of quarters.
func cut(s store.UsageScan) []part {
	start, end := s.Start.Unix(), s.End.Unix()
	first, last := (start+day-1)/day*day, end/day*day
	if s.Width != 0 && s.Width != day*time.Second || first >= last {
		return pieces(s, part{start: start, end: end}, quarter)
	}
	return slices.Concat(
		pieces(s, part{start: start, end: first}, quarter),
		pieces(s, part{start: first, end: last}, day),
		pieces(s, part{start: last, end: end}, quarter))
}

// pieces is p with its rollup, or nothing when p is empty.
func pieces(s store.UsageScan, p part, width int64) []part {
	if p.start >= p.end {
		return nil
	}
	used := usedBy(s)
	byKey := slices.Contains(used, store.ByKey)
	byModel := slices.ContainsFunc(used, func(d store.Dimension) bool { return d != store.ByKey })
	for _, r := range rollups {
		if r.width == width && (r.byKey || !byKey) && (r.byModel || !byModel) {
			p.rollup = r
			return []part{p}
		}
	}
	return nil
}

// cellsOf asks one rollup.
func (v *view) cellsOf(s store.UsageScan, p part, yield func(store.UsageCell) error) error {
	q, args, none, err := v.cellQuery(s, p)
	if err != nil || none {
		return err
	}
	var own error
	err = v.sess.each(v.ctx, q, args, func(rows *sql.Rows) (bool, error) {
		c, err := v.scanCell(s, rows)
		if err != nil {
			return false, err
		}
		own = yield(c)
		return own == nil, nil
	})
	if own != nil {
		return own
	}
	return failed(err)
}

// cellQuery sums a rollup. none: a filter names what was never used.
func (v *view) cellQuery(s store.UsageScan, p part) (q query, args []any, none bool, err error) {
	team, err := v.numbered(s.Team.String())
	if err != nil || team == 0 {
		return "", nil, true, err
	}
	bucket := "0"
	if slots := int64(s.Width/time.Second) / p.rollup.width; slots == 1 {
		bucket = "slot" // in the order of the key: no sorting
	} else if slots > 1 {
		bucket, args = "slot / ?", append(args, slots)
	}
	group := []string{bucket}
	for _, d := range s.GroupBy {
		group = append(group, dimensions[d])
	}
	columns := sumColumns()
	if s.Totals {
		columns = columns[:5]
	}
	first, end := p.start/p.rollup.width, p.end/p.rollup.width
	with, from, where := "", p.rollup.table, " WHERE team = ? AND slot >= ? AND slot < ?"
	if _, ofKeys := s.Where[store.ByKey]; ofKeys {
		// Tables are ordered by slot before key: naming each slot lets the engine
		// go to the keys' cells in it instead of reading everybody's.
		with = "WITH RECURSIVE slots(at) AS (SELECT ? UNION ALL SELECT at + 1 FROM slots WHERE at + 1 < ?) "
		from, where = "slots CROSS JOIN "+p.rollup.table, " WHERE team = ? AND slot = at"
		args = append([]any{first, end}, append(args, team)...)
	} else {
		args = append(args, team, first, end)
	}
	for _, d := range filtered(s) {
		ids, err := v.numberedAll(s.Where[d])
		if err != nil || len(ids) == 0 {
			return "", nil, true, err
		}
		where += " AND " + dimensions[d] + " IN (?" + strings.Repeat(", ?", len(ids)-1) + ")"
		args = append(args, ids...)
	}
	sql := with + "SELECT " + strings.Join(group, ", ") + ", SUM(" + strings.Join(columns, "), SUM(") + ") FROM " + from + where
	return query(sql + groupBy(len(group))), args, false, nil
}

// groupBy names output columns by number: an expression with a parameter is not
// the same expression twice to every engine.
func groupBy(n int) string {
	return " GROUP BY 1" + strings.Join([]string{"", ", 2", ", 3", ", 4", ", 5"}[:n], "") + " HAVING SUM(requests) > 0"
}

// filtered lists the filtered dimensions in a fixed order, for one text of SQL.
func filtered(s store.UsageScan) []store.Dimension {
	var out []store.Dimension
	for d := range s.Where {
		out = append(out, d)
	}
	slices.Sort(out)
	return out
}

// numberedAll leaves out names that usage never had: they match nothing.
func (v *view) numberedAll(names []string) ([]any, error) {
	var ids []any
	for _, n := range names {
		id, err := v.numbered(n)
		if err != nil {
			return nil, err
		}
		if id != 0 {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// scanCell reads a row of cellQuery.
func (v *view) scanCell(s store.UsageScan, rows *sql.Rows) (store.UsageCell, error) {
	var c store.UsageCell
	var bucket int64
	ids := make([]int64, len(s.GroupBy))
	into := []any{&bucket}
	for i := range ids {
		into = append(into, &ids[i])
	}
	into = append(into, &c.Requests, &c.Items, &c.Amount, &c.Tokens, &c.Ticks)
	if !s.Totals {
		for i := range c.Units {
			into = append(into, &c.Units[i])
		}
		for i := range c.Costs {
			into = append(into, &c.Costs[i])
		}
	}
	if err := rows.Scan(into...); err != nil {
		return c, err
	}
	c.Start = s.Start
	if s.Width != 0 {
		c.Start = time.Unix(bucket*int64(s.Width/time.Second), 0).UTC()
	}
	for _, id := range ids {
		name, err := v.named(id)
		if err != nil {
			return c, err
		}
		c.Group = append(c.Group, name)
	}
	return c, nil
}

// merge adds cells up by bucket and group.
type merge struct {
	s     store.UsageScan
	cells map[string]*store.UsageCell
	order []*store.UsageCell
}

func newMerge(s store.UsageScan) *merge { return &merge{s: s, cells: map[string]*store.UsageCell{}} }

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

func (m *merge) add(x store.UsageCell) error {
	c := m.at(x.Start, x.Group)
	c.Requests += x.Requests
	c.Items += x.Items
	c.Amount += x.Amount
	c.Tokens += x.Tokens
	c.Ticks += x.Ticks
	for i := range c.Units {
		c.Units[i] += x.Units[i]
		c.Costs[i] += x.Costs[i]
	}
	return nil
}

func (m *merge) each(yield func(store.UsageCell) error) error {
	for _, c := range m.order {
		if err := yield(*c); err != nil {
			return err
		}
	}
	return nil
}

// cellsOfRows adds rows up here, for what no rollup knows.
func (v *view) cellsOfRows(s store.UsageScan, yield func(store.UsageCell) error) error {
	m := newMerge(s)
	err := v.UsageRows(s, func(u *gatehouse.UsageRecord) error {
		var x sum
		x.add(&u.Usage, &u.Costs)
		c := store.UsageCell{Start: s.Start, Requests: 1, Items: x.items, Amount: x.amount, Tokens: x.tokens, Ticks: gatehouse.Ticks(x.ticks)}
		if s.Width != 0 {
			c.Start = u.Start.Truncate(s.Width)
		}
		if !s.Totals {
			c.Units, c.Costs = x.units, x.costs
		}
		for _, d := range s.GroupBy {
			c.Group = append(c.Group, valueOf(u, d))
		}
		return m.add(c)
	})
	if err != nil {
		return err
	}
	return m.each(yield)
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
