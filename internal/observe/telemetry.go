package observe

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config says where telemetry goes. The standard variables of OpenTelemetry
// (OTEL_EXPORTER_OTLP_*, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES,
// OTEL_TRACES_SAMPLER, OTEL_BSP_* but the queue's length,
// OTEL_METRIC_EXPORT_INTERVAL) fill what is empty here.
type Config struct {
	// Endpoint is the base URL of an OTLP/HTTP collector, such as
	// http://127.0.0.1:4318; /v1/traces and /v1/metrics are added.
	Endpoint string
	Headers  map[string]string // sent with every export; may hold a credential
	// Sample is the share of traces that begin here and are kept, above 0 to 1.
	// A trace that a client began is kept when the client says so. 0 leaves it to
	// OTEL_TRACES_SAMPLER, and without that keeps all.
	Sample float64
	// Gatherer is what else goes out as metrics: the program's Prometheus series.
	Gatherer prometheus.Gatherer

	Role, Cluster, Version string // of this process, for its resource
	Instance               string // the gateway's id, or a control node's name
	Log                    *slog.Logger
}

// wanted reports whether anything says where to export to.
func (c Config) wanted(getenv func(string) string) bool {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	return cmp.Or(c.Endpoint, getenv("OTEL_EXPORTER_OTLP_ENDPOINT"), getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
		getenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")) != ""
}

// signal reports whether one signal is to be sent: "none" switches it off, and
// a protocol that is not spoken must not be answered with another one.
func (c Config) signal(name string, getenv func(string) string) bool {
	if getenv("OTEL_"+name+"_EXPORTER") == "none" {
		return false
	}
	if c.Endpoint == "" && cmp.Or(getenv("OTEL_EXPORTER_OTLP_ENDPOINT"), getenv("OTEL_EXPORTER_OTLP_"+name+"_ENDPOINT")) == "" {
		return false
	}
	switch p := cmp.Or(getenv("OTEL_EXPORTER_OTLP_"+name+"_PROTOCOL"), getenv("OTEL_EXPORTER_OTLP_PROTOCOL")); p {
	case "", "http/protobuf":
		return true
	default:
		c.Log.Warn("telemetry: only http/protobuf is spoken, so nothing is sent", "signal", strings.ToLower(name), "protocol", p)
		return false
	}
}

// Telemetry sends traces and metrics. A nil one is telemetry switched off: all
// its methods work and do nothing.
type Telemetry struct {
	log      *slog.Logger
	traces   *sdktrace.TracerProvider
	tracer   trace.Tracer // nil: no traces
	metrics  *metric.MeterProvider
	genai    *instruments // nil: no metrics
	spans    *calmSpans
	waiting  atomic.Int64 // spans that the collector has not taken yet
	dropped  atomic.Uint64
	complain atomic.Int64 // unix nanoseconds of the last warning
}

// New starts telemetry, or returns nil when nothing says where to send it. It
// does not wait for the collector, which may come later than the program.
func New(ctx context.Context, c Config, getenv func(string) string) (*Telemetry, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if !c.wanted(getenv) {
		return nil, nil
	}
	res, err := c.resource(ctx)
	if err != nil {
		return nil, err
	}
	t := &Telemetry{log: c.Log}
	if c.signal("TRACES", getenv) {
		if err := t.startTraces(ctx, c, res); err != nil {
			return nil, err
		}
	}
	if c.signal("METRICS", getenv) {
		if err := t.startMetrics(ctx, c, res); err != nil {
			return nil, errors.Join(err, t.Close(ctx))
		}
	}
	return t, nil
}

// resource is who speaks. The environment has the last word, as its variables
// promise.
func (c Config) resource(ctx context.Context) (*resource.Resource, error) {
	attrs := []attribute.KeyValue{attribute.String("service.name", "gatehouse"), attribute.String("service.version", c.Version)}
	for k, v := range map[string]string{"service.instance.id": c.Instance, "gatehouse.role": c.Role, "gatehouse.cluster": c.Cluster} {
		if v != "" {
			attrs = append(attrs, attribute.String(k, v))
		}
	}
	res, err := resource.New(ctx, resource.WithSchemaURL(schemaURL), resource.WithAttributes(attrs...), resource.WithFromEnv())
	if errors.Is(err, resource.ErrPartialResource) {
		c.Log.Warn("telemetry: OTEL_RESOURCE_ATTRIBUTES is malformed in part", "err", err)
		err = nil
	}
	return res, err
}

func (t *Telemetry) startTraces(ctx context.Context, c Config, res *resource.Resource) error {
	var opts []otlptracehttp.Option
	if c.Endpoint != "" {
		opts = append(opts, otlptracehttp.WithEndpointURL(strings.TrimRight(c.Endpoint, "/")+"/v1/traces"))
	}
	if len(c.Headers) > 0 {
		opts = append(opts, otlptracehttp.WithHeaders(c.Headers))
	}
	out, err := otlptracehttp.New(ctx, opts...)
	if err != nil {
		return err
	}
	t.spans = &calmSpans{out, t, new(atomic.Bool)}
	provider := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(res), sdktrace.WithIDGenerator(ids{}),
		sdktrace.WithSpanProcessor(queue{sdktrace.NewBatchSpanProcessor(t.spans, sdktrace.WithMaxQueueSize(2*queueLength)), t}),
	}
	if c.Sample > 0 {
		provider = append(provider, sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(c.Sample))))
	}
	t.traces = sdktrace.NewTracerProvider(provider...)
	t.tracer = t.traces.Tracer(scope, trace.WithInstrumentationVersion(c.Version), trace.WithSchemaURL(schemaURL))
	return nil
}

func (t *Telemetry) startMetrics(ctx context.Context, c Config, res *resource.Resource) error {
	var opts []otlpmetrichttp.Option
	if c.Endpoint != "" {
		opts = append(opts, otlpmetrichttp.WithEndpointURL(strings.TrimRight(c.Endpoint, "/")+"/v1/metrics"))
	}
	if len(c.Headers) > 0 {
		opts = append(opts, otlpmetrichttp.WithHeaders(c.Headers))
	}
	out, err := otlpmetrichttp.New(ctx, opts...)
	if err != nil {
		return err
	}
	var reader []metric.PeriodicReaderOption
	if c.Gatherer != nil {
		reader = append(reader, metric.WithProducer(bridge{c.Gatherer, time.Now()}))
	}
	t.metrics = metric.NewMeterProvider(metric.WithResource(res), metric.WithReader(metric.NewPeriodicReader(calmMetrics{out, t}, reader...)))
	t.genai, err = newInstruments(t.metrics.Meter(scope))
	return err
}

// Dropped is how many spans a collector did not take, for want of room in the
// queue or because an export failed.
func (t *Telemetry) Dropped() uint64 {
	if t == nil {
		return 0
	}
	return t.dropped.Load()
}

// Close sends what waits, for as long as ctx allows. What it cannot send is
// lost, which is no error of the program.
func (t *Telemetry) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if t.traces != nil {
		t.lost(t.traces.Shutdown(ctx), 0)
		t.lost(t.spans.Shutdown(ctx), 0) // else its retries would outlive the program's patience
	}
	if t.metrics != nil {
		t.lost(t.metrics.Shutdown(ctx), 0)
	}
	return nil
}

// complainEvery keeps a collector that is away from filling the log.
const complainEvery = time.Minute

// lost takes note of a failed export. It never returns it: the SDK would hand
// it to a handler that belongs to the whole process and knows no log of ours.
func (t *Telemetry) lost(err error, n int) {
	if err == nil {
		return
	}
	t.dropped.Add(uint64(n))
	now, last := time.Now().UnixNano(), t.complain.Load()
	if now-last > int64(complainEvery) && t.complain.CompareAndSwap(last, now) {
		t.log.Warn("telemetry was not delivered", "err", err, "lost", t.dropped.Load())
	}
}
