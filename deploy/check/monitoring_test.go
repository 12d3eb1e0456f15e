package check

import (
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// series are the metrics page's, with their labels; histograms also have the
// three names that Prometheus makes of one.
func series(t *testing.T) map[string][]string {
	out := map[string][]string{"up": {"job", "instance"}}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z]+) \\| ([^|]*) \\|").FindAllStringSubmatch(read(t, "../../docs/reference/metrics.md"), -1) {
		var has []string
		for _, l := range regexp.MustCompile("`([a-z]+)`").FindAllStringSubmatch(row[3], -1) {
			has = append(has, l[1])
		}
		if row[2] != "histogram" {
			out[row[1]] = has
			continue
		}
		out[row[1]+"_count"], out[row[1]+"_sum"], out[row[1]+"_bucket"] = has, has, append(has[:len(has):len(has)], "le")
	}
	if len(out) < 10 {
		t.Fatalf("the metrics page was not understood: %v", out)
	}
	return out
}

// target are the labels that Prometheus and the chart add to every series.
var target = []string{"job", "instance", "namespace", "pod", "cluster", "__name__"}

// checkExpr parses an expression and compares what it names with the page.
func checkExpr(t *testing.T, where, expr string, known map[string][]string) {
	t.Helper()
	tree, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	for _, selector := range parser.ExtractSelectors(tree) {
		name := metricOf(selector)
		has, ok := known[name]
		if !ok {
			t.Errorf("%s reads %s, which docs/reference/metrics.md does not list", where, name)
			continue
		}
		for _, m := range selector {
			if !strings.Contains(" "+strings.Join(append(target, has...), " ")+" ", " "+m.Name+" ") {
				t.Errorf("%s selects %s by %s, a label it has not", where, name, m.Name)
			}
		}
	}
}

func metricOf(selector []*labels.Matcher) string {
	for _, m := range selector {
		if m.Name == labels.MetricName {
			return m.Value
		}
	}
	return ""
}

var anchor = regexp.MustCompile(`(?m)^#+ (.*)$`)

// headings are the anchors of a page as GitHub makes them.
func headings(text string) map[string]bool {
	out := map[string]bool{}
	for _, m := range anchor.FindAllStringSubmatch(text, -1) {
		slug := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		out[strings.ReplaceAll(slug, " ", "-")] = true
	}
	return out
}

// An alarm at night is worth as much as the page that says what to do.
func TestEveryAlarmIsExplained(t *testing.T) {
	groups, errs := rulefmt.ParseFile("../monitoring/alerts.yaml", false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Fatal(err)
	}
	known, page := series(t), read(t, "../../docs/operations.md")
	explained, seen := headings(page), map[string]bool{}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			name := r.Alert
			checkExpr(t, name, r.Expr, known)
			if s := r.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("%s has the severity %q", name, s)
			}
			_, at, _ := strings.Cut(r.Annotations["runbook"], "docs/operations.md#")
			if r.Annotations["summary"] == "" || at != strings.ToLower(name) || !explained[at] {
				t.Errorf("%s is not explained in docs/operations.md: %q", name, r.Annotations["runbook"])
			}
			seen[strings.ToLower(name)] = true
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^#### (Gatehouse\w+)$`).FindAllStringSubmatch(page, -1) {
		if !seen[strings.ToLower(m[1])] {
			t.Errorf("docs/operations.md explains %s, which no rule raises", m[1])
		}
	}
}

// panel is the part of a Grafana panel that can be wrong without anybody
// noticing.
type panel struct {
	ID      int
	Title   string
	Type    string
	GridPos struct{ X, Y, W, H int }
	Targets []struct{ Expr, RefID string }
}

func TestTheDashboardShowsWhatExists(t *testing.T) {
	b, err := os.ReadFile("../monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		UID, Title string
		Panels     []panel
		Templating struct {
			List []struct{ Name, Type, Query string }
		}
	}
	if err := json.Unmarshal(b, &d); err != nil || d.UID == "" || len(d.Panels) == 0 {
		t.Fatal(err, d)
	}
	known, ids := series(t), map[int]string{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		if other, twice := ids[p.ID]; twice {
			t.Errorf("%s and %s have the same id", p.Title, other)
		}
		ids[p.ID] = p.Title
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, is := taken[[2]int{x, y}]; is || x >= 24 {
					t.Fatalf("%s lies on %s or outside", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%s shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$job", ".*").Replace(target.Expr)
			checkExpr(t, p.Title, expr, known)
		}
	}
}

// Panels and alarms of the library are written from the page, which the library
// itself does not read.
func TestTheMetricsPageListsTheLibrary(t *testing.T) {
	page := read(t, "../../docs/reference/metrics.md")
	made := regexp.MustCompile(`NewDesc\("(\w+)", "([^"]*)", (?:nil|\[\]string\{"(\w+)"\})`).FindAllStringSubmatch(read(t, "../../internal/library/metrics.go"), -1)
	for _, m := range made {
		labels, kind := "–", "gauge"
		if m[3] != "" {
			labels = "`" + m[3] + "`"
		}
		if strings.HasSuffix(m[1], "_total") {
			kind = "counter"
		}
		if row := "| `" + m[1] + "` | " + kind + " | " + labels + " | " + m[2] + " |\n"; !strings.Contains(page, row) {
			t.Errorf("docs/reference/metrics.md lacks\n%s", row)
		}
	}
	if got := strings.Count(page, "| `gatehouse_library_"); got != len(made) || got == 0 {
		t.Errorf("the page has %d series of the library, which has %d", got, len(made))
	}
}
