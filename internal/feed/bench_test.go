package feed_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
)

// million is how many keys a gateway must hold (reliability.md R11).
const million = 1_000_000

// filled is a replica of n keys with a hundred ACLs, a thousand users and names
// of their own, the digests of their secrets, and how long applying took.
func filled(b *testing.B, n int) (*feed.Replica, []gatehouse.Digest, time.Duration) {
	r, digests := feed.NewReplica("local"), make([]gatehouse.Digest, n)
	var took time.Duration
	const part = 2000
	for at := 0; at < n; at += part {
		batch := snapshot(1)
		batch.Part, batch.More = uint32(at/part), at+part < n
		for i := at; i < min(at+part, n); i++ {
			batch.Records = append(batch.Records, put(b, benchKey(i), 1))
			digests[i] = digest(fmt.Sprint("secret ", i))
		}
		begin := time.Now()
		apply(b, r, batch)
		took += time.Since(begin)
	}
	return r, digests, took
}

func benchKey(i int) *gatehouse.Key {
	return testKey(i, func(k *gatehouse.Key) {
		k.TeamID, k.UserID = testID(i%100), testID(i%1000)
		k.ACL = gatehouse.ACL{"api-key:endpoint:chat", fmt.Sprint("api-key:model:m", i%100)}
		k.Limits = gatehouse.Limits{QPS: 10, QPM: 100, TPM: 1000}
		k.Tags = map[string]string{"cost-centre": fmt.Sprint(i % 50)}
	})
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10_000, million} {
		r, digests, _ := filled(b, n)
		b.Run(fmt.Sprintf("%d/cold", n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i = (i + 7919) % n
				if v, ok := r.Lookup(digests[i]); !ok || v.Strict() {
					b.Fatal("not found")
				}
			}
		})
		b.Run(fmt.Sprintf("%d/hot", n), func(b *testing.B) {
			for b.Loop() {
				r.Lookup(digests[0])
			}
		})
		b.Run(fmt.Sprintf("%d/unknown", n), func(b *testing.B) {
			d := digest("nobody")
			for b.Loop() {
				r.Lookup(d)
			}
		})
		b.Run(fmt.Sprintf("%d/ACL", n), func(b *testing.B) {
			v, _ := r.Lookup(digests[1])
			b.ReportAllocs()
			for b.Loop() {
				if !v.AllowsEndpoint("chat") || !v.AllowsModel("m1") {
					b.Fatal("denied")
				}
			}
		})
	}
}

// BenchmarkApply is one changed key, as a revocation is.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{10_000, million} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r, _, _ := filled(b, n)
			at := int64(1)
			for b.Loop() {
				apply(b, r, step(at, at+1, put(b, benchKey(int(at*7919)%n), at+1)))
				at++
			}
		})
	}
}

// BenchmarkMemory reports what a million keys cost to hold, to load and to
// collect garbage around.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		r, digests, took := filled(b, million)
		runtime.GC()
		runtime.ReadMemStats(&after)
		held := after.HeapAlloc - before.HeapAlloc - uint64(len(digests)*len(gatehouse.Digest{}))
		b.ReportMetric(float64(held)/million, "B/key")
		b.ReportMetric(float64(took.Milliseconds()), "load-ms")
		begin := time.Now()
		runtime.GC()
		b.ReportMetric(float64(time.Since(begin).Microseconds())/1000, "gc-ms")
		runtime.KeepAlive(r)
		runtime.KeepAlive(digests)
	}
}
