package rpc

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"gatehouse"
	"gatehouse/internal/feed"
	"gatehouse/internal/gateway"
	"gatehouse/internal/limit"
	"gatehouse/internal/meter"
	"gatehouse/internal/simulate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a gateway with its gRPC face before an upstream, and a client of it.
type world struct {
	t       *testing.T
	records []feed.Record
	team    gatehouse.ID
	replica *feed.Replica
	journal *meter.Journal
	shipper *meter.Shipper
	sink    ledger
	library gateway.Library
	url     string
	face    *Server
	conn    *grpc.ClientConn
}

// ledger collects what the journal ships.
type ledger struct {
	mu      sync.Mutex
	records []gatehouse.UsageRecord
}

func (l *ledger) Ingest(_ context.Context, b meter.Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, b.Records...)
	return nil
}

var first = gatehouse.Revision{Epoch: 1, N: 1}

// newWorld has a team, models of each type, and an upstream that is to answer.
func newWorld(t *testing.T, upstream http.Handler) *world {
	w := &world{t: t, team: gatehouse.NewID(), replica: feed.NewReplica("local")}
	w.add(gatehouse.KindTeam, w.team.String(), &gatehouse.Team{ID: w.team, Name: "team", Billing: gatehouse.BillingMetering, Revision: first})
	for name, kind := range map[string]gatehouse.ModelType{"small": gatehouse.LanguageModel, "vector": gatehouse.EmbeddingModel, "deep/paint": gatehouse.ImageModel} {
		w.add(gatehouse.KindModel, name, &gatehouse.Model{Name: name, Type: kind, Owner: "openai", Created: time.Unix(1700000000, 0),
			Version: "1.0", ContextLength: 4096, Input: []string{"TEXT", "IMAGE"}, Output: []string{"TEXT"}, Revision: first})
		id := gatehouse.NewID()
		w.add(gatehouse.KindPrice, id.String(), &gatehouse.Price{ID: id, Model: name, Source: "operator", Revision: first,
			Units: map[string]gatehouse.Ticks{gatehouse.PromptText.String(): 10, gatehouse.CompletionText.String(): 20, gatehouse.CacheRead.String(): 5}})
	}
	w.add(gatehouse.KindAlias, "latest", &gatehouse.Alias{Name: "latest", Target: "small", Revision: first})
	srv := httptest.NewServer(upstream)
	t.Cleanup(srv.Close)
	r, err := feed.UpstreamRecord(&gatehouse.Upstream{
		ID: gatehouse.NewID(), Name: "one", Kind: gatehouse.OpenAI, BaseURL: srv.URL + "/v1", Families: gatehouse.AllFamilies,
		Serves: []gatehouse.Serve{{Model: "*"}}, AllowPrivate: true, AskUsage: true, HeaderTimeout: 5 * time.Second, IdleTimeout: 5 * time.Second, Revision: first,
	}, "local")
	w.must(err)
	w.records = append(w.records, r)
	return w
}

// simulated is a world before a simulated provider.
func simulated(t *testing.T) (*world, *simulate.Upstream) {
	up := simulate.New(simulate.Options{})
	return newWorld(t, up), up
}

func (w *world) add(kind gatehouse.Kind, id string, v any) {
	body, err := json.Marshal(v)
	w.must(err)
	w.records = append(w.records, feed.Record{Kind: kind, ID: id, Revision: first, Body: body})
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// key adds a key and returns a context that carries it.
func (w *world) key(change ...func(*gatehouse.Key)) context.Context {
	id, now := gatehouse.NewID(), time.Now().UTC()
	token := gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Inference, id)
	k := &gatehouse.Key{
		ID: id, TeamID: w.team, UserID: gatehouse.NewID(), Name: "test", ACL: gatehouse.ACL{"api-key:model:*", "api-key:endpoint:*"},
		CreateTime: now, ModifyTime: now, Revision: first, Secrets: []gatehouse.Secret{{Digest: token.Digest(), Last4: token.Last4(), CreateTime: now}},
	}
	for _, f := range change {
		f(k)
	}
	r, err := feed.KeyRecord(k)
	w.must(err)
	w.records = append(w.records, r)
	return bearer(token.Reveal())
}

func bearer(token string) context.Context {
	return metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+token)
}

// start applies what was added, and connects.
func (w *world) start() *world {
	w.t.Helper()
	w.must(w.replica.Apply(&feed.Batch{To: first, Snapshot: true, Session: 1, Time: time.Now(), Records: w.records, Lease: feed.LeaseLength}, time.Now()))
	return w.listen()
}

func (w *world) listen() *world {
	w.t.Helper()
	var err error
	w.journal, err = meter.Open(w.t.TempDir(), meter.Options{Gateway: gatehouse.NewID(), SegmentSize: meter.MinSegmentSize})
	w.must(err)
	silent := slog.New(slog.DiscardHandler)
	g, err := gateway.New(gateway.Config{Replica: w.replica, Limits: limit.New(limit.Config{Now: time.Now}), Journal: w.journal, Now: time.Now, Cluster: "local", Logger: silent, Library: w.library})
	w.must(err)
	w.shipper = meter.NewShipper(w.journal, &w.sink, meter.ShipperOptions{Log: silent})
	w.face = New(g, silent)
	srv := httptest.NewUnstartedServer(w.face)
	srv.Listener, srv.Config.ConnContext = gateway.Listen(srv.Listener), gateway.ConnContext
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	w.url = srv.URL
	w.conn, err = grpc.NewClient(strings.TrimPrefix(srv.URL, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	w.must(err)
	w.t.Cleanup(func() {
		w.must(w.conn.Close())
		srv.Close()
		w.must(g.Close(context.Background()))
		w.must(w.shipper.Drain(context.Background()))
		w.must(w.journal.Close())
	})
	return w
}

// usage waits until no request is open and returns the closed records.
func (w *world) usage() []gatehouse.UsageRecord {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); w.journal.Stats().Open > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatal("a request is still open")
		}
	}
	w.must(w.shipper.Drain(context.Background()))
	w.sink.mu.Lock()
	defer w.sink.mu.Unlock()
	return append([]gatehouse.UsageRecord(nil), w.sink.records...)
}

// canned is an upstream that says one thing, and keeps what it was asked.
type canned struct {
	asked  chan string
	frames []string // several: a stream
}

func newCanned(frames ...string) *canned { return &canned{make(chan string, 8), frames} }

func (c *canned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.asked <- string(body)
	w.Header().Set("Content-Type", "application/json")
	if len(c.frames) > 1 {
		w.Header().Set("Content-Type", "text/event-stream")
	}
	for _, f := range c.frames {
		_, _ = io.WriteString(w, f)
		w.(http.Flusher).Flush()
	}
}
