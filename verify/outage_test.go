package verify

import (
	"net/http"
	"testing"
	"time"
)

// TestGatewaysServeWhileControlIsAway kills control and PostgreSQL for a while
// and restarts the gateways in the middle of it: ordinary keys are served
// without one failure while a gateway runs, strict ones are refused, and
// afterwards every request is on the books once.
func TestGatewaysServeWhileControlIsAway(t *testing.T) {
	h := newFleet(t, "east", "west")
	ordinary, strict := h.createKey(""), h.createStrictKey()
	time.Sleep(time.Second) // the snapshot on disk has them; it is written behind
	for _, p := range h.Controls {
		p.Kill()
	}
	h.Postgres.Kill()
	away := time.Now()
	length := time.Duration(rounds(14)) * time.Second
	half := length / 2
	l := h.underLoad("away", ordinary.Secret, 2)
	time.Sleep(half)
	sent, other := l.stop()
	if len(other) > 0 {
		t.Errorf("while control was away, of %d answers: %v", sent, other)
	}
	// A gateway that restarts now has its data directory and nothing else.
	for _, g := range h.Gateways {
		g.Kill() // in order it would wait for control, to ship its usage
		h.must(g.Start())
		h.must(g.Await(30 * time.Second))
	}
	l = h.underLoad("restarted", ordinary.Secret, 2)
	time.Sleep(max(time.Second, length-time.Since(away)))
	more, other := l.stop()
	if len(other) > 0 {
		t.Errorf("after a restart without control, of %d answers: %v", more, other)
	}
	for _, m := range h.Members {
		if status, answer := h.Chat(m.URL, strict.Secret, "", hello); status == http.StatusOK {
			t.Errorf("a strict key is served %v after control went: %s", time.Since(away), answer)
		}
	}
	h.must(h.Postgres.Start())
	for _, p := range h.Controls {
		h.must(p.Start())
	}
	for _, p := range h.Controls {
		h.must(p.Await(30 * time.Second))
	}
	if !h.propagated(strict.ID, "30s") {
		t.Error("gateways did not come back by themselves")
	}
	t.Logf("%v without control and database: %d ordinary requests, all served", time.Since(away).Round(time.Second), sent+more)
	h.waitLedger()
	h.stop()
	h.compareWithLedger(h.rowsByRequest())
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// waitLedger waits until the books have as many requests as the provider saw.
// They may have more: a gateway that is killed between a request's open record
// and its first byte to the provider leaves an interrupted row that no provider
// knows, which compareWithLedger looks at.
func (h *house) waitLedger() {
	h.t.Helper()
	if n := len(h.upstream.Ledger()); h.awaitRows(n) < float64(n) {
		h.t.Fatalf("the books do not show the provider's %d requests", n)
	}
}
