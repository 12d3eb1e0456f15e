package gatehouse_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

// Where the clock jumps over midnight a day begins after it: 6 September 2026
// has no 00:00 in Santiago. Periods neither overlap nor leave anything out, and
// a period's start lies within it.
func TestPeriodsBeginOnTheirOwnDay(t *testing.T) {
	for _, name := range []string{"America/Santiago", "America/Havana", "Africa/Cairo", "Europe/Berlin", "UTC"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, period := range []gatehouse.BudgetPeriod{gatehouse.BudgetDay, gatehouse.BudgetWeek, gatehouse.BudgetMonth} {
			b := gatehouse.Budget{Period: period, Zone: name}
			for at := time.Date(2026, 1, 1, 0, 30, 0, 0, time.UTC); at.Year() == 2026; at = at.Add(30 * time.Minute) {
				start, end := b.Start(at), b.End(at)
				if start.After(at) || !end.After(at) || !b.Start(start).Equal(start) || !b.Start(end).Equal(end) {
					t.Fatalf("%s, a %s: %s is from %s to %s", name, period, at.In(zone), start, end)
				}
				if period == gatehouse.BudgetDay && start.Format(time.DateOnly) != at.In(zone).Format(time.DateOnly) {
					t.Fatalf("%s: the day of %s begins on %s", name, at.In(zone), start)
				}
			}
		}
	}
}

func TestAnAlertHookPrintsNoSecret(t *testing.T) {
	h := gatehouse.AlertHook{URL: "https://example.com/services/s3cret", Secret: "s3cret"}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "hook", h, "pointer", &h)
	if out := fmt.Sprintf("%v %+v %#v %s %v", h, &h, h, &h, []*gatehouse.AlertHook{&h}) + log.String(); strings.Contains(out, "s3cret") {
		t.Error(out)
	}
}
