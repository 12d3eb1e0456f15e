package sqlstore

import (
	"testing"

	"gatehouse"
)

// What does not come out even, or has no units, is still prices times units,
// and taking it away leaves nothing.
func TestAChargeIsItsPriceTimesItsUnits(t *testing.T) {
	for _, x := range []struct {
		units int64
		cost  gatehouse.Ticks
		kinds int
	}{{7, 21, 1}, {7, 20, 2}, {7, 5, 2}, {7, 0, 1}, {0, 9, 1}, {1, 1 << 60, 1}} {
		c, k := charges{}, chargeKey{model: "m"}
		c.unit(k, x.units, x.cost, 1)
		var units int64
		var amount gatehouse.Ticks
		for k, v := range c {
			if v.amount != k.price*gatehouse.Ticks(v.units) {
				t.Errorf("%+v: %+v at %d", x, v, k.price)
			}
			units, amount = units+v.units, amount+v.amount
		}
		if len(c) != x.kinds || amount != x.cost || units != max(1, x.units) {
			t.Errorf("%+v: %+v", x, c)
		}
		c.unit(k, x.units, x.cost, -1)
		for _, v := range c {
			if v != (charged{}) {
				t.Errorf("%+v leaves %+v", x, c)
			}
		}
	}
}
