package verify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/simulate"
)

// TestTheGuidesUpdateAsPrinted sends the update of a key as xAI's guide prints
// it: without a credential, with a trailing comma, and with a placeholder for
// the object. Each of the three faults is named in its turn; without them it
// works, with the key as the list returned it.
func TestTheGuidesUpdateAsPrinted(t *testing.T) {
	h := newHouse(t, simulate.Options{})
	k := h.createKey(`"qps":5,"qpm":100,"tpm":null`)
	_, list := h.manage("GET", "/auth/teams/"+h.team+"/api-keys?pageSize=10&paginationToken=", "")
	var page struct{ APIKeys []map[string]any }
	if json.Unmarshal(list, &page); len(page.APIKeys) != 1 {
		t.Fatalf("list: %s", list)
	}
	page.APIKeys[0]["qpm"] = 60
	object, _ := json.Marshal(page.APIKeys[0])
	printed := "{\n\"apiKey\": \"<The apiKey Object with updated qpm>\",\n\"fieldMask\": \"qpm\",\n}"
	withObject := strings.Replace(printed, `"<The apiKey Object with updated qpm>"`, string(object), 1)
	for _, c := range []struct {
		name, credential, body string
		status                 int
		says                   string
	}{
		{"as printed", "", printed, 401, "Invalid bearer token"},
		{"with the header", h.key, printed, 400, "trailing comma at line 3, column 19"},
		{"with the object and the comma", h.key, withObject, 400, "trailing comma at line 3, column 19"},
		{"without the comma", h.key, strings.Replace(printed, ",\n}", "\n}", 1), 400, "apiKey: must be the key object"},
		{"corrected", h.key, strings.Replace(withObject, ",\n}", "\n}", 1), 200, `"qpm":60`},
	} {
		req, _ := http.NewRequest("PUT", h.management+"/auth/teams/"+h.team+"/api-keys", strings.NewReader(c.body))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded") // curl -d
		if c.credential != "" {
			req.Header.Set("Authorization", "Bearer "+c.credential)
		}
		status, answer := h.do(req)
		if status != c.status || !strings.Contains(compact(answer), c.says) {
			t.Errorf("%s: %d %s; want %d %s", c.name, status, answer, c.status, c.says)
		}
		_, now := h.manage("GET", "/auth/api-keys/"+k.ID, "")
		if changed := strings.Contains(compact(now), `"qpm":60`); changed != (c.status == 200) {
			t.Errorf("%s: the key is %s", c.name, now)
		}
	}
}

// compact is JSON without the spaces that protojson puts in at random.
func compact(b []byte) string { return strings.ReplaceAll(string(b), `": `, `":`) }

// TestARevokedManagementKeyCommitsNothingMore revokes a management key while it
// makes keys as fast as it can: the authority is checked in the transaction
// that acts, so no mutation of it has a revision after the revocation's, and
// what was acknowledged is there.
func TestARevokedManagementKeyCommitsNothingMore(t *testing.T) {
	h := newHouse(t, simulate.Options{})
	total := 0
	for i := range rounds(10) {
		total += h.revokeMidway(fmt.Sprintf("doomed-%d", i), time.Duration(i%5)*3*time.Millisecond)
	}
	if total == 0 {
		t.Error("no mutation was under way at any revocation: this proved nothing")
	}
	t.Logf("%d mutations were acknowledged before the revocations, none after", total)
}

// revokeMidway returns how many mutations were acknowledged.
func (h *house) revokeMidway(name string, after time.Duration) int {
	h.t.Helper()
	status, answer := h.manage("POST", "/admin/v1/management-keys", `{"name":"`+name+`","acls":["team-token:endpoint:*"]}`)
	var made struct{ APIKey, APIKeyID string }
	if json.Unmarshal(answer, &made); status != http.StatusOK {
		h.t.Fatalf("%d %s", status, answer)
	}
	h.secrets = append(h.secrets, made.APIKey)
	var all sync.WaitGroup
	var mu sync.Mutex
	var acknowledged []gatehouse.Revision
	begun := make(chan struct{})
	var once sync.Once
	for range 8 {
		all.Go(func() {
			for {
				rev, status, answer := h.mutate("POST", "/auth/teams/"+h.team+"/api-keys", made.APIKey, `{"name":"`+name+`","acls":[]}`)
				switch {
				case status == http.StatusUnauthorized && rev.IsZero():
					return
				case status != http.StatusOK || rev.IsZero():
					h.t.Errorf("%d with revision %v: %s", status, rev, answer)
					return
				}
				mu.Lock()
				acknowledged = append(acknowledged, rev)
				mu.Unlock()
				once.Do(func() { close(begun) })
			}
		})
	}
	<-begun
	time.Sleep(after)
	revoked, status, answer := h.mutate("DELETE", "/admin/v1/management-keys/"+made.APIKeyID, h.key, "")
	if status != http.StatusOK || revoked.IsZero() {
		h.t.Errorf("revoking: %d %s", status, answer)
	}
	all.Wait()
	for _, rev := range acknowledged {
		if revoked.Less(rev) {
			h.t.Errorf("a mutation has revision %v, the revocation %v", rev, revoked)
		}
	}
	_, list := h.manage("GET", "/auth/teams/"+h.team+"/api-keys", "")
	if n := strings.Count(compact(list), `"name":"`+name+`"`); n != len(acknowledged) {
		h.t.Errorf("%d keys are there, %d were acknowledged", n, len(acknowledged))
	}
	return len(acknowledged)
}

// mutate calls the management plane with a credential and reads the revision
// that its answer carries.
func (h *house) mutate(method, path, credential, body string) (rev gatehouse.Revision, status int, answer []byte) {
	req, _ := http.NewRequest(method, h.management+path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+credential)
	resp, err := h.client.Do(req)
	if err != nil {
		return rev, 0, nil
	}
	text := resp.Header.Get("X-Gatehouse-Revision")
	answer = make([]byte, 512)
	n, _ := resp.Body.Read(answer)
	resp.Body.Close()
	if text != "" {
		rev, err = gatehouse.ParseRevision(text)
	}
	if err != nil {
		h.t.Errorf("revision %q: %v", text, err)
	}
	return rev, resp.StatusCode, answer[:n]
}
