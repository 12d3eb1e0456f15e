package sqlstore

import (
	"database/sql"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// tally adds packed cells up by group and bucket. Cells come by the million, so
// everything on their way is a number: names are looked up for what is yielded.
type tally struct {
	scan  store.UsageScan
	team  int64
	width int64 // of buckets, seconds; 0: one

	locator
	ranks  []ranked // by group
	chosen []bool   // by group; nil: all are
	labels map[int32][]string

	sums   []tallied
	byDay  []int32         // group → index in sums, from 1, where a day has one bucket
	bySlot map[int64]int32 // group and bucket → the same, where it has more

	numbers [colUnits][blockSize]int64
	at      [blockSize]int32 // the entry's sum, 0 when it has none
}

// tallied is the sum of one group in one bucket.
type tallied struct {
	group  int32
	bucket int64
	totals
	rest *vectors // nil where only totals were asked for
}

type vectors struct {
	units gatehouse.Usage
	costs gatehouse.Costs
}

// dimensionsOfCells in the order of a pack's columns.
var dimensionsOfCells = [4]store.Dimension{store.ByKey, store.ByModel, store.ByEndpoint, store.ByCluster}

// newTally looks the scan's names up. none: a filter names what was never used.
func (v *view) newTally(s store.UsageScan) (t *tally, none bool, err error) {
	t = &tally{scan: s, width: int64(s.Width / time.Second), locator: newLocator(), labels: map[int32][]string{}, bySlot: map[int64]int32{}}
	if t.team, err = v.numbered(s.Team.String()); err != nil || t.team == 0 {
		return nil, true, err
	}
	for i, d := range dimensionsOfCells {
		t.grouped[i] = slices.Contains(s.GroupBy, d)
		values, filtered := s.Where[d]
		if filtered {
			ids, err := v.numberedAll(values)
			if err != nil || len(ids) == 0 {
				return nil, true, err
			}
			t.allowed[i] = map[int64]bool{}
			for _, id := range ids {
				t.allowed[i][id.(int64)] = true
			}
		}
		t.used[i] = t.grouped[i] || filtered
	}
	return t, false, nil
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

// each visits everything in a span as blocks and single entries.
func (t *tally) each(v *view, p span, whole func(*block, span) error, single func(*entry) error) error {
	if p.first < p.last {
		if err := t.blocks(v, p, whole); err != nil {
			return err
		}
	}
	for _, e := range p.edges {
		if err := v.edge(t.team, e[0], e[1], single); err != nil {
			return err
		}
	}
	return nil
}

// blocks visits the blocks of a span's runs.
func (t *tally) blocks(v *view, p span, visit func(*block, span) error) error {
	pack, units := t.column(p)
	q := query(`SELECT ` + pack + `, ` + units + ` FROM usage_runs WHERE team = ? AND day = ?`)
	return failed(v.sess.each(v.ctx, q, []any{t.team, p.day}, func(rows *sql.Rows) (bool, error) {
		var pack, units sql.RawBytes
		if err := rows.Scan(&pack, &units); err != nil {
			return false, err
		}
		for b := (blocks{pack: pack, units: units}); ; {
			k, err := b.next()
			if k == nil || err != nil {
				return true, err
			}
			if err := visit(k, p); err != nil {
				return false, err
			}
		}
	}))
}

// label looks up what a group is called.
func (t *tally) label(v *view, g int32) ([]string, error) {
	if l, ok := t.labels[g]; ok || len(t.scan.GroupBy) == 0 {
		return l, nil
	}
	place := t.placeOf(g)
	var l []string
	for _, d := range t.scan.GroupBy {
		name, err := v.named(place[slices.Index(dimensionsOfCells[:], d)])
		if err != nil {
			return nil, err
		}
		l = append(l, name)
	}
	t.labels[g] = l
	return l, nil
}

// locate finds the group of each of a block's entries; any is false when none
// has one, as in most blocks when one key is asked for.
func (t *tally) locate(k *block, p span) (any bool, err error) {
	n := &t.numbers
	for c, used := range t.used {
		if !used {
			continue
		}
		if err := k.read(c, &n[c]); err != nil {
			return false, err
		}
		if allowed := t.allowed[c]; allowed != nil && !anyOf(n[c][:k.n], allowed) {
			return false, nil
		}
	}
	if !p.whole() {
		if err := k.read(colSlot, &n[colSlot]); err != nil {
			return false, err
		}
	}
	for i := range k.n {
		t.at[i] = 0
		if slot := n[colSlot][i]; p.whole() || slot >= p.first && slot < p.last {
			t.at[i] = t.find(n[colKey][i], [3]int64{n[colModel][i], n[colEndpoint][i], n[colCluster][i]})
			any = any || t.at[i] != 0
		}
	}
	return any, nil
}

// anyOf looks neighbours up once: in the column of keys they are alike.
func anyOf(ids []int64, allowed map[int64]bool) bool {
	for i, id := range ids {
		if (i == 0 || ids[i-1] != id) && allowed[id] {
			return true
		}
	}
	return false
}

// cells yields the sums. Buckets never cross days, so each day's are complete
// when the day was read; only a single bucket waits for the end.
func (t *tally) cells(v *view, yield func(store.UsageCell) error) error {
	for _, p := range spans(t.scan.Start, t.scan.End) {
		if err := t.each(v, p, t.sum, t.sumOne(p.day)); err != nil {
			return err
		}
		if t.width != 0 {
			if err := t.flush(v, yield); err != nil {
				return err
			}
		}
	}
	return t.flush(v, yield)
}

// flush yields what was summed and forgets it.
func (t *tally) flush(v *view, yield func(store.UsageCell) error) error {
	for i := range t.sums {
		x := &t.sums[i]
		if t.byDay != nil {
			t.byDay[x.group] = 0
		}
		labels, err := t.label(v, x.group)
		if err != nil {
			return err
		}
		c := store.UsageCell{Start: t.scan.Start, Group: labels, Requests: x.requests, Items: x.items, Amount: x.amount, Tokens: x.tokens, Ticks: gatehouse.Ticks(x.ticks)}
		if t.width != 0 {
			c.Start = time.Unix(x.bucket*t.width, 0).UTC()
		}
		if x.rest != nil {
			c.Units, c.Costs = x.rest.units, x.rest.costs
		}
		if err := yield(c); err != nil {
			return err
		}
	}
	t.sums = t.sums[:0]
	clear(t.bySlot)
	return nil
}

// sum adds a block up.
func (t *tally) sum(k *block, p span) error {
	if any, err := t.locate(k, p); !any {
		return err
	}
	slots := 0 < t.width && t.width < day
	for c := colSlot; c <= colTicks; c++ {
		if c == colSlot && !slots {
			continue
		}
		if err := k.read(c, &t.numbers[c]); err != nil {
			return err
		}
	}
	n := &t.numbers
	for i := range k.n {
		g := t.at[i]
		if !t.counts(g) {
			t.at[i] = 0
			continue
		}
		bucket := t.bucket(p.day, 0)
		if slots {
			bucket = t.bucket(p.day, n[colSlot][i])
		}
		t.at[i] = t.index(g, bucket)
		x := &t.sums[t.at[i]-1].totals
		x.requests += n[colRequests][i]
		x.items += n[colItems][i]
		x.amount += n[colAmount][i]
		x.tokens += n[colTokens][i]
		x.ticks += n[colTicks][i]
	}
	if t.scan.Totals {
		return nil
	}
	return k.readUnits(func(i int, unit byte, count, cost int64) {
		if at := t.at[i]; at != 0 {
			t.sums[at-1].rest.units[unit] += count
			t.sums[at-1].rest.costs[unit] += gatehouse.Ticks(cost)
		}
	})
}

// bucket numbers the bucket of a slot since 1970.
func (t *tally) bucket(d, slot int64) int64 {
	if t.width == 0 {
		return 0
	}
	return (d*day + slot*quarter) / t.width
}

// sumOne adds a row at an edge of the scan.
func (t *tally) sumOne(d int64) func(*entry) error {
	return func(e *entry) error {
		g := t.find(e.key, [3]int64{e.model, e.endpoint, e.cluster})
		if !t.counts(g) {
			return nil
		}
		x := &t.sums[t.index(g, t.bucket(d, e.slot))-1]
		x.totals.add(&e.totals)
		if x.rest != nil {
			for i := range e.units {
				x.rest.units[i] += e.units[i]
				x.rest.costs[i] += e.costs[i]
			}
		}
		return nil
	}
}

// counts reports whether a group is one to sum.
func (t *tally) counts(g int32) bool {
	return g != 0 && (t.chosen == nil || t.chosen[g])
}

// index is the place of a group and bucket in sums, counted from 1.
func (t *tally) index(g int32, bucket int64) int32 {
	if t.width == 0 || t.width == day {
		if int(g) >= len(t.byDay) {
			t.byDay = append(t.byDay, make([]int32, len(t.groups)-len(t.byDay))...)
		}
		if t.byDay[g] == 0 {
			t.byDay[g] = t.fresh(g, bucket)
		}
		return t.byDay[g]
	}
	// A day has 96 buckets at most, so the remainder tells those at hand apart.
	id := int64(g)<<7 | bucket%slotsPerDay
	at := t.bySlot[id]
	if at == 0 {
		at = t.fresh(g, bucket)
		t.bySlot[id] = at
	}
	return at
}

func (t *tally) fresh(g int32, bucket int64) int32 {
	x := tallied{group: g, bucket: bucket}
	if !t.scan.Totals {
		x.rest = &vectors{}
	}
	t.sums = append(t.sums, x)
	return int32(len(t.sums))
}
