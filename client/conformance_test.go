package client_test

import (
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/client"
	"gatehouse/internal/api"
	"gatehouse/internal/api/admin"
	"gatehouse/internal/api/v1"
	"gatehouse/internal/api/xai"
	"gatehouse/internal/control"
	"gatehouse/internal/control/managementtest"
	"gatehouse/internal/payment"
	"gatehouse/internal/secret"
	"gatehouse/internal/store/sqlite"
)

// plane is a whole management plane behind a real listener.
type plane struct {
	url  string
	made control.Bootstrapped
}

func newPlane(t *testing.T) plane {
	t.Helper()
	dir := t.TempDir()
	keys, err := secret.Create(filepath.Join(dir, "secrets"))
	check(t, err)
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "gatehouse.db"), sqlite.Options{Guard: keys})
	check(t, err)
	t.Cleanup(func() { db.Close() })
	service := control.New(control.Config{
		Store: db, Now: time.Now, Sealer: keys, Logger: slog.New(slog.DiscardHandler),
		Processor: payment.Manual{},
	})
	made, _, err := service.Bootstrap(t.Context(), nil)
	check(t, err)
	srv := httptest.NewServer(api.New(api.BackendFunc(func(c *gatehouse.Call) api.Caller { return service.As(c) }),
		api.Options{Rate: -1, Logger: slog.New(slog.DiscardHandler)}, xai.Face(), admin.Face(), v1.Face()))
	t.Cleanup(srv.Close)
	return plane{url: srv.URL, made: made}
}

func (p plane) client(t *testing.T, key gatehouse.Token, opts ...client.Option) *client.Client {
	t.Helper()
	c, err := client.New(p.url, key, opts...)
	check(t, err)
	t.Cleanup(c.Close)
	return c
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What control promises, the wire and this package keep.
func TestTheContractsHoldOverHTTP(t *testing.T) { managementtest.Run(t, overHTTP) }

// So with money.
func TestMoneyHoldsOverHTTP(t *testing.T) { managementtest.RunMoney(t, overHTTP) }

func overHTTP(t *testing.T) managementtest.Installation {
	p := newPlane(t)
	return managementtest.Installation{
		As:   func(key gatehouse.Token) managementtest.Client { return p.client(t, key) },
		Root: p.made.Token, TeamID: p.made.TeamID, UserID: p.made.UserID, Now: time.Now,
	}
}
