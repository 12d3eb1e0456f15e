package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// report prints the table: CPU per request and its ratio to nginx first.
func report(w io.Writer, p plan, rows []row) {
	fmt.Fprintf(w, "\n%s, %d CPUs, %s; %d keys, %d × %s a row, one wrk thread, everything on loopback\n\n",
		cpuModel(), runtime.NumCPU(), runtime.Version(), p.keys, p.repeats, p.duration)
	tw := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "load\tconns\ttarget\tCPU µs/req\t× nginx\tRPS\tp50 ms\tp99 ms\tpeak RSS MB\terrors")
	for _, r := range rows {
		base := 0.0
		for _, o := range rows {
			if o.target == "nginx" && o.load == r.load && o.connections == r.connections {
				base = o.cpu
			}
		}
		ratio := "–"
		if base > 0 && r.target != "direct" {
			ratio = fmt.Sprintf("%.2f", r.cpu/base)
		}
		fmt.Fprintf(tw, "%s\t%d\t%s\t%.1f\t%s\t%.0f\t%.3f\t%.3f\t%.0f\t%d\n", r.load, r.connections, r.target, r.cpu, ratio, r.rps, r.p50, r.p99, r.rss, r.errors)
	}
	tw.Flush()
}

// queryable asks Gatehouse ten seconds after the last load how many requests
// it has on its books: every one must be there.
func queryable(w io.Writer, all []*target) error {
	time.Sleep(10 * time.Second)
	for _, t := range all {
		if t.created > 0 {
			fmt.Fprintf(w, "\n%s: keys created, durable and audited: %.0f/s with %d clients\n", t.name, float64(countLines(t.keys))/t.created.Seconds(), creators)
		}
		if t.sent == 0 || t.management == "" || t.held {
			continue
		}
		n, err := requestsOnTheBooks(t)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s: answered %d requests, queryable 10 s after the run: %.0f\n", t.name, t.sent, n)
	}
	return nil
}

func requestsOnTheBooks(t *target) (float64, error) {
	now := time.Now().UTC()
	body := fmt.Sprintf(`{"analyticsRequest":{"timeRange":{"startTime":%q,"endTime":%q,"timezone":"Etc/UTC"},"timeUnit":"TIME_UNIT_NONE","values":[{"name":"tokens","aggregation":"AGGREGATION_COUNT"}],"filters":["unit_type:\"Prompt text tokens\""]}}`,
		now.Add(-24*time.Hour).Format(time.DateTime), now.Add(time.Hour).Format(time.DateTime))
	req, _ := http.NewRequest("POST", t.management+"/v1/billing/teams/"+t.team+"/usage", strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+t.credential)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var out struct {
		TimeSeries []struct {
			DataPoints []struct{ Values []float64 }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || len(out.TimeSeries) == 0 {
		return 0, fmt.Errorf("usage: %s: %w", resp.Status, err)
	}
	return out.TimeSeries[0].DataPoints[0].Values[0], nil
}

func countLines(file string) int {
	b, _ := os.ReadFile(file)
	return strings.Count(string(b), "\n")
}

func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, " \t:"))
		}
	}
	return runtime.GOARCH
}
