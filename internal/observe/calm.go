package observe

import (
	"context"
	"sync/atomic"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// queueLength bounds the spans that wait for the collector: a second of a
// busy gateway, some megabytes.
const queueLength = 4096

// queue stands before the SDK's own queue, which drops what does not fit
// without telling anybody.
type queue struct {
	sdktrace.SpanProcessor
	t *Telemetry
}

// OnEnd implements [sdktrace.SpanProcessor]. Among racing callers it may let in
// a few more than fit; the SDK's queue has room for them.
func (q queue) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if q.t.waiting.Load() >= queueLength {
		q.t.dropped.Add(1)
		return
	}
	q.t.waiting.Add(1)
	q.SpanProcessor.OnEnd(s)
}

// calmSpans counts what its exporter cannot deliver instead of failing.
type calmSpans struct {
	sdktrace.SpanExporter
	t       *Telemetry
	stopped *atomic.Bool
}

// ExportSpans implements [sdktrace.SpanExporter].
func (c calmSpans) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	c.t.lost(c.SpanExporter.ExportSpans(ctx, spans), len(spans))
	c.t.waiting.Add(-int64(len(spans)))
	return nil
}

// Shutdown implements [sdktrace.SpanExporter], once: it is called by whoever is
// first, the SDK that has sent everything or [Telemetry.Close] out of patience.
func (c calmSpans) Shutdown(ctx context.Context) error {
	if c.stopped.Swap(true) {
		return nil
	}
	return c.SpanExporter.Shutdown(ctx)
}

// calmMetrics is the same for metrics. A lost collection loses nothing but
// time: counters are cumulative.
type calmMetrics struct {
	metric.Exporter
	t *Telemetry
}

// Export implements [metric.Exporter].
func (c calmMetrics) Export(ctx context.Context, m *metricdata.ResourceMetrics) error {
	c.t.lost(c.Exporter.Export(ctx, m), 0)
	return nil
}
