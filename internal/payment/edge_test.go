package payment_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/payment"
	"gatehouse/internal/webhook"
)

const secret = "a secret of some length"

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// ear remembers what it was told.
type ear struct {
	heard []gatehouse.PaymentEvent
	err   error
}

func (e *ear) TakePayment(_ context.Context, p gatehouse.PaymentEvent) error {
	e.heard = append(e.heard, p)
	return e.err
}

func edge(t *testing.T, e *ear) *payment.Edge {
	t.Helper()
	out, err := payment.NewEdge(map[string]string{"acme": secret}, e, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const good = `{"id":"evt_1","type":"top_up.succeeded","topUpId":"6a1f0d8e-2b3c-4d5e-8f90-112233445566","amountCents":500,"currency":"usd","reference":"pi_1"}`

// post sends a body with headers, and returns the answer's status and body.
func post(h http.Handler, path, body string, signatures ...string) (int, string) {
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	for _, s := range signatures {
		r.Header.Add(webhook.Header, s)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestASignedEventIsHeard(t *testing.T) {
	e := &ear{}
	code, body := post(edge(t, e), "/webhooks/payments/acme", good, webhook.Sign(secret, now, []byte(good)))
	if code != 200 || body != "{}" || len(e.heard) != 1 {
		t.Fatalf("%d %s, heard %v", code, body, e.heard)
	}
	p := e.heard[0]
	if p.Processor != "acme" || p.ID != "evt_1" || p.Type != gatehouse.TopUpSucceededEvent || p.Amount != 5*gatehouse.USD || p.Reference != "pi_1" ||
		p.TopUp.String() != "6a1f0d8e-2b3c-4d5e-8f90-112233445566" || p.Digest == [32]byte{} {
		t.Errorf("%+v", p)
	}
}

// Whoever does not hold the secret is not heard, and learns nothing but that.
func TestNobodyElseIsHeard(t *testing.T) {
	signed := func(at time.Duration) string { return webhook.Sign(secret, now.Add(at), []byte(good)) }
	stamp, mac, _ := strings.Cut(signed(0), ",")
	_, older, _ := strings.Cut(signed(-time.Second), ",")
	for name, signatures := range map[string][]string{
		"no signature":         nil,
		"an empty one":         {""},
		"another secret":       {webhook.Sign("another secret of length", now, []byte(good))},
		"an empty secret":      {webhook.Sign("", now, []byte(good))},
		"another body":         {webhook.Sign(secret, now, []byte(good+" "))},
		"another time":         {stamp + "," + older},
		"no time":              {mac},
		"a time that is none":  {"t=now," + mac},
		"a time written other": {"t=0" + strings.TrimPrefix(stamp, "t=") + "," + mac},
		"too old":              {signed(-5*time.Minute - time.Second)},
		"too far ahead":        {signed(5*time.Minute + time.Second)},
		"two signatures":       {signed(0), signed(0)},
		"capitals":             {strings.ToUpper(signed(0))},
		"more behind it":       {signed(0) + ",v1=00"},
	} {
		e := &ear{}
		if code, body := post(edge(t, e), "/webhooks/payments/acme", good, signatures...); code != 401 || len(e.heard) != 0 || !strings.Contains(body, "signature") {
			t.Errorf("%s: %d %s, heard %v", name, code, body, e.heard)
		}
	}
	for _, at := range []time.Duration{-5 * time.Minute, 5 * time.Minute} {
		if code, _ := post(edge(t, &ear{}), "/webhooks/payments/acme", good, signed(at)); code != 200 {
			t.Errorf("at %s: %d", at, code)
		}
	}
}

func TestOnlyAnEventIsRead(t *testing.T) {
	with := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for name, body := range map[string]string{
		"nothing":               "",
		"no object":             "[]",
		"two values":            good + good,
		"trailing comma":        with(`"pi_1"}`, `"pi_1",}`),
		"a member twice":        with(`{`, `{"amountCents":1,`),
		"a member in capitals":  with(`"amountCents"`, `"AMOUNTCENTS"`),
		"an unknown member":     with(`{`, `{"livemode":true,`),
		"a fraction":            with(`500`, `500.5`),
		"a float":               with(`500`, `5e2`),
		"a string":              with(`500`, `"500"`),
		"a negative amount":     with(`500`, `-500`),
		"no money":              with(`500`, `0`),
		"more than there is":    with(`500`, `9223372036854775807`),
		"an overflow":           with(`500`, `99999999999999999999`),
		"another currency":      with(`usd`, `eur`),
		"a currency in letters": with(`usd`, `USD`),
		"no top-up":             with(`6a1f0d8e-2b3c-4d5e-8f90-112233445566`, ``),
		"a bad top-up":          with(`6a1f0d8e`, `zzzzzzzz`),
		"an empty id":           with(`evt_1`, ``),
		"an endless id":         with(`evt_1`, strings.Repeat("e", 256)),
		"a control character":   with(`evt_1`, `evt\n`),
		"bad UTF-8":             with(`evt_1`, "\xff"),
		"null":                  with(`500`, `null`),
		"no type":               with(`"type":"top_up.succeeded",`, ``),
	} {
		e := &ear{}
		if code, answer := post(edge(t, e), "/webhooks/payments/acme", body, webhook.Sign(secret, now, []byte(body))); code != 400 || len(e.heard) != 0 {
			t.Errorf("%s: %d %s", name, code, answer)
		}
	}
}

func TestTheEdgeIsBounded(t *testing.T) {
	large := strings.Repeat(" ", 64<<10) + good
	if code, _ := post(edge(t, &ear{}), "/webhooks/payments/acme", large, webhook.Sign(secret, now, []byte(large))); code != 413 {
		t.Errorf("a large body: %d", code)
	}
	if code, _ := post(edge(t, &ear{}), "/webhooks/payments/manual", good, webhook.Sign(secret, now, []byte(good))); code != 404 {
		t.Errorf("an unknown processor: %d", code)
	}
	w := httptest.NewRecorder()
	edge(t, &ear{}).ServeHTTP(w, httptest.NewRequest("GET", "/webhooks/payments/acme", nil))
	if w.Code != 405 || w.Header().Get("Allow") != "POST" {
		t.Errorf("GET: %d", w.Code)
	}
}

// What a refusal says tells the processor whether to come again.
func TestRefusalsHaveStatuses(t *testing.T) {
	for want, err := range map[int]error{
		400: gatehouse.Errorf(gatehouse.InvalidArgument, "amount"), 404: gatehouse.Errorf(gatehouse.NotFound, "none"),
		409: gatehouse.Errorf(gatehouse.FailedPrecondition, "state"), 422: gatehouse.Errorf(gatehouse.Unprocessable, "other"),
		503: gatehouse.Errorf(gatehouse.Unavailable, "busy"), 500: fmt.Errorf("a secret of the store"),
	} {
		code, body := post(edge(t, &ear{err: err}), "/webhooks/payments/acme", good, webhook.Sign(secret, now, []byte(good)))
		if code != want || strings.Contains(body, "store") {
			t.Errorf("%v: %d %s", err, code, body)
		}
	}
}

// An edge that anybody could sign for does not start.
func TestAWeakSecretIsRefused(t *testing.T) {
	for name, s := range map[string]map[string]string{
		"empty": {"acme": ""}, "blank": {"acme": strings.Repeat(" ", 40)}, "short": {"acme": "123456789012345"},
		"one of two": {"acme": secret, "other": ""}, "manual": {"manual": secret}, "a path": {"a/b": secret}, "no name": {"": secret},
	} {
		if _, err := payment.NewEdge(s, &ear{}, time.Now); err == nil {
			t.Errorf("%s: started", name)
		} else if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "123456789") {
			t.Errorf("%s: the error holds the secret: %v", name, err)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	e := edge(t, &ear{})
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "edge", e)
	for _, s := range []string{fmt.Sprint(e), fmt.Sprintf("%v %+v %#v %s", e, e, e, e), log.String()} {
		if strings.Contains(s, secret) {
			t.Errorf("printed: %s", s)
		}
	}
}

// paced is an answer that remembers by when the body had to be there.
type paced struct {
	*httptest.ResponseRecorder
	by time.Time
}

func (p *paced) SetReadDeadline(t time.Time) error {
	p.by = t
	return nil
}

// Nobody proves anything before the body is read, so nobody may take for ever
// over it.
func TestABodyHasToComeInTime(t *testing.T) {
	w := &paced{ResponseRecorder: httptest.NewRecorder()}
	edge(t, &ear{}).ServeHTTP(w, httptest.NewRequest("POST", "/webhooks/payments/acme", strings.NewReader(good)))
	if left := time.Until(w.by); left <= 0 || left > time.Minute {
		t.Errorf("a body may take until %s", w.by)
	}
}
