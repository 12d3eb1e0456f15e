package verify

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// spender is a fleet whose team has a little money, and what became of its
// requests.
type spender struct {
	*house
	key     key
	grant   gatehouse.Ticks
	mu      sync.Mutex
	refused []time.Time // 403
	unknown []time.Time // 503
	other   map[int]int
}

// purchase is a request of at most 32 tokens of answer; it takes three and a tenth
// of a second.
const (
	purchase     = `{"model":"grok-4","max_tokens":32,"messages":[{"role":"user","content":"[[sim: first=100ms]] hello there"}]}`
	purchaseMost = 32*150_000 + 20*30_000 // ticks: the shipped prices of grok-4
	buyers       = 4                      // at each gateway
)

// TestTenGatewaysSpendOneDollar lets gateways spend a team's prepaid credit as
// fast as they can, while one of them is killed and the limit authority emptied.
// What was spent is at most the credit; nobody is refused while more than a
// twentieth is left; and in the end nothing is held by anybody.
func TestTenGatewaysSpendOneDollar(t *testing.T) {
	s := newSpender(t)
	stop := s.demand()
	s.until(s.grant / 2)
	s.Gateways[0].Kill()
	s.must(s.Redis.Flush())
	s.exhausted()
	stop()
	s.must(s.Gateways[0].Start())
	s.must(s.Gateways[0].Await(30 * time.Second))
	s.settled()
	s.stop()
	s.judge()
}

func newSpender(t *testing.T) *spender {
	clusters, cents := slices.Repeat([]string{"east"}, 3), 3
	if rounds(0) > 0 {
		clusters, cents = slices.Repeat([]string{"east", "west"}, 5), 100
	}
	s := &spender{house: newFleet(t, clusters...), grant: gatehouse.Ticks(cents) * gatehouse.Cent, other: map[int]int{}}
	for _, c := range []struct{ method, path, body string }{
		{"PATCH", "/admin/v1/teams/" + s.team, `{"billing":"prepaid"}`},
		{"POST", "/admin/v1/credits", fmt.Sprintf(`{"cents":%d,"note":"to be spent"}`, cents)},
	} {
		if status, answer := s.manage(c.method, c.path, c.body); status != http.StatusOK {
			t.Fatalf("%s %s: %d %s", c.method, c.path, status, answer)
		}
	}
	s.key = s.createKey("")
	return s
}

// demand has buyers at every gateway until the returned function is called.
func (s *spender) demand() (stop func()) {
	var stopped atomic.Bool
	var group sync.WaitGroup
	for g, m := range s.Members {
		for b := range buyers {
			group.Go(func() {
				for i := 0; !stopped.Load(); i++ {
					status, _ := s.Chat(m.URL, s.key.Secret, fmt.Sprintf("buy-%d-%d-%d", g, b, i), purchase)
					s.note(status)
					if status != http.StatusOK {
						time.Sleep(20 * time.Millisecond)
					}
				}
			})
		}
	}
	return func() { stopped.Store(true); group.Wait() }
}

func (s *spender) note(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch status {
	case http.StatusOK:
	case http.StatusForbidden:
		s.refused = append(s.refused, time.Now())
	case http.StatusServiceUnavailable:
		s.unknown = append(s.unknown, time.Now())
	default:
		s.other[status]++
	}
}

// until waits until so much is on the books.
func (s *spender) until(spent gatehouse.Ticks) {
	s.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); s.spent() < spent; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s of %s were spent in three minutes; %d refusals, others %v", s.spent(), s.grant, len(s.refused), s.other)
		}
	}
}

// exhausted waits until every gateway has had time to find that nothing is left.
func (s *spender) exhausted() {
	s.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		s.mu.Lock()
		n := len(s.refused)
		s.mu.Unlock()
		if n >= 20*len(s.Members) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s of %s were spent, and only %d requests refused", s.spent(), s.grant, n)
		}
	}
}

// settled waits until nothing is held but what gateways keep for the next second.
func (s *spender) settled() {
	for deadline := time.Now().Add(20 * time.Second); s.held() > 0 && time.Now().Before(deadline); {
		time.Sleep(100 * time.Millisecond)
	}
}

func (s *spender) spent() gatehouse.Ticks {
	return s.grant + s.read(func(v store.View, team gatehouse.ID) (gatehouse.Ticks, error) {
		b, err := v.Balances(team)
		return b[gatehouse.AccountCredit] + b[gatehouse.AccountReceivable], err
	})
}

func (s *spender) held() gatehouse.Ticks {
	return s.read(func(v store.View, team gatehouse.ID) (gatehouse.Ticks, error) {
		return v.HeldBy(gatehouse.Fund{Team: team})
	})
}

func (s *spender) read(f func(store.View, gatehouse.ID) (gatehouse.Ticks, error)) (n gatehouse.Ticks) {
	s.t.Helper()
	db := s.openStore()
	defer db.Close()
	team, err := gatehouse.ParseID(s.team)
	s.must(err)
	s.must(db.View(store.System(context.Background()), func(v store.View) error {
		n, err = f(v, team)
		return err
	}))
	return n
}

// judge holds the books against the promises.
func (s *spender) judge() {
	t := s.t
	var rows []*gatehouse.UsageRecord
	var total gatehouse.Ticks
	for id, list := range s.rowsByRequest() {
		if strings.HasPrefix(id, "buy-") {
			rows = append(rows, list...)
			total += list[0].Costs.Total()
		}
	}
	booked, held := s.spent(), s.held()
	t.Logf("%d requests spent %s of %s at %d gateways, %d refused, %d could not tell, others %v, %s held at the end",
		len(rows), total, s.grant, len(s.Members), len(s.refused), len(s.unknown), s.other, held)
	if total != booked {
		t.Errorf("the rows cost %s, the books say %s", total, booked)
	}
	if total > s.grant {
		t.Errorf("%s were spent of %s", total, s.grant)
	}
	if held != 0 {
		t.Errorf("%s are held by nobody", held)
	}
	if len(s.refused) == 0 || len(s.unknown) > len(rows)/100 {
		t.Errorf("%d were refused, and %d times nobody could tell", len(s.refused), len(s.unknown))
	}
	for _, at := range s.refused {
		if left := s.left(rows, at); left > s.grant/20+purchaseMost {
			t.Errorf("a request was refused at %v with %s of %s left", at, left, s.grant)
			break
		}
	}
}

// left is what was neither spent nor reserved at a time.
func (s *spender) left(rows []*gatehouse.UsageRecord, at time.Time) gatehouse.Ticks {
	left := s.grant
	for _, r := range rows {
		switch {
		case r.Start.After(at):
		case r.Close.After(at):
			left -= purchaseMost
		default:
			left -= r.Costs.Total()
		}
	}
	return left
}
