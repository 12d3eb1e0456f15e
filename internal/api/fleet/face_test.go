package fleet_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	connectrpc "connectrpc.com/connect"

	"gatehouse"
	face "gatehouse/internal/api/fleet"
	"gatehouse/internal/feed"
	"gatehouse/internal/fleet"
	"gatehouse/internal/limit"
	"gatehouse/internal/meter"
	"gatehouse/internal/store"
)

func code(t *testing.T, what string, err error, want gatehouse.Code) {
	t.Helper()
	if got := gatehouse.CodeOf(err); got != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}

// The answer to a join can be lost after the token's only use was counted.
func TestAJoinCanBeAskedForAgain(t *testing.T) {
	h, dir, id := newHouse(t), t.TempDir(), gatehouse.NewID()
	c := fleet.JoinConfig{Dir: dir, Control: []string{h.url}, Token: h.token(t, 1).Reveal(), Gateway: id, Version: "test"}
	first, err := fleet.Join(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	old := connect(t, first, h.url)
	again, err := fleet.Join(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	code(t, "the credential that was lost", old.Leave(t.Context()), gatehouse.Unauthenticated)
	code(t, "the new credential", connect(t, again, h.url).Leave(t.Context()), "")
	other := c
	other.Dir, other.Gateway = t.TempDir(), gatehouse.NewID()
	_, err = fleet.Join(t.Context(), other)
	code(t, "a second process by a token for one", err, gatehouse.Unauthenticated)
}

func TestAnIdentitySurvivesARestartAndShowsNothing(t *testing.T) {
	h := newHouse(t)
	m := h.join(t)
	loaded, err := fleet.Load(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Gateway != m.id.Gateway || loaded.Cluster != "local" || loaded.Brand != gatehouse.DefaultBrand {
		t.Errorf("loaded %v of %s", loaded, loaded.Cluster)
	}
	code(t, "a call after a restart", connect(t, loaded, h.url).Leave(t.Context()), "")
	info, err := os.Stat(filepath.Join(m.dir, "fleet.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file with the credential: %v, %v", info.Mode(), err)
	}
	msg := []byte("batch")
	if !loaded.VerifyBatch(msg, h.keys.SignBatch(msg)) || loaded.VerifyBatch(msg, h.keys.SignBatch([]byte("other"))) {
		t.Error("the verify key does not tell control's signature from another")
	}
	_, err = fleet.Load(t.TempDir())
	code(t, "a directory of nobody", err, gatehouse.NotFound)
	if err := os.WriteFile(filepath.Join(m.dir, "fleet.json"), []byte(`{"gateway":"`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = fleet.Load(m.dir)
	code(t, "a damaged identity", err, gatehouse.FailedPrecondition)
}

// The contract: it starts from its data directory alone.
func TestAGatewayRemembersWhereControlIs(t *testing.T) {
	m := newHouse(t).join(t)
	_, err := m.id.Reach(fleet.Way{})
	code(t, "a gateway that was never told", err, gatehouse.InvalidArgument)
	first := fleet.Way{Control: []string{"https://one:1", "https://two:2"}, Roots: "roots"}
	if err := m.id.Remember(first); err != nil {
		t.Fatal(err)
	}
	if err := m.id.SetVerifiers([][]byte{make([]byte, 32)}); err != nil { // another writer of the file
		t.Fatal(err)
	}
	loaded, err := fleet.Load(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	other := fleet.Way{Control: []string{"https://three:3"}}
	for _, c := range []struct{ said, want fleet.Way }{
		{fleet.Way{}, first}, {fleet.Way{Roots: "new"}, fleet.Way{Control: first.Control, Roots: "new"}}, {other, other},
	} {
		if got, err := loaded.Reach(c.said); err != nil || !slices.Equal(got.Control, c.want.Control) || got.Roots != c.want.Roots {
			t.Errorf("said %+v: %+v, %v", c.said, got, err)
		}
	}
}

// Verifiers that control announces are kept: a restart knows them.
func TestNewVerifyKeysAreKept(t *testing.T) {
	h, other := newHouse(t), newHouse(t)
	m := h.join(t)
	if err := m.id.SetVerifiers([][]byte{h.keys.Public(), other.keys.Public()}); err != nil {
		t.Fatal(err)
	}
	loaded, err := fleet.Load(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []*house{h, other} {
		if msg := []byte("batch"); !loaded.VerifyBatch(msg, k.keys.SignBatch(msg)) {
			t.Error("a key that was announced does not verify after a restart")
		}
	}
	code(t, "no keys at all", m.id.SetVerifiers(nil), gatehouse.InvalidArgument)
}

func TestAForgottenMemberIsRefusedOnAnOpenStreamToo(t *testing.T) {
	h := newHouse(t)
	m := h.join(t)
	if _, err := m.Pull(t.Context(), m.poll()); err != nil {
		t.Fatal(err)
	}
	h.forget(t, m.id.Gateway)
	for _, what := range []string{"a poll of the open stream", "a poll of a new one"} {
		_, err := m.Pull(t.Context(), m.poll())
		code(t, what, err, gatehouse.Unauthenticated)
		if !errors.Is(err, feed.ErrForgotten) {
			t.Errorf("%s does not prove that the gateway was forgotten: %v", what, err)
		}
	}
	_, err := m.Object(t.Context(), "resp_1")
	code(t, "a look-up", err, gatehouse.Unauthenticated)
	code(t, "usage", m.Ingest(t.Context(), meter.Batch{Gateway: m.id.Gateway}), gatehouse.Unauthenticated)
	_, err = m.Lease(t.Context(), limit.LeaseRequest{Holder: gatehouse.NewID()})
	code(t, "a limit", err, gatehouse.Unauthenticated)
}

// A gateway stops serving when control has forgotten it, and so must not when
// somebody else says that it has.
func TestOnlyItsOwnControlCanForgetAGateway(t *testing.T) {
	h, other := newHouse(t), newHouse(t)
	m, gone := h.join(t), h.join(t)
	if _, err := gone.Pull(t.Context(), gone.poll()); err != nil {
		t.Fatal(err)
	}
	h.forget(t, gone.id.Gateway)
	replayed := make(chan string, 1)
	record := h.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		face.Handler(h.face()).ServeHTTP(w, r)
		replayed <- w.Header().Get(fleet.ForgottenHeader)
	}))
	if _, err := connect(t, gone.id, record).Object(t.Context(), "x"); err == nil {
		t.Fatal("the forgotten gateway was answered")
	}
	proof := <-replayed
	if proof == "" {
		t.Fatal("no signature to replay")
	}
	for what, url := range map[string]string{
		"another installation": other.url,
		"a proxy's 401":        h.serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })),
		"what was said to another gateway": h.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			e := connectrpc.NewError(connectrpc.CodeUnauthenticated, errors.New("forgotten"))
			e.Meta().Set(fleet.CodeHeader, string(gatehouse.Unauthenticated))
			e.Meta().Set(fleet.ForgottenHeader, proof)
			connectrpc.NewErrorWriter().Write(w, r, e)
		})),
	} {
		_, err := connect(t, m.id, url).Pull(t.Context(), m.poll())
		if err == nil || errors.Is(err, feed.ErrForgotten) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAMemberSpeaksForItselfAlone(t *testing.T) {
	h := newHouse(t)
	m, other := h.join(t), h.join(t)
	p := m.poll()
	p.Gateway = other.id.Gateway
	_, err := m.Pull(t.Context(), p)
	code(t, "a poll for another gateway", err, gatehouse.PermissionDenied)
	p = m.poll()
	p.Cluster = "elsewhere"
	_, err = m.Pull(t.Context(), p)
	code(t, "a poll for another cluster", err, gatehouse.PermissionDenied)
	row := gatehouse.UsageRecord{ID: gatehouse.NewID(), Gateway: m.id.Gateway, Cluster: "elsewhere", Start: time.Now().Add(2 * time.Hour)}
	for what, b := range map[string]meter.Batch{
		"another's journal":       {Gateway: other.id.Gateway, Incarnation: 1, To: 1},
		"rows of another's":       {Gateway: m.id.Gateway, Incarnation: 1, To: 1, Records: []gatehouse.UsageRecord{{ID: gatehouse.NewID(), Gateway: other.id.Gateway, Cluster: "local"}}},
		"rows of another place's": {Gateway: m.id.Gateway, Incarnation: 1, To: 1, Records: []gatehouse.UsageRecord{row}},
	} {
		code(t, what, m.Ingest(t.Context(), b), gatehouse.PermissionDenied)
	}
	if _, err := m.Lease(t.Context(), limit.LeaseRequest{Gateway: other.id.Gateway, Holder: gatehouse.NewID()}); err != nil || h.limits.lease.Gateway != m.id.Gateway {
		t.Errorf("a lease for %v, asked by %v: %v", h.limits.lease.Gateway, m.id.Gateway, err)
	}
}

// A single process that joins a fleet brings its journal along.
func TestUsageFromBeforeTheJoinIsShipped(t *testing.T) {
	h := newHouse(t)
	m, other := h.join(t), h.join(t)
	now := time.Now().UTC().Truncate(time.Microsecond)
	row := gatehouse.UsageRecord{
		ID: gatehouse.NewID(), Start: now.Add(-time.Hour), Close: now, TeamID: gatehouse.NewID(), KeyID: gatehouse.NewID(), Model: "m", Endpoint: "chat",
		Cluster: "alone", Gateway: m.id.Gateway, RequestID: "r", Upstream: "u", Status: 200, Outcome: gatehouse.Completed,
	}
	b := meter.Batch{Gateway: m.id.Gateway, Incarnation: 1, To: 10, Records: []gatehouse.UsageRecord{row}}
	code(t, "what a gateway served before it joined", m.Ingest(t.Context(), b), "")
	row.Gateway = other.id.Gateway
	b.Records[0] = row
	code(t, "another's of that time", m.Ingest(t.Context(), b), gatehouse.PermissionDenied)
}

func TestUsageShippedIsThereOnce(t *testing.T) {
	h := newHouse(t)
	m := h.join(t)
	now := time.Now().UTC().Truncate(time.Microsecond)
	row := gatehouse.UsageRecord{
		ID: gatehouse.NewID(), Start: now, Close: now, TeamID: gatehouse.NewID(), KeyID: gatehouse.NewID(), Model: "m", Endpoint: "chat",
		Cluster: "local", Gateway: m.id.Gateway, RequestID: "r", Upstream: "u", Status: 200, Outcome: gatehouse.Completed,
		Usage: gatehouse.Usage{7}, Tags: map[string]string{"a": "b"}, UpstreamUsage: `{"n":7}`, Latency: time.Second,
	}
	object := meter.Object{ID: "resp_1", TeamID: row.TeamID, UpstreamID: gatehouse.NewID(), Model: "m", CreateTime: now}
	b := meter.Batch{Gateway: m.id.Gateway, Incarnation: 1, From: 0, To: 10, Records: []gatehouse.UsageRecord{row}, Objects: []meter.Object{object}}
	for range 3 {
		if err := m.Ingest(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	var rows []*gatehouse.UsageRecord
	err := h.store.View(store.System(t.Context()), func(v store.View) error {
		return v.UsageRows(store.UsageScan{Team: row.TeamID, Start: now.Add(-time.Hour), End: now.Add(time.Hour)}, func(r *gatehouse.UsageRecord) error {
			rows = append(rows, r)
			return nil
		})
	})
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if got := rows[0]; got.ID != row.ID || got.Usage != row.Usage || got.UpstreamUsage != row.UpstreamUsage || got.Tags["a"] != "b" || got.Latency != row.Latency {
		t.Errorf("shipped %+v\nstored %+v", row, got)
	}
	found, err := m.Object(t.Context(), "resp_1")
	if err != nil || found != object {
		t.Errorf("the object is %+v, %v", found, err)
	}
	_, err = m.Object(t.Context(), "resp_2")
	code(t, "an id that nobody has", err, gatehouse.NotFound)
}

func TestLimitsCrossTheWireUnchanged(t *testing.T) {
	h := newHouse(t)
	m := h.join(t)
	s := func(n int32) limit.Subject {
		return limit.Subject{ID: gatehouse.NewID(), Limits: gatehouse.Limits{QPS: n, QPM: n + 1, TPM: int64(n) + 2}, Revision: gatehouse.Revision{Epoch: 2, N: 3}}
	}
	lease := limit.LeaseRequest{Gateway: m.id.Gateway, Holder: gatehouse.NewID(), Seq: 7, Demands: []limit.Demand{
		{Subject: s(1), Held: limit.Rates{QPS: 1, QPM: 2}, Used: limit.Rates{QPS: 3}, Want: limit.Rates{QPS: 4, QPM: 5}, Weight: 6}, {Subject: s(2)},
	}}
	got, err := m.Lease(t.Context(), lease)
	if err != nil || got.Seq != 7 || len(got.Shares) != 2 || got.Shares[0].Rates != lease.Demands[0].Want || got.Shares[1].Free.QPS != 1 {
		t.Errorf("shares %+v, %v", got, err)
	}
	if a := h.limits.lease; a.Gateway != lease.Gateway || a.Holder != lease.Holder || a.Seq != 7 || !slices.Equal(a.Demands, lease.Demands) {
		t.Errorf("asked %+v, heard %+v", lease, a)
	}
	take := limit.TakeRequest{Gateway: m.id.Gateway, Holder: gatehouse.NewID(), Subjects: []limit.Subject{s(1), s(2)}, Guard: time.Millisecond, Cost: 2}
	reply, err := m.Take(t.Context(), take)
	if err != nil || reply != (limit.TakeReply{Index: 1, Limit: "qpm", Full: true, RetryAfter: 3 * time.Second}) {
		t.Errorf("took %+v, %v", reply, err)
	}
	if a := h.limits.take; a.Guard != take.Guard || a.Cost != 2 || !slices.Equal(a.Subjects, take.Subjects) {
		t.Errorf("asked %+v, heard %+v", take, a)
	}
	counts := limit.ExchangeRequest{Gateway: m.id.Gateway, Holder: gatehouse.NewID(), Seq: 8, Counts: []limit.Count{{Subject: gatehouse.NewID(), Tokens: 5}, {Subject: gatehouse.NewID(), Tokens: -6}}}
	others, err := m.Exchange(t.Context(), counts)
	if err != nil || others.Seq != 8 || !slices.Equal(others.Others, []int64{6, -5}) || others.Epoch != 9 || others.Age != time.Minute {
		t.Errorf("others %+v, %v", others, err)
	}
	if a := h.limits.exchange; !slices.Equal(a.Counts, counts.Counts) {
		t.Errorf("asked %+v, heard %+v", counts, a)
	}
}

// idle is the authority of a control node whose turn it is not.
type idle struct{ limit.Authority }

func (idle) Lease(context.Context, limit.LeaseRequest) (limit.LeaseReply, error) {
	return limit.LeaseReply{}, gatehouse.Errorf(gatehouse.Unavailable, "another control node shares out limits").After(time.Minute)
}

// One control node shares out limits. A gateway that follows another finds it,
// and its feed stays where it is.
func TestTheNodeThatSharesOutLimitsIsFound(t *testing.T) {
	h := newHouse(t)
	quiet := h.face()
	quiet.Limits = idle{}
	var strays atomic.Int32
	sharing := h.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/Lease") {
			strays.Add(1)
		}
		face.Handler(h.face()).ServeHTTP(w, r)
	}))
	m := h.join(t)
	c := connect(t, m.id, h.serve(t, face.Handler(quiet)), sharing)
	for range 3 {
		if _, err := c.Pull(t.Context(), m.poll()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Lease(t.Context(), limit.LeaseRequest{Holder: gatehouse.NewID(), Seq: 1}); err != nil {
			t.Errorf("a lease while another node shares out: %v", err)
		}
	}
	if n := strays.Load(); n > 0 {
		t.Errorf("%d other calls followed the limits to their node", n)
	}
}

// Any control node will do, and one that is gone costs no more than a failed
// poll or two.
func TestAnotherControlNodeTakesOver(t *testing.T) {
	h := newHouse(t)
	first := h.server
	second := h.listen(t)
	m := h.join(t)
	c := connect(t, m.id, h.url, second)
	if _, err := c.Pull(t.Context(), m.poll()); err != nil {
		t.Fatal(err)
	}
	first.Close()
	var err error
	for range 3 {
		if _, err = c.Pull(t.Context(), m.poll()); err == nil {
			break
		}
		code(t, "a node that is gone", err, gatehouse.Unavailable)
	}
	if err != nil {
		t.Error("the other node was not found")
	}
	code(t, "a call", c.Leave(t.Context()), "")
}

// What answers in control's place must not be believed, whatever it says.
func TestNobodyElseIsControl(t *testing.T) {
	h := newHouse(t)
	m := h.join(t)
	c := connect(t, m.id, "http://127.0.0.1:1")
	_, err := c.Pull(t.Context(), m.poll())
	code(t, "nobody there", err, gatehouse.Unavailable)
	_, err = c.Take(t.Context(), limit.TakeRequest{})
	code(t, "a limit with nobody there", err, gatehouse.Unavailable)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Pull(ctx, m.poll()); !errors.Is(err, context.Canceled) {
		t.Errorf("a poll that was given up: %v", err)
	}
}

// S04, T42: what a gateway's credential for an upstream is must not be readable
// by whoever records the wire, nor in what the gateway keeps.
func TestUpstreamCredentialsAreNowhereInTheClear(t *testing.T) {
	h := newHouse(t)
	m, other := h.join(t), h.join(t)
	up := &gatehouse.Upstream{
		ID: gatehouse.NewID(), Name: "up", Kind: gatehouse.OpenAI, BaseURL: "https://upstream.example/v1", Credential: "sk-canary-0123456789abcdef",
		Families: gatehouse.AllFamilies, Serves: []gatehouse.Serve{{Model: "*"}}, HeaderTimeout: time.Minute, IdleTimeout: time.Minute,
	}
	h.update(t, func(tx store.Tx) error { return tx.PutUpstream(up, act(gatehouse.KindUpstream, "up")) })
	signed, err := m.Pull(t.Context(), m.poll())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(signed.Payload), up.Credential) {
		t.Error("the credential is on the wire in the clear")
	}
	for _, c := range []struct {
		who  *member
		want bool
	}{{m, true}, {other, false}} {
		b, err := feed.Open(signed, c.who.id.VerifyBatch)
		if err != nil {
			t.Fatal(err)
		}
		r := feed.NewMemberReplica("local", c.who.id.Unseal)
		if err := r.Apply(&b, time.Now()); err != nil {
			t.Fatal(err)
		}
		held, ok := r.Catalogue().Upstream(up.ID)
		if opened := ok && held.Credential == up.Credential; opened != c.want {
			t.Errorf("opened %v, want %v; problem %q", opened, c.want, r.Problem())
		}
	}
}

// frozen accepts connections and says nothing, as a host does whose process is
// stopped, or whose packets are dropped behind the handshake.
func frozen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return "http://" + l.Addr().String()
}

// A connection that is dead on the other side must be noticed while the lease
// runs, so that another node can renew it.
func TestADeadConnectionIsNoticedWithinTheLease(t *testing.T) {
	h := newHouse(t)
	m := h.join(t)
	c := connect(t, m.id, frozen(t), h.url)
	begin := time.Now()
	_, err := c.Pull(t.Context(), m.poll())
	code(t, "a poll that nobody answers", err, gatehouse.Unavailable)
	if _, err := c.Pull(t.Context(), m.poll()); err != nil {
		t.Errorf("the other node: %v", err)
	}
	if d := time.Since(begin); d >= feed.LeaseLength {
		t.Errorf("it took %v, as long as a lease", d)
	}
}
