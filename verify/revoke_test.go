package verify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/simulate"
)

const hello = `{"model":"gpt-4o","messages":[{"role":"user","content":"[[sim: words=2]] hi"}]}`

// TestARevokedKeyIsRefusedWithinAQuarterSecond measures, under load and ingest,
// how long after an acknowledged deletion the gateway last admitted the key.
func TestARevokedKeyIsRefusedWithinAQuarterSecond(t *testing.T) {
	h := newHouse(t, simulate.Options{})
	var stopped atomic.Bool
	var load sync.WaitGroup
	background := h.createKey("")
	for w := range 4 {
		load.Go(func() {
			for i := 0; !stopped.Load(); i++ {
				h.chat(background.Secret, fmt.Sprintf("load-%d-%d", w, i), hello)
			}
		})
	}
	var delays []time.Duration
	for i := range rounds(20) {
		delays = append(delays, h.revoke(h.createKey(""), i))
	}
	stopped.Store(true)
	load.Wait()
	slices.Sort(delays)
	p99 := delays[min(len(delays)-1, len(delays)*99/100)]
	t.Logf("%d revocations under load: p50 %v, p99 %v, max %v", len(delays), delays[len(delays)/2], p99, delays[len(delays)-1])
	most := 250 * time.Millisecond
	if len(delays) < 100 {
		most = 10 * time.Second // speed is measured by make verify-revoke; here, that it happens
	}
	if p99 > most {
		t.Errorf("p99 %v is over %v", p99, most)
	}
}

// revoke deletes a key in use and returns when its last admission began after
// the acknowledgement; 0 when none did.
func (h *house) revoke(k key, round int) time.Duration {
	h.t.Helper()
	var last atomic.Int64 // when the last admitted request was sent
	var gone atomic.Bool
	var user sync.WaitGroup
	user.Go(func() {
		for i := 0; !gone.Load(); i++ {
			sent := time.Now()
			if status, _ := h.chat(k.Secret, fmt.Sprintf("revoke-%d-%d", round, i), hello); status == http.StatusOK {
				last.Store(sent.UnixNano())
			} else if status != 0 {
				gone.Store(true)
			}
		}
	})
	time.Sleep(5 * time.Millisecond)
	if status, answer := h.manage("DELETE", "/auth/api-keys/"+k.ID, ""); status != http.StatusOK {
		h.t.Fatalf("deleting: %d %s", status, answer)
	}
	acknowledged := time.Now().UnixNano()
	user.Wait()
	return time.Duration(max(0, last.Load()-acknowledged))
}

// requests asks the usage API how many requests of the last day had a prompt: a
// billing item is one unit of one request, so one unit is counted. There is no
// answer while a busy machine takes longer than the client waits.
func (h *house) requests() (n float64, ok bool) {
	h.t.Helper()
	now := time.Now().UTC()
	status, answer := h.manage("POST", "/v1/billing/teams/"+h.team+"/usage", fmt.Sprintf(
		`{"analyticsRequest":{"timeRange":{"startTime":%q,"endTime":%q,"timezone":"Etc/UTC"},"timeUnit":"TIME_UNIT_NONE","values":[{"name":"tokens","aggregation":"AGGREGATION_COUNT"}],"filters":["unit_type:\"Prompt text tokens\""]}}`,
		now.Add(-24*time.Hour).Format(time.DateTime), now.Add(time.Hour).Format(time.DateTime)))
	var out struct {
		TimeSeries []struct {
			DataPoints []struct{ Values []float64 }
		}
	}
	if status == 0 {
		return 0, false
	}
	if err := json.Unmarshal(answer, &out); err != nil || status != http.StatusOK {
		h.t.Fatalf("usage: %d %s", status, answer)
	}
	if len(out.TimeSeries) == 0 {
		return 0, true
	}
	return out.TimeSeries[0].DataPoints[0].Values[0], true
}
