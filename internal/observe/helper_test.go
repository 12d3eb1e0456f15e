package observe

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

	"go.opentelemetry.io/otel/attribute"
	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"gatehouse"
	"gatehouse/internal/feed"
	"gatehouse/internal/gateway"
	"gatehouse/internal/limit"
	"gatehouse/internal/meter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// collector is an OTLP/HTTP receiver that keeps what it was sent.
type collector struct {
	t       *testing.T
	url     string
	mu      sync.Mutex
	spans   []*tracepb.Span
	metrics map[string]*metrics.Metric
	header  http.Header
	schemas map[string]bool
	raw     strings.Builder // everything as text, to look for what must not be there
}

func collect(t *testing.T) *collector {
	c := &collector{t: t, metrics: map[string]*metrics.Metric{}, schemas: map[string]bool{}}
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	c.url = srv.URL
	return c
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Error(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.header = r.Header
	switch r.URL.Path {
	case "/v1/traces":
		var in collectortrace.ExportTraceServiceRequest
		c.decode(body, &in)
		for _, rs := range in.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				c.spans = append(c.spans, ss.Spans...)
				c.schemas[ss.SchemaUrl] = true
			}
		}
	case "/v1/metrics":
		var in collectormetrics.ExportMetricsServiceRequest
		c.decode(body, &in)
		for _, rm := range in.ResourceMetrics {
			for _, sm := range rm.ScopeMetrics {
				for _, m := range sm.Metrics {
					c.metrics[m.Name] = m
				}
			}
		}
	default:
		c.t.Errorf("nobody serves %s", r.URL.Path)
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (c *collector) decode(body []byte, into proto.Message) {
	if err := proto.Unmarshal(body, into); err != nil {
		c.t.Error(err)
	}
	text, _ := protojson.Marshal(into)
	c.raw.Write(text)
}

// span finds the one span of a kind.
func (c *collector) span(kind tracepb.Span_SpanKind) *tracepb.Span {
	c.t.Helper()
	var found *tracepb.Span
	for _, s := range c.spans {
		if s.Kind == kind {
			if found != nil {
				c.t.Fatalf("two spans of kind %v: %v, %v", kind, found, s)
			}
			found = s
		}
	}
	if found == nil {
		c.t.Fatalf("no span of kind %v among %d", kind, len(c.spans))
	}
	return found
}

// attrs are a span's or a point's attributes as Go values.
func attrs(list []*common.KeyValue) map[attribute.Key]any {
	out := map[attribute.Key]any{}
	for _, kv := range list {
		switch v := kv.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			out[attribute.Key(kv.Key)] = v.StringValue
		case *common.AnyValue_IntValue:
			out[attribute.Key(kv.Key)] = v.IntValue
		case *common.AnyValue_DoubleValue:
			out[attribute.Key(kv.Key)] = v.DoubleValue
		case *common.AnyValue_BoolValue:
			out[attribute.Key(kv.Key)] = v.BoolValue
		}
	}
	return out
}

func nobody(string) string { return "" }

// env is an environment of the test's own.
func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// town is a gateway before one upstream, with a key that may use it.
type town struct {
	url, secret string
	key         *gatehouse.Key
	told        chan http.Header // what the upstream was sent
}

const answer = `{"id":"x","model":"m-1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}}`

func build(t *testing.T, settled func(*gateway.Settled)) *town {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w := &town{told: make(chan http.Header, 8)}
	upstream := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.told <- r.Header.Clone()
		rw.Header().Set("Content-Type", "application/json")
		io.WriteString(rw, answer)
	}))
	t.Cleanup(upstream.Close)
	rev := gatehouse.Revision{Epoch: 1, N: 1}
	token := gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Inference, gatehouse.NewID())
	now := time.Now().UTC()
	w.secret = token.Reveal()
	w.key = &gatehouse.Key{ID: token.ID(), TeamID: gatehouse.NewID(), UserID: gatehouse.NewID(), Name: "k",
		ACL: gatehouse.ACL{"api-key:model:*", "api-key:endpoint:*"}, CreateTime: now, ModifyTime: now, Revision: rev,
		Secrets: []gatehouse.Secret{{Digest: token.Digest(), Last4: token.Last4(), CreateTime: now}}}
	var records []feed.Record
	add := func(kind gatehouse.Kind, id string, v any) {
		body, err := json.Marshal(v)
		must(err)
		records = append(records, feed.Record{Kind: kind, ID: id, Revision: rev, Body: body})
	}
	add(gatehouse.KindTeam, w.key.TeamID.String(), &gatehouse.Team{ID: w.key.TeamID, Name: "t", Billing: gatehouse.BillingMetering, Revision: rev})
	add(gatehouse.KindModel, "m-1", &gatehouse.Model{Name: "m-1", Type: gatehouse.LanguageModel, Owner: "openai", Created: now, Revision: rev})
	add(gatehouse.KindAlias, "easy", &gatehouse.Alias{Name: "easy", Target: "m-1", Revision: rev})
	price := gatehouse.NewID()
	add(gatehouse.KindPrice, price.String(), &gatehouse.Price{ID: price, Model: "m-1", Source: "operator", Revision: rev,
		Units: map[string]gatehouse.Ticks{gatehouse.PromptText.String(): 10, gatehouse.CompletionText.String(): 20}})
	key, err := feed.KeyRecord(w.key)
	must(err)
	up, err := feed.UpstreamRecord(&gatehouse.Upstream{ID: gatehouse.NewID(), Name: "up", Kind: gatehouse.XAI, BaseURL: upstream.URL + "/v1",
		Credential: "provider-secret", Families: gatehouse.AllFamilies, Serves: []gatehouse.Serve{{Model: "*"}}, AllowPrivate: true,
		HeaderTimeout: time.Minute, IdleTimeout: time.Minute, Revision: rev}, "local")
	must(err)
	records = append(records, key, up)
	replica := feed.NewReplica("local")
	must(replica.Apply(&feed.Batch{To: rev, Snapshot: true, Session: 1, Time: now, Records: records, Lease: feed.LeaseLength}, now))
	journal, err := meter.Open(t.TempDir(), meter.Options{Gateway: gatehouse.NewID(), SegmentSize: meter.MinSegmentSize})
	must(err)
	g, err := gateway.New(gateway.Config{Replica: replica, Limits: limit.New(limit.Config{Now: time.Now}), Journal: journal, Now: time.Now, Cluster: "local",
		Logger: slog.New(slog.DiscardHandler), OnSettled: settled})
	must(err)
	srv := httptest.NewServer(g)
	t.Cleanup(func() { srv.Close(); must(g.Close(context.Background())); must(journal.Close()) })
	w.url = srv.URL
	return w
}
