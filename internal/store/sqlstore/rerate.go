package sqlstore

import (
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

const updateRow query = `UPDATE usage_rows SET vector = ?, rest = ? WHERE day = ? AND id = ?`

// Rerate implements [store.BillingIngest].
func (i *ingest) Rerate(team gatehouse.ID, from, to time.Time, after store.Cursor, most int) (report gatehouse.RerateReport, last store.Cursor, done bool, err error) {
	if most <= 0 || team.IsZero() {
		return report, after, false, gatehouse.Errorf(gatehouse.InvalidArgument, "re-rating needs a team, and how many rows to look at")
	}
	if err := i.sess.lockBooks(team); err != nil {
		return report, after, false, err
	}
	rows, err := i.portion(team, from, to, after, most)
	if err != nil || len(rows) == 0 {
		return report, after, err == nil, err
	}
	teams, err := i.teams([]gatehouse.ID{team})
	if err != nil {
		return report, after, false, err
	}
	r := &rerating{i: i, bill: newBill(team, teams[team]), sums: runSums{}, prices: map[string][]*gatehouse.Price{}}
	for _, u := range rows {
		if err := r.row(u); err != nil {
			return report, after, false, err
		}
	}
	end := rows[len(rows)-1]
	return r.report, store.Cursor{Time: end.Start, ID: end.ID.String()}, len(rows) < most, r.finish()
}

// portion reads the next rows of a span.
func (i *ingest) portion(team gatehouse.ID, from, to time.Time, after store.Cursor, most int) (out []*gatehouse.UsageRecord, err error) {
	number, err := i.numbered(team.String())
	if err != nil || number == 0 {
		return nil, err
	}
	q, args := selectUsage, []any{number, micros(from), micros(to), dayOf(from), dayOf(to)}
	if after != (store.Cursor{}) {
		id, err := gatehouse.ParseID(after.ID)
		if err != nil {
			return nil, err
		}
		if after.Time.After(from) {
			args[1], args[3] = micros(after.Time), dayOf(after.Time)
		}
		q, args = q+" AND (start_us, id) > (?, ?)", append(args, micros(after.Time), id[:])
	}
	q += " ORDER BY start_us, day, id LIMIT ?"
	err = i.sess.scan(i.ctx, query(q), append(args, most), func(rows scanner) (bool, error) {
		u, err := i.scanUsage(rows)
		out = append(out, u)
		return true, err
	})
	return out, failed(err)
}

// rerating is what a portion changes.
type rerating struct {
	i      *ingest
	bill   *bill
	sums   runSums
	prices map[string][]*gatehouse.Price
	report gatehouse.RerateReport
}

// row prices a row again.
func (r *rerating) row(u *gatehouse.UsageRecord) (err error) {
	r.report.Rows++
	book, ok := r.prices[u.Model]
	if !ok {
		if book, err = r.i.PricesOf(u.Model); err != nil {
			return err
		}
		r.prices[u.Model] = book
	}
	fresh := *u
	if fresh.Rate(book); fresh.Costs == u.Costs && fresh.Unpriced == u.Unpriced {
		return nil
	}
	r.report.Changed++
	r.report.Before += u.Costs.Total()
	r.report.After += fresh.Costs.Total()
	charges := r.bill.of(u).charges
	charges.add(u, -1)
	charges.add(&fresh, 1)
	r.bill.cost(u, fresh.Costs.Total()-u.Costs.Total())
	if err := r.roll(u, &fresh); err != nil {
		return err
	}
	_, err = r.i.sess.exec(updateRow, packVector(&fresh), restOf(&fresh), dayOf(u.Start), u.ID[:])
	return failed(err)
}

// roll adds the difference to the rollups: runs add up.
func (r *rerating) roll(old, fresh *gatehouse.UsageRecord) error {
	p, err := r.i.locate(old)
	if err != nil {
		return err
	}
	diff := gatehouse.UsageRecord{Start: old.Start}
	for n := range diff.Costs {
		diff.Costs[n] = fresh.Costs[n] - old.Costs[n]
	}
	r.sums.add(&diff, p)
	k := runKey{p.team, dayOf(old.Start)}
	r.sums[k][len(r.sums[k])-1].requests = 0
	return nil
}

func (r *rerating) finish() error {
	if r.report.Changed == 0 {
		return nil
	}
	if err := r.sums.write(r.i.sess); err != nil {
		return err
	}
	for k := range r.sums {
		r.i.runs = append(r.i.runs, k)
	}
	return r.i.settle([]*bill{r.bill}, gatehouse.PostAdjustment)
}
