package client_test

import (
	"context"
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
	"gatehouse/internal/library"
	"gatehouse/internal/library/blob/dir"
	"gatehouse/internal/library/extract"
	"gatehouse/internal/library/index"
	"gatehouse/internal/payment"
	"gatehouse/internal/secret"
	"gatehouse/internal/store"
	"gatehouse/internal/store/sqlite"
)

// plane is a whole management plane behind a real listener.
type plane struct {
	url  string
	made control.Bootstrapped
}

func newPlane(t *testing.T) plane {
	t.Helper()
	at := t.TempDir()
	keys, err := secret.Create(filepath.Join(at, "secrets"))
	check(t, err)
	db, err := sqlite.Open(t.Context(), filepath.Join(at, "gatehouse.db"), sqlite.Options{Guard: keys})
	check(t, err)
	t.Cleanup(func() { db.Close() })
	service := control.New(control.Config{
		Store: db, Now: time.Now, Sealer: keys, Logger: slog.New(slog.DiscardHandler),
		Processor: payment.Manual{},
	})
	service.Library = newLibrary(t, at, db, keys)
	made, _, err := service.Bootstrap(t.Context(), nil)
	check(t, err)
	srv := httptest.NewServer(api.New(api.BackendFunc(func(c *gatehouse.Call) api.Caller { return service.As(c) }),
		api.Options{Rate: -1, Logger: slog.New(slog.DiscardHandler)}, xai.Face(), xai.CollectionsFace(), admin.Face(), v1.Face()))
	t.Cleanup(srv.Close)
	return plane{url: srv.URL, made: made}
}

// unread and unfound are parts of a library that its management does not touch.
type unread struct{}

func (unread) Extract(context.Context, extract.Document, func(extract.Part) error) (extract.Result, error) {
	return extract.Result{}, nil
}

type unfound struct{ index.Index }

func newLibrary(t *testing.T, at string, db store.Store, keys *secret.Keys) *library.Service {
	t.Helper()
	blobs, err := dir.Open(filepath.Join(at, "blobs"))
	check(t, err)
	t.Cleanup(func() { blobs.Close() })
	out, err := library.New(library.Config{
		Store: db, Blobs: blobs, Index: unfound{}, Extract: unread{}, Sealer: keys, Spool: filepath.Join(at, "spool"), Node: "n",
		Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	check(t, err)
	return out
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

// And with documents.
func TestTheLibraryHoldsOverHTTP(t *testing.T) { managementtest.RunLibrary(t, overHTTP) }

func overHTTP(t *testing.T) managementtest.Installation {
	p := newPlane(t)
	return managementtest.Installation{
		As:   func(key gatehouse.Token) managementtest.Client { return p.client(t, key) },
		Root: p.made.Token, TeamID: p.made.TeamID, UserID: p.made.UserID, Now: time.Now,
	}
}
