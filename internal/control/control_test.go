package control_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/control"
	"gatehouse/internal/control/managementtest"
	"gatehouse/internal/payment"
	"gatehouse/internal/secret"
	"gatehouse/internal/store"
	"gatehouse/internal/store/sqlite"
	"gatehouse/internal/store/sqlstore"
)

// house is a bootstrapped installation on the real engine.
type house struct {
	*control.Service
	store *interposed
	clock *clock
	log   *bytes.Buffer
	first control.Bootstrapped
}

// clock moves when a test says so, and a microsecond with every look, so that
// no two records are of one time.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Microsecond)
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// interposed runs a hook before the next Update: what another request did
// between this one's snapshot and its transaction.
type interposed struct {
	store.Store
	before func()
}

func (s *interposed) Update(ctx context.Context, cause gatehouse.Cause, f func(store.Tx) error) (gatehouse.Revision, error) {
	if hook := s.before; hook != nil {
		s.before = nil
		hook()
	}
	return s.Store.Update(ctx, cause, f)
}

func open(t testing.TB) *house {
	t.Helper()
	return openOn(t, func(t testing.TB, o sqlstore.Options) store.Store {
		db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "truth.db"), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	})
}

// openOn is open on an engine.
func openOn(t testing.TB, engine func(testing.TB, sqlstore.Options) store.Store) *house {
	t.Helper()
	keys, err := secret.LoadOrCreate(filepath.Join(t.TempDir(), "secrets"))
	if err != nil {
		t.Fatal(err)
	}
	h := &house{clock: &clock{now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}, log: &bytes.Buffer{}}
	logger := slog.New(slog.NewTextHandler(h.log, nil))
	h.store = &interposed{Store: engine(t, sqlstore.Options{Guard: keys, Now: h.clock.Now, Logger: logger})}
	h.Service = control.New(control.Config{Store: h.store, Now: h.clock.Now, Sealer: keys, Logger: logger, Processor: payment.Manual{}})
	first, made, err := h.Bootstrap(t.Context(), nil)
	if err != nil || !made {
		t.Fatalf("bootstrap: %v %v", made, err)
	}
	h.first = first
	return h
}

func (h *house) root() *control.Caller {
	return h.As(&gatehouse.Call{Token: h.first.Token, IP: netip.MustParseAddr("192.0.2.1"), RequestID: "req-1"})
}

// manager makes a management key as the first one would.
func (h *house) manager(t *testing.T, n gatehouse.NewManagementKey) gatehouse.MintedManagementKey {
	t.Helper()
	m, err := h.root().CreateManagementKey(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (h *house) key(t *testing.T) gatehouse.MintedKey {
	t.Helper()
	m, err := h.root().CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: all})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var all = gatehouse.ACL{"api-key:model:*", "api-key:endpoint:*"}

func TestManagementContracts(t *testing.T) {
	managementtest.Run(t, func(t *testing.T) managementtest.Installation {
		return installation(open(t))
	})
}

func TestMoneyContracts(t *testing.T) {
	managementtest.RunMoney(t, func(t *testing.T) managementtest.Installation {
		return installation(open(t))
	})
}

func installation(h *house) managementtest.Installation {
	return managementtest.Installation{
		As: func(token gatehouse.Token) managementtest.Client {
			return h.As(&gatehouse.Call{Token: token, IP: netip.MustParseAddr("192.0.2.1")})
		},
		Root: h.first.Token, TeamID: h.first.TeamID, UserID: h.first.UserID, Now: h.clock.Now,
	}
}
