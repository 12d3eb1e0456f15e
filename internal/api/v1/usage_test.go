package v1_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/api"
	"gatehouse/internal/api/apitest"
	v1 "gatehouse/internal/api/v1"
)

// asked remembers a question.
type asked struct {
	api.Caller
	q *gatehouse.UsageQuery
}

func (a asked) AnalyzeUsage(_ context.Context, _ gatehouse.ID, q gatehouse.UsageQuery) (gatehouse.UsageAnswer, error) {
	*a.q = q
	return gatehouse.UsageAnswer{}, nil
}

// A day is asked for whole and alone, also where the clock jumps over midnight:
// 6 September 2026 begins at one o'clock in Santiago.
func TestADayBeginsAndEndsOnItsDate(t *testing.T) {
	backend, words := apitest.NewV1()
	var q gatehouse.UsageQuery
	h := v1.Handler(api.BackendFunc(func(c *gatehouse.Call) api.Caller { return asked{backend.As(c), &q} }), options)
	for date, want := range map[string][2]string{
		"2026-09-05": {"2026-09-05T04:00:00Z", "2026-09-06T04:00:00Z"}, "2026-09-06": {"2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"},
	} {
		r := httptest.NewRequest("GET", "/v1/usage?timezone=America/Santiago&start_date="+date+"&end_date="+date, nil)
		r.Header.Set("Authorization", "Bearer "+words["full"])
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		got := [2]string{q.Start.UTC().Format(time.RFC3339), q.End.UTC().Format(time.RFC3339)}
		if w.Code != 200 || got != want {
			t.Errorf("%s: %d %s, from and to %s, want %s", date, w.Code, w.Body, got, want)
		}
	}
}
