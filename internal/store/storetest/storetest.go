// Package storetest is the conformance suite of store.Store. Every engine's
// tests call [Run] with a factory; each case gets a store of its own. What an
// engine does beyond the contract (pragmas, tampering by SQL) it tests itself.
package storetest

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// Factory opens an empty store and closes it with the test.
type Factory func(t *testing.T) store.Store

type promise struct {
	name string
	keep func(*bench)
}

// Run checks every promise of the contract.
func Run(t *testing.T, factory Factory) {
	for _, list := range [][]promise{updatePromises, keyPromises, recordPromises, auditPromises, usagePromises, retentionPromises, workPromises, ledgerPromises, paidPromises, fundPromises, peoplePromises, libraryPromises, libraryListPromises, taskPromises, blobPromises} {
		for _, p := range list {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel() // much of a case is waiting for a disk
				p.keep(&bench{T: t, s: factory(t), ctx: store.System(context.Background()), team: gatehouse.NewID(), user: gatehouse.NewID()})
			})
		}
	}
}

// bench is one case's store with the shorthands that keep cases short.
type bench struct {
	*testing.T
	s          store.Store
	ctx        context.Context
	team, user gatehouse.ID
}

// start is a fixed moment of the cases: a Thursday noon.
var start = time.Date(2026, 3, 12, 12, 0, 0, 0, time.UTC)

func (b *bench) cause() gatehouse.Cause {
	return gatehouse.Cause{
		Actor:  gatehouse.Actor{Kind: gatehouse.ActorManagementKey, KeyID: gatehouse.NewID(), UserID: b.user, IP: "192.0.2.7"},
		Reason: "because", RequestID: "req-1",
	}
}

func (b *bench) update(f func(store.Tx) error) gatehouse.Revision {
	b.Helper()
	rev, err := b.s.Update(b.ctx, b.cause(), f)
	b.ok(err)
	return rev
}

func (b *bench) view(f func(store.View) error) {
	b.Helper()
	b.ok(b.s.View(b.ctx, f))
}

func (b *bench) ingest(f func(store.Ingest) error) {
	b.Helper()
	b.ok(b.s.Ingest(b.ctx, f))
}

func (b *bench) work(f func(store.Work) error) {
	b.Helper()
	b.ok(b.s.Work(b.ctx, f))
}

func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) is(err error, code gatehouse.Code) {
	b.Helper()
	if !errors.Is(err, code) {
		b.Fatalf("got error %v, want %s", err, code)
	}
}

func (b *bench) equal(got, want any) {
	b.Helper()
	if !reflect.DeepEqual(got, want) {
		b.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

func (b *bench) key(name string, at time.Time) *gatehouse.Key {
	return &gatehouse.Key{
		ID: gatehouse.NewID(), TeamID: b.team, UserID: b.user, Name: name,
		ACL:        gatehouse.ACL{gatehouse.ModelACL("*"), gatehouse.EndpointACL("chat")},
		CreateTime: at, ModifyTime: at,
		Secrets: []gatehouse.Secret{{Digest: gatehouse.DigestOf(name), Last4: "wxyz", CreateTime: at}},
	}
}

// act describes a deed of the bench's team.
func (b *bench) act(action, description string) gatehouse.Act {
	return gatehouse.Act{Action: action, Operation: "Test", TeamID: b.team, Description: description, Details: map[string]string{"a": "b"}}
}

func (b *bench) putKey(k *gatehouse.Key) gatehouse.Revision {
	b.Helper()
	return b.update(func(tx store.Tx) error {
		return tx.PutKey(k, b.act("api_key.created", "API key "+k.Name+" was created"))
	})
}

func (b *bench) revision() (rev gatehouse.Revision) {
	b.Helper()
	b.view(func(v store.View) (err error) { rev, err = v.Revision(); return err })
	return rev
}

func (b *bench) tree() (tree store.Tree) {
	b.Helper()
	b.view(func(v store.View) (err error) { tree, err = v.Tree(); return err })
	return tree
}

func (b *bench) events(f gatehouse.EventFilter) (out []gatehouse.Event) {
	b.Helper()
	if f.Limit == 0 {
		f.Limit = 1000
	}
	b.view(func(v store.View) (err error) { out, err = v.Events(f); return err })
	return out
}

func (b *bench) changes(after gatehouse.Revision, limit int) (out []gatehouse.Change, upTo gatehouse.Revision, ok bool) {
	b.Helper()
	b.view(func(v store.View) (err error) { out, upTo, ok, err = v.Changes(after, limit); return err })
	return out, upTo, ok
}

func names(keys []*gatehouse.Key) (out []string) {
	for _, k := range keys {
		out = append(out, k.Name)
	}
	return out
}
