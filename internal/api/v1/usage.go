package v1

import (
	"context"
	"slices"
	"strings"
	"time"

	"gatehouse"
	v1pb "gatehouse/gen/v1"
	"gatehouse/internal/api"
)

// usage answers /v1/usage and /v1/billing/usage.
type usage struct {
	v1pb.UnimplementedUsageServer
}

// The groups, and what usage is analysed by for each.
const (
	byDay   = "day"
	byModel = "model"
	byKey   = "api_key"
)

var groupField = map[string]string{byModel: "model", byKey: "api_key_id"}

// columns are the values of each point; rows read them by position. Money is
// summed in ticks, whole numbers, and divided once.
var columns = []gatehouse.UsageValue{
	{Name: "ticks", Aggregation: "SUM"}, {Name: "input_tokens", Aggregation: "SUM"},
	{Name: "output_tokens", Aggregation: "SUM"}, {Name: "num_units", Aggregation: "SUM"},
}

const (
	ticksColumn = iota
	inputColumn
	outputColumn
	unitsColumn
)

// question is a request that was understood.
type question struct{ gatehouse.UsageQuery }

// AnalyzeBillingItems implements v1pb.UsageServer.
func (usage) AnalyzeBillingItems(ctx context.Context, in *v1pb.GetUsageRequest) (*v1pb.GetUsageResponse, error) {
	r := api.From(ctx)
	q, err := asked(in, r.Now)
	if err != nil {
		return nil, err
	}
	answer, err := r.AnalyzeUsage(ctx, gatehouse.ID{}, q.UsageQuery)
	if err != nil {
		return nil, err
	}
	out := &v1pb.GetUsageResponse{Usage: q.rows(answer), TotalCost: cost(answer), LimitReached: answer.LimitReached}
	if !answer.LimitReached {
		return out, nil
	}
	all := q.UsageQuery // what was cut off costs too
	all.Unit, all.GroupBy, all.Values = gatehouse.UnitNone, nil, columns[:1]
	answer, err = r.AnalyzeUsage(ctx, gatehouse.ID{}, all)
	out.TotalCost = cost(answer)
	return out, err
}

// cost is the sum of an answer's first column in dollars.
func cost(a gatehouse.UsageAnswer) float64 {
	var sum gatehouse.Ticks
	for _, s := range a.Series {
		for _, p := range s.Points {
			sum += gatehouse.Ticks(p.Values[ticksColumn])
		}
	}
	return sum.Float()
}

// rows are the points at which anything was used, by day, the dearest group first.
func (q *question) rows(a gatehouse.UsageAnswer) (out []*v1pb.UsageRow) {
	if len(a.Series) == 0 {
		return nil
	}
	for i := range a.Series[0].Points {
		for _, s := range a.Series {
			if p := s.Points[i]; slices.ContainsFunc(p.Values, func(v float64) bool { return v != 0 }) {
				out = append(out, q.row(s, p))
			}
		}
	}
	return out
}

func (q *question) row(s gatehouse.UsageSeries, p gatehouse.UsagePoint) *v1pb.UsageRow {
	out := &v1pb.UsageRow{
		InputTokens: p.Values[inputColumn], OutputTokens: p.Values[outputColumn], Cost: gatehouse.Ticks(p.Values[ticksColumn]).Float(),
	}
	if q.Unit == gatehouse.UnitDay {
		day := p.Time.In(q.Zone).Format(time.DateOnly)
		out.Date = &day
	}
	for i, field := range q.GroupBy {
		switch value := s.Group[i]; field {
		case groupField[byModel]:
			out.Model = &value
		case groupField[byKey]:
			name := keyName(value, s.Labels[i])
			out.ApiKeyId, out.ApiKeyName = &value, &name
		}
	}
	return out
}

// keyName takes the name out of a key's label, which is "NAME (REDACTED)", or
// the id where the key is gone.
func keyName(id, label string) string {
	end := strings.LastIndex(label, " (")
	if label == id || end < 0 {
		return ""
	}
	return label[:end]
}

// defaultDays is how long a time is shown of which only the end is said.
const (
	defaultDays = 30
	maxDays     = 366
)

func asked(in *v1pb.GetUsageRequest, now time.Time) (q question, err error) {
	var bad gatehouse.Violations
	q.Zone, q.Values, q.Unit = zone(in.Timezone, &bad), columns, gatehouse.UnitNone
	groups := groupsOf(in.GroupBy)
	for i, name := range groups {
		switch field := groupField[name]; {
		case slices.Contains(groups[:i], name):
			bad.Addf("group_by", "names a group twice")
		case name == byDay:
			q.Unit = gatehouse.UnitDay
		case field != "":
			q.GroupBy = append(q.GroupBy, field)
		default:
			bad.Addf("group_by", "must be of %s, %s and %s, separated by commas", byDay, byModel, byKey)
		}
	}
	q.between(in, now, &bad)
	return q, bad.Err()
}

func groupsOf(in []string) []string {
	if all := strings.Join(in, ","); all != "" {
		return strings.Split(all, ",")
	}
	return []string{byDay, byModel}
}

// zone finds an IANA zone; absent is UTC. "Local" is this machine's own.
func zone(name string, bad *gatehouse.Violations) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil || name == time.Local.String() {
		bad.Addf("timezone", "is not an IANA time zone, such as Europe/Berlin")
		return time.UTC
	}
	return loc
}

// between reads the first and the last day, both within.
func (q *question) between(in *v1pb.GetUsageRequest, now time.Time, bad *gatehouse.Violations) {
	year, month, day := now.In(q.Zone).Date()
	last := readDay("end_date", in.EndDate, time.Date(year, month, day, 0, 0, 0, 0, time.UTC), bad)
	first := readDay("start_date", in.StartDate, last.AddDate(0, 0, 1-defaultDays), bad)
	end := last.AddDate(0, 0, 1)
	switch {
	case len(*bad) > 0:
	case first.After(last):
		bad.Addf("end_date", "must not be before start_date")
	case first.AddDate(0, 0, maxDays).Before(end):
		bad.Addf("end_date", "must be at most %d days from start_date", maxDays)
	}
	q.Start, q.End = q.startOf(first), q.startOf(end)
}

// startOf is when a date begins in the zone of the question.
func (q *question) startOf(date time.Time) time.Time {
	year, month, day := date.Date()
	return gatehouse.DayStart(year, month, day, q.Zone)
}

// readDay reads a date, in the years in which there may be usage. It is a
// midnight of UTC: some dates of other zones have none.
func readDay(field, s string, absent time.Time, bad *gatehouse.Violations) time.Time {
	if s == "" {
		return absent
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || !gatehouse.CycleOf(t).Valid() {
		bad.Addf(field, "must be a date such as 2026-01-31")
	}
	return t
}
