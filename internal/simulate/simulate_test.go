package simulate

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse"
)

func start(t *testing.T, opt Options) (*Upstream, *httptest.Server) {
	t.Helper()
	u := New(opt)
	s := httptest.NewUnstartedServer(u)
	s.Config.Protocols = Protocols()
	s.Start()
	t.Cleanup(s.Close)
	return u, s
}

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, string(b) + " [broken: " + err.Error() + "]"
	}
	return resp.StatusCode, string(b)
}

// The ledger is the ground truth of every metering test: what it says was
// charged must be what the answer said.
func TestTheLedgerEqualsTheUsageInTheAnswer(t *testing.T) {
	u, s := start(t, Options{Kind: gatehouse.XAI})
	_, body := post(t, s.URL+"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"[[sim: words=7 cached=2 reasoning=3]] one two"}]}`)
	var answer struct {
		Usage struct {
			Prompt     int64 `json:"prompt_tokens"`
			Completion int64 `json:"completion_tokens"`
			Total      int64 `json:"total_tokens"`
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err, body)
	}
	e := u.Ledger()[0]
	if e.Completion != 7 || e.Cached != 2 || e.Reasoning != 3 || !e.Finished || answer.Usage.Prompt != e.Prompt ||
		answer.Usage.Completion != 7 || answer.Usage.Total != e.Prompt+10 {
		t.Errorf("ledger %+v, answer %+v", e, answer.Usage)
	}
}

func TestEveryFamilyStreamsToItsEnd(t *testing.T) {
	_, s := start(t, Options{})
	for path, end := range map[string]string{
		"/v1/chat/completions": "data: [DONE]", "/v1/completions": "data: [DONE]", "/v1/messages": "message_stop", "/v1/responses": "response.completed",
	} {
		status, body := post(t, s.URL+path, `{"model":"m","stream":true,"prompt":"hello","input":"hello","messages":[{"role":"user","content":"hello"}]}`)
		if status != 200 || !strings.Contains(body, end) || strings.Contains(body, "[broken") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestFaultsAreWhatTheySay(t *testing.T) {
	u, s := start(t, Options{})
	for knob, want := range map[string]string{
		"cut=2": "[broken", "lie": "[broken", "garbage": "not json", "break=1": "simulated", "status=429": "simulated status", "nousage": "choices",
	} {
		stream := `"stream":true,`
		if knob == "lie" || knob == "garbage" {
			stream = ""
		}
		_, body := post(t, s.URL+"/v1/chat/completions", `{`+stream+`"model":"m","stream_options":{"include_usage":true},"messages":[{"role":"user","content":"[[sim: `+knob+`]]"}]}`)
		if !strings.Contains(body, want) {
			t.Errorf("%s: %s", knob, body)
		}
		if knob == "nousage" && strings.Contains(body, "prompt_tokens") {
			t.Errorf("nousage reported usage: %s", body)
		}
	}
	for _, e := range u.Ledger() {
		if e.Finished && e.Status != 200 {
			t.Errorf("a refused request counts as finished: %+v", e)
		}
	}
}

func TestAWrongCredentialIsRefused(t *testing.T) {
	_, s := start(t, Options{Key: "sk-right"})
	if status, _ := post(t, s.URL+"/v1/embeddings", `{}`); status != 401 {
		t.Errorf("no credential: %d", status)
	}
}
