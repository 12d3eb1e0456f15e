package verify

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"testing"
	"time"
)

// TestKillingAnyPartLosesNothing kills one part of a fleet at a time, under
// mixed load, and starts it again. Nothing else is restarted, and afterwards
// nothing that was acknowledged is missing and the books equal the ledger.
func TestKillingAnyPartLosesNothing(t *testing.T) {
	h := newFleet(t, "local", "local")
	user := h.createKey("")
	a := &acts{created: map[string]bool{}, deleted: map[string]bool{}, doubt: map[string]bool{}}
	parts := h.parts()
	for round := range rounds(1) {
		for _, part := range parts {
			l := h.underLoad(fmt.Sprintf("kill-%d-%s", round, part.name), user.Secret, 2)
			acting := h.actsUntilStopped(a, l)
			time.Sleep(time.Duration(100+rand.IntN(300)) * time.Millisecond)
			part.kill()
			time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
			h.must(part.start())
			h.recovered(part.name, user)
			sent, other := l.stop()
			acting()
			t.Logf("killed %s in the middle of %d requests (%v other than 200)", part.name, sent, other)
		}
		h.checkKeys(a)
	}
	h.waitLedger()
	h.stop()
	h.checkBooks(a)
}

// part is what can be killed, and started again.
type part struct {
	name  string
	kill  func()
	start func() error
}

func (h *house) parts() []part {
	pg := part{"postgres", h.Postgres.Kill, h.Postgres.Start}
	redis := part{"redis", h.Redis.Kill, func() error { return h.Redis.Start() }}
	out := []part{pg, redis}
	for i := range h.Controls {
		out = append(out, part{fmt.Sprintf("control-%d", i), h.Controls[i].Kill, h.Controls[i].Start})
	}
	for i := range h.Gateways {
		out = append(out, part{fmt.Sprintf("gateway-%d", i), h.Gateways[i].Kill, h.Gateways[i].Start})
	}
	return out
}

// actsUntilStopped creates and deletes keys at both control nodes beside a load.
func (h *house) actsUntilStopped(a *acts, l *load) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !l.stopped.Load() {
			h.createAndDelete(a)
		}
	}()
	return func() { <-done }
}

// recovered waits until every part answers again without being touched.
func (h *house) recovered(killed string, user key) {
	h.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for _, m := range h.Members {
		for status := 0; status != http.StatusOK; time.Sleep(20 * time.Millisecond) {
			var answer []byte
			if status, answer = h.Chat(m.URL, user.Secret, fmt.Sprintf("recovered-%s-%d", killed, rand.Uint64()), hello); time.Now().After(deadline) {
				h.t.Fatalf("after killing %s the gateway %s answers %d %s", killed, m.URL, status, answer)
			}
		}
	}
	for {
		status, answer := h.manage("POST", "/auth/teams/"+h.team+"/api-keys", `{"name":"recovered","acls":["api-key:model:*"]}`)
		var k key
		if json.Unmarshal(answer, &k); status == http.StatusOK && h.propagated(k.ID, "5s") {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("after killing %s control answers %d %s, or changes do not arrive", killed, status, answer)
		}
	}
}

// TestAWipedGatewayVolumeLosesOnlyWhatWasNeverShipped deletes the data
// directory of a killed gateway: it joins anew as another member, and nothing
// is booked twice.
func TestAWipedGatewayVolumeLosesOnlyWhatWasNeverShipped(t *testing.T) {
	h := newFleet(t, "local")
	user := h.createKey("")
	l := h.underLoad("before", user.Secret, 2)
	time.Sleep(300 * time.Millisecond)
	l.stop()
	h.waitLedger()
	before := len(h.upstream.Ledger())
	h.Gateways[0].Kill()
	h.must(os.RemoveAll(h.Members[0].Data))
	h.Rejoined(0)
	l = h.underLoad("after", user.Secret, 2)
	time.Sleep(300 * time.Millisecond)
	l.stop()
	h.waitLedger()
	t.Logf("%d requests before the wipe, %d after", before, len(h.upstream.Ledger())-before)
	h.stop()
	h.compareWithLedger(h.rowsByRequest())
}
