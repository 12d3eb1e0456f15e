package main

import (
	"slices"
	"testing"
	"time"

	"gatehouse"
)

// A key may be called anything; a spreadsheet that opens the file runs nothing.
// Figures stay figures.
func TestNoNameInACSVIsAFormula(t *testing.T) {
	c := usageCmd{GroupBy: []string{"api_key_id"}, Value: []string{"usd"}}
	a := gatehouse.UsageAnswer{Series: []gatehouse.UsageSeries{{
		Group: []string{"id"}, Labels: []string{"=HYPERLINK(1) (gthk_...oYZ4)"}, Points: []gatehouse.UsagePoint{{Time: time.Unix(0, 0), Values: []float64{-1.5}}},
	}}}
	if got := c.rows(a, time.UTC, true)[1]; !slices.Equal(got[1:], []string{"'=HYPERLINK(1) (gthk_...oYZ4)", "-1.5"}) {
		t.Errorf("%q", got)
	}
}
