package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gatehouse"
	"gatehouse/internal/feed"
	"gatehouse/internal/limit"
	"gatehouse/internal/meter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a gateway before upstreams, with what it knows and what it wrote.
type world struct {
	t       testing.TB
	g       *Gateway
	url     string
	replica *feed.Replica
	journal *meter.Journal
	logs    *lockedBuffer
	now     func() time.Time
	records []feed.Record
	teams   [2]gatehouse.ID
	sink    *ledger
	shipper *meter.Shipper
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// ledger collects what the journal ships.
type ledger struct {
	mu      sync.Mutex
	records []gatehouse.UsageRecord
	objects []meter.Object
}

func (l *ledger) Ingest(_ context.Context, b meter.Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, b.Records...)
	l.objects = append(l.objects, b.Objects...)
	return nil
}

func rev(n int64) gatehouse.Revision { return gatehouse.Revision{Epoch: 1, N: n} }

// newWorld prepares two teams, a catalogue and nothing else; start makes it run.
func newWorld(t testing.TB) *world {
	w := &world{t: t, logs: &lockedBuffer{}, now: time.Now, replica: feed.NewReplica("local")}
	for i := range w.teams {
		w.teams[i] = gatehouse.NewID()
		w.add(gatehouse.KindTeam, w.teams[i].String(), &gatehouse.Team{ID: w.teams[i], Name: "team", Billing: gatehouse.BillingMetering, Revision: rev(1)})
	}
	for _, m := range []string{"small", "large", "spare", "deep/model"} {
		w.model(m, true)
	}
	w.model("free", false)
	return w
}

func (w *world) add(kind gatehouse.Kind, id string, v any) {
	body, err := json.Marshal(v)
	w.must(err)
	w.records = append(w.records, feed.Record{Kind: kind, ID: id, Revision: rev(1), Body: body})
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) model(name string, priced bool) {
	w.add(gatehouse.KindModel, name, &gatehouse.Model{Name: name, Type: gatehouse.LanguageModel, Owner: "openai", Created: time.Unix(1700000000, 0), Revision: rev(1)})
	if !priced {
		return
	}
	id := gatehouse.NewID()
	w.add(gatehouse.KindPrice, id.String(), &gatehouse.Price{ID: id, Model: name, Source: "operator", Revision: rev(1),
		Units: map[string]gatehouse.Ticks{gatehouse.PromptText.String(): 10, gatehouse.CompletionText.String(): 20}})
}

func (w *world) alias(name, target string, fallbacks ...string) {
	w.add(gatehouse.KindAlias, name, &gatehouse.Alias{Name: name, Target: target, Fallbacks: fallbacks, Revision: rev(1)})
}

// upstream adds one that serves every model, unless change says otherwise.
func (w *world) upstream(name, base string, change ...func(*gatehouse.Upstream)) *gatehouse.Upstream {
	u := &gatehouse.Upstream{
		ID: gatehouse.NewID(), Name: name, Kind: gatehouse.OpenAI, BaseURL: base + "/v1", Credential: "provider-secret-" + name,
		Families: gatehouse.AllFamilies, Serves: []gatehouse.Serve{{Model: "*"}}, AllowPrivate: true, AskUsage: true,
		HeaderTimeout: 5 * time.Second, IdleTimeout: 5 * time.Second, Revision: rev(1),
	}
	for _, f := range change {
		f(u)
	}
	r, err := feed.UpstreamRecord(u, "local")
	w.must(err)
	w.records = append(w.records, r)
	return u
}

// key adds a key of team n and returns its credential.
func (w *world) key(n int, change ...func(*gatehouse.Key)) string {
	id := gatehouse.NewID()
	token := gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Inference, id)
	now := time.Now().UTC()
	k := &gatehouse.Key{
		ID: id, TeamID: w.teams[n], UserID: gatehouse.NewID(), Name: "test", ACL: gatehouse.ACL{"api-key:model:*", "api-key:endpoint:*"},
		CreateTime: now, ModifyTime: now, Revision: rev(1),
		Secrets: []gatehouse.Secret{{Digest: token.Digest(), Last4: token.Last4(), CreateTime: now}},
	}
	for _, f := range change {
		f(k)
	}
	r, err := feed.KeyRecord(k)
	w.must(err)
	w.records = append(w.records, r)
	return token.Reveal()
}

// start applies what was added and listens.
func (w *world) start(change ...func(*Config)) *world {
	w.t.Helper()
	w.must(w.replica.Apply(&feed.Batch{To: rev(1), Snapshot: true, Session: 1, Time: time.Now(), Records: w.records, Lease: feed.LeaseLength}, time.Now()))
	if p := w.replica.Problem(); p != "" {
		w.t.Fatal("replica: " + p)
	}
	return w.listen(change...)
}

func (w *world) listen(change ...func(*Config)) *world {
	w.t.Helper()
	journal, err := meter.Open(w.t.TempDir(), meter.Options{Gateway: gatehouse.NewID(), SegmentSize: meter.MinSegmentSize})
	w.must(err)
	c := Config{
		Replica: w.replica, Limits: limit.New(limit.Config{Now: w.now}), Journal: journal, Now: w.now, Cluster: "local",
		Logger: slog.New(slog.NewJSONHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&c)
	}
	w.g, err = New(c)
	w.must(err)
	w.journal, w.sink = journal, &ledger{}
	w.shipper = meter.NewShipper(journal, w.sink, meter.ShipperOptions{Log: slog.New(slog.DiscardHandler)})
	srv := httptest.NewUnstartedServer(w.g)
	srv.Listener, srv.Config.ConnContext = Listen(srv.Listener), ConnContext
	srv.Start()
	w.url = srv.URL
	w.t.Cleanup(func() {
		srv.Close()
		w.must(w.g.Close(context.Background()))
		w.must(w.shipper.Drain(context.Background()))
		w.must(journal.Close())
	})
	return w
}

// usage waits until no request is open and returns the closed records.
func (w *world) usage() []gatehouse.UsageRecord {
	w.t.Helper()
	w.eventually(func() bool { return w.journal.Stats().Open == 0 })
	w.must(w.shipper.Drain(context.Background()))
	w.sink.mu.Lock()
	defer w.sink.mu.Unlock()
	return append([]gatehouse.UsageRecord(nil), w.sink.records...)
}

func (w *world) eventually(f func() bool) {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatal("it did not happen")
		}
	}
}

// reply is an answer as a client sees it.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

// post sends JSON with a key; more are pairs of header name and value.
func (w *world) post(key, path, body string, more ...string) reply {
	return w.send("POST", key, path, strings.NewReader(body), append([]string{"Content-Type", "application/json"}, more...)...)
}

func (w *world) get(key, path string, more ...string) reply {
	return w.send("GET", key, path, nil, more...)
}

func (w *world) send(method, key, path string, body io.Reader, more ...string) reply {
	w.t.Helper()
	req, err := http.NewRequest(method, w.url+path, body)
	w.must(err)
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i < len(more); i += 2 {
		req.Header.Set(more[i], more[i+1])
	}
	tr := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(b), err}
}

// serve runs an upstream of one handler.
func serve(t testing.TB, h http.HandlerFunc) string {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// rawServer answers every connection's requests with f, byte by byte.
func rawServer(t testing.TB, f func(conn net.Conn, request string)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				br := bufio.NewReader(conn)
				for {
					req, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					body, _ := io.ReadAll(req.Body)
					f(conn, string(body))
					if _, ok := conn.(*closedConn); ok {
						return
					}
				}
			})
		}
	})
	return "http://" + l.Addr().String()
}

type closedConn struct{ net.Conn }

const (
	chat       = `{"model":"small","messages":[{"role":"user","content":"hello there"}]}`
	chatStream = `{"model":"small","stream":true,"messages":[{"role":"user","content":"hello there"}]}`
	chatAnswer = `{"id":"c1","object":"chat.completion","model":"small","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}`
)

// streamAnswer is a chat stream with usage, as frames.
var streamAnswer = []string{
	`data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"one two three"}}]}` + "\n\n",
	`data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" four five"}}]}` + "\n\n",
	`data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n",
	`data: {"id":"c1","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}` + "\n\n",
	"data: [DONE]\n\n",
}

// good answers chat requests of either kind.
func good(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if !strings.Contains(string(body), `"stream":true`) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, chatAnswer)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for _, f := range streamAnswer {
		io.WriteString(w, f)
		w.(http.Flusher).Flush()
	}
}
