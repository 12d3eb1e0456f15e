package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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
	created                      time.Duration // how long the keys took
	sent                         int           // requests that were answered well
}

func stopAll(all []*target) {
	for _, t := range all {
		if t.cmd != nil && t.cmd.Process != nil {
			t.cmd.Process.Signal(os.Interrupt)
			t.cmd.Wait()
		}
	}
}

// startTargets starts the upstream and everything that stands before it.
func startTargets(p plan) ([]*target, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dummy := filepath.Join(p.dir, "dummy-keys")
	os.WriteFile(dummy, []byte("sk-none\n"), 0o600)
	upstream := &target{name: "direct", url: "http://" + freeAddr(), keys: dummy}
	all := []*target{upstream}
	if err := start(upstream, exec.Command(self, "child", "upstream", strings.TrimPrefix(upstream.url, "http://"))); err != nil {
		return all, err
	}
	for _, launch := range []func(plan, string, *target) (*exec.Cmd, error){
		nginx,
		func(_ plan, self string, t *target) (*exec.Cmd, error) {
			t.name = "ReverseProxy"
			return exec.Command(self, "child", "reverseproxy", strings.TrimPrefix(t.url, "http://"), upstream.url), nil
		},
		dataPlane,
		gatehouse,
	} {
		t := &target{url: "http://" + freeAddr(), keys: dummy}
		p.upstreamURL(upstream.url)
		cmd, err := launch(p, self, t)
		if err != nil {
			return all, err
		}
		all = append(all, t)
		if err := start(t, cmd); err != nil {
			return all, err
		}
	}
	for _, t := range all[len(all)-2:] {
		if err := createKeys(p, t); err != nil {
			return all, err
		}
	}
	return all, nil
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
	cmd.Env = append(os.Environ(), "GATEHOUSE_MANAGEMENT_RATE=1000000", "GATEHOUSE_LOG_LEVEL=warn")
	return cmd, os.MkdirAll(t.dir, 0o700)
}

// dataPlane is the same program with its usage left in the journal: what the
// gateway costs when the control plane runs elsewhere, its shipping excepted.
func dataPlane(p plan, self string, t *target) (*exec.Cmd, error) {
	t.name, t.management, t.dir, t.held = "gatehouse (gateway)", "http://"+freeAddr(), filepath.Join(p.dir, "held"), true
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
	var boot struct {
		TeamID string `json:"team_id"`
		Key    string `json:"management_key"`
	}
	text, err := os.ReadFile(filepath.Join(t.dir, "bootstrap"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &boot); err != nil {
		return err
	}
	t.credential, t.team = boot.Key, boot.TeamID
	const clients = 32
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	made := make([]string, p.keys)
	var next atomic.Int64
	var group sync.WaitGroup
	var failed atomic.Value
	began := time.Now()
	for range clients {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(p.keys) && failed.Load() == nil; i = next.Add(1) - 1 {
				key, err := createKey(client, t, i)
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

func createKey(client *http.Client, t *target, i int64) (string, error) {
	body := `{"name":"bench-` + strconv.FormatInt(i, 10) + `","acls":["api-key:model:*","api-key:endpoint:*"],"qps":100000,"qpm":6000000,"tpm":"1000000000"}`
	req, _ := http.NewRequest("POST", t.management+"/auth/teams/"+t.team+"/api-keys", bytes.NewReader([]byte(body)))
	req.Header.Set("Authorization", "Bearer "+t.credential)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	var out struct {
		APIKey string `json:"apiKey"`
	}
	if err := json.Unmarshal(answer, &out); err != nil || out.APIKey == "" {
		return "", fmt.Errorf("creating a key: %s %s", resp.Status, answer)
	}
	return out.APIKey, nil
}

func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().String()
}
