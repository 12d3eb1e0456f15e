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
	only     string        // substring of the targets to run; empty: all; "store": the database alone
	scale    float64       // of the database's data set
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
	flag.StringVar(&p.only, "only", "", "run only targets whose name contains this; store measures the database alone, rollups a quarter of usage on PostgreSQL")
	flag.Float64Var(&p.scale, "scale", 1, "share of a million keys and ten million events that -only store fills in")
	flag.Parse()
	if err := run(p); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(p plan) error {
	switch p.only {
	case "store":
		return runBooks(p)
	case "rollups":
		return runRollups(p)
	}
	for _, tool := range []string{"nginx", "wrk"} {
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
	all, err := startTargets(p)
	defer stopAll(all)
	if err != nil {
		return err
	}
	var rows []row
	for _, l := range loads {
		var measured []row
		for _, t := range all {
			if p.only == "" || strings.Contains(t.name, p.only) || t.name == "nginx" {
				measured = append(measured, measure(p, t, l))
			}
		}
		rows = append(rows, measured...)
	}
	report(os.Stdout, p, rows)
	return queryable(os.Stdout, all)
}
