package gateway

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse"
	"gatehouse/internal/meter"
	"gatehouse/internal/purse"
)

// rows are the cells of a page's table rows, where the first is one code word.
func rows(t *testing.T, page string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/reference/" + page)
	if err != nil {
		t.Fatal(err)
	}
	own, _, _ := strings.Cut(string(text), "## State of the parts") // internal/observe answers for those
	out := map[string][]string{}
	for _, line := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|(.*)\\|$").FindAllStringSubmatch(own, -1) {
		if out[line[1]] != nil {
			t.Errorf("%s: %s is there twice", page, line[1])
		}
		for _, cell := range strings.Split(line[2], " | ") {
			out[line[1]] = append(out[line[1]], strings.TrimSpace(cell))
		}
	}
	return out
}

// Dashboards and alarms are written from this page.
func TestTheMetricsPageIsWhatIsRegistered(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := newMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	m.enter()
	m.leave("/v1/me", 200, "", time.Millisecond, time.Millisecond, 1, 1)
	m.attempt("up", "2xx")
	journal, err := meter.Open(t.TempDir(), meter.Options{Gateway: gatehouse.NewID()})
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	reg.MustRegister(meter.Metrics(journal, meter.NewShipper(journal, nil, meter.ShipperOptions{})))
	reg.MustRegister(purse.Metrics(purse.New(purse.Config{Now: time.Now})))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		got[f.GetName()] = strings.ToLower(f.GetType().String()) + " " + strings.Join(labels, " ")
	}
	want := map[string]string{}
	for name, cells := range rows(t, "metrics.md") {
		labels := regexp.MustCompile("`([a-z]+)`").FindAllString(cells[1], -1)
		slices.Sort(labels)
		want[name] = cells[0] + " " + strings.ReplaceAll(strings.Join(labels, " "), "`", "")
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("docs/reference/metrics.md (-) and the code (+) differ:\n%s", d)
	}
}

// Whoever ships logs maps these fields; one that appears unannounced may be one
// that must not leave the machine.
func TestTheRequestLogPageIsWhatIsLogged(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) }))
	key := w.key(0)
	w.start(func(c *Config) { c.ID = gatehouse.NewID() })
	w.post(key, "/v1/chat/completions", chat, "User-Agent", "a test")
	w.eventually(func() bool { return strings.Contains(w.logs.String(), `"msg":"request"`) })
	got := map[string]bool{}
	for line := range strings.Lines(w.logs.String()) {
		var event map[string]any
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatal(err)
		}
		if event["msg"] == "request" {
			for field := range event {
				got[field] = true
			}
		}
	}
	if d := cmp.Diff(slices.Sorted(maps.Keys(rows(t, "request-log.md"))), slices.Sorted(maps.Keys(got))); d != "" {
		t.Errorf("docs/reference/request-log.md (-) and the events (+) differ:\n%s", d)
	}
}
