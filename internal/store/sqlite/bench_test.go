package sqlite_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
	"gatehouse/internal/store/sqlite"
	"gatehouse/internal/store/storetest"
)

func open(t testing.TB, path string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(context.Background(), path, sqlite.Options{Guard: storetest.NewGuard("test")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func benchKey(team gatehouse.ID, n int64) *gatehouse.Key {
	now := time.Now().UTC()
	id := gatehouse.NewID()
	return &gatehouse.Key{
		ID: id, TeamID: team, UserID: team, Name: fmt.Sprintf("key-%06d", n),
		ACL:        gatehouse.ACL{"api-key:model:*", "api-key:endpoint:chat"},
		CreateTime: now, ModifyTime: now,
		Secrets: []gatehouse.Secret{{Digest: gatehouse.DigestOf(id.String()), Last4: "abcd", CreateTime: now}},
	}
}

func created(team gatehouse.ID, name string) gatehouse.Act {
	return gatehouse.Act{Action: "api_key.created", Operation: "CreateApiKey", TeamID: team, Description: fmt.Sprintf("API key %q was created", name)}
}

// BenchmarkPutKey is the goal of a thousand creations a second seen from below:
// key, leaf, words and change, durable, with 32 callers.
func BenchmarkPutKey(b *testing.B) {
	db := open(b, filepath.Join(b.TempDir(), "truth.db"))
	team := gatehouse.NewID()
	cause := gatehouse.Cause{Actor: gatehouse.Actor{Kind: gatehouse.ActorManagementKey, KeyID: gatehouse.NewID(), UserID: team, IP: "192.0.2.1"}}
	var n atomic.Int64
	b.SetParallelism(16) // × 2 processors
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			k := benchKey(team, n.Add(1))
			if _, err := db.Update(context.Background(), cause, func(tx store.Tx) error {
				return tx.PutKey(k, created(team, k.Name))
			}); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "keys/s")
}
