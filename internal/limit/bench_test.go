package limit_test

import (
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/limit"
)

func BenchmarkAdmit(b *testing.B) {
	full := gatehouse.Limits{QPS: 1 << 30, QPM: 1 << 30, TPM: gatehouse.MaxTPM}
	for _, c := range []struct {
		name   string
		limits gatehouse.Limits
		keys   int
	}{
		{"none", gatehouse.Limits{}, 1},
		{"qps", gatehouse.Limits{QPS: 1 << 30}, 1},
		{"all", full, 1},
		{"all,10000keys", full, 10_000},
	} {
		b.Run(c.name, func(b *testing.B) {
			table, keys := limit.NewTable(), make([]gatehouse.ID, c.keys)
			for i := range keys {
				keys[i] = gatehouse.NewID()
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				now := time.Duration(i) * 10 * time.Microsecond
				_, t := table.Admit(now, limit.Request{Key: keys[i%len(keys)], Limits: c.limits, Estimate: 100})
				t.Settle(now, 150)
			}
		})
	}
}

func BenchmarkAdmitOneKeyTwoCores(b *testing.B) {
	table := limit.NewTable()
	r := limit.Request{Key: key, Limits: gatehouse.Limits{QPS: 1 << 30, QPM: 1 << 30}}
	start := time.Now()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			table.Admit(time.Since(start), r)
		}
	})
}
