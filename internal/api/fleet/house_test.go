package fleet_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"gatehouse"
	face "gatehouse/internal/api/fleet"
	"gatehouse/internal/control"
	"gatehouse/internal/feed"
	"gatehouse/internal/fleet"
	"gatehouse/internal/limit"
	"gatehouse/internal/meter"
	"gatehouse/internal/secret"
	"gatehouse/internal/store"
	"gatehouse/internal/store/sqlite"
)

// house is a control node on a real store, behind a real listener.
type house struct {
	*control.Service
	store  store.Store
	keys   *secret.Keys
	source *feed.Source
	url    string
	server *http.Server
	limits *authority
	bank   *vault
	log    *slog.Logger
}

// authority remembers what it was asked, and answers with what a test gave it.
type authority struct {
	limit.Authority
	lease    limit.LeaseRequest
	take     limit.TakeRequest
	exchange limit.ExchangeRequest
}

func (a *authority) Lease(_ context.Context, r limit.LeaseRequest) (limit.LeaseReply, error) {
	a.lease = r
	out := limit.LeaseReply{Seq: r.Seq}
	for i := range r.Demands {
		out.Shares = append(out.Shares, limit.Share{Rates: r.Demands[i].Want, Free: limit.Rates{QPS: 1}})
	}
	return out, nil
}

func (a *authority) Take(_ context.Context, r limit.TakeRequest) (limit.TakeReply, error) {
	a.take = r
	return limit.TakeReply{Index: 1, Limit: "qpm", Full: true, RetryAfter: 3 * time.Second}, nil
}

func (a *authority) Exchange(_ context.Context, r limit.ExchangeRequest) (limit.ExchangeReply, error) {
	a.exchange = r
	out := limit.ExchangeReply{Seq: r.Seq, Epoch: 9, Age: time.Minute}
	for i := range r.Counts {
		out.Others = append(out.Others, r.Counts[i].Tokens+1)
	}
	return out, nil
}

// newHouse has a cluster "local" and nothing else.
func newHouse(t testing.TB) *house {
	t.Helper()
	dir := t.TempDir()
	keys, err := secret.LoadOrCreate(filepath.Join(dir, "secrets"))
	if err != nil {
		t.Fatal(err)
	}
	h := &house{keys: keys, limits: new(authority), bank: new(vault), log: slog.New(slog.DiscardHandler)}
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "truth.db"), sqlite.Options{Guard: keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h.store = db
	h.update(t, func(tx store.Tx) error {
		return tx.PutCluster(&gatehouse.Cluster{Name: "local"}, act(gatehouse.KindCluster, "local"))
	})
	h.Service = control.New(control.Config{Store: db, Now: time.Now, Sealer: keys, Logger: h.log})
	h.source = feed.NewSource(feed.SourceConfig{Store: db, Sign: keys.SignBatch, Now: time.Now, Log: h.log})
	t.Cleanup(h.source.Close)
	h.url = h.listen(t)
	return h
}

func act(kind gatehouse.Kind, subject string) gatehouse.Act {
	return gatehouse.Act{Action: string(kind) + ".changed", Operation: "Test", Kind: kind, Subject: subject, Description: "a test changed it", Result: gatehouse.Done}
}

func (h *house) update(t testing.TB, f func(store.Tx) error) gatehouse.Revision {
	t.Helper()
	at, err := h.store.Update(store.System(t.Context()), gatehouse.Cause{Actor: gatehouse.Actor{Kind: gatehouse.ActorSystem}}, f)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// listen serves the face on a port of its own, and returns its URL.
func (h *house) listen(t testing.TB) string { return h.serve(t, face.Handler(h.face())) }

func (h *house) serve(t testing.TB, handler http.Handler) string {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	h.server = &http.Server{Handler: handler, Protocols: protocols}
	go h.server.Serve(socket)
	t.Cleanup(func() { h.server.Close() })
	return "http://" + socket.Addr().String()
}

func (h *house) face() face.Config {
	return face.Config{
		Members: h.Service, Feed: h.source, Usage: meter.NewIngester(h.store), Limits: h.limits, Bank: h.bank, Brand: gatehouse.DefaultBrand, Log: h.log,
		Object: func(ctx context.Context, id string) (o meter.Object, err error) {
			err = h.store.View(ctx, func(v store.View) error { o, err = v.Object(id); return err })
			return o, err
		},
		Touch: func(ctx context.Context, uses []store.LastUse) error {
			return h.store.Work(ctx, func(w store.Work) error { return w.TouchKeys(uses) })
		},
		Verifiers: func() []ed25519.PublicKey { return []ed25519.PublicKey{h.keys.Public()} },
		Sign:      h.keys.SignBatch,
	}
}

// token makes a join token, as an operator's call does.
func (h *house) token(t testing.TB, uses int) gatehouse.Token {
	t.Helper()
	id := gatehouse.NewID()
	token := gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Join, id)
	now := time.Now()
	h.update(t, func(tx store.Tx) error {
		return tx.PutJoinToken(&gatehouse.JoinToken{
			ID: id, Cluster: "local", Digest: token.Digest(), Last4: token.Last4(), Uses: uses, CreateTime: now, ExpireTime: now.Add(time.Hour),
		}, act(gatehouse.KindJoinToken, id.String()))
	})
	return token
}

// member is a gateway that joined, with its data directory.
type member struct {
	*fleet.Client
	id  *fleet.Identity
	dir string
}

func (h *house) join(t testing.TB) *member {
	t.Helper()
	dir := t.TempDir()
	id, err := fleet.Join(t.Context(), fleet.JoinConfig{
		Dir: dir, Control: []string{h.url}, Token: h.token(t, 1).Reveal(), Gateway: gatehouse.NewID(), Version: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	return &member{Client: connect(t, id, h.url), id: id, dir: dir}
}

func connect(t testing.TB, id *fleet.Identity, urls ...string) *fleet.Client {
	t.Helper()
	c, err := fleet.New(fleet.Config{Control: urls, Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (m *member) poll() feed.Poll {
	return feed.Poll{Gateway: m.id.Gateway, Cluster: m.id.Cluster, Version: "test", Wire: feed.Wire}
}

func (h *house) forget(t testing.TB, id gatehouse.ID) {
	t.Helper()
	h.update(t, func(tx store.Tx) error {
		m, err := tx.Membership(id)
		if err != nil {
			return err
		}
		gone := *m
		gone.DeleteTime = time.Now()
		return errors.Join(tx.PutMembership(&gone, act(gatehouse.KindMembership, id.String())), tx.ForgetGateway(id, act(gatehouse.KindGateway, id.String())))
	})
}
