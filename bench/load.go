package main

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// load is one kind of traffic.
type load struct {
	name        string
	connections int
	body        string
}

const message = "Summarise the following meeting in three sentences and name who owes what to whom by when. "

var (
	plainBody  = fmt.Sprintf(`{"model":"gpt-4o","messages":[{"role":"system","content":"You are terse."},{"role":"user","content":"%s"}],"temperature":0.2,"max_tokens":64,"user":"bench"}`, strings.Repeat(message, 3)[:240])
	streamBody = strings.Replace(plainBody, `{"model"`, `{"stream":true,"model"`, 1)
	bigBody    = strings.Replace(plainBody, message, strings.Repeat(message, 1<<20/len(message)), 1)
)

// loads are the rows' groups, in the order of the table.
var loads = []load{
	{"plain", 1, plainBody}, {"plain", 64, plainBody}, {"plain", 256, plainBody},
	{"stream", 64, streamBody}, {"1 MB body", 4, bigBody},
}

// row is the median of the repeats of one load on one target.
type row struct {
	target, load string
	connections  int
	cpu          float64 // µs of the target's process tree per completed request
	rps          float64
	p50, p99     float64 // ms
	rss          float64 // MB, peak so far
	errors       int     // answers that were not 2xx, and broken connections
}

// measure runs the repeats and takes the median by CPU.
func measure(p plan, t *target, l load) row {
	var runs []row
	for range p.repeats {
		before := cpuOf(t.pids)
		out := wrk(p, t, l)
		r := parseWrk(out)
		t.sent += r.requests - r.errors
		r.cpu = (cpuOf(t.pids) - before) * 1e6 / max(1, float64(r.requests))
		r.target, r.load, r.connections, r.rss = t.name, l.name, l.connections, rssOf(t.pids)
		if runs = append(runs, r.row); r.errors > 0 {
			explain(t, l)
		}
	}
	slices.SortFunc(runs, byCPU)
	fmt.Fprintf(os.Stderr, "%-22s %-10s %4d  %7.1f µs  %8.0f/s\n", t.name, l.name, l.connections, runs[len(runs)/2].cpu, runs[len(runs)/2].rps)
	return runs[len(runs)/2]
}

// wholeSeconds is all that wrk understands.
func wholeSeconds(d time.Duration) string {
	return fmt.Sprint(max(1, int(d.Round(time.Second)/time.Second)), "s")
}

// explain asks once more and says what the answer is, where a load had others
// than 2xx: wrk counts them and no more.
func explain(t *target, l load) {
	keys, _ := os.ReadFile(t.keys)
	first, _, _ := strings.Cut(string(keys), "\n")
	c, err := dial(t.url)
	if err != nil {
		fmt.Fprintln(os.Stderr, t.name, err)
		return
	}
	defer c.Close()
	if status, answer, err := c.do(chat(first, l.body)); err != nil || status != http.StatusOK {
		fmt.Fprintln(os.Stderr, t.name, "answered", status, answer, err)
	}
}

func byCPU(a, b row) int { return cmp.Compare(a.cpu, b.cpu) }

// wrk drives the target with every key in turn.
func wrk(p plan, t *target, l load) []byte {
	script := filepath.Join(p.dir, "load.lua")
	body := filepath.Join(p.dir, "body.json")
	os.WriteFile(body, []byte(l.body), 0o600)
	os.WriteFile(script, []byte(fmt.Sprintf(lua, body, t.keys)), 0o600)
	args := []string{"-t1", "-c", strconv.Itoa(l.connections), "-d", wholeSeconds(p.duration), "--latency", "--timeout", "10s", "-s", script, t.url + "/v1/chat/completions"}
	out, _ := exec.Command("wrk", args...).CombinedOutput()
	return out
}

const lua = `
local f = io.open(%q); local body = f:read("*a"); f:close()
local keys = {}
for k in io.lines(%q) do keys[#keys+1] = "Bearer " .. k end
local n = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function request()
  n = n %% #keys + 1
  wrk.headers["Authorization"] = keys[n]
  return wrk.format(nil, nil, nil, body)
end
`

type wrkRun struct {
	row
	requests int
}

// parseWrk reads wrk's report.
func parseWrk(out []byte) wrkRun {
	var r wrkRun
	for line := range bytes.Lines(out) {
		f := strings.Fields(string(line))
		switch {
		case len(f) >= 2 && f[0] == "50%":
			r.p50 = millis(f[1])
		case len(f) >= 2 && f[0] == "99%":
			r.p99 = millis(f[1])
		case len(f) >= 2 && f[0] == "Requests/sec:":
			r.rps, _ = strconv.ParseFloat(f[1], 64)
		case len(f) >= 4 && f[1] == "requests" && f[2] == "in":
			r.requests, _ = strconv.Atoi(f[0])
		case len(f) >= 3 && f[0] == "Non-2xx":
			n, _ := strconv.Atoi(f[len(f)-1])
			r.errors += n
		case len(f) >= 4 && f[0] == "Socket":
			for i, w := range f {
				if i > 2 {
					n, _ := strconv.Atoi(strings.Trim(w, ","))
					r.errors += n
				}
			}
		}
	}
	return r
}

func millis(s string) float64 {
	for suffix, scale := range map[string]float64{"us": 1e-3, "ms": 1} {
		if v, ok := strings.CutSuffix(s, suffix); ok {
			f, _ := strconv.ParseFloat(v, 64)
			return f * scale
		}
	}
	f, _ := strconv.ParseFloat(strings.TrimSuffix(s, "s"), 64)
	return f * 1000
}

// cpuOf is user plus system seconds of the processes, exited threads included.
func cpuOf(pids []int) float64 {
	const ticksPerSecond = 100 // USER_HZ, fixed by the kernel's interface
	var ticks float64
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		for _, s := range f[11:13] {
			n, _ := strconv.ParseFloat(s, 64)
			ticks += n
		}
	}
	return ticks / ticksPerSecond
}

// rssOf is the peak resident memory of the processes together, in MB.
func rssOf(pids []int) float64 { return memoryOf(pids, "VmHWM:") }

// memoryOf is a line of the kernel's about the processes together, in MB.
func memoryOf(pids []int, line string) float64 {
	var kb float64
	for _, pid := range pids {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		for l := range strings.Lines(string(b)) {
			if f := strings.Fields(l); len(f) > 1 && f[0] == line {
				n, _ := strconv.ParseFloat(f[1], 64)
				kb += n
			}
		}
	}
	return kb / 1024
}
