package verify

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/engine"
	"gatehouse/verify/town"
)

// previous builds the binary of the commit before this one.
func previous(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	for _, args := range [][]string{
		{"git", "rev-parse", "--verify", "-q", "HEAD~1"},
		{"git", "worktree", "add", "--force", "--detach", tree, "HEAD~1"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s\nthe test needs the commit before this one: git fetch --unshallow", strings.Join(args, " "), err, out)
		}
	}
	t.Cleanup(func() { exec.Command("git", "worktree", "remove", "--force", tree).Run() })
	binary := filepath.Join(dir, "previous")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "./cmd/gatehouse")
	build.Dir = tree
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the previous commit: %v\n%s", err, out)
	}
	return binary
}

// TestARollingUpgradeFailsNoRequest replaces a fleet of the previous commit
// under load: the schema first, then control, then gateways, one at a time, with
// drains. The old program runs beside the new schema, and back.
func TestARollingUpgradeFailsNoRequest(t *testing.T) {
	old := town.Binary(t) // the small version restarts a fleet that stays what it is
	if rounds(0) > 0 {
		old = previous(t)
	}
	h := houseOf(t, town.Plan{Controls: 2, Gateways: []string{"local", "local"}, Redis: true, Binary: old})
	user := h.createKey("")
	b := h.balanced(user)
	out, err := exec.Command(town.Binary(t), "migrate", "--database", h.Postgres.DSN("gatehouse"), "--request-role", town.RequestRole).CombinedOutput()
	if err != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	h.createKey("") // the old program beside the new schema
	for _, to := range []string{town.Binary(t), old, town.Binary(t)}[:1+min(rounds(0), 1)*2] {
		for _, p := range append(append([]*town.Process{}, h.Controls...), h.Gateways...) {
			h.must(p.Stop())
			p.Binary = to
			h.must(p.Start())
			h.must(p.Await(30 * time.Second))
			h.createKey("")
		}
	}
	sent, failed := b()
	t.Logf("up, down and up again: %d requests, %d failed", sent, len(failed))
	for _, f := range failed {
		t.Error(f)
	}
	h.waitLedger()
}

// balanced chats like clients behind a balancer: it looks at /readyz of every
// gateway, a connection that is refused goes to the other one, and anything else
// than 200 is a failure.
func (h *house) balanced(k key) (stop func() (int64, []string)) {
	var stopped atomic.Bool
	var sent atomic.Int64
	var group sync.WaitGroup
	var mu sync.Mutex
	var failed []string
	ready := make([]atomic.Bool, len(h.Members))
	for g, m := range h.Members {
		group.Go(func() {
			for !stopped.Load() {
				status, _ := h.Do(must(http.NewRequest("GET", m.URL+"/readyz", nil)))
				ready[g].Store(status == http.StatusOK)
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	for w := range 4 {
		group.Go(func() {
			// A connection per request: a balancer too stops using one that closes.
			client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
			for i := 0; !stopped.Load(); i++ {
				sent.Add(1)
				if problem := h.either(client, ready, k, w+i, fmt.Sprintf("upgrade-%d-%d", w, i)); problem != "" {
					mu.Lock()
					failed = append(failed, problem)
					mu.Unlock()
				}
			}
		})
	}
	return func() (int64, []string) { stopped.Store(true); group.Wait(); return sent.Load(), failed }
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (h *house) either(client *http.Client, ready []atomic.Bool, k key, first int, id string) (problem string) {
	for try := range 100 {
		to := (first + try) % len(h.Members)
		if !ready[to].Load() {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		req, _ := http.NewRequest("POST", h.Members[to].URL+"/v1/chat/completions", strings.NewReader(hello))
		req.Header.Set("Authorization", "Bearer "+k.Secret)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Request-Id", id)
		resp, err := client.Do(req)
		if err != nil && strings.Contains(err.Error(), "connection refused") {
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil {
			return err.Error()
		}
		resp.Body.Close()
		// A gateway that has just begun says that it cannot tell yet.
		if resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "" {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		if resp.StatusCode != http.StatusOK {
			return resp.Status
		}
		return ""
	}
	return "no gateway answered"
}

// TestAMigrationKilledAnywhereIsRepeated breaks the connection of a migration
// after every statement that it sends, kills the program, and runs it again.
func TestAMigrationKilledAnywhereIsRepeated(t *testing.T) {
	pg, err := engine.NewPostgres(t.TempDir())
	if err == nil {
		err = pg.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Kill()
	step, most := 23, 10_000
	if rounds(0) > 0 {
		step = 1
	}
	for at := 1; at < most; at += step {
		name := fmt.Sprintf("cut%d", at)
		if err := pg.CreateDatabase(name); err != nil {
			t.Fatal(err)
		}
		whole := migrateCut(t, pg, name, at)
		out, err := exec.Command(town.Binary(t), "migrate", "--database", pg.DSN(name), "--request-role", town.RequestRole).CombinedOutput()
		if err != nil {
			t.Fatalf("cut after %d pieces, and then: %v\n%s", at, err, out)
		}
		if whole {
			t.Logf("migrations cut after each of %d pieces came through when repeated", at-1)
			return
		}
	}
}

// migrateCut runs a migration whose connection breaks after n pieces, and
// reports whether it ended before that.
func migrateCut(t *testing.T, pg *engine.Postgres, database string, n int) (whole bool) {
	wire := town.NewWire(t, fmt.Sprintf("127.0.0.1:%d", pg.Port))
	wire.Breaks.Store(int64(n))
	cmd := exec.Command(town.Binary(t), "migrate", "--database", "postgres://postgres@"+wire.Addr()+"/"+database+"?sslmode=disable", "--request-role", town.RequestRole)
	cmd.Env = os.Environ()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case err := <-done:
			return err == nil
		case <-time.After(2 * time.Millisecond):
			if wire.Breaks.Load() <= 0 {
				cmd.Process.Kill()
				<-done
				return false
			}
		}
	}
}
