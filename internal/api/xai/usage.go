package xai

import (
	"context"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/gen/analytics"
	"gatehouse/gen/billing"
	"gatehouse/internal/api"
)

// AnalyzeBillingItems implements billing.UISvcServer.
func (bills) AnalyzeBillingItems(ctx context.Context, in *billing.AnalyzeBillingItemsRequest) (*analytics.AnalyticsResponse, error) {
	q, err := query(in.AnalyticsRequest)
	if err != nil {
		return nil, err
	}
	answer, err := api.From(ctx).AnalyzeUsage(ctx, api.PathID(in.TeamId), q)
	if err != nil {
		return nil, err
	}
	out := &analytics.AnalyticsResponse{LimitReached: answer.LimitReached}
	for _, s := range answer.Series {
		out.TimeSeries = append(out.TimeSeries, series(s))
	}
	return out, nil
}

func series(s gatehouse.UsageSeries) *analytics.TimeSeries {
	out := &analytics.TimeSeries{Group: s.Group, GroupLabels: s.Labels}
	for _, p := range s.Points {
		out.DataPoints = append(out.DataPoints, &analytics.DataPoint{Timestamp: api.Stamp(p.Time), Values: p.Values})
	}
	return out
}

func query(in *analytics.AnalyticsRequest) (q gatehouse.UsageQuery, err error) {
	var bad gatehouse.Violations
	if in == nil {
		bad.Addf("analyticsRequest", "is required")
		return q, bad.Err()
	}
	q = gatehouse.UsageQuery{
		Unit: gatehouse.TimeUnit(strings.TrimPrefix(in.TimeUnit.String(), "TIME_UNIT_")), GroupBy: in.GroupBy, Filters: in.Filters,
	}
	if in.TimeUnit == analytics.TimeUnit_TIME_UNIT_INVALID {
		bad.Addf("analyticsRequest.timeUnit", "is required, such as TIME_UNIT_DAY")
	}
	q.Zone = zone(in.TimeRange.GetTimezone(), &bad)
	q.Start = wallClock("startTime", in.TimeRange.GetStartTime(), q.Zone, &bad)
	q.End = wallClock("endTime", in.TimeRange.GetEndTime(), q.Zone, &bad)
	if len(bad) == 0 && !q.Start.Before(q.End) {
		bad.Addf("analyticsRequest.timeRange", "endTime must be after startTime")
	}
	if len(in.Values) == 0 {
		bad.Addf("analyticsRequest.values", "is required, such as {\"name\":\"usd\",\"aggregation\":\"AGGREGATION_SUM\"}")
	}
	for _, v := range in.Values {
		q.Values = append(q.Values, gatehouse.UsageValue{
			Name: v.Name, Aggregation: strings.TrimPrefix(v.Aggregation.String(), "AGGREGATION_"),
		})
	}
	return q, bad.Err()
}

// zone finds an IANA zone; absent is UTC. "Local" is this machine's own
// affair and no name of the wire's.
func zone(name string, bad *gatehouse.Violations) *time.Location {
	if name == "" {
		return time.UTC
	}
	loc, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		bad.Addf("analyticsRequest.timeRange.timezone", "is not an IANA time zone, such as Europe/Berlin")
		return time.UTC
	}
	return loc
}

// wallClock reads xAI's form of a time in the zone of the request. RFC 3339 is
// refused there, and so here: its offset would contradict the zone.
func wallClock(field, s string, zone *time.Location, bad *gatehouse.Violations) time.Time {
	t, err := time.ParseInLocation(time.DateTime, s, zone)
	if err != nil || len(s) != len(time.DateTime) {
		bad.Addf("analyticsRequest.timeRange."+field, "must be \"YYYY-MM-DD HH:MM:SS\", without T and Z")
	}
	return t
}
