package verify

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/simulate"
	"gatehouse/internal/store"
)

// TestAClientThatLeavesAnywhereIsBilledOnce is the end of free tokens: a client
// that hangs up at any byte of a stream leaves exactly one row, with the
// provider's own count.
func TestAClientThatLeavesAnywhereIsBilledOnce(t *testing.T) {
	h := newHouse(t, simulate.Options{})
	k := h.createKey("")
	body := `{"stream":true,"model":"gpt-4o","messages":[{"role":"user","content":"[[sim: words=12 reasoning=2]] a b c"}]}`
	whole := h.leaveAfter(k.Secret, "leave-whole", body, 1<<20)
	step := max(1, whole/rounds(40))
	n := 1
	for at := 0; at < whole; at += step {
		h.leaveAfter(k.Secret, fmt.Sprintf("leave-%d", at), body, at)
		n++
	}
	h.waitRows(n)
	h.stop()
	h.compareWithLedger(h.rowsByRequest())
}

// leaveAfter reads n bytes of the answer and hangs up; it returns how many it read.
func (h *house) leaveAfter(secret, id, body string, n int) int {
	h.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.gateway, "http://"))
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\nX-Request-Id: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", secret, id, len(body), body)
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	got, _ := io.CopyN(io.Discard, conn, int64(n))
	if n == 0 {
		// The request itself must be under way, or nothing was admitted.
		conn.Read(make([]byte, 1))
	}
	return int(got)
}

// waitRows waits until the books show n requests.
func (h *house) waitRows(n int) {
	h.t.Helper()
	if got := h.awaitRows(n); got != float64(n) {
		h.t.Fatalf("the books show %v requests, want %d", got, n)
	}
}

// awaitRows waits until the books show n requests or more, and says how many.
func (h *house) awaitRows(n int) (got float64) {
	h.t.Helper()
	// Ingest takes over 10,000 rows a second where it has a machine to itself.
	within := 20*time.Second + time.Duration(n)*time.Millisecond/2
	for deadline := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		seen, ok := h.requests()
		if !ok {
			h.t.Logf("the usage query took longer than %v", h.Client.Timeout)
		}
		if got = max(got, seen); got >= float64(n) || time.Now().After(deadline) {
			return got
		}
	}
}

// rowsByRequest reads the raw rows of a stopped house.
func (h *house) rowsByRequest() map[string][]*gatehouse.UsageRecord {
	h.t.Helper()
	db := h.openStore()
	defer db.Close()
	rows := map[string][]*gatehouse.UsageRecord{}
	err := db.View(store.System(context.Background()), func(v store.View) error { return scanRows(v, h.team, rows) })
	if err != nil {
		h.t.Fatal(err)
	}
	return rows
}

func scanRows(v store.View, team string, rows map[string][]*gatehouse.UsageRecord) error {
	id, err := gatehouse.ParseID(team)
	if err != nil {
		return err
	}
	scan := store.UsageScan{Team: id, Start: time.Now().Add(-24 * time.Hour), End: time.Now().Add(time.Hour)}
	return v.UsageRows(scan, func(r *gatehouse.UsageRecord) error {
		copied := *r
		rows[r.RequestID] = append(rows[r.RequestID], &copied)
		return nil
	})
}

// TestTPMStopsTheNextRequestWhileAStreamRuns is xAI's token limit: what is in
// flight finishes, what comes next is refused, at once.
func TestTPMStopsTheNextRequestWhileAStreamRuns(t *testing.T) {
	h := newHouse(t, simulate.Options{})
	k := h.createKey(`"tpm":"60"`)
	req, _ := http.NewRequest("POST", h.gateway+"/v1/chat/completions", strings.NewReader(
		`{"stream":true,"model":"gpt-4o","messages":[{"role":"user","content":"[[sim: words=300 delay=5ms]] go"}]}`))
	req.Header.Set("Authorization", "Bearer "+k.Secret)
	req.Header.Set("Content-Type", "application/json")
	resp, err := h.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	refused, finished := false, false
	for n := 0; lines.Scan(); n++ {
		if n == 400 && !refused { // 200 frames: well over 60 tokens, and a third still to come
			status, answer := h.chat(k.Secret, "second", `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}`)
			if status != http.StatusTooManyRequests || !bytes.Contains(answer, []byte("tpm")) {
				t.Fatalf("while the stream runs: %d %s", status, answer)
			}
			refused = true
		}
		finished = finished || lines.Text() == "data: [DONE]"
	}
	if !refused || !finished {
		t.Errorf("refused while running: %v; the stream finished: %v (%v)", refused, finished, lines.Err())
	}
}
