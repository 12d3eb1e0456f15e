package storetest

import (
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

var retentionPromises = []promise{
	{"rows are dropped by whole days, and rollups stay", rowsAreDropped},
	{"the floor of rows only rises", floorRises},
	{"a day whose rows were dropped is not recounted", droppedDaysAreNotRecounted},
	{"rollups agree with their rows", rollupsAgree},
}

// drop drops rows until there are none left to drop, and counts the calls.
func (b *bench) drop(before time.Time) (calls int) {
	b.Helper()
	for more := true; more; calls++ {
		if calls > 100 {
			b.Fatal("there is always more to drop")
		}
		b.work(func(w store.Work) (err error) { more, err = w.DropUsage(before); return err })
	}
	return calls
}

func (b *bench) floor() (floor time.Time) {
	b.Helper()
	b.view(func(v store.View) (err error) { floor, err = v.UsageFloor(); return err })
	return floor
}

func (b *bench) days(n, perDay int) {
	b.Helper()
	for d := range n {
		var batch []gatehouse.UsageRecord
		for i := range perDay {
			batch = append(batch, b.usage(start.AddDate(0, 0, d).Add(time.Duration(i)*time.Second)))
		}
		b.insert(batch...)
	}
}

func rowsAreDropped(b *bench) {
	b.equal(b.floor(), time.Time{})
	b.days(4, 450)
	scan := store.UsageScan{Team: b.team, Start: start.Truncate(24 * time.Hour), End: start.Truncate(24*time.Hour).AddDate(0, 0, 4)}
	before := b.cells(scan)
	b.drop(start.AddDate(0, 0, 2)) // noon: the third day is kept whole
	b.equal(b.floor(), start.Truncate(24*time.Hour).AddDate(0, 0, 2))
	kept := b.rows(store.UsageScan{})
	b.equal(len(kept), 900)
	b.equal(kept[0].Start.UTC(), start.AddDate(0, 0, 2))
	b.equal(b.cells(scan), before)
}

func floorRises(b *bench) {
	b.days(3, 2)
	b.drop(start.AddDate(0, 0, 2))
	high := b.floor()
	b.drop(start)
	b.equal(b.floor(), high)
	// Late usage of a dropped day is counted, and its row goes with the next round.
	b.insert(b.usage(start))
	b.drop(start.AddDate(0, 0, 2))
	b.equal(len(b.rows(store.UsageScan{})), 2)
	cells := b.cells(store.UsageScan{Team: b.team, Start: start.Truncate(24 * time.Hour), End: start.Truncate(24*time.Hour).AddDate(0, 0, 3)})
	b.equal(cells[0].Requests, int64(7))
}

func droppedDaysAreNotRecounted(b *bench) {
	b.days(2, 3)
	b.drop(start.AddDate(0, 0, 1))
	_, err := b.s.CheckUsage(b.ctx, start, true)
	b.is(err, gatehouse.FailedPrecondition)
	check, err := b.s.CheckUsage(b.ctx, start.AddDate(0, 0, 1), true)
	b.ok(err)
	b.equal(check.Rows, int64(3))
	b.equal(len(check.Drifts), 0)
}

func rollupsAgree(b *bench) {
	for range 30 { // more than are merged at once
		b.days(2, 7)
	}
	for d := range 3 {
		check, err := b.s.CheckUsage(b.ctx, start.AddDate(0, 0, d), false)
		b.ok(err)
		b.equal(len(check.Drifts), 0)
		b.equal(check.Rows, []int64{210, 210, 0}[d])
	}
}
