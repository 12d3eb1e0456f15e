package gatehouse

import "time"

// DayStart is the first instant of a local date, out of range as time.Date takes
// it. time.Date does not say which instant it returns where midnight is skipped
// or comes twice, so this walks the periods of constant offset around it: in
// each there is one instant that would be midnight; it either lies inside, or
// before (the clock jumped over midnight at the period's start), or behind.
func DayStart(y int, m time.Month, d int, zone *time.Location) time.Time {
	midnight := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	t := midnight.Add(-26 * time.Hour).In(zone)
	for {
		_, off := t.Zone()
		start, end := t.ZoneBounds()
		c := midnight.Add(-time.Duration(off) * time.Second).In(zone)
		switch {
		case !start.IsZero() && c.Before(start):
			return start
		case end.IsZero() || c.Before(end):
			return c
		}
		t = end
	}
}
