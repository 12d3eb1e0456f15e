package meter

import "github.com/prometheus/client_golang/prometheus"

// metrics reads a journal and its shipper when it is asked.
type metrics struct {
	j      *Journal
	s      *Shipper
	gauges []gauge
}

type gauge struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(Stats, Lag) float64
}

// Metrics is what few alarms ask of a journal and of its shipping, for a
// registry; those that they do ask are the observe package's readings.
func Metrics(j *Journal, s *Shipper) prometheus.Collector {
	m := &metrics{j: j, s: s}
	add := func(name, help string, kind prometheus.ValueType, read func(Stats, Lag) float64) {
		m.gauges = append(m.gauges, gauge{prometheus.NewDesc(name, help, nil, nil), kind, read})
	}
	add("gatehouse_journal_full", "1 while requests are refused because usage cannot be written down.", prometheus.GaugeValue,
		func(s Stats, _ Lag) float64 { return number(s.Full || s.Broken) })
	add("gatehouse_journal_unsynced_bytes", "Bytes of the usage journal that a power cut would lose.", prometheus.GaugeValue,
		func(s Stats, _ Lag) float64 { return float64(s.Unsynced) })
	add("gatehouse_journal_failed_segments_total", "Files of the usage journal given up after an I/O error; their content went elsewhere.", prometheus.CounterValue,
		func(s Stats, _ Lag) float64 { return float64(s.Failed) })
	add("gatehouse_usage_shipped_total", "Usage records that were acknowledged.", prometheus.CounterValue,
		func(_ Stats, l Lag) float64 { return float64(l.Rows) })
	return m
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// Describe implements [prometheus.Collector].
func (m *metrics) Describe(c chan<- *prometheus.Desc) {
	for _, g := range m.gauges {
		c <- g.desc
	}
}

// Collect implements [prometheus.Collector].
func (m *metrics) Collect(c chan<- prometheus.Metric) {
	stats, lag := m.j.Stats(), m.s.Lag()
	for _, g := range m.gauges {
		c <- prometheus.MustNewConstMetric(g.desc, g.kind, g.read(stats, lag))
	}
}
