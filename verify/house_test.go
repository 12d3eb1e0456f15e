package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/catalogue"
	"gatehouse/internal/simulate"
)

// house is the real binary over its own data directory, in front of a simulated
// provider that lives in the test and survives every kill.
type house struct {
	t                   *testing.T
	dir, binary         string
	gateway, management string
	metrics             string
	team, key           string
	upstream            *simulate.Upstream
	upstreamURL         string
	environ             []string
	cmd                 *exec.Cmd
	log                 *bytes.Buffer
	secrets             []string // made along the way, for the canary search
	client              *http.Client
}

var (
	buildOnce sync.Once
	binary    string
	buildErr  error
)

// build makes the binary once per test process.
func build(t *testing.T) string {
	t.Helper()
	buildOnce.Do(func() {
		dir, err := os.MkdirTemp("", "gatehouse-verify")
		if err != nil {
			buildErr = err
			return
		}
		binary = filepath.Join(dir, "gatehouse")
		if out, err := exec.Command("go", "build", "-o", binary, "gatehouse/cmd/gatehouse").CombinedOutput(); err != nil {
			buildErr = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if buildErr != nil {
		t.Fatal(buildErr)
	}
	return binary
}

func TestMain(m *testing.M) {
	code := m.Run()
	if binary != "" {
		os.RemoveAll(filepath.Dir(binary))
	}
	os.Exit(code)
}

// newHouse starts a house; opt shapes its provider.
func newHouse(t *testing.T, opt simulate.Options, environ ...string) *house {
	t.Helper()
	shipped, err := catalogue.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	opt.Models = shipped.Names()
	h := &house{
		t: t, dir: t.TempDir(), binary: build(t), upstream: simulate.New(opt), environ: environ,
		gateway: "http://" + freeAddr(t), management: "http://" + freeAddr(t), metrics: freeAddr(t),
		client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	server := httptest.NewServer(h.upstream)
	t.Cleanup(server.Close)
	h.upstreamURL = server.URL + "/v1"
	h.start()
	t.Cleanup(func() {
		h.cmd.Process.Kill()
		h.cmd.Wait()
		if t.Failed() {
			t.Logf("log of the last process:\n%s", tail(h.log.String(), 4000))
		}
	})
	text, err := os.ReadFile(filepath.Join(h.dir, "bootstrap.json"))
	if err != nil {
		t.Fatal(err)
	}
	var b struct {
		TeamID string `json:"team_id"`
		Key    string `json:"management_key"`
	}
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	h.team, h.key = b.TeamID, b.Key
	return h
}

// start runs the binary and waits until it is ready.
func (h *house) start() {
	h.t.Helper()
	h.log = new(bytes.Buffer)
	h.cmd = exec.Command(h.binary, "serve", "--data", filepath.Join(h.dir, "data"), "--bootstrap-file", filepath.Join(h.dir, "bootstrap.json"),
		"--upstream", h.upstreamURL, "--gateway", strings.TrimPrefix(h.gateway, "http://"),
		"--management", strings.TrimPrefix(h.management, "http://"), "--metrics", h.metrics)
	h.cmd.Env = append(append(os.Environ(), "GATEHOUSE_MANAGEMENT_RATE=100000"), h.environ...)
	h.cmd.Stderr = h.log
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // under a tracer, signals go to the group
	if err := h.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		resp, err := h.client.Get(h.gateway + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("not ready: %v\n%s", err, tail(h.log.String(), 4000))
		}
	}
}

// kill is SIGKILL and a wait.
func (h *house) kill() {
	h.cmd.Process.Kill()
	h.cmd.Wait()
	h.client.CloseIdleConnections()
}

// stop is SIGTERM: the program drains and ends by itself.
func (h *house) stop() {
	h.t.Helper()
	h.cmd.Process.Signal(os.Interrupt)
	if err := h.cmd.Wait(); err != nil {
		h.t.Errorf("the program did not end well: %v\n%s", err, tail(h.log.String(), 4000))
	}
	h.client.CloseIdleConnections()
}

// manage calls the management plane; status 0 means that no answer came.
func (h *house) manage(method, path, body string) (status int, answer []byte) {
	req, _ := http.NewRequest(method, h.management+path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+h.key)
	return h.do(req)
}

// chat asks the gateway with a key; id becomes the request's id.
func (h *house) chat(key, id, body string) (status int, answer []byte) {
	req, _ := http.NewRequest("POST", h.gateway+"/v1/chat/completions", strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Request-Id", id)
	return h.do(req)
}

func (h *house) do(req *http.Request) (int, []byte) {
	resp, err := h.client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, answer
	}
	return resp.StatusCode, answer
}

// key is a created API key.
type key struct {
	ID     string `json:"apiKeyId"`
	Secret string `json:"apiKey"`
}

// createKey makes a key that may do everything, and waits until it is enforced.
func (h *house) createKey(members string) key {
	h.t.Helper()
	if members != "" {
		members = "," + members
	}
	status, answer := h.manage("POST", "/auth/teams/"+h.team+"/api-keys", `{"name":"verify","acls":["api-key:model:*","api-key:endpoint:*"]`+members+`}`)
	var k key
	if err := json.Unmarshal(answer, &k); err != nil || status != http.StatusOK {
		h.t.Fatalf("creating a key: %d %s", status, answer)
	}
	if status, answer := h.manage("GET", "/auth/api-keys/"+k.ID+"/propagation?wait=10s", ""); status != http.StatusOK || !bytes.Contains(answer, []byte("true")) {
		h.t.Fatalf("propagation: %d %s", status, answer)
	}
	return k
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// rounds is how often a check repeats: few under make test, or as many as
// make verify-NAME says.
func rounds(few int) int {
	if n, err := strconv.Atoi(os.Getenv("VERIFY_ROUNDS")); err == nil {
		return n
	}
	return few
}
