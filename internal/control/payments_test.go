package control_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/payment"
	"gatehouse/internal/webhook"
)

const hookSecret = "a secret of some length"

// till is a bank whose payments are an external processor's, with its edge.
type till struct {
	*bank
	edge  *payment.Edge
	topUp *gatehouse.TopUp // pending, of $5.00
}

func openTill(t *testing.T) *till {
	t.Helper()
	b := openBank(t, gatehouse.BillingPrepaid)
	b.Processor = payment.External("acme")
	edge, err := payment.NewEdge(map[string]string{"acme": hookSecret, "other": hookSecret}, b.Service, b.clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	topUp, err := b.root().TopUp(t.Context(), b.team, 5*gatehouse.USD)
	if err != nil || topUp.Processor != "acme" {
		t.Fatalf("%+v, %v", topUp, err)
	}
	return &till{b, edge, topUp}
}

// tell delivers an event as the processor would, and returns the status.
func (x *till) tell(processor, body string) int {
	r := httptest.NewRequest("POST", "/webhooks/payments/"+processor, strings.NewReader(body))
	r.Header.Set(webhook.Header, webhook.Sign(hookSecret, x.clock.Now(), []byte(body)))
	w := httptest.NewRecorder()
	x.edge.ServeHTTP(w, r)
	return w.Code
}

func (x *till) event(id, kind string, cents int) string {
	return fmt.Sprintf(`{"id":%q,"type":"top_up.%s","topUpId":"%s","amountCents":%d,"currency":"usd","reference":"pi_1"}`, id, kind, x.topUp.ID, cents)
}

func (x *till) want(t *testing.T, step string, code int, credit gatehouse.Ticks, got int) {
	t.Helper()
	balance, err := x.root().Balance(t.Context(), x.team)
	if err != nil || got != code || balance.Credit != credit {
		t.Errorf("%s: answered %d, want %d; credit %s, want %s; %v", step, got, code, balance.Credit, credit, err)
	}
}

// Money comes once for an event, however often it is delivered, at once or one
// after the other.
func TestAnEventIsMoneyOnce(t *testing.T) {
	x := openTill(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if code := x.tell("acme", x.event("evt_1", "succeeded", 500)); code != 200 {
				t.Errorf("answered %d", code)
			}
		})
	}
	wg.Wait()
	x.want(t, "delivered by eight", 200, 5*gatehouse.USD, x.tell("acme", x.event("evt_1", "succeeded", 500)))
	x.want(t, "told twice", 200, 5*gatehouse.USD, x.tell("acme", x.event("evt_2", "succeeded", 500)))
	x.want(t, "an id again for something else", 422, 5*gatehouse.USD, x.tell("acme", x.event("evt_1", "refunded", 500)))
	x.clock.advance(25 * time.Hour)
	x.want(t, "a day later", 422, 5*gatehouse.USD, x.tell("acme", x.event("evt_1", "refunded", 500)))
	x.want(t, "a failure after the success", 409, 5*gatehouse.USD, x.tell("acme", x.event("evt_3", "failed", 500)))
	x.balanced(t)
	paid, err := x.root().ConfirmTopUp(t.Context(), x.topUp.ID, "by hand")
	if err != nil || paid.External != "pi_1" {
		t.Errorf("%+v, %v", paid, err)
	}
	x.want(t, "confirmed too", 200, 5*gatehouse.USD, 200)
}

func TestAnEventMustFitItsTopUp(t *testing.T) {
	x := openTill(t)
	x.want(t, "less", 400, 0, x.tell("acme", x.event("evt_1", "succeeded", 499)))
	x.want(t, "more", 400, 0, x.tell("acme", x.event("evt_2", "succeeded", 50_000)))
	x.want(t, "another processor's", 404, 0, x.tell("other", x.event("evt_3", "succeeded", 500)))
	x.want(t, "refunded before it was paid", 409, 0, x.tell("acme", x.event("evt_4", "refunded", 500)))
	x.want(t, "an unknown type", 400, 0, x.tell("acme", x.event("evt_5", "doubled", 500)))
	if e := x.leaf(t, "payment.refused"); e.Actor.Kind != gatehouse.ActorSystem || e.Details["event"] != "evt_5" || e.Result != gatehouse.Denied {
		t.Errorf("%+v", e)
	}
	known := x.topUp
	x.topUp = &gatehouse.TopUp{ID: gatehouse.NewID()}
	x.want(t, "unknown", 404, 0, x.tell("acme", x.event("evt_6", "succeeded", 500)))
	x.topUp = known
	x.want(t, "refused ids may come again, right", 200, 5*gatehouse.USD, x.tell("acme", x.event("evt_1", "succeeded", 500)))
}

// leaf is the newest event of an action.
func (x *till) leaf(t *testing.T, action string) gatehouse.Event {
	t.Helper()
	events, _, err := x.root().ListEvents(t.Context(), gatehouse.EventFilter{Action: action, After: -1}, gatehouse.Page{Size: 1})
	if err != nil || len(events) != 1 {
		t.Fatalf("%v, %v", events, err)
	}
	return events[0].Event
}

// A processor tries a card again after a failure: what it took in is the team's.
func TestAPaymentMaySucceedAfterItFailed(t *testing.T) {
	x := openTill(t)
	x.want(t, "failed", 200, 0, x.tell("acme", x.event("evt_1", "failed", 500)))
	x.want(t, "failed again", 200, 0, x.tell("acme", x.event("evt_2", "failed", 500)))
	x.want(t, "succeeded", 200, 5*gatehouse.USD, x.tell("acme", x.event("evt_3", "succeeded", 500)))
	if e := x.leaf(t, "top_up.confirmed"); e.Actor.Kind != gatehouse.ActorSystem || e.TeamID != x.team || e.Details["external"] != "pi_1" {
		t.Errorf("%+v", e)
	}
	x.balanced(t)
}

// What a processor gave back is gone, also when it was spent: then the team owes
// it, and spends nothing more from credit until it has paid.
func TestAPaymentThatWasTakenBackIsOwed(t *testing.T) {
	x := openTill(t)
	x.tell("acme", x.event("evt_1", "succeeded", 500))
	x.use(t, gatehouse.USD, 4)
	x.want(t, "in part", 200, 0, x.tell("acme", x.event("evt_2", "refunded", 200)))
	x.want(t, "more than is left of it", 400, 0, x.tell("acme", x.event("evt_3", "refunded", 301)))
	if trial := x.balanced(t); trial[gatehouse.AccountCredit] != gatehouse.USD || trial[gatehouse.AccountCash] != 3*gatehouse.USD {
		t.Errorf("books %v", trial)
	}
	x.use(t, gatehouse.USD, 1)
	if trial := x.balanced(t); trial[gatehouse.AccountCredit] != gatehouse.USD || trial[gatehouse.AccountReceivable] != gatehouse.USD {
		t.Errorf("books %v", trial)
	}
}

// What an external processor took in is given back there: an operator who did it
// here as well would take it from the team twice.
func TestAnExternalPaymentIsRefundedByItsProcessor(t *testing.T) {
	x := openTill(t)
	x.tell("acme", x.event("evt_1", "succeeded", 500))
	_, err := x.root().RefundTopUp(t.Context(), x.topUp.ID, 2*gatehouse.USD)
	if wantCode(t, gatehouse.FailedPrecondition, err); !strings.Contains(gatehouse.Public(err), "acme") {
		t.Errorf("%v", err)
	}
	x.want(t, "refunded there", 200, 3*gatehouse.USD, x.tell("acme", x.event("evt_2", "refunded", 200)))
	x.balanced(t)
}

// slow is a processor that is away for a while, and then has a name for what it
// was asked for.
type slow struct {
	away  bool
	asked int
}

func (*slow) Name() string { return "slow" }

func (p *slow) Ask(context.Context, *gatehouse.TopUp) (string, error) {
	if p.asked++; p.away {
		return "", errors.New("connection refused by 10.0.0.1")
	}
	return "pi_9", nil
}

// Asking again finds the same top-up, and reaches a processor that was away.
func TestAProcessorThatWasAwayIsAskedAgain(t *testing.T) {
	b := openBank(t, gatehouse.BillingPrepaid)
	p := &slow{away: true}
	b.Processor = p
	_, err := b.root().TopUp(t.Context(), b.team, gatehouse.USD)
	if wantCode(t, gatehouse.Unavailable, err); strings.Contains(gatehouse.Public(err), "10.0.0.1") {
		t.Errorf("%v", err)
	}
	p.away = false
	var got *gatehouse.TopUp
	for range 2 {
		if got, err = b.root().TopUp(t.Context(), b.team, 7*gatehouse.USD); err != nil || got.External != "pi_9" || got.Amount != gatehouse.USD {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if all, _, err := b.root().ListTopUps(t.Context(), b.team, gatehouse.Page{}); err != nil || len(all) != 1 || all[0].External != "pi_9" || p.asked != 2 {
		t.Errorf("%+v, asked %d times, %v", all, p.asked, err)
	}
}
