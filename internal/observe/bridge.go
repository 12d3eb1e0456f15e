package observe

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// bridge sends the Prometheus series over OTLP under their own names, so that
// one page and one set of alarms hold for both. Counting twice would let the
// two drift apart.
type bridge struct {
	from  prometheus.Gatherer
	start time.Time // since when counters count: the program's
}

// Produce implements the SDK's Producer.
func (b bridge) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	families, err := b.from.Gather()
	out := metricdata.ScopeMetrics{Scope: instrumentation.Scope{Name: scope}}
	now := time.Now()
	for _, f := range families {
		if data := b.convert(f, now); data != nil {
			out.Metrics = append(out.Metrics, metricdata.Metrics{Name: f.GetName(), Description: f.GetHelp(), Data: data})
		}
	}
	return []metricdata.ScopeMetrics{out}, err
}

// convert translates the kinds that the program has.
func (b bridge) convert(f *dto.MetricFamily, now time.Time) metricdata.Aggregation {
	var points []metricdata.DataPoint[float64]
	var histograms []metricdata.HistogramDataPoint[float64]
	for _, m := range f.GetMetric() {
		p := metricdata.DataPoint[float64]{Attributes: labelsOf(m), StartTime: b.start, Time: now}
		switch f.GetType() {
		case dto.MetricType_COUNTER:
			p.Value = m.GetCounter().GetValue()
		case dto.MetricType_GAUGE:
			p.Value, p.StartTime = m.GetGauge().GetValue(), time.Time{}
		case dto.MetricType_HISTOGRAM:
			histograms = append(histograms, b.histogram(m, now))
		default:
			return nil
		}
		points = append(points, p)
	}
	switch f.GetType() {
	case dto.MetricType_COUNTER:
		return metricdata.Sum[float64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality, IsMonotonic: true}
	case dto.MetricType_HISTOGRAM:
		return metricdata.Histogram[float64]{DataPoints: histograms, Temporality: metricdata.CumulativeTemporality}
	}
	return metricdata.Gauge[float64]{DataPoints: points}
}

// histogram undoes what Prometheus adds up: its buckets contain those before,
// OTLP's do not.
func (b bridge) histogram(m *dto.Metric, now time.Time) metricdata.HistogramDataPoint[float64] {
	h := m.GetHistogram()
	p := metricdata.HistogramDataPoint[float64]{
		Attributes: labelsOf(m), StartTime: b.start, Time: now, Count: h.GetSampleCount(), Sum: h.GetSampleSum(),
	}
	var before uint64
	for _, bucket := range h.GetBucket() {
		p.Bounds = append(p.Bounds, bucket.GetUpperBound())
		p.BucketCounts = append(p.BucketCounts, bucket.GetCumulativeCount()-before)
		before = bucket.GetCumulativeCount()
	}
	p.BucketCounts = append(p.BucketCounts, h.GetSampleCount()-before)
	return p
}

func labelsOf(m *dto.Metric) attribute.Set {
	attrs := make([]attribute.KeyValue, 0, len(m.GetLabel()))
	for _, l := range m.GetLabel() {
		attrs = append(attrs, attribute.String(l.GetName(), l.GetValue()))
	}
	return attribute.NewSet(attrs...)
}
