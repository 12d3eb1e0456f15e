package feed_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"gatehouse/internal/feed"
)

// BenchmarkRestart reports what starting from the disk costs with a million
// keys, and what the replica is like afterwards.
func BenchmarkRestart(b *testing.B) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	c := feed.ArchiveConfig{
		Dir: b.TempDir(), Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Verify: func(msg, sig []byte) bool { return ed25519.Verify(pub, msg, sig) },
	}
	keep(b, feed.NewArchive(c), func(msg []byte) []byte { return ed25519.Sign(priv, msg) })
	info, err := os.Stat(filepath.Join(c.Dir, "replica"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/million, "B/key-on-disk")
	for b.Loop() {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, a := feed.NewReplica("local"), feed.NewArchive(c)
		begin := time.Now()
		if err := a.Restore(r); err != nil || r.Keys() != million {
			b.Fatal(r.Keys(), err)
		}
		b.ReportMetric(float64(time.Since(begin).Milliseconds()), "restart-ms")
		a.Close()
		runtime.GC()
		begin = time.Now()
		runtime.GC()
		b.ReportMetric(float64(time.Since(begin).Microseconds())/1000, "gc-ms")
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/million, "B/key")
		runtime.KeepAlive(r)
	}
}

// keep writes a snapshot of a million keys as a follower would.
func keep(b *testing.B, a *feed.Archive, sign func([]byte) []byte) {
	const part = 2000
	for at := 0; at < million; at += part {
		batch := snapshot(1)
		batch.Part, batch.More = uint32(at/part), at+part < million
		batch.Time = time.Now()
		for i := at; i < at+part; i++ {
			r, err := feed.CompactKey(benchKey(i))
			if err != nil {
				b.Fatal(err)
			}
			r.Revision = rev(1)
			batch.Records = append(batch.Records, r)
		}
		a.Keep(feed.Sign(batch, sign), batch, time.Now(), feed.NewReplica("local"))
	}
	a.Close()
}
