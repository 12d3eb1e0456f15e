package meter

import (
	"math"
	"slices"
	"strings"

	"gatehouse"
)

// column is a parsed UsageValue.
type column struct {
	name string // usd, tokens, billing_items, num_units
	agg  string
}

// percentiles are taken by nearest rank: the smallest value that at least this
// share of the items does not exceed.
var percentiles = map[string]float64{"P50": 0.50, "P90": 0.90, "P99": 0.99, "P999": 0.999}

// value is what the column counts of an item, in ticks or units. ok is false
// where the item has no such value: images have no tokens.
func (c *column) value(it *item) (v int64, ok bool) {
	switch c.name {
	case "usd":
		return int64(it.cost), true
	case "tokens":
		return it.tokens, it.whole || it.unit.IsToken()
	case "billing_items":
		return it.items, true
	}
	return it.units, true
}

// additive reports whether rollups suffice: sums add up, and averages where the
// number of items is known. perUnit says that unit types are told apart, of
// which a rollup does not know how many items each had.
func (c *column) additive(perUnit bool) bool {
	switch c.agg {
	case "SUM":
		return c.name != "billing_items" || !perUnit
	case "COUNT":
		return c.name != "tokens" && !perUnit
	case "AVG":
		return c.name != "tokens" && !perUnit
	}
	return false
}

// keeps reports whether the aggregation needs every value.
func (c *column) keeps() bool { return percentiles[c.agg] != 0 || c.agg == "COUNT_DISTINCT" }

// acc accumulates one column of one bucket of one group. Sums are exact.
type acc struct {
	sum, n   int64
	min, max int64
	mean, m2 float64
	all      []int64
}

func (a *acc) add(c *column, v, items int64) {
	if a.n == 0 || v < a.min {
		a.min = v
	}
	if a.n == 0 || v > a.max {
		a.max = v
	}
	a.sum = addClamped(a.sum, v)
	a.n += items
	// Welford's update: stable where the sum of squares would cancel.
	d := float64(v) - a.mean
	a.mean += d / float64(a.n)
	a.m2 += d * (float64(v) - a.mean)
	if c.keeps() {
		a.all = append(a.all, v)
	}
}

// addClamped stays at the largest number rather than turn negative.
func addClamped(a, b int64) int64 {
	if s := a + b; (b >= 0) == (s >= a) {
		return s
	}
	return math.MaxInt64
}

// result is the aggregate as the wire has it: dollars or units; 0 for none.
func (a *acc) result(c *column) float64 {
	if a == nil || a.n == 0 {
		return 0
	}
	scale := 1.0
	if c.name == "usd" {
		scale = float64(gatehouse.USD)
	}
	switch c.agg {
	case "COUNT":
		return float64(a.n)
	case "AVG":
		return float64(a.sum) / float64(a.n) / scale
	case "VAR":
		return a.m2 / float64(a.n) / scale / scale
	case "STD":
		return math.Sqrt(a.m2/float64(a.n)) / scale
	case "MIN":
		return float64(a.min) / scale
	case "MAX":
		return float64(a.max) / scale
	case "COUNT_DISTINCT":
		slices.Sort(a.all)
		return float64(len(slices.Compact(slices.Clone(a.all))))
	case "SUM":
		return float64(a.sum) / scale
	}
	slices.Sort(a.all)
	rank := int(math.Ceil(percentiles[c.agg]*float64(len(a.all)))) - 1
	return float64(a.all[max(rank, 0)]) / scale
}

// group is one series in the making: sparse, since most keys are idle in most
// buckets.
type group struct {
	values []string
	points map[int][]acc
}

// table is every group.
type table struct {
	columns []column
	groups  map[string]*group
	most    int  // groups held at once
	cut     bool // some were not
	kept    int  // values held for percentiles
}

func (t *table) add(values []string, bucket int, it *item) error {
	key := strings.Join(values, "\x00")
	g := t.groups[key]
	if g == nil {
		if len(t.groups) >= t.most {
			t.cut = true
			return nil
		}
		g = &group{values: slices.Clone(values), points: map[int][]acc{}}
		t.groups[key] = g
	}
	p := g.points[bucket]
	if p == nil {
		p = make([]acc, len(t.columns))
		g.points[bucket] = p
	}
	for i := range t.columns {
		c := &t.columns[i]
		v, ok := c.value(it)
		if !ok {
			continue
		}
		p[i].add(c, v, it.items)
		if c.keeps() {
			if t.kept++; t.kept > maxKept {
				return gatehouse.Errorf(gatehouse.InvalidArgument,
					"%s over more than %d billing items: narrow the time range or the filters", c.agg, maxKept)
			}
		}
	}
	return nil
}
