package sqlstore

import (
	"cmp"
	"slices"
	"time"

	"gatehouse"
)

// Rollups are sums of usage by quarter of an hour, key, model, endpoint and
// cluster. A row each in SQL would cost every metered request several upserts
// of forty columns, and a question about a month the reading of millions of
// rows. So they are kept the way logs of sorted runs are: what a batch adds is
// sorted, summed and packed into one run, and appended. Runs of a day add up,
// and nothing else: merging some of them into one changes no answer, so it is
// done when it is cheap, outside of the transaction that ingests.

// Widths in seconds.
const (
	quarter = 15 * 60
	day     = 24 * 60 * 60

	slotsPerDay = day / quarter
)

func dayOf(t time.Time) int64 { return t.Unix() / day }

// place is where a usage row stands, in numbers.
type place struct{ team, key, model, endpoint, cluster int64 }

// cell is the place of one sum: a quarter of its day, and what it tells apart.
// A sum over keys or over the day has 0 there.
type cell struct {
	key, model, endpoint, cluster, slot int64
}

// compare is the order of runs: cells that differ in the slot alone are
// neighbours, so that a day's sum is a sum of neighbours.
func (c *cell) compare(d *cell) int {
	return cmp.Or(cmp.Compare(c.key, d.key), cmp.Compare(c.model, d.model), cmp.Compare(c.endpoint, d.endpoint),
		cmp.Compare(c.cluster, d.cluster), cmp.Compare(c.slot, d.slot))
}

// totals are the sums that most questions are about. amount counts every unit,
// tokens or not.
type totals struct{ requests, items, amount, tokens, ticks int64 }

func (t *totals) add(x *totals) {
	t.requests += x.requests
	t.items += x.items
	t.amount += x.amount
	t.tokens += x.tokens
	t.ticks += x.ticks
}

// sum is all that a rollup adds up.
type sum struct {
	totals
	units gatehouse.Usage
	costs gatehouse.Costs
}

// sumOf is the sum of one request.
func sumOf(u *gatehouse.Usage, c *gatehouse.Costs) sum {
	s := sum{totals: totals{1, u.Items(), 0, u.Tokens(), int64(c.Total())}, units: *u, costs: *c}
	for _, n := range u {
		s.amount += n
	}
	return s
}

func (s *sum) add(x *sum) {
	s.totals.add(&x.totals)
	for i := range x.units {
		s.units[i] += x.units[i]
		s.costs[i] += x.costs[i]
	}
}

// entry is a cell with its sum.
type entry struct {
	cell
	sum
}

// runKey names the day that runs belong to.
type runKey struct{ team, day int64 }

// run is the sums of some of a team's day three times over, packed: by model,
// endpoint and cluster and quarter; by those and the key for the whole day; and
// by everything.
type run struct {
	requests                       int64
	models, cells, units, quarters []byte
}

// newRun sums entries, which it reorders.
func newRun(entries []*entry) run {
	var r run
	var quarters, models packer
	cells := packer{split: true}
	slices.SortFunc(entries, func(a, b *entry) int { return a.compare(&b.cell) })
	for _, e := range entries {
		r.requests += e.requests
		quarters.add(e)
		cells.add(e.wholeDay())
	}
	marginal := make([]*entry, len(entries))
	for i, e := range entries {
		m := *e
		m.key, marginal[i] = 0, &m
	}
	slices.SortFunc(marginal, func(a, b *entry) int { return a.compare(&b.cell) })
	for _, e := range marginal {
		models.add(e)
	}
	r.models, _ = models.bytes()
	r.cells, r.units = cells.bytes()
	r.quarters, _ = quarters.bytes()
	return r
}

// wholeDay is e without its slot.
func (e *entry) wholeDay() *entry {
	d := *e
	d.slot = 0
	return &d
}

// mergeRuns makes one run of several. It holds a block of each at a time.
func mergeRuns(all []run) (out run, err error) {
	var models, cells, quarters []*unpacker
	for _, r := range all {
		out.requests += r.requests
		models = append(models, &unpacker{pack: r.models})
		cells = append(cells, &unpacker{pack: r.cells, units: r.units})
		quarters = append(quarters, &unpacker{pack: r.quarters})
	}
	if out.models, _, err = mergePacks(models, false); err != nil {
		return run{}, err
	}
	if out.cells, out.units, err = mergePacks(cells, true); err != nil {
		return run{}, err
	}
	if out.quarters, _, err = mergePacks(quarters, false); err != nil {
		return run{}, err
	}
	return out, nil
}

// mergePacks merges sorted packs. There are few, so finding the least by
// looking at each is as fast as a heap.
func mergePacks(in []*unpacker, split bool) (pack, units []byte, err error) {
	out := packer{split: split}
	for {
		var least *unpacker
		for _, u := range in {
			if err := u.fill(); err != nil {
				return nil, nil, err
			}
			if !u.done() && (least == nil || u.at().compare(&least.at().cell) < 0) {
				least = u
			}
		}
		if least == nil {
			pack, units = out.bytes()
			return pack, units, nil
		}
		out.add(least.at())
		least.next++
	}
}
