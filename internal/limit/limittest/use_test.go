package limittest_test

import (
	"testing"

	"gatehouse"
	"gatehouse/internal/limit/limittest"
)

// Without this an authority that grants nothing would pass every other test.
func TestSaturatingDemandUsesTheLimit(t *testing.T) {
	for _, c := range []struct {
		gateways int
		limits   gatehouse.Limits
		least    float64
	}{
		{8, gatehouse.Limits{QPS: 200}, 0.95},
		{8, gatehouse.Limits{QPS: 100}, 0.95},
		{8, gatehouse.Limits{QPM: 1200}, 0.95},
		{3, gatehouse.Limits{QPS: 50}, 0.95},
		// A small limit is asked for one by one: each also counts for the guard band.
		{8, gatehouse.Limits{QPS: 5}, 0.80},
		{1, gatehouse.Limits{QPS: 100}, 0.95},
	} {
		used := limittest.Use(1, c.gateways, c.limits, 3)
		t.Logf("%d gateways, %+v: %.1f %%", c.gateways, c.limits, used*100)
		if used < c.least {
			t.Errorf("%d gateways under %+v admit %.1f %% of the limit, want %.0f %%", c.gateways, c.limits, used*100, c.least*100)
		}
	}
}
