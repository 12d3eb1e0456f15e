package meter

import (
	"time"

	"gatehouse"
)

// quarter is the width of a rollup. Every zone in use today is a whole number
// of quarters from UTC, which is why its days and hours can be added up of them.
const quarter = 15 * time.Minute

// floor is the start of the bucket of unit that holds t, in zone.
//
// Days, weeks and months start at the first instant of their local date. Finer
// buckets are cut at multiples of local time, and at a change of the offset
// that is not such a multiple, so that they stay disjoint and ordered whatever
// a legislature thinks of next.
func floor(t time.Time, unit gatehouse.TimeUnit, zone *time.Location) time.Time {
	t = t.In(zone)
	if w := width(unit); w > 0 {
		u := truncate(t, w)
		if change, _ := t.ZoneBounds(); !change.IsZero() && change.After(u) {
			return change
		}
		return u
	}
	y, m, d := date(t, unit, 0)
	return gatehouse.DayStart(y, m, d, zone)
}

// next is the start of the bucket after the one that starts at t.
func next(t time.Time, unit gatehouse.TimeUnit, zone *time.Location) time.Time {
	t = t.In(zone)
	if w := width(unit); w > 0 {
		u := truncate(t, w).Add(w)
		if _, change := t.ZoneBounds(); !change.IsZero() && change.Before(u) {
			return change
		}
		return u
	}
	for i := 1; ; i++ { // a date that a zone skipped starts when the next one does
		y, m, d := date(t, unit, i)
		if u := gatehouse.DayStart(y, m, d, zone); u.After(t) {
			return u
		}
	}
}

// date is the first date of the unit that holds t, or of the i-th after it.
func date(t time.Time, unit gatehouse.TimeUnit, i int) (int, time.Month, int) {
	y, m, d := t.Date()
	switch unit {
	case gatehouse.UnitMonth:
		return y, m + time.Month(i), 1
	case gatehouse.UnitWeek:
		return y, m, d - (int(t.Weekday())+6)%7 + 7*i
	}
	return y, m, d + i
}

// width is that of a unit finer than a day, 0 for others.
func width(unit gatehouse.TimeUnit) time.Duration {
	switch unit {
	case gatehouse.UnitHour:
		return time.Hour
	case gatehouse.UnitQuarterHour:
		return quarter
	case gatehouse.UnitMinute:
		return time.Minute
	case gatehouse.UnitSecond:
		return time.Second
	}
	return 0
}

// truncate cuts t to a multiple of w in the local time of t's own offset.
func truncate(t time.Time, w time.Duration) time.Time {
	_, off := t.Zone()
	secs := int64(w / time.Second)
	local := t.Unix() + int64(off)
	cut := local % secs
	if cut < 0 {
		cut += secs
	}
	return time.Unix(local-cut-int64(off), 0).In(t.Location())
}

// buckets lists the starts of the buckets that [start, end) touches. The first
// may lie before start. ok is false when there are more than most.
func buckets(start, end time.Time, unit gatehouse.TimeUnit, zone *time.Location, most int) (starts []time.Time, ok bool) {
	if unit == gatehouse.UnitNone {
		return []time.Time{start}, true
	}
	for t := floor(start, unit, zone); t.Before(end); t = next(t, unit, zone) {
		if len(starts) == most {
			return nil, false
		}
		starts = append(starts, t)
	}
	return starts, true
}
