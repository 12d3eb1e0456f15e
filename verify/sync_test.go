package verify

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/secret"
	"gatehouse/internal/simulate"
	"gatehouse/internal/store"
	"gatehouse/internal/store/sqlite"
)

// TestNoMutationIsAcknowledgedBeforeItsSync is what SIGKILL cannot prove: a
// trace of system calls shows that the answer to each mutation leaves after a
// sync of the file that holds it, and a machine that lost power at any sync
// would come back with everything that had been acknowledged by then.
func TestNoMutationIsAcknowledgedBeforeItsSync(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("strace is missing; run: apt-get install strace")
	}
	h := newLoneHouse(t, simulate.Options{})
	h.stop()
	before := h.copyData(filepath.Join(h.dir, "data"), "before")
	trace := filepath.Join(h.dir, "trace")
	h.startTraced(trace)
	var made []string
	for range rounds(20) {
		status, answer := h.manage("POST", "/auth/teams/"+h.team+"/api-keys", `{"name":"traced","acls":["api-key:model:*"]}`)
		var k key
		if json.Unmarshal(answer, &k); status != http.StatusOK {
			t.Fatalf("creating: %d %s", status, answer)
		}
		made = append(made, k.ID)
	}
	// The tracer blocks signals of its own; the program is in its group.
	if err := syscall.Kill(-h.Controls[0].PID(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-h.Controls[0].Done()
	events := readTrace(t, trace)
	acks := checkOrder(t, events, made)
	if len(acks) != len(made) {
		t.Fatalf("the trace shows %d of %d acknowledgements", len(acks), len(made))
	}
	h.replayCuts(before, events)
}

// startTraced runs the house under strace.
func (h *house) startTraced(trace string) {
	h.t.Helper()
	inner, traced := h.binary, filepath.Join(h.dir, "traced")
	script := fmt.Sprintf("#!/bin/sh\nexec strace -f -y -xx -s 200000 -o %s -e trace=pwrite64,write,ftruncate,fsync,fdatasync,unlink,unlinkat %s \"$@\"\n", trace, inner)
	if err := os.WriteFile(traced, []byte(script), 0o700); err != nil {
		h.t.Fatal(err)
	}
	h.Controls[0].Binary = traced
	h.start()
	h.Controls[0].Binary = inner
}

// event is one system call that matters, at the moment that matters: a write
// when it is made, a sync when it is done.
type event struct {
	call, path string
	offset     int64
	data       []byte
	ack        string // id of the key whose creation this write to a socket acknowledges
}

var (
	callLine  = regexp.MustCompile(`^(\d+) +(\w+)\((.*)$`)
	firstFile = regexp.MustCompile(`^(?:AT_FDCWD[^,]*, )?\d*<?"?([^>"]*)[>"]?`)
	keyID     = regexp.MustCompile(`"apiKeyId":"([0-9a-f-]{36})"`)
)

// readTrace turns strace's lines into events.
func readTrace(t *testing.T, file string) []event {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var events []event
	pending := map[string]event{} // syncs that are under way, by thread
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if pid, rest, ok := strings.Cut(line, " "); ok && strings.Contains(rest, "resumed>") {
			if e, ok := pending[pid]; ok && strings.HasSuffix(rest, "= 0") {
				events = append(events, e)
			}
			delete(pending, pid)
			continue
		}
		m := callLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		e := parseCall(m[2], m[3])
		switch unfinished := strings.Contains(line, "<unfinished"); {
		case (e.call == "fsync" || e.call == "fdatasync") && unfinished:
			pending[m[1]] = e
		case unfinished || !strings.Contains(line, "= -1"):
			events = append(events, e)
		}
	}
	return events
}

func parseCall(call, args string) event {
	e := event{call: call}
	if m := firstFile.FindStringSubmatch(args); m != nil {
		e.path = unescape(m[1])
	}
	if call == "pwrite64" || call == "write" {
		if parts := strings.SplitN(args, `"`, 3); len(parts) == 3 {
			e.data = []byte(unescape(parts[1]))
			numbers := strings.Split(strings.SplitN(strings.TrimPrefix(parts[2], "..."), ")", 2)[0], ", ")
			if call == "pwrite64" && len(numbers) >= 3 {
				e.offset, _ = strconv.ParseInt(strings.Fields(numbers[2])[0], 0, 64)
			}
		}
	}
	if call == "ftruncate" {
		if _, n, ok := strings.Cut(args, ">, "); ok {
			e.offset, _ = strconv.ParseInt(strings.TrimRight(strings.Fields(n)[0], ")"), 0, 64)
		}
	}
	if m := keyID.FindSubmatch(e.data); call == "write" && bytes.HasPrefix(e.data, []byte("HTTP/1.1 200")) && m != nil {
		e.ack = string(m[1])
	}
	return e
}

// unescape undoes strace -xx: \x41\x42.
func unescape(s string) string {
	if !strings.Contains(s, `\x`) {
		return s
	}
	b, err := hex.DecodeString(strings.ReplaceAll(s, `\x`, ""))
	if err != nil {
		return s
	}
	return string(b)
}

// checkOrder demands that between the write of a key's row to the write-ahead
// log and the answer that acknowledges it, the log was synced. It returns the
// acknowledged ids.
func checkOrder(t *testing.T, events []event, made []string) []string {
	t.Helper()
	var acks []string
	unsynced := map[string]bool{} // rows written and not synced
	written := map[string]bool{}
	for _, e := range events {
		switch log := strings.HasSuffix(e.path, ".db-wal"); {
		case log && e.call == "pwrite64":
			for _, id := range made {
				if !written[id] && bytes.Contains(e.data, []byte(id)) {
					written[id], unsynced[id] = true, true
				}
			}
		case log && (e.call == "fsync" || e.call == "fdatasync"):
			clear(unsynced)
		case e.ack != "" && slices.Contains(made, e.ack):
			if !written[e.ack] || unsynced[e.ack] {
				t.Errorf("the answer for %s left before the sync that covers it (written: %v)", e.ack, written[e.ack])
			}
			acks = append(acks, e.ack)
		}
	}
	return acks
}

// replayCuts rebuilds the files as a power cut would leave them right after
// each sync, with nothing of what was written since, and opens them.
func (h *house) replayCuts(before string, events []event) {
	h.t.Helper()
	live := filepath.Join(h.dir, "data")
	durable, volatile := map[string][]byte{}, map[string][]byte{}
	for _, name := range []string{"gatehouse.db", "gatehouse.db-wal"} {
		b, _ := os.ReadFile(filepath.Join(before, name))
		durable[name], volatile[name] = b, slices.Clone(b)
	}
	var acked []string
	cuts := 0
	for _, e := range events {
		name, ours := strings.CutPrefix(e.path, live+"/")
		_, known := volatile[name]
		switch {
		case e.ack != "":
			acked = append(acked, e.ack)
		case !ours || !known:
		case e.call == "pwrite64":
			volatile[name] = writeAt(volatile[name], e.offset, e.data)
		case e.call == "ftruncate":
			volatile[name] = writeAt(volatile[name], e.offset, nil)[:e.offset]
		case strings.HasPrefix(e.call, "unlink"):
			volatile[name], durable[name] = nil, nil
		case e.call == "fsync" || e.call == "fdatasync":
			durable[name] = slices.Clone(volatile[name])
			h.checkCut(before, durable, acked, cuts)
			cuts++
		}
	}
	if cuts < len(acked) {
		h.t.Errorf("%d cuts for %d acknowledgements", cuts, len(acked))
	}
	h.t.Logf("replayed %d cuts, %d acknowledged creations", cuts, len(acked))
}

func writeAt(file []byte, offset int64, data []byte) []byte {
	if end := offset + int64(len(data)); end > int64(len(file)) {
		file = append(file, make([]byte, end-int64(len(file)))...)
	}
	copy(file[offset:], data)
	return file
}

// checkCut opens the files of one cut and looks for what was acknowledged.
func (h *house) checkCut(before string, files map[string][]byte, acked []string, cut int) {
	h.t.Helper()
	dir := filepath.Join(h.dir, fmt.Sprintf("cut-%d", cut))
	defer os.RemoveAll(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		h.t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if len(files[name]) > 0 {
			if err := os.WriteFile(filepath.Join(dir, name), files[name], 0o600); err != nil {
				h.t.Fatal(err)
			}
		}
	}
	keys, err := secret.Open(filepath.Join(h.dir, "data", "secrets"))
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	db, err := sqlite.Open(ctx, filepath.Join(dir, "gatehouse.db"), sqlite.Options{Guard: keys})
	if err != nil {
		h.t.Errorf("cut %d: the database does not open: %v", cut, err)
		return
	}
	defer db.Close()
	err = db.View(ctx, func(v store.View) error {
		for _, id := range acked {
			parsed, err := gatehouse.ParseID(id)
			if err != nil {
				return err
			}
			if _, err := v.Key(parsed); err != nil {
				h.t.Errorf("cut %d: key %s was acknowledged and is lost: %v", cut, id, err)
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}
