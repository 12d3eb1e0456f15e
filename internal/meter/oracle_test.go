package meter

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse"
	"gatehouse/internal/store"
)

// rowsView is a store made of a slice.
type rowsView struct {
	rows []gatehouse.UsageRecord
	keys map[gatehouse.ID]*gatehouse.Key
	seen []store.UsageScan // of cells

	floor time.Time
}

func (v *rowsView) UsageFloor() (time.Time, error) { return v.floor, nil }

func (v *rowsView) Key(id gatehouse.ID) (*gatehouse.Key, error) {
	if k := v.keys[id]; k != nil {
		return k, nil
	}
	return nil, gatehouse.Errorf(gatehouse.NotFound, "no such key")
}

func dimension(r *gatehouse.UsageRecord, d store.Dimension) string {
	switch d {
	case store.ByKey:
		return r.KeyID.String()
	case store.ByModel:
		return r.Model
	case store.ByEndpoint:
		return r.Endpoint
	case store.ByCluster:
		return r.Cluster
	case store.ByIP:
		return r.ClientIP
	}
	return r.UserID.String()
}

func (v *rowsView) UsageRows(s store.UsageScan, yield func(*gatehouse.UsageRecord) error) error {
	for i := range v.rows {
		r := v.rows[i]
		if r.TeamID != s.Team || r.Start.Before(s.Start) || !r.Start.Before(s.End) {
			continue
		}
		ok := true
		for d, values := range s.Where {
			ok = ok && slices.Contains(values, dimension(&r, d))
		}
		if ok {
			if err := yield(&r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *rowsView) UsageCells(s store.UsageScan, yield func(store.UsageCell) error) error {
	v.seen = append(v.seen, s)
	cells := map[string]*store.UsageCell{}
	for _, d := range s.GroupBy {
		if d == store.ByIP || d == store.ByUser {
			return fmt.Errorf("no rollup by %s", d)
		}
	}
	if err := v.UsageRows(s, func(r *gatehouse.UsageRecord) error {
		c := store.UsageCell{Start: s.Start}
		if s.Width > 0 {
			c.Start = r.Start.Truncate(s.Width)
		}
		for _, d := range s.GroupBy {
			c.Group = append(c.Group, dimension(r, d))
		}
		key := c.Start.String() + strings.Join(c.Group, "\x00")
		if cells[key] == nil {
			cells[key] = &c
		}
		p := cells[key]
		p.Requests++
		p.Items += r.Usage.Items()
		p.Tokens += r.Usage.Tokens()
		p.Ticks += r.Costs.Total()
		for i := range r.Usage {
			p.Amount += r.Usage[i]
			if !s.Totals {
				p.Units[i] += r.Usage[i]
				p.Costs[i] += r.Costs[i]
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for _, c := range cells {
		if err := yield(*c); err != nil {
			return err
		}
	}
	return nil
}

// The rest of the file is the oracle: the slowest and plainest reading of the
// specification that comes to mind.

type oracleItem struct {
	fields map[string]string
	number map[string]float64
	at     time.Time
}

func oracleItems(rows []gatehouse.UsageRecord, team gatehouse.ID, q gatehouse.UsageQuery) (out []oracleItem) {
	for _, r := range rows {
		if r.TeamID != team || r.Start.Before(q.Start) || !r.Start.Before(q.End) {
			continue
		}
		for u, n := range r.Usage {
			if n == 0 {
				continue
			}
			it := oracleItem{at: r.Start, fields: map[string]string{
				"api_key_id": r.KeyID.String(), "model": r.Model, "endpoint": r.Endpoint, "cluster_name": r.Cluster,
				"request_ip": r.ClientIP, "user_id": r.UserID.String(), "unit_type": gatehouse.Unit(u).String(),
				"description": strings.ToUpper(r.Endpoint[:1]) + r.Endpoint[1:] + " " + r.Model,
			}, number: map[string]float64{"usd": float64(r.Costs[u]) / 1e10, "num_units": float64(n), "usage": float64(n), "billing_items": 1}}
			if gatehouse.Unit(u).IsToken() {
				it.number["tokens"] = float64(n)
			}
			out = append(out, it)
		}
	}
	return out
}

// bucketLabel names the bucket of an instant in words of its zone.
func bucketLabel(t time.Time, unit gatehouse.TimeUnit, zone *time.Location) string {
	t = t.In(zone)
	switch unit {
	case gatehouse.UnitMonth:
		return t.Format("2006-01")
	case gatehouse.UnitWeek:
		y, w := t.ISOWeek()
		return fmt.Sprint(y, w)
	case gatehouse.UnitDay:
		return t.Format("2006-01-02")
	case gatehouse.UnitHour:
		return t.Format("2006-01-02 15 -07:00")
	case gatehouse.UnitQuarterHour:
		return t.Format("2006-01-02 15 -07:00 ") + fmt.Sprint(t.Minute()/15)
	case gatehouse.UnitMinute:
		return t.Format("2006-01-02 15:04 -07:00")
	case gatehouse.UnitSecond:
		return t.Format("2006-01-02 15:04:05 -07:00")
	}
	return ""
}

func oracleAggregate(agg string, vs []float64) float64 {
	if len(vs) == 0 {
		return 0
	}
	slices.Sort(vs)
	sum, n := 0.0, float64(len(vs))
	for _, v := range vs {
		sum += v
	}
	variance := 0.0
	for _, v := range vs {
		variance += (v - sum/n) * (v - sum/n) / n
	}
	rank := func(p float64) float64 { return vs[max(int(math.Ceil(p*n))-1, 0)] }
	switch agg {
	case "AVG":
		return sum / n
	case "VAR":
		return variance
	case "STD":
		return math.Sqrt(variance)
	case "MIN":
		return vs[0]
	case "MAX":
		return vs[len(vs)-1]
	case "P50":
		return rank(0.5)
	case "P90":
		return rank(0.9)
	case "P99":
		return rank(0.99)
	case "P999":
		return rank(0.999)
	case "COUNT":
		return n
	case "COUNT_DISTINCT":
		return float64(len(slices.Compact(vs)))
	}
	return sum
}

// oracle gives group → bucket label → a value per column.
func oracle(rows []gatehouse.UsageRecord, team gatehouse.ID, q gatehouse.UsageQuery, keep func(oracleItem) bool) map[string]map[string][]float64 {
	values := map[string]map[string][][]float64{}
	for _, it := range oracleItems(rows, team, q) {
		if !keep(it) {
			continue
		}
		var parts []string
		for _, f := range q.GroupBy {
			parts = append(parts, it.fields[f])
		}
		g, b := strings.Join(parts, "|"), bucketLabel(it.at, q.Unit, q.Zone)
		if values[g] == nil {
			values[g] = map[string][][]float64{}
		}
		if values[g][b] == nil {
			values[g][b] = make([][]float64, len(q.Values))
		}
		for i, v := range q.Values {
			if n, ok := it.number[strings.Replace(v.Name, "count", "billing_items", 1)]; ok {
				values[g][b][i] = append(values[g][b][i], n)
			}
		}
	}
	out := map[string]map[string][]float64{}
	for g, bs := range values {
		out[g] = map[string][]float64{}
		for b, cols := range bs {
			for i, v := range q.Values {
				out[g][b] = append(out[g][b], oracleAggregate(v.Aggregation, cols[i]))
			}
		}
	}
	return out
}

// compareAnswer checks an answer against the oracle's.
func compareAnswer(q gatehouse.UsageQuery, want map[string]map[string][]float64, got gatehouse.UsageAnswer) error {
	if len(got.Series) != len(want) {
		return fmt.Errorf("%d series, want %d", len(got.Series), len(want))
	}
	for _, s := range got.Series {
		g := strings.Join(s.Group, "|")
		left := len(want[g])
		for i, p := range s.Points {
			if i > 0 && !p.Time.After(s.Points[i-1].Time) {
				return fmt.Errorf("group %q: points are not in order at %s", g, p.Time)
			}
			label := bucketLabel(p.Time, q.Unit, q.Zone)
			expect, ok := want[g][label]
			if ok {
				left--
			} else {
				expect = make([]float64, len(q.Values))
			}
			for k := range expect {
				if d := math.Abs(p.Values[k] - expect[k]); d > 1e-9*max(1, math.Abs(expect[k])) {
					return fmt.Errorf("group %q bucket %s %v: %v, want %v", g, label, q.Values[k], p.Values[k], expect[k])
				}
			}
		}
		if left != 0 {
			return fmt.Errorf("group %q: %d buckets have no point", g, left)
		}
	}
	return nil
}

var oracleZones = []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Havana", "Asia/Beirut", "Pacific/Apia"}

func oracleRows(t *rapid.T, team gatehouse.ID, from time.Time, span time.Duration) (rows []gatehouse.UsageRecord) {
	for i := range rapid.IntRange(30, 60).Draw(t, "rows") {
		r := gatehouse.UsageRecord{
			ID: gatehouse.NewTimeID(from), TeamID: team, KeyID: fixedID(byte(rapid.IntRange(1, 3).Draw(t, "key"))),
			UserID: fixedID(byte(rapid.IntRange(7, 8).Draw(t, "user"))), Model: rapid.SampledFrom([]string{"grok-4", "gpt 5", "a:b"}).Draw(t, "model"),
			Endpoint: rapid.SampledFrom([]string{"chat", "image"}).Draw(t, "endpoint"), Cluster: "local",
			ClientIP: rapid.SampledFrom([]string{"10.0.0.1", "2001:db8::1"}).Draw(t, "ip"), RequestID: fmt.Sprint(i),
			Start: from.Add(time.Duration(rapid.Int64Range(0, int64(span/time.Second)).Draw(t, "at")) * time.Second),
		}
		r.Close = r.Start.Add(time.Second)
		for _, u := range []gatehouse.Unit{gatehouse.PromptText, gatehouse.CompletionText, gatehouse.Images} {
			r.Usage[u] = rapid.Int64Range(0, 5).Draw(t, "n")
			r.Costs[u] = gatehouse.Ticks(r.Usage[u] * 12_500_000)
		}
		if i == 0 {
			r.TeamID = fixedID(77) // never to be seen
		}
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b gatehouse.UsageRecord) int { return a.Start.Compare(b.Start) })
	return rows
}

// oracleFilter draws a filter as text and as a function.
func oracleFilter(t *rapid.T) (string, func(oracleItem) bool) {
	var text []string
	var terms [][]func(oracleItem) bool
	terms = append(terms, nil)
	for i := range rapid.IntRange(1, 4).Draw(t, "clauses") {
		if i > 0 {
			word := rapid.SampledFrom([]string{"AND", "OR"}).Draw(t, "word")
			text = append(text, word)
			if word == "OR" {
				terms = append(terms, nil)
			}
		}
		s, f := oracleClause(t)
		text = append(text, s)
		terms[len(terms)-1] = append(terms[len(terms)-1], f)
	}
	return strings.Join(text, " "), func(it oracleItem) bool {
		for _, term := range terms {
			if !slices.ContainsFunc(term, func(f func(oracleItem) bool) bool { return !f(it) }) {
				return true
			}
		}
		return false
	}
}

func oracleClause(t *rapid.T) (string, func(oracleItem) bool) {
	values := map[string][]string{
		"api_key_id": {fixedID(1).String(), "0000-9999"}, "model": {"grok-4", `"gpt 5"`, "a:b"}, "endpoint": {"chat"}, "cluster_name": {"local", "x"},
		"request_ip": {"10.0.0.1", "2001:db8::1"}, "user_id": {fixedID(7).String()}, "unit_type": {"Images", `"Prompt text tokens"`},
		"description": {`"Chat grok-4"`}, "usage": {"2"}, "usd": {"0.005"}, "tokens": {"1"}}
	names := []string{"api_key_id", "model", "endpoint", "cluster_name", "request_ip", "user_id", "unit_type", "description", "usage", "usd", "tokens"}
	name := rapid.SampledFrom(names).Draw(t, "field")
	value := rapid.SampledFrom(values[name]).Draw(t, "value")
	ops := []string{"", "!"}
	number, numeric := 0.0, name == "usage" || name == "usd" || name == "tokens"
	if numeric {
		ops = []string{"", "!", ">", "<", ">=", "<="}
		fmt.Sscan(value, &number)
	}
	op, not := rapid.SampledFrom(ops).Draw(t, "op"), rapid.Bool().Draw(t, "not")
	plain := strings.Trim(value, `"`)
	f := func(it oracleItem) bool {
		if numeric {
			n := it.number[name]
			return map[string]bool{"": n == number, "!": n != number, ">": n > number, "<": n < number, ">=": n >= number, "<=": n <= number}[op]
		}
		return (it.fields[name] == plain) == (op == "")
	}
	text := name + ":" + op + value
	if !not {
		return text, f
	}
	return "NOT " + text, func(it oracleItem) bool { return !f(it) }
}

// oracleQuery draws a query around from; keep is its filters as a function.
func oracleQuery(t *rapid.T, from time.Time) (q gatehouse.UsageQuery, keep func(oracleItem) bool) {
	zone, err := time.LoadLocation(rapid.SampledFrom(oracleZones).Draw(t, "zone"))
	if err != nil {
		t.Fatal(err)
	}
	q = gatehouse.UsageQuery{Zone: zone, Unit: rapid.SampledFrom([]gatehouse.TimeUnit{gatehouse.UnitMonth, gatehouse.UnitWeek, gatehouse.UnitDay,
		gatehouse.UnitHour, gatehouse.UnitQuarterHour, gatehouse.UnitMinute, gatehouse.UnitNone}).Draw(t, "unit")}
	step := rapid.SampledFrom([]time.Duration{time.Second, quarter, 24 * time.Hour}).Draw(t, "step")
	q.Start = from.Add(time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "start"))).Truncate(step)
	q.End = q.Start.Add(time.Duration(rapid.Int64Range(int64(time.Second), int64(100*time.Hour)).Draw(t, "len")).Truncate(step) + step)
	for range rapid.IntRange(1, 3).Draw(t, "columns") {
		q.Values = append(q.Values, gatehouse.UsageValue{
			Name:        rapid.SampledFrom([]string{"usd", "tokens", "billing_items", "count", "num_units"}).Draw(t, "name"),
			Aggregation: rapid.SampledFrom([]string{"SUM", "SUM", "COUNT", "AVG", "NONE", "VAR", "STD", "MIN", "MAX", "P50", "P90", "P99", "P999", "COUNT_DISTINCT"}).Draw(t, "agg")})
	}
	q.GroupBy = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"description", "model", "api_key_id", "unit_type", "cluster_name",
		"request_ip", "user_id", "endpoint"}), 0, 3, rapid.ID).Draw(t, "groups")
	var keeps []func(oracleItem) bool
	for range rapid.IntRange(0, 2).Draw(t, "filters") {
		s, f := oracleFilter(t)
		q.Filters, keeps = append(q.Filters, s), append(keeps, f)
	}
	return q, func(it oracleItem) bool {
		return !slices.ContainsFunc(keeps, func(f func(oracleItem) bool) bool { return !f(it) })
	}
}

// fourDays around changes to and from summer time in all zones above.
var oracleStarts = []time.Time{
	time.Date(2024, 3, 8, 0, 0, 0, 0, time.UTC), time.Date(2024, 3, 29, 0, 0, 0, 0, time.UTC), time.Date(2024, 4, 5, 0, 0, 0, 0, time.UTC),
	time.Date(2024, 10, 4, 0, 0, 0, 0, time.UTC), time.Date(2024, 10, 25, 0, 0, 0, 0, time.UTC), time.Date(2011, 12, 28, 0, 0, 0, 0, time.UTC),
}

func TestAnalyzeAgreesWithBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.SampledFrom(oracleStarts).Draw(t, "from")
		v := &rowsView{rows: oracleRows(t, fixedID(5), from, 6*24*time.Hour)}
		for range 20 {
			q, keep := oracleQuery(t, from)
			got, err := (Analysis{}).Analyze(v, fixedID(5), q, from)
			if err != nil {
				t.Fatal(err)
			}
			if err := compareAnswer(q, oracle(v.rows, fixedID(5), q, keep), got); err != nil {
				t.Fatalf("%+v: %v", q, err)
			}
		}
	})
}
