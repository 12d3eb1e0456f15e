package main

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// target is something that answers, and the processes whose CPU counts.
type target struct {
	name string
	url  string
	keys string // file with one credential a line
	pids []int
	cmd  *exec.Cmd
	// management and credential reach a Gatehouse; empty elsewhere.
	management, credential, team string
	dir                          string        // its data, when it is a Gatehouse
	held                         bool          // its usage is not ingested
	aside                        bool          // runs, and gets no load
	limits                       string        // members of its keys beside name and ACL; generous unless said
	created                      time.Duration // how long the keys took
	sent                         int           // requests that were answered well
}

// stopAll stops the last one first: a gateway that drains needs its control.
func stopAll(all []*target) {
	for _, t := range slices.Backward(all) {
		if t != nil && t.cmd != nil && t.cmd.Process != nil {
			t.cmd.Process.Signal(os.Interrupt)
			t.cmd.Wait()
		}
	}
}

// startUpstream starts what every target forwards to.
func startUpstream(p plan) (t *target, self string, err error) {
	if self, err = os.Executable(); err != nil {
		return nil, "", err
	}
	dummy := filepath.Join(p.dir, "dummy-keys")
	if err := os.WriteFile(dummy, []byte("sk-none\n"), 0o600); err != nil {
		return nil, "", err
	}
	t = &target{name: "direct", url: "http://" + freeAddr(), keys: dummy}
	p.upstreamURL(t.url)
	return t, self, start(t, exec.Command(self, "child", "upstream", strings.TrimPrefix(t.url, "http://")))
}

// launcher says how a target is started, and completes what t says of it.
type launcher func(p plan, self string, t *target) (*exec.Cmd, error)

// startTargets starts the upstream and everything that stands before it.
func startTargets(p plan) ([]*target, error) {
	upstream, self, err := startUpstream(p)
	all := []*target{upstream}
	if err != nil {
		return all, err
	}
	for _, launch := range []launcher{
		nginx,
		func(_ plan, self string, t *target) (*exec.Cmd, error) {
			t.name = "ReverseProxy"
			return exec.Command(self, "child", "reverseproxy", strings.TrimPrefix(t.url, "http://"), upstream.url), nil
		},
		gatehouse,
	} {
		t := &target{url: "http://" + freeAddr(), keys: upstream.keys}
		cmd, err := launch(p, self, t)
		if err != nil {
			return all, err
		}
		all = append(all, t)
		if err := start(t, cmd); err != nil {
			return all, err
		}
	}
	if err := createKeys(p, all[len(all)-1]); err != nil {
		return all, err
	}
	joined, err := startJoined(p, "gatehouse (gateway)", "")
	return append(all, joined...), err
}

// startJoined starts control with keys, and one gateway that joined it. Both
// have flags.
func startJoined(p plan, name, limits string, flags ...string) ([]*target, error) {
	control, err := startControl(p, "", flags...)
	if err != nil {
		return []*target{control}, err
	}
	control.limits = limits
	if err := createKeys(p, control); err != nil {
		return []*target{control}, err
	}
	begun := time.Now()
	gateway, err := startGateway(p, control, name, "local", flags...)
	if err == nil {
		err = gateway.admits()
		time.Sleep(time.Until(begun.Add(settled)))
	}
	return []*target{control, gateway}, err
}

// upstreamURL leaves the upstream's address where the launchers find it.
func (p plan) upstreamURL(url string) {
	os.WriteFile(filepath.Join(p.dir, "upstream"), []byte(url), 0o600)
}

func (p plan) upstream() string {
	b, _ := os.ReadFile(filepath.Join(p.dir, "upstream"))
	return string(b)
}

func nginx(p plan, _ string, t *target) (*exec.Cmd, error) {
	t.name = "nginx"
	conf := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/nginx.pid; error_log %[1]s/nginx.log; worker_processes 1;
events { worker_connections 4096; }
http { access_log off; client_max_body_size 64m; client_body_buffer_size 2m; keepalive_requests 1000000000;
 client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
 upstream u { server %[2]s; keepalive 512; keepalive_requests 1000000000; }
 server { listen %[3]s backlog=4096; location / { proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; } } }`,
		p.dir, strings.TrimPrefix(p.upstream(), "http://"), strings.TrimPrefix(t.url, "http://"))
	file := filepath.Join(p.dir, "nginx.conf")
	return exec.Command("nginx", "-c", file), os.WriteFile(file, []byte(conf), 0o600)
}

// gatehouse is the product with everything on.
func gatehouse(p plan, _ string, t *target) (*exec.Cmd, error) {
	t.name, t.management, t.dir = "gatehouse (all)", "http://"+freeAddr(), filepath.Join(p.dir, "all")
	cmd := exec.Command(p.binary, "serve", "--data", filepath.Join(t.dir, "data"), "--bootstrap-file", filepath.Join(t.dir, "bootstrap"),
		"--gateway", strings.TrimPrefix(t.url, "http://"), "--management", strings.TrimPrefix(t.management, "http://"), "--metrics", freeAddr(),
		"--upstream", p.upstream()+"/v1")
	cmd.Env = quiet()
	return cmd, os.MkdirAll(t.dir, 0o700)
}

// dataPlane is one process with its usage left in the journal: what the data
// plane costs with nothing beside it, neither shipping nor shares of limits.
func dataPlane(p plan, self string, t *target) (*exec.Cmd, error) {
	t.name, t.management, t.dir, t.held = "one process, usage held", "http://"+freeAddr(), filepath.Join(p.dir, "held"), true
	return exec.Command(self, "child", "dataplane", t.dir, strings.TrimPrefix(t.url, "http://"), strings.TrimPrefix(t.management, "http://"), p.upstream()+"/v1"), nil
}

// start runs cmd and waits until its address accepts.
func start(t *target, cmd *exec.Cmd) error {
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	t.cmd, t.pids = cmd, []int{cmd.Process.Pid}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", strings.TrimPrefix(t.url, "http://")); err == nil {
			conn.Close()
			return nil
		}
	}
	return fmt.Errorf("%s did not start", t.name)
}

// createKeys makes the keys with 32 clients, which is a measurement of its own.
func createKeys(p plan, t *target) error {
	if err := t.readBootstrap(); err != nil {
		return err
	}
	made := make([]string, p.keys)
	var next atomic.Int64
	var group sync.WaitGroup
	var failed atomic.Value
	began := time.Now()
	for range creators {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(p.keys) && failed.Load() == nil; i = next.Add(1) - 1 {
				key, err := createKey(t, i)
				if err != nil {
					failed.Store(err)
				}
				made[i] = key
			}
		})
	}
	group.Wait()
	t.created = time.Since(began)
	if err, ok := failed.Load().(error); ok {
		return err
	}
	t.keys = filepath.Join(t.dir, "keys")
	return os.WriteFile(t.keys, []byte(strings.Join(made, "\n")+"\n"), 0o600)
}

// generous are limits that count and never refuse.
const generous = `"qps":100000,"qpm":6000000,"tpm":"1000000000"`

func createKey(t *target, i int64) (string, error) {
	var made struct {
		APIKey string `json:"apiKey"`
	}
	body := fmt.Sprintf(`{"name":"bench-%d","acls":["api-key:model:*","api-key:endpoint:*"],%s}`, i, cmp.Or(t.limits, generous))
	if err := t.manage("POST", "/auth/teams/"+t.team+"/api-keys", body, &made); err != nil {
		return "", err
	}
	return made.APIKey, nil
}

func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().String()
}
