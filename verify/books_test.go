package verify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/simulate"
)

// TestTheBooksAddUp sends mixed requests of teams that pay in every way, some
// cut by the client and some by the provider, past a price that changes, past
// the end of the money and past kill -9; then it corrects prices and rates the
// month again. At each stop the ledger, the rows, the rollups, the CSV
// and the preview say the same to the tick. In the end the database is read:
// every request that the provider saw has one row, and all sums are the rows'.
// Then the month is closed, and the invoices are what the preview said.
func TestTheBooksAddUp(t *testing.T) {
	cycle := gatehouse.CycleOf(time.Now())
	if time.Until(cycle.End()) < 20*time.Minute {
		t.Skip("the month is about to end")
	}
	h := newHouse(t, simulate.Options{})
	n := rounds(1200)
	b := &books{house: h, cycle: cycle, served: map[string]counters{}}
	b.open(n)
	b.send("morning", n/4)
	noon := b.price("gpt-4o", 41_003, 130_007, time.Now().Add(500*time.Millisecond))
	b.pays(b.payers[3], postpaid)
	b.send("afternoon", n/4)
	b.scrape("morning", "afternoon")
	b.compare("with a price that changed at noon")
	b.sendAndKill("killed", n/4)
	h.start()
	b.moreMoney()
	b.openHouse("evening")
	b.send("evening", n-b.metered)
	b.scrape("evening")
	spent := b.compare("after kill -9")
	b.released()
	if changed := b.rerate(); changed != 0 {
		t.Errorf("%d rows were not rated by the price in force at their start", changed)
	}
	b.correct(noon)
	if b.rerate() == 0 {
		t.Error("other prices changed no row")
	}
	final := b.compare("after re-rating")
	changed := b.rerate()
	if again := b.compare("after re-rating again"); changed != 0 || !reflect.DeepEqual(final, again) {
		t.Errorf("re-rating again changed %d rows, and made %+v of %+v", changed, again, final)
	}
	budgets := b.budgets()
	h.stop()
	b.readBack(spent, final, budgets)
	b.closeMonth()
	h.start()
	b.invoices(final)
}

// books is the test at work.
type books struct {
	*house
	cycle   gatehouse.Cycle
	payers  []*payer
	metered int                 // requests that were not refused
	served  map[string]counters // of processes, by the prefixes of what they served
}

// The ways to pay. Who switches is metered in the morning and pays from noon.
const (
	metering  = "metering"
	prepaid   = "prepaid"
	postpaid  = "postpaid"
	switching = "switching"
)

// payer is a team and how it pays.
type payer struct {
	mode, team    string
	keys          []key
	share         int             // of the load, in percent
	credit, limit gatehouse.Ticks // given to begin with; its soft limit beyond that
	budget        string          // id
	only          string          // the key that the budget is for; empty: each
}

// open makes the teams. Each one's money runs out after about half of n.
func (b *books) open(n int) {
	b.t.Helper()
	cents := func(part int) gatehouse.Ticks { return gatehouse.Ticks(max(1, n/part)) * gatehouse.Cent }
	b.payers = []*payer{
		{mode: metering, team: b.team, share: 30},
		{mode: prepaid, share: 25, credit: cents(1600)},
		{mode: postpaid, share: 30, credit: cents(3200), limit: cents(3200)},
		{mode: switching, share: 15},
	}
	b.price("gpt-3.5-turbo-instruct", 15_000, 20_000, time.Time{})
	for _, p := range b.payers {
		b.openTeam(p)
	}
	first, third := b.payers[0], b.payers[2]
	first.only = first.keys[1].ID
	b.budget(first, fmt.Sprintf(`{"name":"one key","subject":"key","value":%q,"amountCents":"%d","period":"total"}`, first.only, cents(1600)/gatehouse.Cent))
	b.budget(third, `{"name":"each key","subject":"key","value":"*","amountCents":"100000","period":"month"}`)
	for _, p := range b.payers {
		for _, k := range p.keys {
			b.arrived(k.ID)
		}
	}
}

func (b *books) openTeam(p *payer) {
	b.t.Helper()
	if p.team == "" {
		p.team = b.made("POST", "/admin/v1/teams", fmt.Sprintf(`{"name":%q}`, p.mode))
	}
	if p.mode == prepaid || p.mode == postpaid {
		b.pays(p, p.mode)
	}
	if p.credit > 0 {
		b.grant(p, p.credit)
	}
	if p.limit > 0 {
		b.bound(p)
	}
	for _, name := range []string{"one", "other"} {
		var k key
		b.ask("POST", "/auth/teams/"+p.team+"/api-keys", fmt.Sprintf(`{"name":%q,"acls":["api-key:model:*","api-key:endpoint:*"]}`, name), &k)
		p.keys = append(p.keys, k)
	}
}

// grant gives credit.
func (b *books) grant(p *payer, amount gatehouse.Ticks) {
	b.t.Helper()
	b.ask("POST", "/admin/v1/credits", fmt.Sprintf(`{"teamId":%q,"cents":"%d","note":"for the books"}`, p.team, amount/gatehouse.Cent), nil)
}

// bound sets the soft limit.
func (b *books) bound(p *payer) {
	b.t.Helper()
	b.ask("POST", "/v1/billing/teams/"+p.team+"/postpaid/spending-limits", fmt.Sprintf(`{"desiredSoftSpendingLimit":{"val":"%d"}}`, p.limit/gatehouse.Cent), nil)
}

// moreMoney lets those go on whose money went out: as much credit again, and
// twice the limit. Credit does not pay debts from before it came, so a team
// that has some gets none.
func (b *books) moreMoney() {
	b.t.Helper()
	b.settled()
	second, third := b.payers[1], b.payers[2]
	if owed := b.trial(second)[gatehouse.AccountReceivable]; owed == 0 {
		b.grant(second, second.credit)
		second.credit *= 2
	}
	third.limit *= 2
	b.bound(third)
}

// pays sets how a team is billed.
func (b *books) pays(p *payer, mode string) {
	b.t.Helper()
	b.made("PATCH", "/admin/v1/teams/"+p.team, fmt.Sprintf(`{"billing":%q}`, mode))
}

// budget makes one of the team's.
func (b *books) budget(p *payer, text string) {
	b.t.Helper()
	p.budget = b.made("POST", "/admin/v1/budgets?teamId="+p.team, text)
}

// arrived waits until every gateway has a key, and with it what was set before.
func (b *books) arrived(id string) {
	b.t.Helper()
	if !b.propagated(id, "10s") {
		b.t.Fatalf("the key %s does not arrive", id)
	}
}

// price sets a model's prices in ticks a token; a zero time is now.
func (b *books) price(model string, prompt, completion int, from time.Time) (effective time.Time) {
	b.t.Helper()
	when := ""
	if !from.IsZero() {
		when = fmt.Sprintf(`"effective":%q,`, from.UTC().Format(time.RFC3339Nano))
	}
	var made struct{ Effective time.Time }
	b.ask("POST", "/admin/v1/prices", fmt.Sprintf(
		`{"model":%q,%s"source":"operator","units":{"Prompt text tokens":"%d","Cached prompt text tokens":"%d","Completion text tokens":"%d"}}`,
		model, when, prompt, prompt/3, completion), &made)
	return made.Effective
}

// correct sets other prices, as far back as the price book takes them.
func (b *books) correct(noon time.Time) {
	b.t.Helper()
	from := time.Now().Add(-55 * time.Second)
	b.price("claude-haiku-4-5", 11_003, 50_021, from)
	if from.Before(noon) {
		from = noon.Add(time.Millisecond)
	}
	b.price("gpt-4o", 30_011, 99_991, from)
}

// rerate rates the month of every team again, and returns how many rows changed.
func (b *books) rerate() (changed int64) {
	b.t.Helper()
	for _, p := range b.payers {
		var r struct {
			Rows, Changed decimal
			Before, After struct{ Ticks decimal }
		}
		b.ask("POST", "/admin/v1/usage/rerate", fmt.Sprintf(`{"teamId":%q,"cycle":%q}`, p.team, b.cycle), &r)
		b.t.Logf("%s: of %d rows %d changed, from %s to %s", p.mode, r.Rows, r.Changed, gatehouse.Ticks(r.Before.Ticks), gatehouse.Ticks(r.After.Ticks))
		changed += int64(r.Changed)
	}
	return changed
}

// ask calls the management plane, which must answer 200, and reads the answer.
func (b *books) ask(method, path, body string, into any) {
	b.t.Helper()
	status, answer := b.manage(method, path, body)
	if status != http.StatusOK {
		b.t.Fatalf("%s %s %s: %d %s", method, path, body, status, answer)
	}
	if into != nil {
		b.must(json.Unmarshal(answer, into))
	}
}

// made asks for a record and returns its id.
func (b *books) made(method, path, body string) string {
	b.t.Helper()
	var made struct{ ID string }
	b.ask(method, path, body, &made)
	return made.ID
}
