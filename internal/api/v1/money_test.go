package v1_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/api"
	"gatehouse/internal/api/apitest"
	v1 "gatehouse/internal/api/v1"
)

// switched is a team that came to pay in the middle of the month.
type switched struct{ api.Caller }

func (switched) PreviewInvoice(context.Context, gatehouse.ID) (gatehouse.Preview, error) {
	return gatehouse.Preview{Invoice: gatehouse.Invoice{Lines: []gatehouse.InvoiceLine{{Ticks: -gatehouse.USD, Cents: -100}}}}, nil
}

// What was only metered is taken off whole: that line is of no unit.
func TestWhatWasOnlyMeteredIsOfNoUnit(t *testing.T) {
	backend, words := apitest.NewV1()
	h := v1.Handler(api.BackendFunc(func(c *gatehouse.Call) api.Caller { return switched{backend.As(c)} }), options)
	r := httptest.NewRequest("GET", "/v1/billing", nil)
	r.Header.Set("Authorization", "Bearer "+words["full"])
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 200 || !strings.Contains(strings.ReplaceAll(w.Body.String(), " ", ""), `"unit_type":"","`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
