package postgres_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/engine"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgres"
	"gatehouse/internal/store/sqlstore"
	"gatehouse/internal/store/storetest"
)

// ownServer is a server that a test may kill.
func ownServer(t *testing.T, settings ...string) (p *engine.Postgres, request string) {
	t.Helper()
	p, err := engine.NewPostgres(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p.Settings = settings
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	if err := p.CreateDatabase("truth"); err != nil {
		t.Fatal(err)
	}
	request = as(t, p.DSN("truth"), requestRole)
	if err := postgres.Migrate(context.Background(), p.DSN("truth"), request); err != nil {
		t.Fatal(err)
	}
	return p, request
}

// TestAServerThatForgetsIsRefused: what it acknowledges may not be there after
// the power failed.
func TestAServerThatForgetsIsRefused(t *testing.T) {
	p, request := ownServer(t)
	for _, setting := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		p.Stop()
		p.Settings = []string{setting + "=off"}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		_, err := postgres.Open(context.Background(), request, postgres.Options{Options: sqlstore.Options{Guard: storetest.NewGuard("test")}})
		if gatehouse.CodeOf(err) != gatehouse.FailedPrecondition || !strings.Contains(err.Error(), setting) {
			t.Errorf("%s=off: %v", setting, err)
		}
	}
}

// TestAKilledServerCostsNothingAcknowledged kills the server under load, again
// and again: every act that was acknowledged is there, what was refused as not
// done is not, and the store goes on by itself.
func TestAKilledServerCostsNothingAcknowledged(t *testing.T) {
	p, request := ownServer(t)
	db := open(t, request)
	team := gatehouse.NewID()
	var mu sync.Mutex
	kept, refused := map[gatehouse.ID]bool{}, map[gatehouse.ID]bool{}
	ctx, cancel := context.WithCancel(system)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				k := newKey(team, "k")
				_, err := db.Update(system, gatehouse.Cause{}, func(tx store.Tx) error { return tx.PutKey(k, act(team, "k")) })
				mu.Lock()
				switch {
				case err == nil:
					kept[k.ID] = true
				case gatehouse.CodeOf(err) != gatehouse.Unavailable:
					t.Errorf("a lost server is %v", err)
				case !errors.Is(err, store.ErrUnsettled):
					refused[k.ID] = true
				}
				mu.Unlock()
				if err != nil {
					<-time.After(10 * time.Millisecond)
				}
			}
		})
	}
	for range 3 {
		mu.Lock()
		before := len(kept)
		mu.Unlock()
		await(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(kept) > before+20 })
		p.Kill()
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	wg.Wait()
	put(t, db, newKey(team, "after"))
	there := map[gatehouse.ID]bool{}
	again := open(t, request)
	for _, s := range []store.Store{db, again} {
		err := s.View(system, func(v store.View) error {
			return v.AllKeys(func(k *gatehouse.Key) error { there[k.ID] = true; return nil })
		})
		if err != nil {
			t.Error(err)
		}
	}
	for id := range kept {
		if !there[id] {
			t.Error("an acknowledged key is gone")
		}
	}
	for id := range refused {
		if there[id] {
			t.Error("a key that was refused is there")
		}
	}
	t.Logf("%d acknowledged, %d refused", len(kept), len(refused))
}

func await(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("timed out")
		}
	}
}
