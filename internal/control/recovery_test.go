package control_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/control"
	"gatehouse/internal/feed"
	"gatehouse/internal/secret"
	"gatehouse/internal/store"
	"gatehouse/internal/store/sqlite"
)

// follow runs a gateway's follower over a source until the test ends or stop.
func follow(t *testing.T, from feed.Feed, r *feed.Replica, id gatehouse.ID, verify func(msg, sig []byte) bool) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	f := feed.NewFollower(feed.FollowerConfig{
		Feed: from, Replica: r, Gateway: id, Cluster: "local", Version: "test", Verify: verify, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	go func() { f.Run(ctx); close(done) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// eventually polls with a deadline.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// node is a control plane over one database file.
type node struct {
	db  *sqlite.DB
	svc *control.Service
	src *feed.Source
}

func startNode(t *testing.T, path string, keys *secret.Keys) node {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{Guard: keys})
	if err != nil {
		t.Fatal(err)
	}
	n := node{db: db, svc: control.New(control.Config{Store: db, Now: time.Now, Sealer: keys, Logger: slog.New(slog.DiscardHandler)})}
	n.src = feed.NewSource(feed.SourceConfig{Store: db, Sign: keys.SignBatch, Now: time.Now, Log: slog.New(slog.DiscardHandler), Rebury: n.svc.Rebury})
	t.Cleanup(func() { n.src.Close(); db.Close() })
	return n
}

func (n node) write(t *testing.T, k *gatehouse.Key) {
	t.Helper()
	_, err := n.db.Update(t.Context(), gatehouse.Cause{}, func(tx store.Tx) error {
		return tx.PutKey(k, gatehouse.Act{Action: "api_key.updated", TeamID: k.TeamID})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A key was deleted after the backup was made. One gateway knows; another, and
// the restored database, do not. No gateway may serve strict keys before the one
// that knows was heard, and afterwards the key is dead everywhere.
func TestDeletionsThatABackupLostAreTakenFromGateways(t *testing.T) {
	dir := t.TempDir()
	keys, err := secret.Create(filepath.Join(dir, "secrets"))
	if err != nil {
		t.Fatal(err)
	}
	old := startNode(t, filepath.Join(dir, "old.db"), keys)
	now := time.Now().UTC().Truncate(time.Microsecond)
	key := &gatehouse.Key{
		ID: gatehouse.NewID(), TeamID: gatehouse.NewID(), UserID: gatehouse.NewID(), Name: "revoked", CreateTime: now, ModifyTime: now, Strict: true,
		Secrets: []gatehouse.Secret{{Digest: gatehouse.DigestOf("secret"), Last4: "abcd", CreateTime: now}},
	}
	old.write(t, key)
	knows, behind := feed.NewReplica("local"), feed.NewReplica("local")
	knowing, lagging := gatehouse.NewID(), gatehouse.NewID()
	stopKnowing := follow(t, old.src, knows, knowing, keys.VerifyBatch)
	stopLagging := follow(t, old.src, behind, lagging, keys.VerifyBatch)
	enforced := func(id gatehouse.ID) (rev gatehouse.Revision) {
		old.db.View(t.Context(), func(v store.View) error {
			all, err := v.Gateways()
			for _, g := range all {
				if g.ID == id {
					rev = g.Enforced
				}
			}
			return err
		})
		return rev
	}
	eventually(t, "both gateways acknowledge", func() bool { return enforced(knowing).N == 1 && enforced(lagging).N == 1 })
	stopLagging()
	var backup bytes.Buffer
	if _, err := old.db.Dump(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	tomb := *key
	tomb.Secrets, tomb.DeleteTime = nil, now
	old.write(t, &tomb)
	eventually(t, "one gateway hears of the deletion", func() bool { return knows.Applied().N == 2 })
	stopKnowing()

	path := filepath.Join(dir, "restored.db")
	if _, err := sqlite.Load(t.Context(), path, &backup); err != nil {
		t.Fatal(err)
	}
	restored := startNode(t, path, keys)
	if _, err := restored.db.NewEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	follow(t, restored.src, behind, lagging, keys.VerifyBatch)
	eventually(t, "the gateway behind takes the restored state", func() bool { return behind.Applied().Epoch == 2 })
	fresh := feed.NewReplica("local") // one that has no lease of the epoch before
	follow(t, restored.src, fresh, gatehouse.NewID(), keys.VerifyBatch)
	eventually(t, "a new gateway takes the restored state", func() bool { return fresh.Ready() })
	other := *key
	other.ID, other.Secrets = gatehouse.NewID(), nil
	restored.write(t, &other)
	eventually(t, "the new gateway is up to date", func() bool { return fresh.Applied().N == 1 })
	if fresh.Leased(time.Now()) {
		t.Error("a lease was granted before every gateway was heard")
	}
	follow(t, restored.src, knows, knowing, keys.VerifyBatch)
	eventually(t, "the key is deleted again", func() bool {
		_, ok := behind.Lookup(gatehouse.DigestOf("secret"))
		return !ok
	})
	if _, ok := knows.Lookup(gatehouse.DigestOf("secret")); ok {
		t.Error("the gateway that knew serves it again")
	}
	eventually(t, "leases are granted again", func() bool { return fresh.Leased(time.Now()) })
	var recovered []gatehouse.Event
	err = restored.db.View(t.Context(), func(v store.View) (err error) {
		recovered, err = v.Events(gatehouse.EventFilter{Action: "api_key.recovered", After: -1, Limit: 10})
		return err
	})
	if err != nil || len(recovered) != 1 || recovered[0].Details["gateway"] != knowing.String() || recovered[0].Details["deletedAt"] != "1.2" {
		t.Errorf("%+v, %v", recovered, err)
	}
}

// Within one epoch nothing was lost, so nobody deletes a key by claiming that
// it is gone.
func TestAGatewayCannotDeleteKeysWithoutANewEpoch(t *testing.T) {
	dir := t.TempDir()
	keys, err := secret.Create(filepath.Join(dir, "secrets"))
	if err != nil {
		t.Fatal(err)
	}
	n := startNode(t, filepath.Join(dir, "truth.db"), keys)
	now := time.Now().UTC()
	key := &gatehouse.Key{ID: gatehouse.NewID(), TeamID: gatehouse.NewID(), UserID: gatehouse.NewID(), Name: "k", CreateTime: now, ModifyTime: now,
		Secrets: []gatehouse.Secret{{Digest: sha256.Sum256(nil), Last4: "abcd", CreateTime: now}}}
	n.write(t, key)
	_, err = n.src.Pull(t.Context(), feed.Poll{
		Gateway: gatehouse.NewID(), Cluster: "local", Ready: true, Enforced: gatehouse.Revision{Epoch: 1},
		Offer: &feed.Offer{Tombstones: []feed.Tombstone{{ID: key.ID, Revision: gatehouse.Revision{Epoch: 1, N: 9}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	err = n.db.View(t.Context(), func(v store.View) error {
		k, err := v.Key(key.ID)
		if err == nil && k.Deleted() {
			t.Error("it was deleted")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// The log learns of a key before the key signs, once, and of its end.
func TestTheLogTellsOfEveryRotationOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	keys, err := secret.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := startNode(t, filepath.Join(t.TempDir(), "truth.db"), keys)
	for _, step := range []func(dir, name string) error{secret.Add, secret.Promote, secret.Retire} {
		if err := step(dir, "signing"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := keys.Reload(func(chain []gatehouse.Succession) error { return n.svc.Succeed(t.Context(), chain) }); err != nil {
				t.Fatal(err)
			}
			if err := n.svc.Succeed(t.Context(), keys.Successions()); err != nil {
				t.Fatal(err)
			}
		}
	}
	var actions []string
	err = n.db.View(t.Context(), func(v store.View) error {
		events, err := v.Events(gatehouse.EventFilter{After: -1, Ascending: true, Limit: 10})
		for _, e := range events {
			actions = append(actions, e.Action)
		}
		return err
	})
	if err != nil || len(actions) != 2 || actions[0] != "signing_key.succeeded" || actions[1] != "signing_key.retired" {
		t.Errorf("%v, %v", actions, err)
	}
}
