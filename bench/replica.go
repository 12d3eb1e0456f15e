package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	house "gatehouse"
	"gatehouse/internal/secret"
	"gatehouse/internal/serve"
	"gatehouse/internal/store/sqlite"
	"gatehouse/internal/store/sqlstore"
)

// runReplica measures what a million keys are to a gateway: `go run ./bench
// -only replica`. Control gets them at the store's door; a gateway joins over
// the network, says what its heap is, stops and starts again from its disk. It
// is this program with the role's code, since the real one tells nobody what a
// full collection takes.
func runReplica(p plan) error {
	all, err := startUpstreamOnly(p)
	defer func() { stopAll(all) }()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	keys := max(int(manyKeys*p.scale), 1000)
	r := replicas{p: p, self: self, keys: keys}
	if err := r.fill(); err != nil {
		return err
	}
	control, err := startControl(p, "", "--role", "control")
	all = append(all, control)
	if err != nil {
		return err
	}
	untilIdle(control)
	if err := control.manage("POST", "/admin/v1/clusters", `{"name":"east"}`, nil); err != nil {
		return err
	}
	fmt.Printf("\nreplica: %s, %d CPUs, %s; %d keys; control on SQLite in a process of its own\n\n", cpuModel(), runtime.NumCPU(), runtime.Version(), keys)
	tw := tabwriter.NewWriter(os.Stdout, 2, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "what\tgoal\tmeasured\tremark")
	g := gatewayOf(p, control, "million")
	joined, err := r.once(control, g, true)
	if err != nil {
		return err
	}
	again, err := r.once(control, g, false)
	if err != nil {
		return err
	}
	fmt.Fprintf(tw, "join over the network, start to ready\t≤ 15 s\t%.1f s\tCPU: control %.1f s, gateway %.1f s\n", joined.took.Seconds(), joined.control, joined.gateway)
	fmt.Fprintf(tw, "restart from disk, start to ready\t≤ 3 s\t%.2f s\t%d MB on disk\n", again.took.Seconds(), sizeOf(filepath.Join(g.dir, "state"))>>20)
	for _, x := range []struct {
		when string
		o    once
	}{{"after the join", joined}, {"after the restart", again}} {
		fmt.Fprintf(tw, "heap a key, %s\t≤ 400 B\t%.0f B\tlive heap of the whole process; resident %.0f MB, peak %.0f MB\n", x.when, float64(x.o.heap.Live)/float64(keys), x.o.heap.Resident, x.o.peak)
		fmt.Fprintf(tw, "full garbage collection, %s\t≤ 20 ms\t%.1f ms\tmedian of %d, longest %.1f ms\n", x.when, x.o.heap.Median, collections, x.o.heap.Longest)
	}
	return tw.Flush()
}

// untilIdle waits, a minute at most, for the end of what control does for itself
// after a start. With role all that would be a snapshot of its own as well.
func untilIdle(t *target) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		before := cpuOf(t.pids)
		time.Sleep(time.Second)
		if cpuOf(t.pids)-before < 0.1 {
			return
		}
	}
}

func startUpstreamOnly(p plan) ([]*target, error) {
	t, _, err := startUpstream(p)
	return []*target{t}, err
}

// replicas is the measurement.
type replicas struct {
	p    plan
	self string
	keys int
}

// fill lets control make what a first start makes, and puts the keys into its
// database while it is stopped.
func (r replicas) fill() error {
	control, err := startControl(r.p, "")
	stopAll([]*target{control})
	if err != nil {
		return err
	}
	data := filepath.Join(control.dir, "data")
	b := &books{p: r.p, table: tabwriter.NewWriter(io.Discard, 0, 0, 0, ' ', 0)}
	if b.team, err = house.ParseID(control.team); err != nil {
		return err
	}
	if b.keys, err = secret.Open(filepath.Join(data, "secrets")); err != nil {
		return err
	}
	if b.db, err = sqlite.Open(context.Background(), filepath.Join(data, "gatehouse.db"), sqlstore.Options{Guard: b.keys}); err != nil {
		return err
	}
	if err := b.fillFrom(0); err != nil {
		return err
	}
	return b.db.Close()
}

// once is one run of the gateway.
type once struct {
	took time.Duration // from its start until it was ready
	heap heap
	peak float64 // MB
	// control and gateway are seconds of CPU within took.
	control, gateway float64
}

// once runs the gateway from its start until it told what its heap is.
func (r replicas) once(control, g *target, first bool) (o once, err error) {
	var flags []string
	if first {
		if flags, err = joining(control, "east", nil); err != nil {
			return o, err
		}
	} else {
		flags = []string{"--control", control.management}
	}
	cmd := exec.Command(r.self, append([]string{"child", "gateway", g.dir, strings.TrimPrefix(g.url, "http://")}, flags...)...)
	told, err := cmd.StdoutPipe()
	if err != nil {
		return o, err
	}
	began, spent := time.Now(), cpuOf(control.pids)
	if err := start(g, cmd); err != nil {
		return o, err
	}
	defer stopAll([]*target{g})
	if err := g.ready(2 * time.Minute); err != nil {
		return o, err
	}
	o.took, o.control, o.gateway = time.Since(began), cpuOf(control.pids)-spent, cpuOf(g.pids)
	if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		return o, err
	}
	err = json.NewDecoder(told).Decode(&o.heap)
	o.peak = rssOf(g.pids)
	return o, err
}

// heap is what a gateway says of itself.
type heap struct {
	Live            uint64  // bytes after a full collection
	Median, Longest float64 // ms
	Resident        float64 // MB
}

const collections = 9

// measuredGateway serves as role gateway until interrupted, and says at
// SIGUSR1 what its heap is.
func measuredGateway(dir, listen string, flags []string) error {
	cfg := serve.Defaults()
	cfg.Role, cfg.Data, cfg.Gateway.Listen, cfg.Metrics.Listen, cfg.Log.Level = serve.RoleGateway, dir, listen, "127.0.0.1:0", "warn"
	for i := 0; i+1 < len(flags); i += 2 {
		switch flags[i] {
		case "--control":
			cfg.Control = append(cfg.Control, flags[i+1])
		case "--join-token":
			cfg.JoinToken = flags[i+1]
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ask := make(chan os.Signal, 1)
	signal.Notify(ask, syscall.SIGUSR1)
	go func() {
		for range ask {
			json.NewEncoder(os.Stdout).Encode(collect())
		}
	}()
	return serve.Run(ctx, cfg, serve.Process{Version: "bench", Stderr: os.Stderr})
}

func collect() (h heap) {
	runtime.GC() // what the start left
	took := make([]float64, collections)
	for i := range took {
		began := time.Now()
		runtime.GC()
		took[i] = time.Since(began).Seconds() * 1000
	}
	h.Median, h.Longest = middle(took)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	h.Live, h.Resident = m.HeapAlloc, memoryOf([]int{os.Getpid()}, "VmRSS:")
	return h
}

func middle(d []float64) (median, longest float64) {
	slices.Sort(d)
	return d[len(d)/2], d[len(d)-1]
}

func sizeOf(dir string) (n int64) {
	filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			n += info.Size()
		}
		return nil
	})
	return n
}
