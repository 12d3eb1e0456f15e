package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/purse"
)

// vault is a bank for one gateway.
type vault struct {
	mu    sync.Mutex
	funds map[string]gatehouse.Ticks // what is left; none: nothing bounds it
	drawn map[string]purse.Answer
	never bool
	err   error
}

func (v *vault) Draw(_ context.Context, r purse.DrawRequest) (out purse.DrawReply, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		return out, v.err
	}
	for _, q := range r.Asks {
		name := q.Fund.String()
		a := v.drawn[name]
		v.funds[name] += q.Returned - a.Returned
		a.Returned = q.Returned
		if more := min(q.Want-a.Drawn, v.funds[name]); more > 0 && a.Drawn+more >= q.Least {
			a.Drawn += more
			v.funds[name] -= more
		}
		a.Left, a.Never = v.funds[name], v.never
		v.drawn[name] = a
		out.Answers = append(out.Answers, a)
	}
	return out, nil
}

// rest is what is left of a fund and not held.
func (v *vault) rest(f gatehouse.Fund) gatehouse.Ticks {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.funds[f.String()]
}

func (w *world) team(n int, change func(*gatehouse.Team)) {
	for i := range w.records {
		if r := &w.records[i]; r.Kind == gatehouse.KindTeam && r.ID == w.teams[n].String() {
			var t gatehouse.Team
			w.must(json.Unmarshal(r.Body, &t))
			change(&t)
			body, err := json.Marshal(&t)
			w.must(err)
			r.Body = body
		}
	}
}

// bank gives the gateway a purse over v.
func (w *world) bank(v *vault) func(*Config) {
	v.drawn = map[string]purse.Answer{}
	p := purse.New(purse.Config{Bank: v, Gateway: gatehouse.NewID(), Incarnation: 1, Now: time.Now})
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { p.Run(ctx) })
	w.t.Cleanup(func() { cancel(); done.Wait() })
	return func(c *Config) { c.Purse = p }
}

const asked = `{"model":"small","max_tokens":100,"messages":[]}` // at 10 and 20 ticks: 2000 at most

// A request pays what it cost: 7 × 10 and 3 × 20 ticks.
func TestAPrepaidRequestPaysWhatItCost(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, good))
	w.team(0, func(t *gatehouse.Team) { t.Billing = gatehouse.BillingPrepaid })
	fund := gatehouse.Fund{Team: w.teams[0]}
	v := &vault{funds: map[string]gatehouse.Ticks{fund.String(): 2500}}
	key := w.key(0)
	w.start(w.bank(v))
	for range 4 {
		if r := w.post(key, "/v1/chat/completions", asked); r.status != 200 {
			t.Fatal(r)
		}
	}
	w.eventually(func() bool { return v.rest(fund) == 2500-4*130 }) // the rest goes back when it is not used
	r := w.post(key, "/v1/chat/completions", asked)
	want := `{"code":"permission-denied","error":"Your team ` + w.teams[0].String() + ` has either used all available credits or reached its monthly spending limit. To continue making API requests, please purchase more credits or raise your spending limit."}`
	if r.status != 403 || r.body != want {
		t.Error(r)
	}
	if r := w.post(key, "/v1/chat/completions", strings.Replace(asked, "100", "90", 1)); r.status != 200 {
		t.Error("a request for which there is enough:", r)
	}
	if r := w.post(key, "/v1/chat/completions", `{"model":"small","messages":[]}`); r.status != 403 {
		t.Error("not enough for 512 tokens:", r)
	}
	if u := w.usage(); len(u) != 5 {
		t.Errorf("%d records", len(u))
	}
}

func TestARefusalForMoneySaysWhichAndWhy(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, good))
	key := w.key(0, func(k *gatehouse.Key) { k.Tags = map[string]string{"project": "blue"} })
	budget := gatehouse.Budget{ID: gatehouse.NewID(), Name: "each project", Subject: gatehouse.BudgetTag, Value: "project=*", Amount: gatehouse.Cent, Period: gatehouse.BudgetDay, Zone: "UTC"}
	w.team(0, func(t *gatehouse.Team) { t.Budgets = []gatehouse.Budget{budget} })
	w.team(1, func(t *gatehouse.Team) { t.Billing = gatehouse.BillingPrepaid })
	newTeam := w.key(1)
	v := &vault{funds: map[string]gatehouse.Ticks{}, never: true}
	w.start(w.bank(v))
	until := budget.End(time.Now()).Format(time.RFC3339)
	for _, c := range []struct{ name, key, path, want string }{
		{"budget", key, "/v1/chat/completions", `{"code":"permission-denied","error":"The budget each project (tag), $0.01 for this day, has too little left for this request. It begins anew at ` + until + `. Please ask`},
		{"no credit yet", newTeam, "/v1/chat/completions", `{"code":"permission-denied","error":"Your newly created team doesn't have any credits or licenses yet. `},
		{"no credit yet, messages", newTeam, "/v1/messages", `{"type":"error","error":{"type":"permission_error","message":"Your newly created team`},
	} {
		if r := w.post(c.key, c.path, asked); r.status != 403 || !strings.HasPrefix(r.body, c.want) {
			t.Errorf("%s: %v", c.name, r)
		}
	}
	v.mu.Lock()
	v.funds[budget.Fund(w.teams[0], "blue", time.Now()).String()] = 10_000
	v.mu.Unlock()
	w.eventually(func() bool { return w.post(key, "/v1/chat/completions", asked).status == 200 })
}

// Cannot tell is neither no nor yes.
func TestWithoutABankNobodyCanTell(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, good))
	w.team(0, func(t *gatehouse.Team) { t.Billing = gatehouse.BillingPostpaid })
	paying, metered := w.key(0), w.key(1)
	w.start(w.bank(&vault{funds: map[string]gatehouse.Ticks{}, err: errors.New("away")}))
	if r := w.post(paying, "/v1/chat/completions", asked); r.status != 503 || r.header.Get("Retry-After") == "" {
		t.Error(r)
	}
	if r := w.post(metered, "/v1/chat/completions", asked); r.status != 200 {
		t.Error("a team that is only metered:", r)
	}
	w.g.c.Purse = nil
	if r := w.post(paying, "/v1/chat/completions", asked); r.status != 503 {
		t.Error("no bank at all:", r)
	}
}

// The ledger counts a budget from its creation, by the gateway's clock.
func TestABudgetBindsFromItsCreation(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, good))
	budget := gatehouse.Budget{ID: gatehouse.NewID(), Name: "b", Subject: gatehouse.BudgetTeam, Amount: 1, Period: gatehouse.BudgetTotal, CreateTime: time.Now().Add(time.Hour)}
	w.team(0, func(t *gatehouse.Team) { t.Budgets = []gatehouse.Budget{budget} })
	key := w.key(0)
	w.start(w.bank(&vault{funds: map[string]gatehouse.Ticks{}}))
	if r := w.post(key, "/v1/chat/completions", asked); r.status != 200 {
		t.Error(r)
	}
}

// A request that a limit refuses has cost nothing.
func TestWhatALimitRefusesIsGivenBack(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, good))
	w.team(0, func(t *gatehouse.Team) { t.Billing = gatehouse.BillingPrepaid })
	fund := gatehouse.Fund{Team: w.teams[0]}
	v := &vault{funds: map[string]gatehouse.Ticks{fund.String(): 3000}}
	key := w.key(0, func(k *gatehouse.Key) { k.Limits.QPM = 1 })
	w.start(w.bank(v))
	for i, want := range []int{http.StatusOK, http.StatusTooManyRequests, http.StatusTooManyRequests} {
		if r := w.post(key, "/v1/chat/completions", asked); r.status != want {
			t.Error(i, r)
		}
	}
	w.eventually(func() bool { return v.rest(fund) == 3000-130 })
}

func TestWorstCases(t *testing.T) {
	price := gatehouse.Price{Model: "small", Units: map[string]gatehouse.Ticks{
		gatehouse.PromptText.String(): 10, gatehouse.CompletionText.String(): 20, gatehouse.Reasoning.String(): 30, gatehouse.CacheWrite1h.String(): 40,
		gatehouse.Images.String(): 500, gatehouse.Seconds.String(): 7, gatehouse.Characters.String(): 3,
	}, Tiers: map[string]map[string]gatehouse.Ticks{"priority": {gatehouse.Reasoning.String(): 60}}}
	for _, c := range []struct {
		name   string
		family gatehouse.Family
		change func(*call)
		window int64
		want   gatehouse.Ticks
	}{
		{"nothing said", gatehouse.FamilyChat, func(*call) {}, 0, 1000 + 4096*30},
		{"a small model", gatehouse.FamilyChat, func(*call) {}, 1000, 1000 + 1000*30},
		{"said", gatehouse.FamilyChat, func(c *call) { c.scan.MaxTokens, c.scan.N = 50, 3 }, 0, 1000 + 150*30},
		{"a tier", gatehouse.FamilyChat, func(c *call) { c.scan.MaxTokens, c.scan.ServiceTier = 50, "priority" }, 0, 1000 + 50*60},
		{"more than anybody can", gatehouse.FamilyChat, func(c *call) { c.scan.MaxTokens, c.scan.N = 1e17, 128 }, 0, 1000 + mostOutput*128*30},
		{"a prompt that is cached", gatehouse.FamilyMessages, func(c *call) { c.scan.MaxTokens = 50 }, 0, 4000 + 50*20},
		{"embeddings", gatehouse.FamilyEmbeddings, func(*call) {}, 0, 1000},
		{"images", gatehouse.FamilyImages, func(c *call) { c.scan.N = 2 }, 0, 1000 + 2*500},
		{"speech", gatehouse.FamilyAudio, func(c *call) { c.scan.Characters, c.scan.MaxTokens = 10, 1 }, 0, 1000 + 30 + 7 + 20},
	} {
		x := &call{}
		x.scan.Text, x.scan.N, x.route.Family = 400, 1, c.family
		c.change(x)
		if worst := x.dearest(&gatehouse.Model{ContextLength: c.window}, &price, defaultOutput); worst != c.want {
			t.Errorf("%s: %d, want %d", c.name, worst, c.want)
		}
	}
}
