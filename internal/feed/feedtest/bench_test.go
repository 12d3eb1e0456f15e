package feedtest_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
	"gatehouse/internal/store"
	"gatehouse/internal/store/sqlite"
	"gatehouse/internal/store/storetest"
)

// BenchmarkRevocation measures from the acknowledged delete to the refusal, and
// to the moment propagation is true (reliability.md R05: p99 ≤ 250 ms).
func BenchmarkRevocation(b *testing.B) {
	db, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "truth.db"), sqlite.Options{Guard: storetest.NewGuard("feed")})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	src := feed.NewSource(feed.SourceConfig{Store: db, Sign: sign, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	defer src.Close()
	r := feed.NewReplica("local")
	f := feed.NewFollower(feed.FollowerConfig{Feed: src, Replica: r, Gateway: gatehouse.NewID(), Cluster: "local",
		Verify: verify, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	defer func() { cancel(); <-done }()
	team, n := gatehouse.NewID(), 0
	write := func(k *gatehouse.Key) gatehouse.Revision {
		at, err := db.Update(ctx, gatehouse.Cause{}, func(tx store.Tx) error {
			return tx.PutKey(k, gatehouse.Act{Action: "api_key.changed", TeamID: team, Kind: gatehouse.KindKey, Subject: k.ID.String()})
		})
		if err != nil {
			b.Fatal(err)
		}
		return at
	}
	var refused, acked []time.Duration
	for b.Loop() {
		n++
		now := time.Now().UTC()
		d := gatehouse.Digest(sha256.Sum256(fmt.Append(nil, n)))
		k := &gatehouse.Key{ID: gatehouse.NewID(), TeamID: team, UserID: team, Name: "key", CreateTime: now, ModifyTime: now,
			Secrets: []gatehouse.Secret{{Digest: d, Last4: "abcd", CreateTime: now}}}
		write(k)
		spin(b, func() bool { _, ok := r.Lookup(d); return ok })
		k.DeleteTime, k.Secrets = now, nil
		at := write(k)
		begin := time.Now()
		spin(b, func() bool { _, ok := r.Lookup(d); return !ok })
		refused = append(refused, time.Since(begin))
		spin(b, func() bool { return enforced(b, db, at) })
		acked = append(acked, time.Since(begin))
	}
	for name, all := range map[string][]time.Duration{"refused": refused, "acked": acked} {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, name+"-p50-ms")
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, name+"-p99-ms")
	}
}

func enforced(b *testing.B, db store.Store, at gatehouse.Revision) (yes bool) {
	err := db.View(b.Context(), func(v store.View) error {
		all, err := v.Gateways()
		yes = len(all) == 1 && !all[0].Enforced.Less(at)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return yes
}

// spin polls every 200 µs, so that measuring does not take the processor from
// what is measured.
func spin(b *testing.B, ok func() bool) {
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			b.Fatal("waited in vain")
		}
		<-time.NewTimer(200 * time.Microsecond).C
	}
}
