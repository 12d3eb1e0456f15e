package meter

import (
	"testing"
	"time"

	"gatehouse"
)

// Input and output tokens are the halves of tokens: whatever a unit counts, it
// is in one of them or no token at all.
func TestInputAndOutputAreTheHalvesOfTokens(t *testing.T) {
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := gatehouse.UsageRecord{TeamID: fixedID(5), Start: day}
	for u := range gatehouse.NumUnits {
		r.Usage[u], r.Costs[u] = 1<<u, 1
	}
	values := append(append(sumOf("input_tokens"), sumOf("output_tokens")...), sumOf("tokens")...)
	q := gatehouse.UsageQuery{Start: day, End: day.AddDate(0, 0, 1), Unit: gatehouse.UnitDay, Values: values, GroupBy: []string{"model"}}
	a, err := (Analysis{}).Analyze(&rowsView{rows: []gatehouse.UsageRecord{r}}, fixedID(5), q, day)
	if err != nil || len(a.Series) != 1 {
		t.Fatal(a, err)
	}
	got := a.Series[0].Points[0].Values
	if got[0] != float64(r.Usage.Prompt()) || got[1] != float64(r.Usage.Completion()) || got[2] != float64(r.Usage.Tokens()) || got[0] == 0 || got[1] == 0 {
		t.Errorf("%v, want %d, %d, %d", got, r.Usage.Prompt(), r.Usage.Completion(), r.Usage.Tokens())
	}
}
