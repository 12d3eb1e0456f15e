package gateway

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the gateway's Prometheus series. Every label is bounded: routes
// are patterns, upstream names are the operator's, errors are a closed list. A
// key's numbers come from the usage store, never from a label.
type metrics struct {
	inFlight  prometheus.Gauge
	requests  *prometheus.CounterVec
	latency   *prometheus.HistogramVec
	firstByte *prometheus.HistogramVec
	tokens    *prometheus.CounterVec
	attempts  *prometheus.CounterVec
	prompt    prometheus.Counter
	answer    prometheus.Counter

	mu   sync.RWMutex // labels are hashed once for each series, not each request
	seen map[labels]*series
}

type labels struct {
	route  string
	status int
	slug   string
}

type series struct {
	requests  prometheus.Counter
	latency   prometheus.Observer
	firstByte prometheus.Observer
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	// From 5 ms to about 5 min by factors of two: a cached embedding to a long answer.
	buckets := prometheus.ExponentialBuckets(0.005, 2, 16)
	m := &metrics{
		seen:      map[labels]*series{},
		inFlight:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "gatehouse_requests_in_flight", Help: "Requests at the gateway being answered."}),
		requests:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gatehouse_requests_total", Help: "Requests answered, by route, status and our error, if it was ours; status 0: the client left first."}, []string{"route", "status", "error"}),
		latency:   prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "gatehouse_request_duration_seconds", Help: "From the request's head to the end of its answer.", Buckets: buckets}, []string{"route"}),
		firstByte: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "gatehouse_first_byte_seconds", Help: "From the request's head to the first byte of an upstream's answer.", Buckets: buckets}, []string{"route"}),
		tokens:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gatehouse_tokens_total", Help: "Tokens metered, estimates included."}, []string{"kind"}),
		attempts:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gatehouse_upstream_attempts_total", Help: "Requests sent to upstreams, by the class of the answer's status; lost: none came."}, []string{"upstream", "result"}),
	}
	m.prompt, m.answer = m.tokens.WithLabelValues("prompt"), m.tokens.WithLabelValues("completion")
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.inFlight, m.requests, m.latency, m.firstByte, m.tokens, m.attempts} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) enter() { m.inFlight.Inc() }

func (m *metrics) leave(route string, status int, slug string, latency, firstByte time.Duration, prompt, answer int64) {
	m.inFlight.Dec()
	s := m.series(labels{route, status, slug})
	s.requests.Inc()
	s.latency.Observe(latency.Seconds())
	if firstByte > 0 {
		s.firstByte.Observe(firstByte.Seconds())
	}
	if prompt > 0 {
		m.prompt.Add(float64(prompt))
	}
	if answer > 0 {
		m.answer.Add(float64(answer))
	}
}

func (m *metrics) series(l labels) *series {
	m.mu.RLock()
	s := m.seen[l]
	m.mu.RUnlock()
	if s != nil {
		return s
	}
	s = &series{
		m.requests.WithLabelValues(l.route, strconv.Itoa(l.status), l.slug),
		m.latency.WithLabelValues(l.route), m.firstByte.WithLabelValues(l.route),
	}
	m.mu.Lock()
	m.seen[l] = s
	m.mu.Unlock()
	return s
}

func (m *metrics) attempt(upstream, result string) {
	m.attempts.WithLabelValues(upstream, result).Inc()
}
