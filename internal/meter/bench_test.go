package meter

import (
	"context"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// countingFile counts the write calls that the journal makes.
type countingFile struct {
	file
	writes *int64
}

func (f countingFile) WriteAt(p []byte, at int64) (int, error) {
	*f.writes++ // one writer at a time
	return f.file.WriteAt(p, at)
}

func benchJournal(b *testing.B, parallel bool) {
	var writes int64
	j := openJournal(b, b.TempDir(), Options{SegmentSize: 64 << 20, create: func(p string, n int64) (file, error) {
		f, err := createFile(p, n)
		return countingFile{f, &writes}, err
	}})
	s := NewShipper(j, discard{}, ShipperOptions{})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	open, cl := sampleOpen(), sampleClose()
	one := func() {
		o := open
		o.ID = gatehouse.NewTimeID(time.Now())
		e, err := j.Begin(o)
		if err == nil {
			err = e.Close(cl)
		}
		if err != nil {
			b.Error(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	if parallel {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				one()
			}
		})
	} else {
		for b.Loop() {
			one()
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(writes)/float64(b.N), "writes/op")
	cancel()
	<-done
}

type discard struct{}

func (discard) Ingest(context.Context, Batch) error { return nil }

func BenchmarkBeginClose(b *testing.B)         { benchJournal(b, false) }
func BenchmarkBeginCloseParallel(b *testing.B) { benchJournal(b, true) }

func BenchmarkShip(b *testing.B) {
	j := openJournal(b, b.TempDir(), Options{})
	open, cl := sampleOpen(), sampleClose()
	for range b.N {
		open.ID = gatehouse.NewTimeID(time.Now())
		e, err := j.Begin(open)
		if err == nil {
			err = e.Close(cl)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	s := NewShipper(j, discard{}, ShipperOptions{})
	b.ReportAllocs()
	b.ResetTimer()
	if err := s.Drain(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// cellsView yields a month of daily cells of many keys and models.
type cellsView struct{ rowsView }

func (v *cellsView) UsageCells(s store.UsageScan, yield func(store.UsageCell) error) error {
	c := store.UsageCell{Requests: 1, Items: 2, Group: make([]string, 2)}
	c.Units[gatehouse.PromptText], c.Costs[gatehouse.PromptText] = 5, 5
	c.Amount, c.Tokens, c.Ticks = 5, 5, 5
	for d := s.Start; d.Before(s.End); d = d.Add(s.Width) {
		for k := range 1_000 {
			for m := range 10 {
				c.Start, c.Group[0], c.Group[1] = d, keyNames[k], keyNames[m]
				if err := yield(c); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

var keyNames = func() (names []string) {
	for range 1_000 {
		names = append(names, gatehouse.NewID().String())
	}
	return names
}()

// 300,000 cells in 10,000 groups.
func BenchmarkAnalyzeCells(b *testing.B) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	q := gatehouse.UsageQuery{Start: start, End: start.AddDate(0, 0, 30), Zone: time.UTC, Unit: gatehouse.UnitDay, GroupBy: []string{"api_key_id", "model"},
		Values: []gatehouse.UsageValue{{Name: "usd", Aggregation: "SUM"}, {Name: "billing_items", Aggregation: "COUNT"}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (Analysis{}).Analyze(&cellsView{}, fixedID(1), q, start); err != nil {
			b.Fatal(err)
		}
	}
}
