package admin

import (
	"encoding/csv"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/api"
	"gatehouse/internal/billing"
	"gatehouse/internal/openapi"
)

// usageParameters are what GET /admin/v1/usage takes: xAI's analytics request
// as a query string, for spreadsheets and dashboards.
var usageParameters = []string{"teamId", "startTime", "endTime", "timezone", "timeUnit", "values", "groupBy", "filter"}

var usageDoc = api.PlainDoc{
	Summary: "AnalyzeBillingItems answers a question about consumption as CSV: a row per bucket and group that used anything.",
	Query: map[string]string{
		"teamId":    "Team; the management key's own unless said.",
		"startTime": "\"YYYY-MM-DD\" or \"YYYY-MM-DD HH:MM:SS\" in timezone; 30 days before endTime unless said.",
		"endTime":   "The same, exclusive; now unless said.",
		"timezone":  "IANA time zone of days and weeks; UTC unless said.",
		"timeUnit":  "month, week, day, hour, quarter_hour, minute, second or none; day unless said.",
		"values":    "Columns, separated by commas: usd, ticks, tokens, billing_items or num_units, each with :AGGREGATION if it is not sum.",
		"groupBy":   "Fields, separated by commas: api_key_id, model, endpoint, cluster_name, unit_type, user_id, end_user, request_ip, description, tag.NAME.",
		"filter":    "An expression such as model:grok-4 AND tag.env:prod.",
	},
	Kind: "text/csv", Answer: &openapi.Schema{Type: "string"},
	Example: "time,model,usd\n2026-01-01T00:00:00Z,grok-4,1.25\n",
}

// usageCSV answers a usage question as CSV: a row per bucket and group, rows
// without usage left out, times in the question's zone.
func usageCSV(w http.ResponseWriter, r *http.Request, req *api.Request) error {
	team, q, err := usageQuery(r.URL.Query(), req.Now)
	if err != nil {
		return err
	}
	answer, err := req.AnalyzeUsage(r.Context(), team, q)
	if err != nil {
		return err
	}
	if answer.LimitReached {
		w.Header().Set("Warning", `299 gatehouse "there are more groups than are here"`)
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="usage.csv"`)
	out := csv.NewWriter(w)
	if err := out.Write(usageHeader(q)); err != nil {
		return err
	}
	for _, s := range answer.Series {
		for _, p := range s.Points {
			if row := usageLine(q, s, p); row != nil {
				_ = out.Write(row) // Error tells
			}
		}
	}
	out.Flush()
	return out.Error()
}

func usageHeader(q gatehouse.UsageQuery) []string {
	out := append([]string{"time"}, q.GroupBy...)
	for _, name := range q.GroupBy {
		if name == "api_key_id" {
			out = append(out, "api_key")
		}
	}
	for _, v := range q.Values {
		out = append(out, v.Name)
	}
	return out
}

// usageLine is nil where nothing was used. The name of a key that is gone is empty.
func usageLine(q gatehouse.UsageQuery, s gatehouse.UsageSeries, p gatehouse.UsagePoint) []string {
	row, used := []string{p.Time.In(q.Zone).Format(time.RFC3339)}, false
	for _, v := range s.Group {
		row = append(row, billing.Cell(v))
	}
	if i := slices.Index(q.GroupBy, "api_key_id"); i >= 0 {
		name := ""
		if s.Labels[i] != s.Group[i] {
			name = billing.Cell(s.Labels[i])
		}
		row = append(row, name)
	}
	for _, v := range p.Values {
		used = used || v != 0
		row = append(row, strconv.FormatFloat(v, 'f', -1, 64))
	}
	if !used {
		return nil
	}
	return row
}

func usageQuery(v url.Values, now time.Time) (team gatehouse.ID, q gatehouse.UsageQuery, err error) {
	var bad gatehouse.Violations
	if s := v.Get("teamId"); s != "" {
		if team, err = gatehouse.ParseID(s); err != nil {
			bad.Addf("teamId", "is not an id")
		}
	}
	if q.Zone, err = time.LoadLocation(v.Get("timezone")); err != nil || v.Get("timezone") == "Local" {
		bad.Addf("timezone", "is not an IANA time zone, such as Europe/Berlin")
		q.Zone = time.UTC
	}
	q.End = wallClock("endTime", v.Get("endTime"), now, q.Zone, &bad)
	q.Start = wallClock("startTime", v.Get("startTime"), q.End.AddDate(0, 0, -30), q.Zone, &bad)
	q.Unit = gatehouse.TimeUnit(strings.ToUpper(strings.TrimPrefix(v.Get("timeUnit"), "TIME_UNIT_")))
	switch q.Unit {
	case "":
		q.Unit = gatehouse.UnitDay
	case "WEEK":
		q.Unit = gatehouse.UnitWeek
	}
	q.GroupBy = listed(v.Get("groupBy"))
	if f := v.Get("filter"); f != "" {
		q.Filters = []string{f}
	}
	for _, s := range listed(v.Get("values")) {
		name, how, _ := strings.Cut(s, ":")
		q.Values = append(q.Values, gatehouse.UsageValue{Name: name, Aggregation: strings.ToUpper(how)})
	}
	if len(q.Values) == 0 {
		q.Values = []gatehouse.UsageValue{{Name: "usd"}, {Name: "tokens"}, {Name: "billing_items"}}
	}
	return team, q, bad.Err()
}

// wallClock reads a date, or a date and a time of day, in the zone.
func wallClock(field, s string, absent time.Time, zone *time.Location, bad *gatehouse.Violations) time.Time {
	if s == "" {
		return absent
	}
	for _, layout := range []string{time.DateTime, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil && len(s) == len(layout) {
			return t
		}
	}
	bad.Addf(field, "must be \"YYYY-MM-DD\" or \"YYYY-MM-DD HH:MM:SS\", in the timezone of the question")
	return absent
}

// listed splits at commas; empty is none.
func listed(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}
