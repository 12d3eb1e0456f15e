package purse

import "github.com/prometheus/client_golang/prometheus"

var (
	requestsDesc = prometheus.NewDesc("gatehouse_purse_requests_total", "Requests that had to pay, by what became of them; unknown: nobody could tell.", []string{"result"}, nil)
	waitsDesc    = prometheus.NewDesc("gatehouse_purse_waits_total", "Waits of requests for money, at most two each.", nil, nil)
	drawsDesc    = prometheus.NewDesc("gatehouse_purse_draws_total", "Calls of control for money; failed: it did not answer.", []string{"result"}, nil)
)

// Metrics is what alarms and dashboards ask of a purse, for a registry.
func Metrics(p *Purse) prometheus.Collector { return metrics{p} }

type metrics struct{ p *Purse }

// Describe implements [prometheus.Collector].
func (m metrics) Describe(c chan<- *prometheus.Desc) {
	c <- requestsDesc
	c <- waitsDesc
	c <- drawsDesc
}

// Collect implements [prometheus.Collector].
func (m metrics) Collect(c chan<- prometheus.Metric) {
	n := m.p.Counts()
	tell := func(d *prometheus.Desc, v uint64, label ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), label...)
	}
	tell(requestsDesc, n.Paid, "paid")
	tell(requestsDesc, n.Refused, "refused")
	tell(requestsDesc, n.Unknown, "unknown")
	tell(waitsDesc, n.Waited)
	tell(drawsDesc, n.Draws-n.Failures, "ok")
	tell(drawsDesc, n.Failures, "failed")
}
