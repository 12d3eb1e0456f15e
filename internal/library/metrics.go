package library

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/internal/store"
)

// counts is what the workers have done since the start.
type counts struct {
	indexed, failed, retried       atomic.Int64
	lost                           atomic.Int64
	extracting, embedding, writing atomic.Int64 // nanoseconds
	read, text                     atomic.Int64 // bytes
}

var (
	tasksDesc     = prometheus.NewDesc("gatehouse_library_tasks", "Tasks of the library that wait or are worked on, on all nodes.", nil, nil)
	documentsDesc = prometheus.NewDesc("gatehouse_library_documents_total", "Attempts at indexing a document that ended, by how; retried: put back for a while.", []string{"result"}, nil)
	lostDesc      = prometheus.NewDesc("gatehouse_library_lost_total", "Documents that the index was found to lack or to have of another generation, and that are indexed anew.", nil, nil)
	stageDesc     = prometheus.NewDesc("gatehouse_library_stage_seconds_total", "Time that indexing took, by stage; extract: text found and cut, its turn included.", []string{"stage"}, nil)
	bytesDesc     = prometheus.NewDesc("gatehouse_library_bytes_total", "Bytes of documents read, and of chunks made of them.", []string{"kind"}, nil)
)

// Metrics is what dashboards and alarms ask of the library, for a registry.
func (s *Service) Metrics() prometheus.Collector { return metrics{s} }

type metrics struct{ s *Service }

// Describe implements [prometheus.Collector].
func (m metrics) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{tasksDesc, documentsDesc, lostDesc, stageDesc, bytesDesc} {
		c <- d
	}
}

// Collect implements [prometheus.Collector]. A store that does not answer leaves
// the tasks out: absent is not none.
func (m metrics) Collect(c chan<- prometheus.Metric) {
	if n, err := m.tasks(); err == nil {
		c <- prometheus.MustNewConstMetric(tasksDesc, prometheus.GaugeValue, float64(n))
	}
	tell := func(d *prometheus.Desc, v float64, label string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, label)
	}
	n := &m.s.counts
	c <- prometheus.MustNewConstMetric(lostDesc, prometheus.CounterValue, float64(n.lost.Load()))
	tell(documentsDesc, float64(n.indexed.Load()), "indexed")
	tell(documentsDesc, float64(n.failed.Load()), "failed")
	tell(documentsDesc, float64(n.retried.Load()), "retried")
	tell(stageDesc, time.Duration(n.extracting.Load()).Seconds(), "extract")
	tell(stageDesc, time.Duration(n.embedding.Load()).Seconds(), "embed")
	tell(stageDesc, time.Duration(n.writing.Load()).Seconds(), "write")
	tell(bytesDesc, float64(n.read.Load()), "read")
	tell(bytesDesc, float64(n.text.Load()), "chunks")
}

func (m metrics) tasks() (n int64, err error) {
	ctx, cancel := context.WithTimeout(store.System(context.Background()), 2*time.Second)
	defer cancel()
	err = m.s.Store.Work(ctx, func(w store.Work) error {
		n, err = w.TasksLeft()
		return err
	})
	return n, err
}

// since adds the time from begun to a sum.
func since(sum *atomic.Int64, begun time.Time) { sum.Add(int64(time.Since(begun))) }
