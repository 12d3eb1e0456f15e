package observe

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"gatehouse/internal/gateway"
)

// instruments are the GenAI histograms. Their labels are the operator's own
// words: operation, provider, model, host, error. No team and no key.
type instruments struct {
	tokens, duration, firstChunk metric.Float64Histogram
}

func newInstruments(m metric.Meter) (*instruments, error) {
	var i instruments
	for _, h := range []struct {
		into       *metric.Float64Histogram
		name, unit string
		says       string
		bounds     []float64
	}{
		{&i.tokens, tokenUsage, "{token}", "Tokens metered, estimates included.", tokenBounds},
		{&i.duration, operationDuration, "s", "From sending to an upstream to the end of its answer.", durationBounds},
		{&i.firstChunk, timeToFirstChunk, "s", "From sending to an upstream to the first byte of a stream.", chunkBounds},
	} {
		made, err := m.Float64Histogram(h.name, metric.WithUnit(h.unit), metric.WithDescription(h.says), metric.WithExplicitBucketBoundaries(h.bounds...))
		if err != nil {
			return nil, err
		}
		*h.into = made
	}
	return &i, nil
}

func (i *instruments) record(ctx context.Context, s *gateway.Settled) {
	attrs := genAttributes(s)
	kinds := func(kind string) metric.MeasurementOption {
		return metric.WithAttributes(append(attrs[:len(attrs):len(attrs)], genTokenType.String(kind))...)
	}
	if n := s.Usage.Prompt(); n > 0 {
		i.tokens.Record(ctx, float64(n), kinds("input"))
	}
	if n := s.Usage.Completion(); n > 0 {
		i.tokens.Record(ctx, float64(n), kinds("output"))
	}
	if s.Stream && s.FirstByte > s.Sent {
		i.firstChunk.Record(ctx, seconds(s.FirstByte-s.Sent), metric.WithAttributes(attrs...))
	}
	if what := problem(s.Status, s.Slug); what != "" {
		attrs = append(attrs, attribute.String(string(errorType), what))
	}
	i.duration.Record(ctx, seconds(s.Latency-s.Sent), metric.WithAttributes(attrs...))
}
