package serve

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// started is a process of role all on a database, whose stop ends with the test.
func started(t *testing.T, cfg Config) *program {
	t.Helper()
	cfg.Gateway.Listen, cfg.Management.Listen, cfg.Metrics.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	must(t, cfg.Check())
	h, err := open(t.Context(), cfg, quiet())
	must(t, err)
	p := &program{house: h, proc: Process{Version: "test"}}
	p.later("database", func(context.Context) error { return h.close() })
	t.Cleanup(func() { must(t, p.stop()) })
	must(t, p.start(t.Context()))
	return p
}

// The gateway of one process believes that every limit is its own. When another
// process comes in on the same database, nobody joins through the first: it must
// see that it has company, or a key has its limits twice.
func TestAGatewayThatHasCompanyElsewhereSharesItsLimits(t *testing.T) {
	cfg := Defaults()
	cfg.Data, cfg.Database = filepath.Join(t.TempDir(), "first"), prepared(t)
	first := started(t, cfg)
	if first.limits.Shared() {
		t.Fatal("shared with nobody")
	}
	other := cfg
	other.Data, other.Secrets = filepath.Join(t.TempDir(), "second"), cfg.secretsDir()
	if second := started(t, other); !second.limits.Shared() {
		t.Error("the second takes every limit for its own")
	}
	for deadline := time.Now().Add(10 * time.Second); !first.limits.Shared(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the first takes every limit for its own still")
		}
	}
}

// Whoever joined may have been granted something, whether it was heard of again
// or not. An authority that is told otherwise grants it twice.
func TestAnInstallationWithAGatewayHasNoFirstGrants(t *testing.T) {
	cfg := Defaults()
	for name, change := range map[string]func(store.Store) error{
		"none": func(store.Store) error { return nil },
		"joined": func(s store.Store) error {
			m := &gatehouse.Membership{ID: gatehouse.NewID(), Cluster: "east", SealKey: make([]byte, 32), CreateTime: time.Now()}
			_, err := s.Update(store.System(t.Context()), gatehouse.Cause{}, func(tx store.Tx) error {
				return tx.PutMembership(m, gatehouse.Act{Action: "gateway.joined", Kind: gatehouse.KindGateway, Subject: m.ID.String()})
			})
			return err
		},
		"heard of": func(s store.Store) error {
			return s.Work(store.System(t.Context()), func(w store.Work) error {
				return w.SeenGateway(&gatehouse.Gateway{ID: gatehouse.NewID(), Cluster: "east", Joined: time.Now(), LastSeen: time.Now()})
			})
		},
	} {
		cfg.Data = t.TempDir()
		must(t, cfg.Check())
		h, err := open(t.Context(), cfg, quiet())
		must(t, err)
		must(t, change(h.store))
		virgin, err := (&program{house: h}).virgin(t.Context())
		if err != nil || virgin != (name == "none") {
			t.Errorf("%s: nothing can have been granted: %v, %v", name, virgin, err)
		}
		must(t, h.close())
	}
}
