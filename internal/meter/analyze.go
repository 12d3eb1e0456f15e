package meter

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// AnalysisView is what analysis reads: usage, and keys for their labels.
type AnalysisView interface {
	UsageCells(s store.UsageScan, yield func(store.UsageCell) error) error
	UsageRows(s store.UsageScan, yield func(*gatehouse.UsageRecord) error) error
	UsageFloor() (time.Time, error)
	Key(id gatehouse.ID) (*gatehouse.Key, error)
}

// The bounds of an answer.
const (
	MaxBuckets = 10_000
	MaxGroups  = 1_000
	MaxRange   = 366 * 24 * time.Hour // except by month and without buckets

	maxPoints     = 1_000_000 // groups × buckets
	maxHeldGroups = 100_000   // before the largest are chosen
	maxKept       = 5_000_000 // values held for percentiles
	refusal       = "Failed to query_billing_items(), Invalid argument provided."
)

// Analysis answers usage queries. The zero value is usable.
//
// What is aggregated are billing items, as xAI's error text has it: one per
// request and unit type that the request used. SUM is what most ask for; COUNT
// counts items, AVG and the percentiles are over items, `tokens` over items
// that are tokens. The aggregation NONE is SUM: a bucket has one value.
type Analysis struct {
	Retention time.Duration // of rows; 0: they are kept for ever. What was dropped already counts as well
	Brand     string        // of keys, for their labels; empty: the default
}

// plan is a query that was understood.
type plan struct {
	q       gatehouse.UsageQuery
	zone    *time.Location
	starts  []time.Time
	groupBy []field
	columns []column
	filters []filter                     // what the store cannot filter
	dims    []store.Dimension            // columns that groups and filters need
	where   map[store.Dimension][]string // what the store can filter
	perUnit bool                         // unit types are told apart
	rows    string                       // why raw rows are needed; empty: they are not
}

// Analyze evaluates q over a team's usage. InvalidArgument names what is wrong
// and what would help.
func (a Analysis) Analyze(v AnalysisView, team gatehouse.ID, q gatehouse.UsageQuery, now time.Time) (gatehouse.UsageAnswer, error) {
	p, err := newPlan(q)
	if err != nil {
		return gatehouse.UsageAnswer{}, err
	}
	t := &table{buckets: len(p.starts), columns: p.columns, groups: map[string]*group{}, most: maxHeldGroups}
	if err := a.scan(v, team, p, t, now); err != nil {
		return gatehouse.UsageAnswer{}, err
	}
	return a.answer(v, p, t), nil
}

func newPlan(q gatehouse.UsageQuery) (*plan, error) {
	p := &plan{q: q, zone: q.Zone, where: map[store.Dimension][]string{}}
	if p.zone == nil {
		p.zone = time.UTC
	}
	for _, step := range []func() error{p.parseTime, p.parseColumns, p.parseGroups, p.parseFilters} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	p.needRows()
	return p, nil
}

func (p *plan) parseTime() error {
	q := &p.q
	if !q.Start.Before(q.End) {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "timeRange: startTime must be before endTime")
	}
	switch q.Unit {
	case gatehouse.UnitMonth, gatehouse.UnitNone:
	case gatehouse.UnitWeek, gatehouse.UnitDay, gatehouse.UnitHour, gatehouse.UnitQuarterHour, gatehouse.UnitMinute, gatehouse.UnitSecond:
		if q.End.Sub(q.Start) > MaxRange+time.Hour { // an hour for a change to winter time
			return gatehouse.Errorf(gatehouse.InvalidArgument,
				"timeRange: at most 366 days by %s; use TIME_UNIT_MONTH or TIME_UNIT_NONE for more", q.Unit)
		}
	default:
		return gatehouse.Errorf(gatehouse.InvalidArgument, "%s Unknown timeUnit %q", refusal, clipText(string(q.Unit)))
	}
	var ok bool
	if p.starts, ok = buckets(q.Start, q.End, q.Unit, p.zone, MaxBuckets); !ok {
		return gatehouse.Errorf(gatehouse.InvalidArgument,
			"timeRange holds more than %d buckets of timeUnit %s: use a coarser timeUnit or a shorter range", MaxBuckets, q.Unit)
	}
	return nil
}

func (p *plan) parseColumns() error {
	if len(p.q.Values) == 0 {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "values: at least one is required")
	}
	for _, v := range p.q.Values {
		c := column{v.Name, v.Aggregation}
		switch c.name {
		case "usd", "ticks", "tokens", "billing_items", "num_units":
		case inputTokens, outputTokens:
			p.perUnit = true
		case "count":
			c.name = "billing_items"
		default:
			return gatehouse.Errorf(gatehouse.InvalidArgument, "%s Unknown value %q", refusal, clipText(v.Name))
		}
		switch c.agg {
		case "", "NONE":
			c.agg = "SUM"
		case "SUM", "AVG", "VAR", "STD", "MIN", "MAX", "P50", "P90", "P99", "P999", "COUNT", "COUNT_DISTINCT":
		default:
			return gatehouse.Errorf(gatehouse.InvalidArgument, "%s Unknown aggregation %q", refusal, clipText(v.Aggregation))
		}
		p.columns = append(p.columns, c)
	}
	if len(p.columns) > 20 {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "values: at most 20")
	}
	return nil
}

func (p *plan) parseGroups() error {
	for _, name := range p.q.GroupBy {
		dims, ok := grouped(name)
		if !ok {
			return gatehouse.Errorf(gatehouse.InvalidArgument, "%s Unknown field %q", refusal, clipText(name))
		}
		if slices.Contains(p.groupBy, field(name)) {
			return gatehouse.Errorf(gatehouse.InvalidArgument, "groupBy: %q is there twice", name)
		}
		p.groupBy = append(p.groupBy, field(name))
		p.need(dims...)
		p.perUnit = p.perUnit || field(name) == fieldUnitType
		p.raw(field(name))
	}
	return nil
}

// raw notes that rollups cannot tell the field.
func (p *plan) raw(f field) {
	if p.rows == "" && f.raw() {
		p.rows = string(f)
	}
}

func (p *plan) need(dims ...store.Dimension) {
	for _, d := range dims {
		if !slices.Contains(p.dims, d) {
			p.dims = append(p.dims, d)
		}
	}
}

func (p *plan) parseFilters() error {
	if len(p.q.Filters) > maxFilters {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "filters: at most %d", maxFilters)
	}
	for _, s := range p.q.Filters {
		f, err := parseFilter(s)
		if err != nil {
			return err
		}
		if p.push(f) {
			continue
		}
		p.filters = append(p.filters, f)
		for _, term := range f {
			for _, c := range term {
				p.need(groupFields[string(c.field)]...)
				p.raw(c.field)
				p.perUnit = p.perUnit || c.field == fieldUnitType
				if c.field.numeric() {
					p.perUnit, p.rows = true, "a filter on "+string(c.field)
				}
			}
		}
	}
	return nil
}

// push leaves a filter of the form a:x OR a:y to the store, and reports whether
// it could.
func (p *plan) push(f filter) bool {
	var dim store.Dimension
	var values []string
	for _, term := range f {
		c := term[0]
		dims := groupFields[string(c.field)]
		if len(term) != 1 || c.negate || c.op != "" || len(dims) != 1 || (dim != "" && dim != dims[0]) {
			return false
		}
		if _, err := gatehouse.ParseID(c.text); err != nil && (c.field == fieldKey || c.field == fieldUser) {
			return false // matches nothing; the store may not take it for an id
		}
		dim, values = dims[0], append(values, c.text)
	}
	if _, taken := p.where[dim]; taken {
		return false
	}
	p.where[dim] = values
	if dim == store.ByIP || dim == store.ByUser {
		p.need(dim)
	}
	return true
}

// needRows decides whether rollups suffice.
func (p *plan) needRows() {
	for i := range p.columns {
		if c := &p.columns[i]; p.rows == "" && !c.additive(p.perUnit) {
			p.rows = fmt.Sprintf("%s of %s", c.agg, c.name)
		}
	}
	for _, d := range p.dims {
		if p.rows == "" && (d == store.ByIP || d == store.ByUser) {
			p.rows = string(d)
		}
	}
	if w := width(p.q.Unit); p.rows == "" && w > 0 && w < quarter {
		p.rows = "timeUnit " + string(p.q.Unit)
	}
	for _, t := range p.starts {
		if p.rows == "" && !aligned(t, quarter) && t.After(p.q.Start) {
			p.rows = "timezone " + p.zone.String()
		}
	}
}

func aligned(t time.Time, w time.Duration) bool {
	return t.Nanosecond() == 0 && t.Unix()%int64(w/time.Second) == 0
}

// scan fills the table: from cells when rollups suffice, else from rows. Cells
// take rows too, where the range begins or ends inside a quarter of an hour.
func (a Analysis) scan(v AnalysisView, team gatehouse.ID, p *plan, t *table, now time.Time) error {
	s := store.UsageScan{Team: team, Start: p.q.Start.UTC(), End: p.q.End.UTC(), GroupBy: p.dims, Where: p.where}
	if p.rows != "" {
		return a.scanRows(v, s, p, t, now)
	}
	for _, edge := range []time.Time{s.Start, s.End} {
		if cut := edge.Truncate(quarter); !cut.Equal(edge) {
			if err := a.kept(v, edge, now, "a timeRange that is not a whole number of quarters of an hour"); err != nil {
				return err
			}
		}
	}
	s.Width, s.Totals = p.cellWidth(), !p.perUnit
	s.Most, s.Rank = p.most()
	it := &item{whole: s.Totals}
	take := func(it *item) error { return p.take(t, it) }
	return v.UsageCells(s, func(c store.UsageCell) error {
		it.at = c.Start
		for i, d := range s.GroupBy {
			it.set(d, c.Group[i])
		}
		if s.Totals {
			it.sums(&c)
			if c.Items == 0 {
				return nil
			}
			return take(it)
		}
		return it.each(&c.Units, &c.Costs, take)
	})
}

// cellWidth is the widest cell that no bucket's boundary cuts.
func (p *plan) cellWidth() time.Duration {
	if p.q.Unit == gatehouse.UnitNone {
		return 0
	}
	for _, w := range []time.Duration{24 * time.Hour, time.Hour} {
		if !slices.ContainsFunc(p.starts[1:], func(b time.Time) bool { return !aligned(b, w) }) {
			return w
		}
	}
	return quarter
}

// mostGroups is how many series an answer has at most.
func (p *plan) mostGroups() int { return max(min(MaxGroups, maxPoints/len(p.starts)), 1) }

// most lets the store choose the groups where its groups are the answer's and a
// sum decides, so that the cells of the others are never made. One more than is
// shown is asked for: it is how the answer knows that some were cut.
func (p *plan) most() (int, store.Measure) {
	rank := map[string]store.Measure{"usd": store.RankTicks, "ticks": store.RankTicks, "tokens": store.RankTokens,
		"num_units": store.RankAmount, "billing_items": store.RankItems}[p.columns[0].name]
	if p.columns[0].agg == "COUNT" {
		rank = store.RankItems
	}
	if p.perUnit || len(p.filters) > 0 || p.columns[0].agg == "AVG" || len(p.groupBy) == 0 {
		return 0, ""
	}
	return p.mostGroups() + 1, rank
}

// kept refuses what starts before the rows that are kept: those within the
// retention, as far as no longer one was shortened.
func (a Analysis) kept(v AnalysisView, start, now time.Time, why string) error {
	from, err := v.UsageFloor()
	if err != nil {
		return err
	}
	while := "which are not kept for so long"
	if kept := now.Add(-a.Retention); a.Retention > 0 && kept.After(from) {
		from, while = kept, fmt.Sprintf("which are kept for %d days", int(a.Retention.Hours()/24))
	}
	if start.Before(from) {
		return gatehouse.Errorf(gatehouse.InvalidArgument,
			"%s is computed from single requests, %s: start at %s or later", why, while, from.UTC().Format(time.DateTime))
	}
	return nil
}

func (a Analysis) scanRows(v AnalysisView, s store.UsageScan, p *plan, t *table, now time.Time) error {
	if err := a.kept(v, s.Start, now, p.rows); err != nil {
		return err
	}
	s.GroupBy = nil
	return v.UsageRows(s, func(r *gatehouse.UsageRecord) error {
		it := item{at: r.Start, key: r.KeyID.String(), model: r.Model, endpoint: r.Endpoint,
			cluster: r.Cluster, ip: r.ClientIP, user: r.UserID.String(), endUser: r.EndUser, tags: r.Tags}
		return it.each(&r.Usage, &r.Costs, func(it *item) error { return p.take(t, it) })
	})
}

// take filters an item and adds it to its group.
func (p *plan) take(t *table, it *item) error {
	for _, f := range p.filters {
		if !f.holds(it) {
			return nil
		}
	}
	at := sort.Search(len(p.starts), func(i int) bool { return p.starts[i].After(it.at) }) - 1
	t.key = t.key[:0]
	for _, f := range p.groupBy {
		t.key = append(append(t.key, it.text(f)...), 0)
	}
	return t.add(t.group(p.groupBy, it), max(at, 0), it)
}

// answer makes dense series of the largest groups by the first value, largest
// first.
func (a Analysis) answer(v AnalysisView, p *plan, t *table) gatehouse.UsageAnswer {
	type ranked struct {
		*group
		total float64
	}
	var all []ranked
	for _, g := range t.groups {
		r := ranked{g, 0}
		for i := range p.starts {
			if accs := g.at(i, len(p.columns), false); accs != nil {
				r.total += accs[0].result(&p.columns[0])
			}
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(x, y ranked) int {
		return cmp.Or(cmp.Compare(y.total, x.total), slices.Compare(x.values, y.values))
	})
	out := gatehouse.UsageAnswer{LimitReached: t.cut}
	if most := p.mostGroups(); len(all) > most {
		all, out.LimitReached = all[:most], true
	}
	names := map[string]string{}
	for _, r := range all {
		out.Series = append(out.Series, gatehouse.UsageSeries{
			Group: r.values, Labels: a.labels(v, p, r.values, names), Points: p.points(r.group)})
	}
	return out
}

func (p *plan) points(g *group) []gatehouse.UsagePoint {
	n := len(p.columns)
	out, flat := make([]gatehouse.UsagePoint, len(p.starts)), make([]float64, len(p.starts)*n)
	for i, t := range p.starts {
		out[i] = gatehouse.UsagePoint{Time: t.UTC(), Values: flat[i*n : i*n+n : i*n+n]}
		for k, a := range g.at(i, n, false) {
			out[i].Values[k] = a.result(&p.columns[k])
		}
	}
	return out
}

// labels says values for people: a key by its name and redacted form. names
// remembers those, since a key of many series is a record to verify each time.
func (a Analysis) labels(v AnalysisView, p *plan, values []string, names map[string]string) []string {
	labels := slices.Clone(values)
	i := slices.Index(p.groupBy, fieldKey)
	if i < 0 {
		return labels
	}
	name, ok := names[values[i]]
	if !ok {
		name = a.keyLabel(v, values[i])
		names[values[i]] = name
	}
	labels[i] = name
	return labels
}

// keyLabel is id where no such key is served.
func (a Analysis) keyLabel(v AnalysisView, text string) string {
	id, err := gatehouse.ParseID(text)
	if err != nil {
		return text
	}
	k, err := v.Key(id)
	if err != nil {
		return text
	}
	return fmt.Sprintf("%s (%s)", k.Name, gatehouse.Redact(cmp.Or(a.Brand, gatehouse.DefaultBrand), gatehouse.Inference, k.Last4()))
}
