package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/simulate"
)

// running is a whole installation in this process.
type running struct {
	*program
	team, key string
}

func run(t *testing.T) *running {
	t.Helper()
	upstream := httptest.NewServer(simulate.New(simulate.Options{}))
	t.Cleanup(upstream.Close)
	dir := t.TempDir()
	cfg := Defaults()
	cfg.Data, cfg.Bootstrap = filepath.Join(dir, "data"), filepath.Join(dir, "bootstrap.json")
	cfg.Gateway.Listen, cfg.Management.Listen, cfg.Metrics.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	up, err := ParseUpstreamFlag(upstream.URL+"/v1", 0)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Upstreams = []UpstreamConfig{up}
	var logged bytes.Buffer
	h, err := open(context.Background(), cfg, slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	p := &program{house: h, proc: Process{Version: "test"}}
	p.later("database", func(context.Context) error { return h.store.Close() })
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(logged.String())
		}
	})
	if err := p.start(context.Background()); err != nil {
		t.Fatal(err)
	}
	var boot struct {
		TeamID string `json:"team_id"`
		Key    string `json:"management_key"`
	}
	text, err := os.ReadFile(cfg.Bootstrap)
	if err == nil {
		err = json.Unmarshal(text, &boot)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &running{p, boot.TeamID, boot.Key}
}

func (r *running) call(t *testing.T, method, url, key, body string) (int, []byte) {
	t.Helper()
	req, _ := http.NewRequest(method, url, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+key)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

func (r *running) manage(t *testing.T, method, path, body string) (int, []byte) {
	t.Helper()
	return r.call(t, method, "http://"+r.addrs.Management+path, r.key, body)
}

func (r *running) createKey(t *testing.T) (id, secret string) {
	t.Helper()
	status, answer := r.manage(t, "POST", "/auth/teams/"+r.team+"/api-keys", `{"name":"k","acls":["api-key:model:*","api-key:endpoint:*"]}`)
	var made struct{ APIKey, APIKeyID string }
	if err := json.Unmarshal(answer, &made); err != nil || status != 200 {
		t.Fatalf("creating a key: %d %s", status, answer)
	}
	return made.APIKeyID, made.APIKey
}

const hello = `{"model":"gpt-4o","messages":[{"role":"user","content":"[[sim: words=3]] hi"}]}`

// The shortest way through the whole house: a key made on one plane works on
// the other, and what it did is on the books.
func TestAKeyMadeOnOnePlaneIsEnforcedAndMeteredOnTheOther(t *testing.T) {
	r := run(t)
	id, secret := r.createKey(t)
	if status, answer := r.manage(t, "GET", "/auth/api-keys/"+id+"/propagation?wait=10s", ""); status != 200 || string(answer) != `{"icPropagation":{"local":true}}` {
		t.Fatalf("propagation: %d %s", status, answer)
	}
	gateway := "http://" + r.addrs.Gateway + "/v1/chat/completions"
	if status, answer := r.call(t, "POST", gateway, secret, hello); status != 200 || !bytes.Contains(answer, []byte("the quick brown")) {
		t.Fatalf("chat: %d %s", status, answer)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		now := time.Now().UTC()
		status, answer := r.manage(t, "POST", "/v1/billing/teams/"+r.team+"/usage", `{"analyticsRequest":{"timeRange":{"startTime":"`+
			now.Add(-time.Hour).Format(time.DateTime)+`","endTime":"`+now.Add(time.Hour).Format(time.DateTime)+`","timezone":"Etc/UTC"},"timeUnit":"TIME_UNIT_NONE","values":[{"name":"usd","aggregation":"AGGREGATION_SUM"}],"groupBy":["description"]}}`)
		if status != 200 {
			t.Fatalf("usage: %d %s", status, answer)
		}
		if bytes.Contains(answer, []byte("gpt-4o")) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not on the books: %s", answer)
		}
	}
	r.manage(t, "DELETE", "/auth/api-keys/"+id, "")
	r.manage(t, "GET", "/auth/api-keys/"+id+"/propagation?wait=10s", "")
	if status, answer := r.call(t, "POST", gateway, secret, hello); status != 400 {
		t.Errorf("a deleted key: %d %s", status, answer)
	}
}

// Propagation says what is enforced, not what was sent: with the gateway's
// apply loop frozen it stays false, and waiting for it times out.
func TestPropagationIsFalseWhileTheReplicaIsFrozen(t *testing.T) {
	r := run(t)
	id, secret := r.createKey(t)
	r.manage(t, "GET", "/auth/api-keys/"+id+"/propagation?wait=10s", "")
	r.follower.Freeze()
	if status, answer := r.manage(t, "DELETE", "/auth/api-keys/"+id, ""); status != 200 {
		t.Fatalf("deleting: %d %s", status, answer)
	}
	began := time.Now()
	_, answer := r.manage(t, "GET", "/auth/api-keys/"+id+"/propagation?wait=1s", "")
	if took := time.Since(began); string(answer) != `{"icPropagation":{"local":false}}` || took < time.Second {
		t.Errorf("frozen, after %v: %s", took, answer)
	}
	if status, _ := r.call(t, "POST", "http://"+r.addrs.Gateway+"/v1/chat/completions", secret, hello); status != 200 {
		t.Errorf("the frozen replica should still serve the key, or this test shows nothing: %d", status)
	}
	r.follower.Thaw()
	if _, answer := r.manage(t, "GET", "/auth/api-keys/"+id+"/propagation?wait=10s", ""); string(answer) != `{"icPropagation":{"local":true}}` {
		t.Errorf("thawed: %s", answer)
	}
	if status, _ := r.call(t, "POST", "http://"+r.addrs.Gateway+"/v1/chat/completions", secret, hello); status == 200 {
		t.Error("the deleted key still works after propagation said true")
	}
}
