package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"

	"gatehouse/internal/engine"
)

// modest are the limits of the goal: low enough that a gateway holds only a
// share of each, high enough that ten thousand keys in turn never reach them.
const modest = `"qps":5,"qpm":100`

// sharedLoads are what the processes are compared under.
var sharedLoads = []load{{"plain", 64, plainBody}, {"stream", 64, streamBody}}

// runShared measures what a fleet costs the gateway: `go run ./bench -only
// fleet`. The same requests go to one process that is everything, to one whose
// usage stays in its journal, and to a gateway that follows control over the
// network and keeps its limits at Redis. Rounds take turns, so that what else
// the machine does weighs on all alike.
func runShared(p plan) error {
	redis := engine.NewRedis()
	if err := redis.Start(); err != nil {
		return err
	}
	defer redis.Kill()
	all, err := startShared(p, redis.URL())
	defer func() { stopAll(all) }()
	if err != nil {
		return err
	}
	var measured []*target
	for _, t := range all[1:] {
		if !t.aside {
			measured = append(measured, t)
		}
	}
	fmt.Printf("\nfleet: %s, %d CPUs, %s; %d keys at %s, %d × %s a row in turns\n\n", cpuModel(), runtime.NumCPU(), runtime.Version(), p.keys, modest, p.repeats, p.duration)
	tw := tabwriter.NewWriter(os.Stdout, 2, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "load\tprocess\tCPU µs/req\t× one process\t× usage held\tgoal\tRPS\tp99 ms\tpeak RSS MB\terrors")
	for _, l := range sharedLoads {
		rows := inTurns(p, measured, l)
		for _, r := range rows {
			goal := ""
			if r.target == joinedName {
				goal = "≤ 1.1"
			}
			fmt.Fprintf(tw, "%s\t%s\t%.1f\t%.2f\t%.2f\t%s\t%.0f\t%.2f\t%.0f\t%d\n", l.name, r.target, r.cpu, r.cpu/rows[0].cpu, r.cpu/rows[1].cpu, goal, r.rps, r.p99, r.rss, r.errors)
		}
	}
	return tw.Flush()
}

const joinedName = "gateway, network feed, Redis"

// startShared starts the upstream and the three processes, in the order of the
// table; control stands beside the last.
func startShared(p plan, redis string) ([]*target, error) {
	upstream, self, err := startUpstream(p)
	all := []*target{upstream}
	if err != nil {
		return all, err
	}
	for _, launch := range []launcher{gatehouse, dataPlane} {
		t := &target{url: "http://" + freeAddr(), limits: modest}
		cmd, err := launch(p, self, t)
		if err != nil {
			return all, err
		}
		all = append(all, t)
		if err := start(t, cmd); err != nil {
			return all, err
		}
		if err := createKeys(p, t); err != nil {
			return all, err
		}
	}
	joined, err := startJoined(p, joinedName, modest, "--authority", redis)
	return append(all, joined...), err
}

// inTurns is the median row of each target. The first round takes what a start
// takes, such as each key's first share, and does not count.
func inTurns(p plan, targets []*target, l load) []row {
	runs := make([][]row, len(targets))
	for round := range p.repeats + 1 {
		once := p
		if once.repeats = 1; round == 0 {
			once.duration = p.duration / 2
		}
		for i, t := range targets {
			if r := measure(once, t, l); round > 0 {
				runs[i] = append(runs[i], r)
			}
		}
	}
	rows := make([]row, len(targets))
	for i, all := range runs {
		slices.SortFunc(all, byCPU)
		rows[i] = all[len(all)/2]
	}
	return rows
}
