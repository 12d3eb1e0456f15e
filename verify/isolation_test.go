package verify

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/simulate"
)

// TestTeamsDoNotReachEachOthersResponses covers two teams on one provider
// credential: the provider cannot tell them apart, so the gateway must, on any
// route and after a restart.
func TestTeamsDoNotReachEachOthersResponses(t *testing.T) {
	h := newHouse(t, simulate.Options{})
	mine := h.createKey("")
	theirs := h.otherTeamsKey()
	status, answer := h.responses("POST", "", mine.Secret, `{"model":"gpt-4o","input":"[[sim: words=3]] secret plans"}`)
	var made struct{ ID string }
	if json.Unmarshal(answer, &made); status != http.StatusOK || made.ID == "" {
		t.Fatalf("creating a response: %d %s", status, answer)
	}
	check := func() {
		t.Helper()
		for _, x := range []struct{ method, path, body string }{
			{"GET", "/" + made.ID, ""}, {"GET", "/" + made.ID + "/input_items", ""}, {"POST", "/" + made.ID + "/cancel", ""}, {"DELETE", "/" + made.ID, ""},
			{"POST", "", `{"model":"gpt-4o","input":"go on","previous_response_id":"` + made.ID + `"}`},
		} {
			status, theirAnswer := h.responses(x.method, x.path, theirs, x.body)
			unknown, unknownAnswer := h.responses(x.method, strings.ReplaceAll(x.path, made.ID, "resp_0000000000"), theirs, strings.ReplaceAll(x.body, made.ID, "resp_0000000000"))
			if status != http.StatusNotFound || unknown != status || strings.ReplaceAll(string(theirAnswer), made.ID, "resp_0000000000") != string(unknownAnswer) {
				t.Errorf("%s %s by the other team: %d %s; of an id that never was: %d %s", x.method, x.path, status, theirAnswer, unknown, unknownAnswer)
			}
		}
		if status, answer := h.responses("GET", "/"+made.ID, mine.Secret, ""); status != http.StatusOK {
			t.Errorf("its own team: %d %s", status, answer)
		}
	}
	check()
	h.stop()
	h.start()
	check()
	h.kill()
	h.start()
	check()
}

// otherTeamsKey makes a second team and returns a key of it.
func (h *house) otherTeamsKey() string {
	h.t.Helper()
	status, answer := h.manage("POST", "/admin/v1/teams", `{"name":"other"}`)
	var team struct{ ID string }
	if json.Unmarshal(answer, &team); status != http.StatusOK {
		h.t.Fatalf("creating a team: %d %s", status, answer)
	}
	status, answer = h.manage("POST", "/auth/teams/"+team.ID+"/api-keys", `{"name":"theirs","acls":["api-key:model:*","api-key:endpoint:*"]}`)
	var k key
	if json.Unmarshal(answer, &k); status != http.StatusOK {
		h.t.Fatalf("creating a key: %d %s", status, answer)
	}
	h.manage("GET", "/auth/api-keys/"+k.ID+"/propagation?wait=10s", "")
	return k.Secret
}

func (h *house) responses(method, path, secret, body string) (int, []byte) {
	req, _ := http.NewRequest(method, h.gateway+"/v1/responses"+path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+secret)
	req.Header.Set("X-Request-Id", "fixed")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return h.do(req)
}

// TestCanariesAreNowhere looks for every secret of a busy day in every file,
// log line, metric and error body that is left of it.
func TestCanariesAreNowhere(t *testing.T) {
	h := newHouse(t, simulate.Options{Key: canary}, "GATEHOUSE_LOG_LEVEL=debug")
	status, answer := h.manage("GET", "/admin/v1/upstreams", "")
	var list struct{ Upstreams []struct{ ID, Name string } }
	if json.Unmarshal(answer, &list); status != http.StatusOK || len(list.Upstreams) != 1 {
		t.Fatalf("upstreams: %d %s", status, answer)
	}
	status, answer = h.manage("POST", "/admin/v1/upstreams", `{"name":"canary","kind":"openai","baseUrl":"`+h.upstreamURL+`","allowPrivate":true,"families":["chat","responses"],"serves":[{"model":"grok-4"}],"credential":"`+canary+`"}`)
	if status != http.StatusOK {
		t.Fatalf("creating an upstream: %d %s", status, answer)
	}
	said := h.busyDay(answer)
	time.Sleep(300 * time.Millisecond)
	h.stop()
	said = append(said, h.Log()...)
	h.findNoSecrets(said)
}
