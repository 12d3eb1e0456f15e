package library

import (
	"maps"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// The series count what was done, and their labels are bounded: neither teams
// nor documents are in them.
func TestMetrics(t *testing.T) {
	w := newWorkshop(t, nil)
	registry := prometheus.NewRegistry()
	w.must(registry.Register(w.Metrics()))
	c := w.collect(nil)
	w.upload(c, w.newFile("a.txt", "words"), nil)
	w.upload(c, w.newFile("b.txt", " "), nil)
	w.drain()
	w.upload(c, w.newFile("c.txt", "words"), nil)
	families, err := registry.Gather()
	w.must(err)
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				name += " " + l.GetValue()
			}
			got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	for _, stage := range []string{"extract", "write"} {
		if name := "gatehouse_library_stage_seconds_total " + stage; got[name] <= 0 {
			t.Errorf("%s is %v", name, got[name])
		}
		delete(got, "gatehouse_library_stage_seconds_total "+stage)
	}
	want := map[string]float64{
		"gatehouse_library_tasks": 1, "gatehouse_library_documents_total indexed": 1, "gatehouse_library_documents_total failed": 1,
		"gatehouse_library_documents_total retried": 0, "gatehouse_library_lost_total": 0, "gatehouse_library_stage_seconds_total embed": 0,
		"gatehouse_library_bytes_total read": 5, "gatehouse_library_bytes_total chunks": 5,
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
