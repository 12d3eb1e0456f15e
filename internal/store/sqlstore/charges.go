package sqlstore

import (
	"cmp"
	"database/sql"
	"slices"

	"gatehouse"
)

const selectCharges query = `SELECT for_cycle, cluster, model, unit, price, units, ticks FROM charges
WHERE team_id = ? AND cycle = ? AND (units <> 0 OR ticks <> 0) ORDER BY for_cycle, cluster, model, unit, price`

func addCharges(marks string) query {
	return query(`INSERT INTO charges (team_id, cycle, for_cycle, cluster, model, unit, price, units, ticks) VALUES ` + marks + `
ON CONFLICT (team_id, cycle, for_cycle, cluster, model, unit, price)
DO UPDATE SET units = charges.units + excluded.units, ticks = charges.ticks + excluded.ticks`)
}

// Charges implements [store.BillingView].
func (v *view) Charges(team gatehouse.ID, cycle gatehouse.Cycle) ([]gatehouse.Charge, error) {
	var out []gatehouse.Charge
	err := v.sess.each(v.ctx, selectCharges, []any{team.String(), numberOf(cycle)}, func(rows *sql.Rows) (bool, error) {
		var c gatehouse.Charge
		var made, unit, price, ticks int64
		err := rows.Scan(&made, &c.Cluster, &c.Model, &unit, &price, &c.Units, &ticks)
		c.For, c.Unit, c.Price, c.Amount = cycleOf(made), gatehouse.Unit(unit), gatehouse.Ticks(price), gatehouse.Ticks(ticks)
		out = append(out, c)
		return true, err
	})
	return out, failed(err)
}

// chargeKey is what charges are summed by, within a team and the cycles.
type chargeKey struct {
	cluster, model string
	unit           gatehouse.Unit
	price          gatehouse.Ticks
}

func (k chargeKey) compare(o chargeKey) int {
	return cmp.Or(cmp.Compare(k.cluster, o.cluster), cmp.Compare(k.model, o.model), cmp.Compare(k.unit, o.unit), cmp.Compare(k.price, o.price))
}

// charged is what is summed.
type charged struct {
	units  int64
	amount gatehouse.Ticks
}

// charges are the sums of some usage.
type charges map[chargeKey]charged

// add adds what a record consumed, or takes it away where sign is -1. Names are
// those that the database can hold.
func (c charges) add(u *gatehouse.UsageRecord, sign int64) {
	cluster, model := cleaned(u.Cluster), cleaned(u.Model)
	for i, units := range u.Usage {
		if cost := u.Costs[i]; units != 0 || cost != 0 {
			c.unit(chargeKey{cluster, model, gatehouse.Unit(i), 0}, units, cost, sign)
		}
	}
}

// unit adds one unit's consumption by its price. Rating multiplies, so the
// price comes out even; where it does not, some units cost a tick more, and what
// cost something without any is one: amounts are always prices times units.
func (c charges) unit(k chargeKey, units int64, cost gatehouse.Ticks, sign int64) {
	if units == 0 {
		units = 1
	}
	var dear int64
	k.price, dear = cost/gatehouse.Ticks(units), int64(cost)%units
	c.sum(k, sign*(units-dear))
	k.price++
	c.sum(k, sign*dear)
}

func (c charges) sum(k chargeKey, units int64) {
	if units != 0 {
		x := c[k]
		c[k] = charged{x.units + units, x.amount + k.price*gatehouse.Ticks(units)}
	}
}

// rows are the values of addCharges, in the order of their keys.
func (c charges) rows(team gatehouse.ID, counts, made gatehouse.Cycle) (out [][]any) {
	if made == counts {
		made = gatehouse.Cycle{}
	}
	keys := make([]chargeKey, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, chargeKey.compare)
	for _, k := range keys {
		out = append(out, []any{team.String(), numberOf(counts), numberOf(made), k.cluster, k.model, int64(k.unit), int64(k.price), c[k].units, int64(c[k].amount)})
	}
	return out
}
