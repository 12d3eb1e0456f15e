package postgres_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// BenchmarkCreate is durable creation by 32 clients.
func BenchmarkCreate(b *testing.B) {
	_, dsn := database(b)
	db := open(b, dsn)
	team := gatehouse.NewID()
	var next atomic.Int64
	b.ResetTimer()
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for next.Add(1) <= int64(b.N) {
				put(b, db, newKey(team, "k"))
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "keys/s")
}

// BenchmarkIngest is rows with their rollups, in batches of 512.
func BenchmarkIngest(b *testing.B) {
	_, dsn := database(b)
	db := open(b, dsn)
	team := gatehouse.NewID()
	b.ResetTimer()
	for n := 0; n < b.N; n += 512 {
		batch := make([]gatehouse.UsageRecord, 512)
		for i := range batch {
			batch[i] = record(team, march.Add(time.Duration(n+i)*10*time.Millisecond))
			batch[i].KeyID, batch[i].Model = gatehouse.ID{byte(i), 7}, fmt.Sprint("m", i%20)
		}
		ingest(b, db, batch...)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkRead is a snapshot of one key.
func BenchmarkRead(b *testing.B) {
	_, dsn := database(b)
	db := open(b, dsn)
	k := put(b, db, newKey(gatehouse.NewID(), "k"))
	for b.Loop() {
		if err := db.View(system, func(v store.View) error { _, err := v.Key(k.ID); return err }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUsage sums ninety days of five million rollup rows by day. One day
// of 56,000 rows is ingested and copied to the others: packs do not name theirs.
func BenchmarkUsage(b *testing.B) {
	admin, dsn := database(b)
	db := open(b, dsn)
	team := gatehouse.NewID()
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var batch []gatehouse.UsageRecord
	for n := range 56_000 {
		u := record(team, day.Add(time.Duration(n%96)*15*time.Minute+time.Duration(n)*time.Millisecond))
		u.KeyID, u.Model, u.Cluster = gatehouse.ID{byte(n), byte(n >> 8)}, fmt.Sprint("m", n%7), fmt.Sprint("c", n%3)
		u.Usage[gatehouse.PromptText], u.Usage[gatehouse.CompletionText], u.Costs[gatehouse.CompletionText] = 123_456, 23_456, 98_765_432
		if batch = append(batch, u); len(batch) == 1000 {
			ingest(b, db, batch...)
			batch = batch[:0]
		}
	}
	sql(b, admin, `INSERT INTO usage_runs SELECT team, day + g, nextval('usage_runs_seq'), requests, models, cells, units, quarters
FROM usage_runs, generate_series(1, 89) g`)
	for _, c := range []struct {
		name  string
		group []store.Dimension
	}{{"model×cluster", []store.Dimension{store.ByModel, store.ByCluster}}, {"key×model", []store.Dimension{store.ByKey, store.ByModel}}} {
		b.Run(c.name, func(b *testing.B) {
			scan := store.UsageScan{Team: team, Start: day, End: day.AddDate(0, 0, 90), Width: 24 * time.Hour, Totals: true, GroupBy: c.group}
			requests := int64(0)
			for b.Loop() {
				requests = 0
				if err := db.View(system, func(v store.View) error {
					return v.UsageCells(scan, func(c store.UsageCell) error { requests += c.Requests; return nil })
				}); err != nil {
					b.Fatal(err)
				}
			}
			if requests != 90*56_000 {
				b.Error(requests)
			}
		})
	}
}
