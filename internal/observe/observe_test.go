package observe

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"gatehouse"
	"gatehouse/internal/gateway"
)

const (
	clientTrace = "0af7651916cd43dd8448eb211c80319c"
	clientSpan  = "b7ad6b7169203331"
	prompt      = "a prompt that nobody else may read"
)

func (w *town) ask(t *testing.T, header ...string) {
	t.Helper()
	r, _ := http.NewRequest("POST", w.url+"/v1/chat/completions", strings.NewReader(`{"model":"easy","messages":[{"role":"user","content":"`+prompt+`"}]}`))
	r.Header.Set("Authorization", "Bearer "+w.secret)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 200 {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	http.DefaultClient.CloseIdleConnections()
}

func start(t *testing.T, c Config, getenv func(string) string) *Telemetry {
	t.Helper()
	tel, err := New(t.Context(), c, getenv)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tel.Close(context.Background()) })
	return tel
}

// One request is one span of ours in the client's trace and one below it that
// the upstream can hang its own on.
func TestARequestIsTwoSpansInTheClientsTrace(t *testing.T) {
	c := collect(t)
	tel := start(t, Config{Endpoint: c.url, Headers: map[string]string{"x-tenant": "a"}, Sample: 1}, nobody)
	done := make(chan struct{})
	var settled *gateway.Settled
	w := build(t, func(s *gateway.Settled) { settled = s; tel.Settled(s); close(done) })
	w.ask(t, "Traceparent", "00-"+clientTrace+"-"+clientSpan+"-01", "Tracestate", "v=1", "X-Request-Id", "req-1")
	<-done
	tel.Close(t.Context())

	server, client := c.span(tracepb.Span_SPAN_KIND_SERVER), c.span(tracepb.Span_SPAN_KIND_CLIENT)
	if got := hex.EncodeToString(server.TraceId); got != clientTrace {
		t.Errorf("the trace is %s", got)
	}
	if got := hex.EncodeToString(server.ParentSpanId); got != clientSpan || server.TraceState != "v=1" {
		t.Errorf("the parent is %s, the state %q", got, server.TraceState)
	}
	if string(client.ParentSpanId) != string(server.SpanId) || string(client.TraceId) != string(server.TraceId) {
		t.Error("the upstream's span is not below the request's")
	}
	if told, want := (<-w.told).Get("Traceparent"), "00-"+clientTrace+"-"+hex.EncodeToString(client.SpanId)+"-01"; told != want {
		t.Errorf("the upstream was told %s, its span is %s", told, want)
	}
	if !c.schemas[schemaURL] || c.header.Get("X-Tenant") != "a" {
		t.Errorf("schemas %v, header %v", c.schemas, c.header)
	}
	if d := cmp.Diff(map[string]any{"name": "POST /v1/chat/completions", "end": uint64(settled.Latency)},
		map[string]any{"name": server.Name, "end": server.EndTimeUnixNano - server.StartTimeUnixNano}); d != "" {
		t.Error(d)
	}
	if client.Name != "chat m-1" || client.StartTimeUnixNano-server.StartTimeUnixNano != uint64(settled.Sent) || settled.Sent <= 0 {
		t.Errorf("%s began %d ns after the request", client.Name, client.StartTimeUnixNano-server.StartTimeUnixNano)
	}
	checkAttributes(t, w, settled, server, client)
	for _, secret := range []string{prompt, w.secret, "provider-secret", `"choices"`} {
		if strings.Contains(c.raw.String(), secret) {
			t.Errorf("%q left the machine", secret)
		}
	}
}

func checkAttributes(t *testing.T, w *town, s *gateway.Settled, server, client *tracepb.Span) {
	t.Helper()
	type set = map[string]any
	flat := func(span *tracepb.Span) set {
		out := set{}
		for k, v := range attrs(span.Attributes) {
			out[string(k)] = v
		}
		return out
	}
	want := set{"http.request.method": "POST", "http.route": "/v1/chat/completions", "http.response.status_code": int64(200),
		"gatehouse.request.id": "req-1", "gatehouse.team.id": w.key.TeamID.String(), "gatehouse.api_key.id": w.key.ID.String()}
	if d := cmp.Diff(want, flat(server)); d != "" {
		t.Errorf("the request's span (-want +got):\n%s", d)
	}
	got := flat(client)
	if got["server.port"] == nil || got["server.address"] != "127.0.0.1" {
		t.Errorf("the upstream is not named: %v", got)
	}
	delete(got, "server.port")
	want = set{"gen_ai.operation.name": "chat", "gen_ai.provider.name": "x_ai", "gen_ai.request.model": "m-1", "gatehouse.asked_model": "easy",
		"server.address": "127.0.0.1", "gen_ai.usage.input_tokens": int64(7), "gen_ai.usage.output_tokens": int64(5), "gatehouse.upstream": "up",
		"gatehouse.attempts": int64(1), "gatehouse.outcome": "completed", "gatehouse.record.id": s.RecordID.String(), "http.response.status_code": int64(200)}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the upstream's span (-want +got):\n%s", d)
	}
}

// sample is a settled stream without a gateway around it.
func sample() *gateway.Settled {
	s := &gateway.Settled{RecordID: gatehouse.NewID(), KeyID: gatehouse.NewID(), TeamID: gatehouse.NewID(), Start: time.Now(), Sent: time.Millisecond,
		FirstByte: 251 * time.Millisecond, Latency: time.Second, Method: "POST", Status: 200, Model: "m-1", Stream: true,
		Upstream: &gatehouse.Upstream{Name: "up", Kind: gatehouse.Anthropic, BaseURL: "https://api.example.com/v1"}}
	s.Route.Path, s.Route.Family = "/v1/messages", gatehouse.FamilyMessages
	s.Usage[gatehouse.PromptText], s.Usage[gatehouse.CacheRead], s.Usage[gatehouse.CompletionText], s.Usage[gatehouse.Reasoning] = 10, 5, 3, 2
	return s
}

func TestAStreamHasItsTimeToTheFirstChunk(t *testing.T) {
	c := collect(t)
	tel := start(t, Config{Endpoint: c.url, Sample: 1}, nobody)
	tel.Settled(sample())
	tel.Close(t.Context())
	got := attrs(c.span(tracepb.Span_SPAN_KIND_CLIENT).Attributes)
	for key, want := range map[string]any{"gen_ai.response.time_to_first_chunk": 0.25, "gen_ai.usage.cache_read.input_tokens": int64(5),
		"gen_ai.usage.reasoning.output_tokens": int64(2), "gen_ai.usage.input_tokens": int64(15), "gen_ai.usage.output_tokens": int64(5),
		"gen_ai.provider.name": "anthropic", "server.port": int64(443), "gen_ai.request.stream": true} {
		if got[attribute.Key(key)] != want {
			t.Errorf("%s = %v, want %v", key, got[attribute.Key(key)], want)
		}
	}
}

// A key's or a team's id as a label would be a series for each, for ever.
func TestMetricsHaveBoundedLabels(t *testing.T) {
	c := collect(t)
	reg := prometheus.NewRegistry()
	latency := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "gatehouse_test_seconds", Buckets: []float64{1, 2}})
	count := prometheus.NewCounter(prometheus.CounterOpts{Name: "gatehouse_test_total"})
	reg.MustRegister(latency, count)
	for _, v := range []float64{0.5, 1.5, 1.5, 9} {
		latency.Observe(v)
	}
	count.Add(3)
	tel := start(t, Config{Endpoint: c.url, Gatherer: reg, Sample: 1}, nobody)
	s := sample()
	tel.Settled(s)
	tel.Close(t.Context())
	for _, name := range []string{tokenUsage, operationDuration, timeToFirstChunk} {
		m := c.metrics[name]
		if m == nil {
			t.Fatalf("no %s among %d", name, len(c.metrics))
		}
		for _, p := range m.GetHistogram().DataPoints {
			for k, v := range attrs(p.Attributes) {
				if !strings.HasPrefix(string(k), "gen_ai.") && k != serverAddress && k != serverPort {
					t.Errorf("%s has the label %s = %v", name, k, v)
				}
			}
			for _, e := range p.Exemplars {
				if len(e.FilteredAttributes) > 0 {
					t.Errorf("an exemplar of %s has %v", name, e.FilteredAttributes)
				}
			}
		}
	}
	if sum := c.metrics["gatehouse_test_total"].GetSum(); sum == nil || sum.DataPoints[0].GetAsDouble() != 3 || !sum.IsMonotonic {
		t.Errorf("the counter came as %v", sum)
	}
	if h := c.metrics["gatehouse_test_seconds"].GetHistogram(); h == nil || cmp.Diff([]uint64{1, 2, 1}, h.DataPoints[0].BucketCounts) != "" {
		t.Errorf("the histogram came as %v", h)
	}
	if strings.Contains(c.raw.String(), "gatehouse.api_key.id") && len(c.spans) == 0 {
		t.Error("a key's id left without a span")
	}
}

// Requests go on as if nothing were configured, and do not wait.
func TestACollectorThatIsAwayCostsNothing(t *testing.T) {
	stuck, release := make(chan struct{}, 1), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case stuck <- struct{}{}:
		default:
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer srv.Close()
	defer close(release)
	var log strings.Builder
	tel := start(t, Config{Endpoint: srv.URL, Sample: 1, Log: slog.New(slog.NewTextHandler(&log, nil))}, nobody)
	begun := time.Now()
	for range 20_000 { // ten times the queue
		tel.Settled(sample())
	}
	if d := time.Since(begun); d > 10*time.Second {
		t.Errorf("20,000 requests took %s", d)
	}
	<-stuck
	if n := tel.waiting.Load(); n > queueLength || tel.Dropped() != 40_000-uint64(n) {
		t.Errorf("%d spans wait and %d were counted as dropped, of 40,000", n, tel.Dropped())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := tel.Close(ctx); err != nil {
		t.Errorf("a collector that is away failed the stop: %v", err)
	}
	if log.Len() == 0 {
		t.Error("nobody was told")
	}
}

func TestAnObserverThatBreaksDoesNotBreakTheRequest(t *testing.T) {
	c := collect(t)
	tel := start(t, Config{Endpoint: c.url, Sample: 1}, nobody)
	tel.tracer = nil
	tel.genai = &instruments{} // its histograms are nil
	tel.Settled(sample())
	if tel.Dropped() != 1 {
		t.Error("the panic was not counted")
	}
}

// An unsampled trace of the client's stays unsampled; one that begins here is
// kept by the share.
func TestTheClientDecidesAboutItsOwnTrace(t *testing.T) {
	c := collect(t)
	tel := start(t, Config{Endpoint: c.url, Sample: 1}, nobody)
	s := sample()
	s.Traceparent = "00-" + clientTrace + "-" + clientSpan + "-00"
	tel.Settled(s)
	tel.Close(t.Context())
	if len(c.spans) != 0 {
		t.Errorf("%d spans of an unsampled trace", len(c.spans))
	}
}

func TestWhatSwitchesTelemetryOn(t *testing.T) {
	c := collect(t)
	for name, test := range map[string]struct {
		config          Config
		env             func(string) string
		traces, metrics bool
	}{
		"nothing":                 {Config{}, nobody, false, false},
		"configuration":           {Config{Endpoint: c.url}, nobody, true, true},
		"the standard variable":   {Config{}, env("OTEL_EXPORTER_OTLP_ENDPOINT", c.url), true, true},
		"traces alone":            {Config{}, env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", c.url), true, false},
		"metrics off":             {Config{Endpoint: c.url}, env("OTEL_METRICS_EXPORTER", "none"), true, false},
		"the SDK disabled":        {Config{Endpoint: c.url}, env("OTEL_SDK_DISABLED", "true"), false, false},
		"a protocol nobody talks": {Config{}, env("OTEL_EXPORTER_OTLP_ENDPOINT", c.url, "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), false, false},
	} {
		tel := start(t, test.config, test.env)
		traces, metrics := tel != nil && tel.tracer != nil, tel != nil && tel.genai != nil
		if traces != test.traces || metrics != test.metrics {
			t.Errorf("%s: traces %v, metrics %v", name, traces, metrics)
		}
		tel.Settled(sample()) // whatever is off does nothing
	}
}

// The exporters read the standard variables themselves: what users set for
// their other programs holds here.
func TestTheStandardVariablesReachTheExporter(t *testing.T) {
	c := collect(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.url)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=from-env")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	t.Setenv("OTEL_SERVICE_NAME", "front-door")
	tel := start(t, Config{Version: "v1", Role: "gateway", Instance: "i"}, env("OTEL_EXPORTER_OTLP_ENDPOINT", c.url))
	tel.Settled(sample())
	tel.Close(t.Context())
	if c.header.Get("X-Tenant") != "from-env" {
		t.Errorf("header %v", c.header)
	}
	for _, want := range []string{"front-door", "deployment.environment.name", "service.instance.id", "gatehouse.role"} {
		if !strings.Contains(c.raw.String(), want) {
			t.Errorf("the resource lacks %s", want)
		}
	}
}

func TestManagementCallsAreNamedByOperation(t *testing.T) {
	c := collect(t)
	tel := start(t, Config{Endpoint: c.url, Sample: 1}, nobody)
	h := tel.Management(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "req-2")
		if _, wrapped := w.(*statusWriter); wrapped {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	id := gatehouse.NewID().String()
	for _, path := range []string{"/auth/api-keys/" + id, "/gatehouse.fleet.v1.Fleet/Follow"} {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Authorization", "Bearer gthm_secret")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	tel.Close(t.Context())
	span := c.span(tracepb.Span_SPAN_KIND_SERVER)
	got := attrs(span.Attributes)
	if span.Name != "GET /auth/api-keys/{apiKeyId}" || got[operation] != string(gatehouse.GetApiKey) || got[httpStatus] != int64(403) || got[requestID] != "req-2" {
		t.Errorf("%s: %v", span.Name, got)
	}
	if strings.Contains(c.raw.String(), id) || strings.Contains(c.raw.String(), "gthm_") {
		t.Error("an id or a token left the machine")
	}
}

// Alarms and dashboards are written from this page.
func TestTheMetricsPageListsEveryReading(t *testing.T) {
	text, err := os.ReadFile("../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, own, found := strings.Cut(string(text), "## State of the parts")
	if !found {
		t.Fatal("the page has no such section")
	}
	type row struct{ Type, Says string }
	documented, got := map[string]row{}, map[string]row{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z]+) \\| none \\| (.*) \\|$").FindAllStringSubmatch(own, -1) {
		documented[m[1]] = row{m[2], m[3]}
	}
	reg := prometheus.NewRegistry()
	var g GatewayReadings
	var c ControlReadings
	fill(&g)
	fill(&c)
	if err := errors.Join(g.Register(reg), c.Register(reg), new(Telemetry).Register(reg)); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		got[f.GetName()] = row{strings.ToLower(f.GetType().String()), f.GetHelp()}
	}
	if d := cmp.Diff(documented, got); d != "" {
		t.Errorf("docs/reference/metrics.md (-) and the code (+) differ:\n%s", d)
	}
}

// fill gives every reading a function.
func fill(readings any) {
	v := reflect.ValueOf(readings).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		f.Set(reflect.MakeFunc(f.Type(), func([]reflect.Value) []reflect.Value { return []reflect.Value{reflect.Zero(f.Type().Out(0))} }))
	}
}

// What nobody measures must be absent: a 0 would say that all is well.
func TestAReadingThatNobodyTakesIsAbsent(t *testing.T) {
	reg := prometheus.NewRegistry()
	if err := (GatewayReadings{Ready: func() bool { return true }}).Register(reg); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil || len(families) != 1 || families[0].GetMetric()[0].GetGauge().GetValue() != 1 {
		t.Errorf("%v, %v", families, err)
	}
}
