package control_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"gatehouse"
	"gatehouse/internal/control"
	"gatehouse/internal/secret"
	"gatehouse/internal/store/sqlite"
)

// BenchmarkCreateKey is key creation, durable and audited, by 32 clients at once.
func BenchmarkCreateKey(b *testing.B) {
	dir := b.TempDir()
	keys, err := secret.LoadOrCreate(filepath.Join(dir, "secrets"))
	if err != nil {
		b.Fatal(err)
	}
	c := &clock{}
	db, err := sqlite.Open(b.Context(), filepath.Join(dir, "truth.db"), sqlite.Options{Guard: keys, Now: c.Now})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	s := control.New(control.Config{Store: db, Now: c.Now, Sealer: keys, Logger: slog.New(slog.DiscardHandler)})
	first, _, err := s.Bootstrap(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.As(&gatehouse.Call{Token: first.Token}).CreateKey(b.Context(), gatehouse.NewKey{Name: "k", ACL: all}); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "keys/s")
}
