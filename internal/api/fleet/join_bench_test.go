package fleet_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
	"gatehouse/internal/store"
)

// benchKeys is a tenth of what a gateway must take within fifteen seconds; the
// time grows with it in a straight line.
const benchKeys = 100_000

// BenchmarkFirstSnapshot is a gateway without state: from its first poll, over
// the network, to serving and having kept everything.
func BenchmarkFirstSnapshot(b *testing.B) {
	h := newHouse(b)
	fill(b, h)
	for b.Loop() {
		m := h.join(b)
		r := feed.NewMemberReplica("local", m.id.Unseal)
		a := feed.NewArchive(feed.ArchiveConfig{Dir: b.TempDir(), Verify: m.id.VerifyBatch, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(b.Context())
		f := feed.NewFollower(feed.FollowerConfig{
			Feed: m, Replica: r, Gateway: m.id.Gateway, Cluster: "local", Version: "test", Verify: m.id.VerifyBatch, Now: time.Now,
			Log: slog.New(slog.DiscardHandler), Archive: a, OnApply: func(gatehouse.Revision) { cancel() },
		})
		begin := time.Now()
		f.Run(ctx)
		b.ReportMetric(float64(time.Since(begin).Milliseconds()), "join-ms")
		if r.Keys() != benchKeys {
			b.Fatal(r.Keys(), r.Problem())
		}
		a.Close()
	}
}

func fill(b *testing.B, h *house) {
	now := time.Now().UTC()
	for at := 0; at < benchKeys; at += 1000 {
		h.update(b, func(tx store.Tx) error {
			for i := at; i < at+1000; i++ {
				id := gatehouse.NewID()
				k := &gatehouse.Key{
					ID: id, TeamID: gatehouse.ID{1}, UserID: gatehouse.ID{2}, Name: fmt.Sprint("key ", i),
					ACL:        gatehouse.ACL{"api-key:endpoint:chat", fmt.Sprint("api-key:model:m", i%100)},
					Limits:     gatehouse.Limits{QPS: 10, QPM: 100, TPM: 1000},
					CreateTime: now, ModifyTime: now,
					Secrets: []gatehouse.Secret{{Digest: gatehouse.DigestOf(id.String()), Last4: "abcd", CreateTime: now}},
				}
				if err := tx.PutKey(k, act(gatehouse.KindKey, id.String())); err != nil {
					return err
				}
			}
			return nil
		})
	}
}
