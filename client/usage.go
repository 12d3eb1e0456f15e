package client

import (
	"context"
	"net/http"
	"time"

	"gatehouse"
	"gatehouse/gen/analytics"
	"gatehouse/gen/billing"
)

// AnalyzeUsage implements gatehouse.UsageReader. The wire's times are wall
// clocks of the zone, to the second.
func (c *Client) AnalyzeUsage(ctx context.Context, team gatehouse.ID, q gatehouse.UsageQuery) (gatehouse.UsageAnswer, error) {
	team, err := c.team(ctx, team)
	if err != nil {
		return gatehouse.UsageAnswer{}, err
	}
	asked, err := analyticsFrom(q)
	if err != nil {
		return gatehouse.UsageAnswer{}, err
	}
	out, err := call[analytics.AnalyticsResponse](ctx, c, request{
		method: http.MethodPost, path: under("/v1/billing/teams", team.String()) + "/usage",
		body: &billing.AnalyzeBillingItemsRequest{AnalyticsRequest: asked},
	})
	if err != nil {
		return gatehouse.UsageAnswer{}, err
	}
	return gatehouse.UsageAnswer{Series: each(out.TimeSeries, seriesFrom), LimitReached: out.LimitReached}, nil
}

// analyticsFrom refuses what the wire's enums cannot say.
func analyticsFrom(q gatehouse.UsageQuery) (*analytics.AnalyticsRequest, error) {
	var bad gatehouse.Violations
	unit, ok := analytics.TimeUnit_value["TIME_UNIT_"+string(q.Unit)]
	if !ok {
		bad.Addf("timeUnit", "is no unit of time: DAY, HOUR, CALENDAR_WEEK, MONTH, NONE, …")
	}
	zone := q.Zone
	if zone == nil {
		zone = time.UTC
	}
	out := &analytics.AnalyticsRequest{
		TimeUnit: analytics.TimeUnit(unit), GroupBy: q.GroupBy, Filters: q.Filters,
		TimeRange: &analytics.TimeRange{
			StartTime: q.Start.In(zone).Format(time.DateTime), EndTime: q.End.In(zone).Format(time.DateTime), Timezone: zone.String(),
		},
	}
	for _, v := range q.Values {
		how, ok := analytics.Aggregation_value["AGGREGATION_"+v.Aggregation]
		if !ok {
			bad.Addf("values", "%s: no such aggregation: SUM, AVG, MIN, MAX, P50, P90, P99, COUNT, …", v.Name)
		}
		out.Values = append(out.Values, &analytics.Value{Name: v.Name, Aggregation: analytics.Aggregation(how)})
	}
	return out, bad.Err()
}

func seriesFrom(s *analytics.TimeSeries) gatehouse.UsageSeries {
	return gatehouse.UsageSeries{
		Group: s.Group, Labels: s.GroupLabels,
		Points: each(s.DataPoints, func(p *analytics.DataPoint) gatehouse.UsagePoint {
			return gatehouse.UsagePoint{Time: moment(p.Timestamp), Values: p.Values}
		}),
	}
}
