package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/billing"
)

type usageCmd struct {
	remote
	Team    gatehouse.ID `help:"Team. Default: the management key's own." placeholder:"ID"`
	From    instant      `help:"Start: a time, a date, or how long ago, such as 30d." default:"30d" placeholder:"WHEN"`
	To      instant      `help:"End, exclusive: a time, a date, or how long ago. Default: now." placeholder:"WHEN"`
	Zone    string       `help:"Time zone of days and weeks, such as Europe/Berlin." default:"UTC" placeholder:"ZONE"`
	Unit    string       `help:"Width of a row: month, week, day, hour, quarter-hour, minute, second, or none for one." enum:"month,week,day,hour,quarter-hour,minute,second,none" default:"day"`
	Value   []string     `help:"Column, as usd, tokens or NAME:AGGREGATION such as tokens:p99. Repeatable." default:"usd,tokens" placeholder:"NAME"`
	GroupBy []string     `help:"Split by this, such as model or api_key_id. Repeatable." placeholder:"FIELD"`
	Filter  []string     `help:"Only usage that fits, such as model:grok-4. Repeatable; all must fit." sep:"none" placeholder:"EXPRESSION"`
	Format  string       `help:"table, leaving out rows without usage, or csv with every row." enum:"table,csv" default:"table"`
}

// Run asks about usage.
func (c *usageCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		q, err := c.query(time.Now())
		if err != nil {
			return err
		}
		a, err := s.AnalyzeUsage(s, c.Team, q)
		if err != nil {
			return err
		}
		if a.LimitReached {
			fmt.Fprintln(e.err, "warning: there are more groups than are shown")
		}
		if c.Format == "csv" {
			return s.show(func(w io.Writer) {
				out := csv.NewWriter(w)
				_ = out.WriteAll(c.rows(a, q.Zone, true)) // its error is the writer's, which sticks
			})
		}
		return s.show(func(w io.Writer) { columns(w, c.rows(a, q.Zone, false)) })
	})
}

// usageWeeklyCmd is the question that a team should ask every week.
type usageWeeklyCmd struct {
	remote
	Team   gatehouse.ID `help:"Team. Default: the management key's own." placeholder:"ID"`
	Weeks  int          `help:"How many weeks back, the running one included." default:"4"`
	Zone   string       `help:"Time zone of weeks, such as Europe/Berlin." default:"UTC" placeholder:"ZONE"`
	Filter []string     `help:"Only usage that fits, such as model:grok-4. Repeatable; all must fit." sep:"none" placeholder:"EXPRESSION"`
	Format string       `help:"table, leaving out rows without usage, or csv with every row." enum:"table,csv" default:"table"`
}

// Run asks for weeks by key and model. The first week is whole.
func (c *usageWeeklyCmd) Run(e *env) error {
	if c.Weeks < 1 || c.Weeks > 52 {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "--weeks: must be 1 to 52")
	}
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "--zone: %q is no time zone, such as Europe/Berlin", c.Zone)
	}
	now := time.Now().In(zone)
	monday := now.Day() - (int(now.Weekday())+6)%7 - 7*(c.Weeks-1)
	ask := usageCmd{
		remote: c.remote, Team: c.Team, Zone: c.Zone, Unit: "week", Value: []string{"usd", "tokens", "billing_items"},
		GroupBy: []string{"api_key_id", "model"}, Filter: c.Filter, Format: c.Format,
		From: instant{given: true, at: gatehouse.DayStart(now.Year(), now.Month(), monday, zone)},
	}
	return ask.Run(e)
}

func (c *usageCmd) query(now time.Time) (gatehouse.UsageQuery, error) {
	zone, err := time.LoadLocation(c.Zone)
	if err != nil || c.Zone == "Local" {
		return gatehouse.UsageQuery{}, gatehouse.Errorf(gatehouse.InvalidArgument, "--zone: %q is no time zone, such as Europe/Berlin", c.Zone)
	}
	q := gatehouse.UsageQuery{
		Start: c.From.ago(now), End: now.Add(time.Second), Zone: zone, Unit: timeUnit(c.Unit), GroupBy: c.GroupBy, Filters: c.Filter,
	}
	if c.To.given {
		q.End = c.To.ago(now)
	}
	for _, v := range c.Value {
		name, how, ok := strings.Cut(v, ":")
		if !ok {
			how = "sum"
		}
		q.Values = append(q.Values, gatehouse.UsageValue{Name: name, Aggregation: strings.ToUpper(how)})
	}
	return q, nil
}

func timeUnit(s string) gatehouse.TimeUnit {
	if s == "week" {
		return gatehouse.UnitWeek
	}
	return gatehouse.TimeUnit(strings.ToUpper(strings.ReplaceAll(s, "-", "_")))
}

// rows is one line per bucket and group under a header.
func (c *usageCmd) rows(a gatehouse.UsageAnswer, zone *time.Location, all bool) [][]string {
	header := []string{"TIME"}
	for _, name := range append(append([]string{}, c.GroupBy...), c.Value...) {
		header = append(header, strings.ToUpper(name))
	}
	out := [][]string{header}
	for _, series := range a.Series {
		group := series.Group
		if len(series.Labels) == len(group) {
			group = series.Labels
		}
		if all { // for a spreadsheet
			group = each(group, billing.Cell)
		}
		for _, p := range series.Points {
			if !all && zeros(p.Values) {
				continue
			}
			row := append([]string{p.Time.In(zone).Format(c.layout())}, group...)
			out = append(out, append(row, each(p.Values, number)...))
		}
	}
	return out
}

func (c *usageCmd) layout() string {
	switch c.Unit {
	case "month", "week", "day":
		return time.DateOnly
	}
	return time.RFC3339
}

func zeros(values []float64) bool {
	for _, v := range values {
		if v != 0 {
			return false
		}
	}
	return true
}

// number is exact: a spreadsheet rounds better than we do.
func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
