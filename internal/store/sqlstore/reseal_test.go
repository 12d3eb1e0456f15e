package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/engine"
	"gatehouse/internal/secret"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgres"
	"gatehouse/internal/store/sqlite"
	"gatehouse/internal/store/sqlstore"
)

// truth is an open database of either engine.
type truth interface {
	store.Store
	Reseal(context.Context) (sqlstore.Resealed, error)
	NewEpoch(context.Context) (gatehouse.Revision, error)
}

// engines make a database and open it, as often as it takes.
var engines = map[string]func(t *testing.T) func(sqlstore.Options) (truth, error){
	"sqlite": func(t *testing.T) func(sqlstore.Options) (truth, error) {
		path := filepath.Join(t.TempDir(), "truth.db")
		return func(o sqlstore.Options) (truth, error) { return sqlite.Open(t.Context(), path, o) }
	},
	"postgres": func(t *testing.T) func(sqlstore.Options) (truth, error) {
		admin := engine.Database(t)
		if err := postgres.Migrate(t.Context(), admin, "gatehouse_reseal"); err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(admin)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.User("gatehouse_reseal")
		return func(o sqlstore.Options) (truth, error) {
			return postgres.Open(t.Context(), u.String(), postgres.Options{Options: o, ListenDSN: "-"})
		}
	},
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newKey(team gatehouse.ID) *gatehouse.Key {
	id, now := gatehouse.NewID(), time.Now().UTC().Truncate(time.Microsecond)
	return &gatehouse.Key{
		ID: id, TeamID: team, UserID: team, Name: "k", ACL: gatehouse.ACL{"api-key:model:*"}, CreateTime: now, ModifyTime: now,
		Secrets: []gatehouse.Secret{{Digest: gatehouse.DigestOf(id.String()), Last4: "abcd", CreateTime: now}},
	}
}

func put(t *testing.T, s store.Store, keys ...*gatehouse.Key) {
	t.Helper()
	_, err := s.Update(store.System(t.Context()), gatehouse.Cause{}, func(tx store.Tx) error {
		for _, k := range keys {
			if err := tx.PutKey(k, gatehouse.Act{Action: "api_key.created", TeamID: k.TeamID}); err != nil {
				return err
			}
		}
		return nil
	})
	must(t, err)
}

// intact reports keys that are not read as they were written.
func intact(s store.Store, keys []*gatehouse.Key) (problem error) {
	return s.View(store.System(context.Background()), func(v store.View) error {
		for _, want := range keys {
			got, err := v.Key(want.ID)
			if err != nil {
				return err
			}
			if len(got.Secrets) != 1 || got.Secrets[0].Digest != want.Secrets[0].Digest || got.Revision != want.Revision {
				return fmt.Errorf("%s is not what was written", want.ID)
			}
		}
		return nil
	})
}

func revision(t *testing.T, s store.Store) (rev gatehouse.Revision) {
	t.Helper()
	must(t, s.View(store.System(t.Context()), func(v store.View) (err error) {
		rev, err = v.Revision()
		return err
	}))
	return rev
}

func rotate(t *testing.T, dir string, keys *secret.Keys, step func(dir, name string) error, names ...string) {
	t.Helper()
	for _, name := range names {
		must(t, step(dir, name))
	}
	_, err := keys.Reload(nil)
	must(t, err)
}

// dying is a context that ends after it was looked at some times.
type dying struct {
	context.Context
	left atomic.Int64
}

func (d *dying) Err() error {
	if d.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// load reads keys and makes others until it ends.
type load struct {
	calls, failures atomic.Int64
	first           atomic.Value
	end             func() (made []*gatehouse.Key)
}

func begin(s store.Store, team gatehouse.ID, keys []*gatehouse.Key) *load {
	l := &load{}
	running, cancel := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	var made []*gatehouse.Key
	note := func(err error) {
		l.calls.Add(1)
		if err != nil {
			l.failures.Add(1)
			l.first.CompareAndSwap(nil, err.Error())
		}
	}
	workers.Go(func() {
		for i := 0; running.Err() == nil; i++ {
			note(intact(s, keys[i%len(keys):][:1]))
		}
	})
	workers.Go(func() {
		for running.Err() == nil {
			k := newKey(team)
			_, err := s.Update(store.System(context.Background()), gatehouse.Cause{}, func(tx store.Tx) error {
				return tx.PutKey(k, gatehouse.Act{Action: "api_key.created", TeamID: team})
			})
			note(err)
			made = append(made, k)
		}
	})
	l.end = func() []*gatehouse.Key {
		cancel()
		workers.Wait()
		return made
	}
	return l
}

// A rotation while keys are read and made: nothing fails, nothing is said to
// gateways, a killed pass is gone on with, and in the end the old secrets open
// nothing and are needed for nothing.
func TestARotationUnderLoadFailsNothingAndMovesNoRevision(t *testing.T) {
	for name, make := range engines {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "secrets")
			guard, err := secret.Create(dir)
			must(t, err)
			open := make(t)
			s, err := open(sqlstore.Options{Guard: guard})
			must(t, err)
			team := gatehouse.NewID()
			var keys []*gatehouse.Key
			for range 400 {
				keys = append(keys, newKey(team))
			}
			for chunk := range slices.Chunk(keys, 100) {
				put(t, s, chunk...)
			}
			up := &gatehouse.Upstream{ID: gatehouse.NewID(), Name: "up", BaseURL: "https://api.example.com/v1", Credential: "hidden"}
			_, err = s.Update(store.System(t.Context()), gatehouse.Cause{}, func(tx store.Tx) error {
				if err := tx.PutTeam(&gatehouse.Team{ID: team, Name: "nothing sealed"}, gatehouse.Act{Action: "team.created"}); err != nil {
					return err
				}
				return tx.PutUpstream(up, gatehouse.Act{Action: "upstream.created"})
			})
			must(t, err)

			must(t, s.Work(store.System(t.Context()), func(w store.Work) error {
				return errors.Join(w.PutSignIn(store.SignInState{User: team, Refresh: []byte("refresh")}),
					w.PlanBlob(store.Blob{Name: "blob", Team: team}, time.Now()), w.StoredBlob("blob", time.Now()))
			}))
			file := &gatehouse.File{ID: gatehouse.NewID(), TeamID: team, Name: "f", Blob: "blob", LinkURL: "https://files.example/l", CreateTime: time.Now()}
			_, err = s.Update(store.System(t.Context()), gatehouse.Cause{}, func(tx store.Tx) error {
				return tx.PutFile(file, gatehouse.Act{Action: "file.created", TeamID: team})
			})
			must(t, err)
			rotate(t, dir, guard, secret.Add, "pepper", "mac")
			rotate(t, dir, guard, secret.Promote, "pepper", "mac")
			// Killed in the middle: the context ends with some rows done.
			half := &dying{Context: t.Context()}
			half.left.Store(8)
			if pass, err := s.Reseal(half); err == nil || pass.Rows == 0 || pass.Rows >= 400 {
				t.Errorf("the pass was not cut short in the middle: %+v, %v", pass, err)
			}
			must(t, s.Close())

			// A process that knows both generations goes on where it ended.
			guard, err = secret.Open(dir)
			must(t, err)
			s, err = open(sqlstore.Options{Guard: guard})
			must(t, err)
			before := revision(t, s)
			l := begin(s, team, keys)
			var rows int64
			for done := false; !done || l.calls.Load() < 100; {
				pass, err := s.Reseal(t.Context())
				must(t, err)
				if pass.Refused > 0 {
					t.Fatalf("%d rows were refused", pass.Refused)
				}
				rows, done = rows+pass.Rows, pass.Rows == 0
			}
			later := l.end()
			if rows == 0 || l.failures.Load() > 0 {
				t.Errorf("%d rows; %d of %d calls failed, first: %v", rows, l.failures.Load(), l.calls.Load(), l.first.Load())
			}
			t.Logf("%d calls, %d keys made, %d rows after the kill", l.calls.Load(), len(later), rows)
			must(t, s.View(store.System(t.Context()), func(v store.View) error {
				changes, upTo, ok, err := v.Changes(before, 10_000)
				if len(changes) != len(later) || upTo.N != before.N+int64(len(later)) || !ok {
					t.Errorf("the feed tells of %d changes, %d keys were made", len(changes), len(later))
				}
				return err
			}))
			must(t, s.Close())
			rotate(t, dir, guard, secret.Retire, "pepper", "mac")
			s, err = open(sqlstore.Options{Guard: guard})
			must(t, err)
			defer s.Close()
			must(t, intact(s, append(keys, later...)))
			must(t, s.View(store.System(t.Context()), func(v store.View) error {
				got, err := v.Upstream(up.ID)
				if err == nil && got.Credential != "hidden" {
					t.Error("the credential is lost")
				}
				if all, err := v.SignIns(); err != nil || len(all) != 1 || string(all[0].Refresh) != "refresh" {
					t.Errorf("sign-ins %+v: %v", all, err)
				}
				if f, err := v.File(file.ID); err != nil || f.LinkURL != file.LinkURL {
					t.Errorf("a file's link: %+v, %v", f, err)
				}
				return err
			}))
		})
	}
}

// Whoever can write SQL must not have their row made genuine by a rotation, and
// a node without the new generation must not start.
func TestResealingMakesNothingGenuine(t *testing.T) {
	root := t.TempDir()
	dir, path := filepath.Join(root, "secrets"), filepath.Join(root, "truth.db")
	guard, err := secret.Create(dir)
	must(t, err)
	old, err := secret.Open(dir)
	must(t, err)
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{Guard: guard})
	must(t, err)
	k := newKey(gatehouse.NewID())
	put(t, s, k, newKey(k.TeamID))
	must(t, s.Close())
	db, err := sql.Open("sqlite", path)
	must(t, err)
	if _, err := db.Exec(`UPDATE api_keys SET record = ? WHERE id = ?`, []byte(`{}`), k.ID.String()); err != nil {
		t.Fatal(err)
	}
	must(t, db.Close())
	rotate(t, dir, guard, secret.Add, "pepper", "mac")
	rotate(t, dir, guard, secret.Promote, "pepper", "mac")
	s, err = sqlite.Open(t.Context(), path, sqlite.Options{Guard: guard})
	must(t, err)
	if pass, err := s.Reseal(t.Context()); err != nil || pass.Refused != 1 || pass.Rows != 2 {
		t.Errorf("%+v, %v", pass, err) // the other key, and the installation
	}
	if err := intact(s, []*gatehouse.Key{k}); gatehouse.CodeOf(err) != gatehouse.NotFound {
		t.Errorf("got %v", err)
	}
	must(t, s.Close())
	if _, err := sqlite.Open(t.Context(), path, sqlite.Options{Guard: old}); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
		t.Errorf("opened without the new generation: %v", err)
	}
}

func TestANewEpochKeepsEveryRecord(t *testing.T) {
	for name, make := range engines {
		t.Run(name, func(t *testing.T) {
			guard, err := secret.Create(filepath.Join(t.TempDir(), "secrets"))
			must(t, err)
			open := make(t)
			s, err := open(sqlstore.Options{Guard: guard})
			must(t, err)
			k := newKey(gatehouse.NewID())
			put(t, s, k)
			before, err := s.NewEpoch(t.Context())
			must(t, err)
			if now := revision(t, s); before != (gatehouse.Revision{Epoch: 1, N: 1}) || now != (gatehouse.Revision{Epoch: 2}) {
				t.Errorf("from %s to %s", before, now)
			}
			must(t, intact(s, []*gatehouse.Key{k}))
			another := newKey(k.TeamID)
			put(t, s, another)
			must(t, s.Close())
			s, err = open(sqlstore.Options{Guard: guard})
			must(t, err)
			defer s.Close()
			must(t, intact(s, []*gatehouse.Key{k, another}))
			if another.Revision != (gatehouse.Revision{Epoch: 2, N: 1}) {
				t.Errorf("the first act of the epoch has %s", another.Revision)
			}
		})
	}
}
