package admin_test

import (
	"context"
	"encoding/csv"
	"net/http/httptest"
	"reflect"
	"testing"

	"gatehouse"
	"gatehouse/internal/api"
	"gatehouse/internal/api/admin"
	"gatehouse/internal/api/apitest"
)

// analyst answers for two keys, of which one is gone and has no name any more.
type analyst struct{ api.Caller }

func (analyst) AnalyzeUsage(_ context.Context, _ gatehouse.ID, q gatehouse.UsageQuery) (a gatehouse.UsageAnswer, err error) {
	for _, label := range []string{"ci (gthk_...oYZ4)", "id"} {
		a.Series = append(a.Series, gatehouse.UsageSeries{
			Group: []string{"grok-4", "id"}, Labels: []string{"grok-4", label}, Points: []gatehouse.UsagePoint{{Time: q.Start, Values: []float64{1.25}}},
		})
	}
	return a, nil
}

// A key that is gone has no name, and its figures stand in their columns all the same.
func TestEveryRowHasAllColumns(t *testing.T) {
	backend, words := apitest.New()
	h := admin.Handler(api.BackendFunc(func(c *gatehouse.Call) api.Caller { return analyst{backend.As(c)} }), api.Options{Rate: -1})
	r := httptest.NewRequest("GET", "/admin/v1/usage?groupBy=model,api_key_id&values=usd&endTime=2026-01-31", nil)
	r.Header.Set("Authorization", "Bearer "+words["full"])
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	rows, err := csv.NewReader(w.Body).ReadAll()
	want := [][]string{
		{"time", "model", "api_key_id", "api_key", "usd"},
		{"2026-01-01T00:00:00Z", "grok-4", "id", "ci (gthk_...oYZ4)", "1.25"}, {"2026-01-01T00:00:00Z", "grok-4", "id", "", "1.25"},
	}
	if err != nil || !reflect.DeepEqual(rows, want) {
		t.Errorf("%q, %v", rows, err)
	}
}
