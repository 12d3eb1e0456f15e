package feed_test

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
)

var start = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// sign and verify stand for the installation's key: what matters here is that a
// changed byte does not verify.
func sign(msg []byte) []byte { h := sha256.Sum256(msg); return h[:] }

func verify(msg, sig []byte) bool { return string(sign(msg)) == string(sig) }

func rev(n int64) gatehouse.Revision { return gatehouse.Revision{Epoch: 1, N: n} }

func testID(n int) (id gatehouse.ID) {
	copy(id[:], fmt.Sprintf("%016d", n))
	return id
}

func digest(s string) gatehouse.Digest { return gatehouse.DigestOf(s) }

// testKey is key n with one secret, of team 1.
func testKey(n int, change ...func(*gatehouse.Key)) *gatehouse.Key {
	k := &gatehouse.Key{
		ID: testID(n), TeamID: testID(1), UserID: testID(2), Name: fmt.Sprintf("key %d", n),
		ACL:        gatehouse.ACL{"api-key:model:*", "api-key:endpoint:chat"},
		CreateTime: start, ModifyTime: start,
		Secrets: []gatehouse.Secret{{Digest: digest(fmt.Sprint("secret ", n)), Last4: "abcd", CreateTime: start}},
	}
	for _, f := range change {
		f(k)
	}
	return k
}

func put(t testing.TB, k *gatehouse.Key, at int64) feed.Record {
	t.Helper()
	k.Revision = rev(at)
	r, err := feed.KeyRecord(k)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func raw(kind gatehouse.Kind, id, body string) feed.Record {
	return feed.Record{Kind: kind, ID: id, Revision: rev(1), Body: []byte(body)}
}

func tomb(n int, at int64) feed.Record {
	return feed.Record{Kind: gatehouse.KindKey, ID: testID(n).String(), Revision: rev(at), Deleted: true}
}

func snapshot(to int64, records ...feed.Record) *feed.Batch {
	return &feed.Batch{To: rev(to), Snapshot: true, Session: 7, Time: start, Records: records}
}

func step(from, to int64, records ...feed.Record) *feed.Batch {
	return &feed.Batch{From: rev(from), To: rev(to), Time: start, Records: records}
}

func apply(t testing.TB, r *feed.Replica, batches ...*feed.Batch) {
	t.Helper()
	for _, b := range batches {
		if err := r.Apply(b, start); err != nil {
			t.Fatal(err)
		}
	}
}

func found(r *feed.Replica, secret string) bool {
	_, ok := r.Lookup(digest(secret))
	return ok
}
