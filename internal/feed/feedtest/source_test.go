package feedtest_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
	"gatehouse/internal/feed/feedtest"
	"gatehouse/internal/store"
	"gatehouse/internal/store/sqlite"
	"gatehouse/internal/store/storetest"
)

func sign(msg []byte) []byte { h := sha256.Sum256(msg); return h[:] }

func verify(msg, sig []byte) bool { return string(sign(msg)) == string(sig) }

func open(t *testing.T) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "truth.db"), sqlite.Options{Guard: storetest.NewGuard("feed")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func source(t *testing.T, s store.Store) *feed.Source {
	src := feed.NewSource(feed.SourceConfig{Store: s, Sign: sign, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(src.Close)
	return src
}

func TestTheFeedInProcess(t *testing.T) {
	feedtest.Run(t, func(t *testing.T) feedtest.Fixture {
		db := open(t)
		return feedtest.Fixture{Store: db, Feed: source(t, db), Verify: verify, Wire: feed.Wire}
	})
}

// A gateway that is a release older than control asks for the layout that it
// knows, and gets nothing beyond it; one that is newer gets what control knows.
func TestEveryGatewayGetsALayoutThatItReads(t *testing.T) {
	db := open(t)
	src, _, key, poll := started(t, db)
	for wire, version := range map[uint32]byte{0: 1, 1: 1, 2: 2, 9: feed.Wire} {
		poll.Wire, poll.Ready, poll.Enforced = wire, false, gatehouse.Revision{}
		poll.Gateway = gatehouse.NewID()
		out, err := src.Pull(t.Context(), poll)
		if err != nil {
			t.Fatal(err)
		}
		b, err := feed.Open(out, verify)
		if err != nil || out.Payload[4] != version {
			t.Fatalf("layout %d: got %d, %v", wire, out.Payload[4], err)
		}
		if old := b.Records[len(b.Records)-1].Body[0] == '{'; old != (version == 1) {
			t.Errorf("layout %d: the key's body starts with %q", wire, b.Records[len(b.Records)-1].Body[:1])
		}
		r := feed.NewReplica("local")
		if err := r.Apply(&b, time.Now()); err != nil {
			t.Fatal(err)
		}
		if k, ok := r.Lookup(key.Secrets[0].Digest); !ok || k.Name() != key.Name || r.Problem() != "" {
			t.Errorf("layout %d: the key is not served: %s", wire, r.Problem())
		}
	}
}

// faulty is a store in which one thing fails.
type faulty struct {
	store.Store
	work bool // Work fails
	keys bool // no key passes its seal
}

func (f *faulty) Work(ctx context.Context, do func(store.Work) error) error {
	if f.work {
		return errors.New("disk full")
	}
	return f.Store.Work(ctx, do)
}

func (f *faulty) View(ctx context.Context, do func(store.View) error) error {
	return f.Store.View(ctx, func(v store.View) error {
		if f.keys {
			v = unsealed{v}
		}
		return do(v)
	})
}

type unsealed struct{ store.View }

func (unsealed) Key(gatehouse.ID) (*gatehouse.Key, error) {
	return nil, gatehouse.Errorf(gatehouse.NotFound, "no such key")
}

// started is a replica that took the first snapshot of s, which holds key.
func started(t *testing.T, s store.Store) (src *feed.Source, r *feed.Replica, key *gatehouse.Key, poll feed.Poll) {
	now := time.Now().UTC()
	key = &gatehouse.Key{
		ID: gatehouse.NewID(), TeamID: gatehouse.NewID(), UserID: gatehouse.NewID(), Name: "key", CreateTime: now, ModifyTime: now,
		Secrets: []gatehouse.Secret{{Digest: gatehouse.DigestOf("secret"), Last4: "abcd", CreateTime: now}},
	}
	write(t, s, key)
	src, r = source(t, s), feed.NewReplica("local")
	poll = feed.Poll{Gateway: gatehouse.NewID(), Cluster: "local", Version: "test"}
	take(t, src, r, &poll)
	return src, r, key, poll
}

func write(t *testing.T, s store.Store, key *gatehouse.Key) {
	t.Helper()
	_, err := s.Update(t.Context(), gatehouse.Cause{}, func(tx store.Tx) error {
		return tx.PutKey(key, gatehouse.Act{Action: "api_key.updated", TeamID: key.TeamID, Kind: gatehouse.KindKey, Subject: key.ID.String()})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func take(t *testing.T, src *feed.Source, r *feed.Replica, poll *feed.Poll) {
	t.Helper()
	sent := time.Now()
	out, err := src.Pull(t.Context(), *poll)
	if err != nil {
		t.Fatal(err)
	}
	b, err := feed.Open(out, verify)
	if err == nil {
		err = r.Apply(&b, sent)
	}
	if err != nil {
		t.Fatal(err)
	}
	poll.Enforced, poll.Ready = r.Applied(), r.Ready()
}

// Without the record of a lease nobody could say until when to wait for its
// holder. Changes must flow all the same: a full disk delays no revocation here.
func TestWithoutARecordThereIsNoLeaseButThereAreChanges(t *testing.T) {
	s := &faulty{Store: open(t), work: true}
	src, r, key, poll := started(t, s)
	key.Disabled = true
	write(t, s, key)
	take(t, src, r, &poll)
	v, ok := r.Lookup(gatehouse.DigestOf("secret"))
	if !ok || !v.Disabled() || r.Leased(time.Now()) {
		t.Fatalf("found %v, leased %v", ok, r.Leased(time.Now()))
	}
}

// A row that fails its seal is not served, and no tombstone is made of it: once
// it is written properly again, it lives.
func TestAKeyThatFailsItsSealIsWithheldUntilItPassesAgain(t *testing.T) {
	s := &faulty{Store: open(t)}
	src, r, key, poll := started(t, s)
	s.keys = true
	write(t, s, key)
	take(t, src, r, &poll)
	if _, ok := r.Lookup(gatehouse.DigestOf("secret")); ok {
		t.Fatal("a row that fails its seal is served")
	}
	s.keys = false
	write(t, s, key)
	take(t, src, r, &poll)
	if _, ok := r.Lookup(gatehouse.DigestOf("secret")); !ok {
		t.Fatal("the key is gone for good")
	}
}
