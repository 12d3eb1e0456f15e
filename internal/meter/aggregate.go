package meter

import (
	"math"
	"slices"
	"strings"

	"gatehouse"
)

// column is a parsed UsageValue.
type column struct {
	name string // usd, ticks, tokens, input_tokens, output_tokens, billing_items, num_units
	agg  string
}

// percentiles are taken by nearest rank: the smallest value that at least this
// share of the items does not exceed.
var percentiles = map[string]float64{"P50": 0.50, "P90": 0.90, "P99": 0.99, "P999": 0.999}

// value is what the column counts of an item, in ticks or units. ok is false
// where the item has no such value: images have no tokens.
func (c *column) value(it *item) (v int64, ok bool) {
	switch c.name {
	case "usd", "ticks":
		return int64(it.cost), true
	case "tokens":
		return it.tokens, it.whole || it.unit.IsToken()
	case inputTokens, outputTokens:
		return it.tokens, it.unit.IsToken() && (c.name == outputTokens) == it.unit.IsCompletion()
	case "billing_items":
		return it.items, true
	}
	return it.units, true
}

// The halves of tokens. Rollups know them by unit.
const (
	inputTokens  = "input_tokens"
	outputTokens = "output_tokens"
)

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
	sum, n int64
	more   *spread // for what sums cannot tell
}

// spread is how the values lie.
type spread struct {
	min, max int64
	mean, m2 float64
	all      []int64
}

func (a *acc) add(c *column, v, items int64) {
	a.sum = addClamped(a.sum, v)
	a.n += items
	if c.additive(false) {
		return
	}
	m := a.more
	if m == nil {
		m = &spread{min: v, max: v}
		a.more = m
	}
	m.min, m.max = min(m.min, v), max(m.max, v)
	// Welford's update: stable where the sum of squares would cancel.
	d := float64(v) - m.mean
	m.mean += d / float64(a.n)
	m.m2 += d * (float64(v) - m.mean)
	if c.keeps() {
		m.all = append(m.all, v)
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
		return a.more.m2 / float64(a.n) / scale / scale
	case "STD":
		return math.Sqrt(a.more.m2/float64(a.n)) / scale
	case "MIN":
		return float64(a.more.min) / scale
	case "MAX":
		return float64(a.more.max) / scale
	case "COUNT_DISTINCT":
		slices.Sort(a.more.all)
		return float64(len(slices.Compact(slices.Clone(a.more.all))))
	case "SUM":
		return float64(a.sum) / scale
	}
	slices.Sort(a.more.all)
	rank := int(math.Ceil(percentiles[c.agg]*float64(len(a.more.all)))) - 1
	return float64(a.more.all[max(rank, 0)]) / scale
}

// group is one series in the making. Few buckets are kept densely; of many,
// most are empty for most keys, and those are kept in a map.
type group struct {
	values []string
	dense  []acc
	sparse map[int][]acc
}

// maxDense bounds what an idle group costs: accumulators.
const maxDense = 128

// at is the accumulators of a bucket; nil when there are none and none are to be made.
func (g *group) at(bucket, columns int, fresh bool) []acc {
	if g.dense != nil {
		return g.dense[bucket*columns : (bucket+1)*columns]
	}
	p := g.sparse[bucket]
	if p == nil && fresh {
		p = make([]acc, columns)
		g.sparse[bucket] = p
	}
	return p
}

// table is every group.
type table struct {
	buckets int
	columns []column
	groups  map[string]*group
	key     []byte // of the item at hand, values ended by zeros
	most    int    // groups held at once
	cut     bool   // some were not
	kept    int    // values held for percentiles
}

// group finds the group of the key; nil when there are too many already.
func (t *table) group(by []field, it *item) *group {
	g := t.groups[string(t.key)]
	if g != nil {
		return g
	}
	if len(t.groups) >= t.most {
		t.cut = true
		return nil
	}
	g = &group{}
	if n := t.buckets * len(t.columns); n <= maxDense {
		g.dense = make([]acc, n)
	} else {
		g.sparse = map[int][]acc{}
	}
	for _, f := range by {
		g.values = append(g.values, strings.Clone(it.text(f)))
	}
	t.groups[string(t.key)] = g
	return g
}

func (t *table) add(g *group, bucket int, it *item) error {
	if g == nil {
		return nil
	}
	p := g.at(bucket, len(t.columns), true)
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
