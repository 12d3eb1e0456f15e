package meter

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse"
	"gatehouse/internal/store"
)

func berlin(t testing.TB) *time.Location {
	z, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func sumOf(name string) []gatehouse.UsageValue {
	return []gatehouse.UsageValue{{Name: name, Aggregation: "SUM"}}
}

func TestWhatAnalyzeRefusesAndWhy(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2026, 1, d, 0, 0, 0, 0, time.UTC) }
	good := gatehouse.UsageQuery{Start: day(1), End: day(3), Zone: time.UTC, Unit: gatehouse.UnitDay, Values: sumOf("usd")}
	cases := map[string]struct {
		change func(*gatehouse.UsageQuery)
		want   string
	}{
		"empty range":     {func(q *gatehouse.UsageQuery) { q.End = q.Start }, "timeRange: startTime must be before endTime"},
		"unknown unit":    {func(q *gatehouse.UsageQuery) { q.Unit = "INVALID" }, refusal + ` Unknown timeUnit "INVALID"`},
		"no values":       {func(q *gatehouse.UsageQuery) { q.Values = nil }, "values: at least one is required"},
		"unknown value":   {func(q *gatehouse.UsageQuery) { q.Values[0].Name = "euro" }, refusal + ` Unknown value "euro"`},
		"unknown agg":     {func(q *gatehouse.UsageQuery) { q.Values[0].Aggregation = "MEDIAN" }, refusal + ` Unknown aggregation "MEDIAN"`},
		"unknown group":   {func(q *gatehouse.UsageQuery) { q.GroupBy = []string{"colour"} }, refusal + ` Unknown field "colour"`},
		"group twice":     {func(q *gatehouse.UsageQuery) { q.GroupBy = []string{"model", "model"} }, `groupBy: "model" is there twice`},
		"unknown filter":  {func(q *gatehouse.UsageQuery) { q.Filters = []string{"colour:red"} }, refusal + ` Unknown field "colour", filter position 1`},
		"too long":        {func(q *gatehouse.UsageQuery) { q.End = q.Start.AddDate(2, 0, 0) }, "timeRange: at most 366 days by DAY; use TIME_UNIT_MONTH or TIME_UNIT_NONE for more"},
		"too many points": {func(q *gatehouse.UsageQuery) { q.Unit = gatehouse.UnitSecond }, "timeRange holds more than 10000 buckets of timeUnit SECOND: use a coarser timeUnit or a shorter range"},
	}
	for name, c := range cases {
		q := good
		q.Values = slices.Clone(good.Values)
		c.change(&q)
		_, err := (Analysis{}).Analyze(&rowsView{}, fixedID(1), q, day(9))
		if gatehouse.CodeOf(err) != gatehouse.InvalidArgument || gatehouse.Public(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestQuestionsBeyondTheRetentionOfRowsAreRefused(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	q := gatehouse.UsageQuery{Start: now.AddDate(0, -2, 0), End: now, Zone: time.UTC, Unit: gatehouse.UnitDay,
		Values: []gatehouse.UsageValue{{Name: "usd", Aggregation: "P99"}}}
	a := Analysis{Retention: 30 * 24 * time.Hour}
	_, err := a.Analyze(&rowsView{}, fixedID(1), q, now)
	want := "P99 of usd is computed from single requests, which are kept for 30 days: start at 2026-05-02 00:00:00 or later"
	if gatehouse.Public(err) != want {
		t.Errorf("%v", err)
	}
	// A retention that was shorter once left a floor, whatever holds now.
	v := &rowsView{floor: now.AddDate(0, 0, -7)}
	want = "P99 of usd is computed from single requests, which are not kept for so long: start at 2026-05-25 00:00:00 or later"
	if _, err := (Analysis{}).Analyze(v, fixedID(1), q, now); gatehouse.Public(err) != want {
		t.Errorf("%v", err)
	}
	q.Values[0].Aggregation = "SUM"
	if _, err := a.Analyze(&rowsView{}, fixedID(1), q, now); err != nil {
		t.Errorf("rollups are kept: %v", err)
	}
}

// Sums by day read the widest rollup that the zone's days are made of.
func TestRollupsAreReadWhereTheySuffice(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	cases := []struct {
		zone  string
		unit  gatehouse.TimeUnit
		width time.Duration
	}{{"UTC", gatehouse.UnitDay, 24 * time.Hour}, {"UTC", gatehouse.UnitMonth, 24 * time.Hour}, {"Europe/Berlin", gatehouse.UnitDay, time.Hour},
		{"Asia/Kathmandu", gatehouse.UnitDay, quarter}, {"Asia/Kolkata", gatehouse.UnitHour, quarter}, {"UTC", gatehouse.UnitNone, 0}}
	for _, c := range cases {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		v := &rowsView{}
		q := gatehouse.UsageQuery{Start: start, End: start.AddDate(0, 1, 0), Zone: zone, Unit: c.unit, Values: sumOf("usd"), GroupBy: []string{"description"}}
		if _, err := (Analysis{}).Analyze(v, fixedID(1), q, start); err != nil || len(v.seen) != 1 || v.seen[0].Width != c.width {
			t.Errorf("%s %s: %v, scans %+v", c.zone, c.unit, err, v.seen)
		}
	}
}

func TestKeysAreLabelledByNameAndRedactedForm(t *testing.T) {
	at := time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC)
	r := gatehouse.UsageRecord{TeamID: fixedID(1), KeyID: fixedID(2), Model: "grok-4", Endpoint: "chat", Start: at}
	r.Usage[gatehouse.PromptText], r.Costs[gatehouse.PromptText] = 10, gatehouse.USD/4
	v := &rowsView{rows: []gatehouse.UsageRecord{r}, keys: map[gatehouse.ID]*gatehouse.Key{
		fixedID(2): {Name: "ci", Secrets: []gatehouse.Secret{{Last4: "3Xxp"}}}}}
	q := gatehouse.UsageQuery{Start: at.Add(-time.Hour), End: at.Add(time.Hour), Zone: time.UTC, Unit: gatehouse.UnitHour,
		Values: append(sumOf("usd"), sumOf("tokens")...), GroupBy: []string{"description", "api_key_id"}}
	got, err := (Analysis{}).Analyze(v, fixedID(1), q, at)
	want := gatehouse.UsageAnswer{Series: []gatehouse.UsageSeries{{
		Group: []string{"Chat grok-4", fixedID(2).String()}, Labels: []string{"Chat grok-4", "ci (gthk_...3Xxp)"},
		Points: []gatehouse.UsagePoint{{Time: at.Add(-time.Hour), Values: []float64{0, 0}}, {Time: at, Values: []float64{0.25, 10}}}}}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(err, d)
	}
}

func TestTheLargestGroupsSurviveTheCap(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	v := &rowsView{}
	for i := range MaxGroups + 5 {
		r := gatehouse.UsageRecord{TeamID: fixedID(1), Model: fmt.Sprint("m", i), Endpoint: "chat", Start: at}
		r.Usage[gatehouse.PromptText] = int64(i + 1)
		v.rows = append(v.rows, r)
	}
	q := gatehouse.UsageQuery{Start: at, End: at.AddDate(0, 0, 1), Unit: gatehouse.UnitNone, Values: sumOf("tokens"), GroupBy: []string{"model"}}
	got, err := (Analysis{}).Analyze(v, fixedID(1), q, at)
	if err != nil || !got.LimitReached || len(got.Series) != MaxGroups {
		t.Fatalf("%v %v %d", err, got.LimitReached, len(got.Series))
	}
	if first := got.Series[0].Group[0]; first != fmt.Sprint("m", MaxGroups+4) {
		t.Errorf("the first series is %s", first)
	}
}

func TestFiltersThatAreRefusedNameThePosition(t *testing.T) {
	for s, want := range map[string]string{
		"":                       "filter, position 1: want field:value",
		"model":                  "filter, position 1: want field:value",
		"model:":                 "filter, position 7: want a value",
		"model:a model:b":        `filter, position 9: want AND or OR, not "model:b"`,
		"model:a and model:b":    `filter, position 9: want AND or OR, not "and"`,
		"model:a AND":            "filter, position 12: want field:value",
		"model:>a":               "filter, position 7: model has no order: use : or :!",
		`model:"a`:               "filter, position 7: the quote is not closed",
		`model:"a"b`:             "filter, position 10: want a blank after the closing quote",
		`model:"\n"`:             `filter, position 9: after \ want " or \`,
		`model:a"b`:              "filter, position 8: a quote inside a bare value",
		"usd:>x":                 `filter, position 5: usd is compared with a number, not "x"`,
		"model:a OR NOT NOT b:c": "filter, position 16: want field:value",
		"(model:a)":              refusal + ` Unknown field "(model", filter position 1`,
	} {
		if _, err := parseFilter(s); gatehouse.Public(err) != want {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestANDBindsTighterThanOR(t *testing.T) {
	f, err := parseFilter("model:a OR model:b AND endpoint:chat")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		model, endpoint string
		want            bool
	}{{"a", "image", true}, {"b", "image", false}, {"b", "chat", true}} {
		if got := f.holds(&item{model: c.model, endpoint: c.endpoint}); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func FuzzParseFilter(f *testing.F) {
	for _, s := range []string{"api_key_id:0000-9999", "usage:>100", `NOT model:"a \"b" OR usd:<=1e3 AND request_ip:!::1`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parsed, err := parseFilter(s)
		if (err == nil) == (len(parsed) == 0) {
			t.Fatalf("%q: %v, %v", s, parsed, err)
		}
		if err != nil && (gatehouse.CodeOf(err) != gatehouse.InvalidArgument || !strings.Contains(gatehouse.Public(err), "position")) {
			t.Fatal(err)
		}
		if err == nil {
			parsed.holds(&item{})
		}
	})
}

// A bucket is all instants of one local date, in every zone and year.
func TestDaysAreTheLocalDates(t *testing.T) {
	for _, name := range append(oracleZones, "America/St_Johns", "America/Sao_Paulo", "Africa/Cairo", "Asia/Gaza", "Antarctica/Troll") {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, year := range []int{2011, 2018, 2024} {
			start := time.Date(year, 1, 2, 12, 0, 0, 0, time.UTC)
			days, ok := buckets(start, start.AddDate(1, 0, 0), gatehouse.UnitDay, zone, 400)
			if !ok {
				t.Fatal("too many days")
			}
			for i, d := range days[1:] {
				before, at := d.Add(-time.Second).Format(time.DateOnly), d.Format(time.DateOnly)
				if before == at || days[i].Format(time.DateOnly) == at {
					t.Errorf("%s: %s does not start a date", name, d)
				}
				if skipped := name == "Pacific/Apia" && at == "2011-12-31"; !skipped && d.Sub(days[i]) > 26*time.Hour {
					t.Errorf("%s: a day of %s before %s", name, d.Sub(days[i]), d)
				}
			}
		}
	}
}

func TestWeeksStartOnMondayAndMonthsOnTheFirst(t *testing.T) {
	z := berlin(t)
	start := time.Date(2026, 3, 25, 15, 0, 0, 0, z) // a Wednesday; summer time begins on the 29th
	weeks, _ := buckets(start, start.AddDate(0, 0, 14), gatehouse.UnitWeek, z, 10)
	months, _ := buckets(start, start.AddDate(0, 1, 0), gatehouse.UnitMonth, z, 10)
	var got []string
	for _, b := range append(weeks, months...) {
		got = append(got, b.Format("Mon 2006-01-02 15:04 -07"))
	}
	want := []string{"Mon 2026-03-23 00:00 +01", "Mon 2026-03-30 00:00 +02", "Mon 2026-04-06 00:00 +02", "Sun 2026-03-01 00:00 +01", "Wed 2026-04-01 00:00 +02"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	hours, _ := buckets(time.Date(2026, 3, 29, 0, 0, 0, 0, z), time.Date(2026, 3, 30, 0, 0, 0, 0, z), gatehouse.UnitHour, z, 30)
	if len(hours) != 23 {
		t.Errorf("the day that loses an hour has %d", len(hours))
	}
}

var _ AnalysisView = (store.View)(nil)

func TestTagsAndEndUsersAreToldApart(t *testing.T) {
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	v := &rowsView{}
	for i, tags := range []map[string]string{{"env": "prod"}, {"env": "dev"}, {"env": "prod"}, nil} {
		r := gatehouse.UsageRecord{TeamID: fixedID(5), Start: day.Add(time.Duration(i) * time.Hour), Tags: tags, EndUser: "u" + strings.Repeat("1", i)}
		r.Usage[gatehouse.PromptText], r.Costs[gatehouse.PromptText] = 10, 7
		v.rows = append(v.rows, r)
	}
	ask := func(group, filter string) map[string]float64 {
		q := gatehouse.UsageQuery{Start: day, End: day.AddDate(0, 0, 1), Unit: gatehouse.UnitNone, Values: sumOf("ticks"), GroupBy: []string{group}}
		if filter != "" {
			q.Filters = []string{filter}
		}
		a, err := (Analysis{}).Analyze(v, fixedID(5), q, day)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]float64{}
		for _, s := range a.Series {
			out[s.Group[0]] = s.Points[0].Values[0]
		}
		return out
	}
	if diff := cmp.Diff(map[string]float64{"prod": 14, "dev": 7, "": 7}, ask("tag.env", "")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]float64{"u": 7, "u11": 7}, ask("end_user", "tag.env:prod")); diff != "" {
		t.Error(diff)
	}
}
