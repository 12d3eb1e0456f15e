// Command bench measures Gatehouse beside nginx as a plain proxy and a bare
// httputil.ReverseProxy, in one run on one machine, and prints one table
// (docs/performance.md). Figures are ratios first: the machine is whatever it
// is, and the load generator shares it.
//
// It needs nginx and wrk on the PATH and says how to install them.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// plan is what one run does.
type plan struct {
	binary   string        // the gatehouse binary
	keys     int           // how many keys exist and take turns
	duration time.Duration // of each load
	repeats  int           // loads per row; the median counts
	dir      string        // scratch
	only     string        // one of runs, or a substring of the targets to run; empty: all
	scale    float64       // of the data sets of the goals
	postgres bool          // -only store measures PostgreSQL instead of SQLite
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == "child" {
		child(os.Args[2:])
		return
	}
	var p plan
	flag.StringVar(&p.binary, "gatehouse", "bin/gatehouse", "the binary to measure")
	flag.IntVar(&p.keys, "keys", 10_000, "how many keys take turns")
	flag.DurationVar(&p.duration, "duration", 8*time.Second, "length of each load")
	flag.IntVar(&p.repeats, "repeats", 3, "loads per row")
	flag.StringVar(&p.only, "only", "", "store: the database alone; rollups: questions to a quarter of usage on PostgreSQL; fleet: what a joined gateway costs beside one process; propagation: how soon 8 gateways enforce a change; replica: a million keys in a gateway; library: indexing documents; else: targets whose name contains this")
	flag.Float64Var(&p.scale, "scale", 1, "share of the keys, events and changes that store, rollups, propagation, replica and library are about")
	flag.BoolVar(&p.postgres, "postgres", false, "with -only store: PostgreSQL, on a server of its own")
	flag.Parse()
	if err := run(p); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// runs are the measurements that -only names; any other is of the data plane.
var runs = map[string]struct {
	run   func(plan) error
	needs []string // programs
}{
	"store":       {runBooks, nil},
	"rollups":     {runRollups, nil},
	"fleet":       {runShared, []string{"wrk"}},
	"propagation": {runPropagation, nil},
	"replica":     {runReplica, nil},
	"library":     {runLibrary, nil},
}

func run(p plan) error {
	what, ok := runs[p.only]
	if !ok {
		what.run, what.needs = runDataPlanes, []string{"nginx", "wrk"}
	}
	for _, tool := range what.needs {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is missing: apt-get install nginx-light wrk", tool)
		}
	}
	if _, err := os.Stat(p.binary); err != nil {
		return fmt.Errorf("%s is missing: make build", p.binary)
	}
	dir, err := os.MkdirTemp("", "gatehouse-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p.dir = dir
	return what.run(p)
}

// runDataPlanes measures the data plane beside what others have.
func runDataPlanes(p plan) error {
	all, err := startTargets(p)
	defer func() { stopAll(all) }()
	if err != nil {
		return err
	}
	var rows []row
	for _, l := range loads {
		for _, t := range all {
			if !t.aside && (p.only == "" || strings.Contains(t.name, p.only) || t.name == "nginx") {
				rows = append(rows, measure(p, t, l))
			}
		}
	}
	report(os.Stdout, p, rows)
	return queryable(os.Stdout, all)
}
