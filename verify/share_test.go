package verify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
)

// The key whose limit many gateways share, and how long its demand lasts.
const (
	sharedQPS = 200
	sharedQPM = 1500
)

// TestManyGatewaysShareALimit drives one key at eight gateways with more than
// its limit while gateways are killed and paused, wires cut, and the authority
// restarted and emptied. No sliding second or minute of what was admitted holds
// more than the limit; and while all is reachable, almost all of it is used.
func TestManyGatewaysShareALimit(t *testing.T) {
	h := newFleet(t, "east", "east", "east", "east", "west", "west", "west", "west")
	quick := h.createKey(fmt.Sprintf(`"qps":%d`, sharedQPS))
	d := h.demand(quick, "calm", sharedQPS/2)
	// An authority that has just begun may have forgotten shares, so it grants
	// none before such would have ended (docs/limits.md).
	h.sharedOut(20 * time.Second)
	time.Sleep(5 * time.Second) // shares move to where the demand is
	calm := time.Now()
	time.Sleep(calmLength())
	calmEnd := time.Now()
	if rounds(0) > 0 {
		h.disturb(rounds(0))
	} else {
		h.disturb(1)
	}
	d()
	time.Sleep(3 * time.Second)
	h.stop()
	admitted := h.admissions()
	second, minute := densest(admitted, time.Second), densest(admitted, time.Minute)
	used := 0
	for _, at := range admitted {
		if !at.Before(calm) && at.Before(calmEnd) {
			used++
		}
	}
	share := float64(used) / (sharedQPS * calmEnd.Sub(calm).Seconds())
	t.Logf("%d admitted at %d gateways; the densest second held %d of %d, the densest minute %d; %.1f %% of the limit used while calm", len(admitted), len(h.Members), second, sharedQPS, minute, 100*share)
	if second > sharedQPS {
		t.Errorf("overshoot: %d in a second, the limit is %d", second, sharedQPS)
	}
	// The small version shares its machine with other tests.
	if least := map[bool]float64{true: 0.95, false: 0.85}[rounds(0) > 0]; share < least {
		t.Errorf("%.1f %% of the limit was used, at least %.0f %% was wanted", 100*share, 100*least)
	}
}

// sharedOut waits until more than base shares is admitted.
func (h *house) sharedOut(within time.Duration) {
	h.t.Helper()
	for deadline := time.Now().Add(within); ; {
		before := len(h.upstream.Ledger())
		time.Sleep(time.Second)
		if len(h.upstream.Ledger())-before > sharedQPS/2 {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("no shares were granted within %v", within)
		}
	}
}

// demand sends rate requests per second to every gateway until the returned
// function is called.
func (h *house) demand(k key, name string, rate int) (stop func()) {
	var stopped atomic.Bool
	var group sync.WaitGroup
	for g, m := range h.Members {
		for w := range 4 {
			group.Go(func() {
				tick := time.NewTicker(4 * time.Second / time.Duration(rate))
				defer tick.Stop()
				for i := 0; !stopped.Load(); i++ {
					h.Chat(m.URL, k.Secret, fmt.Sprintf("%s-%d-%d-%d", name, g, w, i), hello)
					<-tick.C
				}
			})
		}
	}
	return func() { stopped.Store(true); group.Wait() }
}

// disturb does every kind of harm to the fleet, one after the other.
func (h *house) disturb(times int) {
	for range times {
		h.Gateways[0].Kill()
		time.Sleep(300 * time.Millisecond)
		h.must(h.Gateways[0].Start())
		h.must(h.Gateways[0].Await(30 * time.Second))
		h.Gateways[1].Pause()
		h.ToRedis[2].Cut()
		time.Sleep(pauseLength())
		h.Gateways[1].Resume()
		h.ToRedis[2].Heal()
		h.Redis.Kill()
		time.Sleep(200 * time.Millisecond)
		h.must(h.Redis.Start())
		time.Sleep(2 * time.Second)
		h.must(h.Redis.Flush())
		time.Sleep(2 * time.Second)
	}
}

func calmLength() time.Duration {
	if rounds(0) > 0 {
		return time.Minute
	}
	return 10 * time.Second
}

// pauseLength is 30 s when the acceptance runs, and enough for a share to run
// out in the small version.
func pauseLength() time.Duration {
	if rounds(0) > 0 {
		return 30 * time.Second
	}
	return 4 * time.Second
}

// admissions are the times at which gateways admitted requests, in order: when
// each came, from the books, and how long it then took to be admitted, from the
// log. All processes share this machine's clock.
func (h *house) admissions() (out []time.Time) {
	after := map[string]time.Duration{}
	for _, g := range h.Gateways {
		for line := range strings.Lines(g.Log()) {
			var l struct {
				RequestID string `json:"request_id"`
				Admitted  int64  `json:"admitted_us"`
			}
			if json.Unmarshal([]byte(line), &l) == nil && l.Admitted > 0 {
				after[l.RequestID] = time.Duration(l.Admitted) * time.Microsecond
			}
		}
	}
	for id, rows := range h.rowsByRequest() {
		for _, r := range rows {
			if r.Status != http.StatusTooManyRequests && r.Outcome != gatehouse.Interrupted {
				out = append(out, r.Start.Add(after[id]))
			}
		}
	}
	slices.SortFunc(out, time.Time.Compare)
	return out
}

// densest is the most times in any window that ends with one of them.
func densest(times []time.Time, width time.Duration) (most int) {
	first := 0
	for i, at := range times {
		for at.Sub(times[first]) >= width {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
