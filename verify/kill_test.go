package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/secret"
	"gatehouse/internal/simulate"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgres"
	"gatehouse/internal/store/sqlite"
	"gatehouse/internal/store/sqlstore"
)

// acts is what the management plane acknowledged, by key id. Requests whose
// answer never came are in doubt and promise nothing.
type acts struct {
	mu      sync.Mutex
	created map[string]bool
	deleted map[string]bool
	doubt   map[string]bool
}

// TestKill9LosesNothing is the durability of the product: after SIGKILL in the
// middle of mixed load, every acknowledged act is there with its audit leaf,
// and every request that reached the provider is on the books exactly once.
func TestKill9LosesNothing(t *testing.T) {
	h := newHouse(t, simulate.Options{})
	user := h.createKey("")
	a := &acts{created: map[string]bool{}, deleted: map[string]bool{}, doubt: map[string]bool{}}
	for round := range rounds(1) {
		inFlight := h.killUnderLoad(a, user.Secret, round)
		t.Logf("kill %d with %d requests in flight", round+1, inFlight)
		h.start()
		h.checkKeys(a)
	}
	h.stop()
	h.checkBooks(a)
}

// killUnderLoad runs creations, deletions and chats for a moment, kills the
// program in the middle and returns how many requests were running.
func (h *house) killUnderLoad(a *acts, secret string, round int) int64 {
	var running, inFlight atomic.Int64
	var stopped atomic.Bool
	var group sync.WaitGroup
	work := func(f func(i int)) {
		group.Go(func() {
			for i := 0; !stopped.Load(); i++ {
				running.Add(1)
				f(i)
				running.Add(-1)
			}
		})
	}
	for range 4 {
		work(func(int) { h.createAndDelete(a) })
	}
	for w := range 8 {
		work(func(i int) {
			stream := []string{"", `"stream":true,`}[i%2]
			id := fmt.Sprintf("kill-%d-%d-%d", round, w, i)
			h.chat(secret, id, `{`+stream+`"model":"gpt-4o","messages":[{"role":"user","content":"[[sim: words=20 delay=1ms cached=1]] one two three"}]}`)
		})
	}
	time.Sleep(time.Duration(150+rand.IntN(400)) * time.Millisecond)
	inFlight.Store(running.Load())
	h.kill()
	stopped.Store(true)
	group.Wait()
	return inFlight.Load()
}

func (h *house) createAndDelete(a *acts) {
	status, answer := h.manage("POST", "/auth/teams/"+h.team+"/api-keys", `{"name":"short-lived","acls":["api-key:model:grok-4"]}`)
	var k key
	if json.Unmarshal(answer, &k); status != http.StatusOK {
		return
	}
	a.mu.Lock()
	a.created[k.ID] = true
	a.mu.Unlock()
	if rand.IntN(2) == 0 {
		return
	}
	status, _ = h.manage("DELETE", "/auth/api-keys/"+k.ID, "")
	a.mu.Lock()
	defer a.mu.Unlock()
	if status == http.StatusOK {
		a.deleted[k.ID] = true
	} else {
		a.doubt[k.ID] = true
	}
}

// checkKeys compares the plane's list with what it acknowledged.
func (h *house) checkKeys(a *acts) {
	h.t.Helper()
	listed := map[string]bool{}
	for token := ""; ; {
		status, answer := h.manage("GET", "/auth/teams/"+h.team+"/api-keys?pageSize=1000&paginationToken="+token, "")
		var page struct {
			APIKeys         []key  `json:"apiKeys"`
			PaginationToken string `json:"paginationToken"`
		}
		if err := json.Unmarshal(answer, &page); err != nil || status != http.StatusOK {
			h.t.Fatalf("listing keys: %d %s", status, answer)
		}
		for _, k := range page.APIKeys {
			listed[k.ID] = true
		}
		if token = page.PaginationToken; token == "" {
			break
		}
	}
	for id := range a.created {
		switch {
		case a.deleted[id] && listed[id]:
			h.t.Errorf("key %s came back: its deletion was acknowledged", id)
		case !a.deleted[id] && !a.doubt[id] && !listed[id]:
			h.t.Errorf("key %s is lost: its creation was acknowledged", id)
		}
	}
}

// checkBooks reads audit leaves and usage rows of the closed database.
func (h *house) checkBooks(a *acts) {
	h.t.Helper()
	db := h.openStore()
	defer db.Close()
	leaves, rows := map[string]int{}, map[string][]*gatehouse.UsageRecord{}
	err := db.View(store.System(context.Background()), func(v store.View) error {
		after := int64(-1)
		for {
			events, err := v.Events(gatehouse.EventFilter{Ascending: true, After: after, Limit: 1000})
			if err != nil || len(events) == 0 {
				break
			}
			for _, e := range events {
				leaves[e.Action+" "+e.Subject]++
				after = e.Index
			}
		}
		return scanRows(v, h.team, rows)
	})
	if err != nil {
		h.t.Fatal(err)
	}
	for id := range a.created {
		if n := leaves["api_key.created "+id]; n != 1 {
			h.t.Errorf("creation of %s has %d leaves", id, n)
		}
		if n := leaves["api_key.deleted "+id]; a.deleted[id] && n != 1 {
			h.t.Errorf("deletion of %s has %d leaves", id, n)
		}
	}
	h.compareWithLedger(rows)
}

// compareWithLedger checks one row per request that the provider saw, and
// token-exact usage where both sides finished.
func (h *house) compareWithLedger(rows map[string][]*gatehouse.UsageRecord) {
	h.t.Helper()
	finished, interrupted := 0, 0
	known := map[string]bool{}
	for _, e := range h.upstream.Ledger() {
		known[e.RequestID] = true
		got := rows[e.RequestID]
		if len(got) != 1 {
			h.t.Errorf("request %s is on the books %d times", e.RequestID, len(got))
			continue
		}
		r := got[0]
		if r.Outcome == gatehouse.Interrupted {
			interrupted++
			continue
		}
		if e.Finished && !r.Estimated {
			finished++
			if r.Usage.Prompt() != e.Prompt || r.Usage.Completion() != e.Completion+e.Reasoning || r.Usage[gatehouse.CacheRead] != e.Cached {
				h.t.Errorf("request %s: booked %v, provider %+v", e.RequestID, r.Usage, e)
			}
		}
	}
	unsent := 0
	for id, got := range rows {
		if known[id] {
			continue
		}
		unsent++
		if len(got) != 1 || got[0].Outcome != gatehouse.Interrupted {
			h.t.Errorf("request %s, which the provider never saw, is on the books %d times as %s", id, len(got), got[0].Outcome)
		}
	}
	h.t.Logf("ledger: %d requests, %d booked to the token, %d interrupted; %d more were cut off before they were sent", len(known), finished, interrupted, unsent)
}

// openStore opens the database of a stopped house.
func (h *house) openStore() store.Store { h.t.Helper(); return h.openStoreAt(time.Now) }

// openStoreAt is openStore at another time.
func (h *house) openStoreAt(now func() time.Time) store.Store {
	h.t.Helper()
	keys, err := secret.Open(h.Secrets())
	if err != nil {
		h.t.Fatal(err)
	}
	if h.Postgres != nil {
		db, err := postgres.Open(context.Background(), h.DSN(), postgres.Options{Options: sqlstore.Options{Guard: keys, Now: now}, ListenDSN: "-"})
		if err != nil {
			h.t.Fatal(err)
		}
		return db
	}
	db, err := sqlite.Open(context.Background(), filepath.Join(h.DataOf(0), "gatehouse.db"), sqlite.Options{Guard: keys, Now: now})
	if err != nil {
		h.t.Fatal(err)
	}
	return db
}
