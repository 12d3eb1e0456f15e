// Package feedtest is the suite that every implementation of feed.Feed passes.
// It drives a feed from both ends: it changes a real store and looks at what
// polls bring.
package feedtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
	"gatehouse/internal/store"
)

// Fixture is one feed over a store without keys and upstreams, made for one case.
type Fixture struct {
	Store  store.Store
	Feed   feed.Feed
	Verify func(msg, sig []byte) bool
	// Gateway is who polls, of cluster "local"; zero: anybody may.
	Gateway gatehouse.ID
	// Open opens credentials of upstreams; nil: they come in the clear.
	Open feed.Unseal
	// Wire is the layout of batches to ask for.
	Wire uint32
}

// patience bounds every wait for something that must happen.
const patience = 10 * time.Second

// suite is one case's fixture and what it did so far.
type suite struct {
	*testing.T
	Fixture
	team gatehouse.ID
	n    int
	poll feed.Poll
}

// Run runs every case, each with its own fixture.
func Run(t *testing.T, factory func(*testing.T) Fixture) {
	for _, c := range []struct {
		name string
		run  func(*suite)
	}{
		{"the first answer is a snapshot of everything", snapshotFirst},
		{"a change arrives at once, alone", changeArrives},
		{"a deletion is a tombstone without a body", deletionArrives},
		{"nothing new is an empty batch that renews the lease", emptyRenews},
		{"a poll acknowledges", acknowledges},
		{"a lost answer can be asked for again", lostAnswer},
		{"batches are signed and answer their own poll", signed},
		{"an upstream of another cluster is withheld with its credential", otherCluster},
		{"a model of another cluster is withheld", otherModel},
		{"the members of the fleet are told", tellsMembers},
		{"a snapshot for the disk acknowledges nothing", archives},
		{"four snapshots at a time", fourSnapshots},
		{"a lease comes only with the newest state", leaseOnlyWhenCaughtUp},
		{"a large snapshot comes in parts", parts},
		{"a lost part can be asked for again, an unknown snapshot starts anew", lostPart},
		{"another epoch brings a snapshot", otherEpoch},
		{"who is too far behind gets a snapshot", tooFarBehind},
		{"a store that went back is refused", wentBack},
		{"a poll ends with its context", ends},
		{"a follower keeps a replica up to date", follows},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &suite{T: t, Fixture: factory(t), team: gatehouse.NewID()}
			s.poll = feed.Poll{Gateway: s.Gateway, Cluster: "local", Version: "test", Wire: s.Wire}
			if s.Gateway.IsZero() {
				s.poll.Gateway = gatehouse.NewID()
			}
			s.update(func(tx store.Tx) error {
				return tx.PutTeam(&gatehouse.Team{ID: s.team, Name: "team", Billing: gatehouse.BillingMetering, CreateTime: time.Now()}, s.act(gatehouse.KindTeam, s.team.String()))
			})
			c.run(s)
		})
	}
}

func (s *suite) act(kind gatehouse.Kind, subject string) gatehouse.Act {
	return gatehouse.Act{Action: string(kind) + ".changed", Operation: "Test", TeamID: s.team, Kind: kind, Subject: subject, Description: "a test changed it", Result: gatehouse.Done}
}

func (s *suite) update(f func(store.Tx) error) gatehouse.Revision {
	s.Helper()
	cause := gatehouse.Cause{Actor: gatehouse.Actor{Kind: gatehouse.ActorSystem}}
	at, err := s.Store.Update(store.System(s.Context()), cause, f)
	if err != nil {
		s.Fatal(err)
	}
	return at
}

// key makes a key that is not in the store yet. Its secret is its id's text.
func (s *suite) key() *gatehouse.Key {
	s.n++
	now, id := time.Now().UTC().Truncate(time.Microsecond), gatehouse.NewID()
	return &gatehouse.Key{
		ID: id, TeamID: s.team, UserID: gatehouse.NewID(), Name: fmt.Sprint("key ", s.n),
		ACL:        gatehouse.ACL{"api-key:model:*", "api-key:endpoint:*"},
		CreateTime: now, ModifyTime: now,
		Secrets: []gatehouse.Secret{{Digest: gatehouse.DigestOf(id.String()), Last4: "abcd", CreateTime: now}},
	}
}

func (s *suite) put(keys ...*gatehouse.Key) gatehouse.Revision {
	s.Helper()
	return s.update(func(tx store.Tx) error {
		for _, k := range keys {
			if err := tx.PutKey(k, s.act(gatehouse.KindKey, k.ID.String())); err != nil {
				return err
			}
		}
		return nil
	})
}

// pull polls once and opens the answer.
func (s *suite) pull() *feed.Batch {
	s.Helper()
	b, err := s.try()
	if err != nil {
		s.Fatal(err)
	}
	return b
}

func (s *suite) try() (*feed.Batch, error) {
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	s.poll.Nonce++
	signed, err := s.Feed.Pull(ctx, s.poll)
	if err != nil {
		return nil, err
	}
	b, err := feed.Open(signed, s.Verify)
	if err == nil && b.Nonce != s.poll.Nonce {
		s.Errorf("the batch answers poll %d, not %d", b.Nonce, s.poll.Nonce)
	}
	return &b, err
}

// took polls on as a gateway that applied b.
func (s *suite) took(b *feed.Batch) {
	if b.More {
		s.poll.Session, s.poll.Part = b.Session, b.Part+1
		return
	}
	s.poll.Session, s.poll.Part = 0, 0
	s.poll.Enforced, s.poll.Ready = b.To, true
}

// start takes the first snapshot.
func (s *suite) start() *feed.Batch {
	s.Helper()
	b := s.pull()
	if !b.Snapshot || b.More {
		s.Fatalf("the first answer is not a whole snapshot: %+v", b)
	}
	s.took(b)
	return b
}

// find returns the record of an id in b.
func find(b *feed.Batch, id string) *feed.Record {
	for i := range b.Records {
		if b.Records[i].ID == id {
			return &b.Records[i]
		}
	}
	return nil
}

// gateway is the member as the store has it.
func (s *suite) gateway() *gatehouse.Gateway {
	s.Helper()
	var out *gatehouse.Gateway
	err := s.Store.View(store.System(s.Context()), func(v store.View) error {
		all, err := v.Gateways()
		for _, g := range all {
			if g.ID == s.poll.Gateway {
				out = g
			}
		}
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
	return out
}
