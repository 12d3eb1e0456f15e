package payment

import (
	"crypto/sha256"
	"strings"

	"github.com/go-json-experiment/json"

	"gatehouse"
)

// message is an event on the wire; every member is required.
type message struct {
	ID          *string `json:"id"`
	Type        *string `json:"type"`
	TopUpID     *string `json:"topUpId"`
	AmountCents *int64  `json:"amountCents"`
	Currency    *string `json:"currency"`
	Reference   *string `json:"reference"`
}

// maxName is the longest id and reference, in bytes.
const maxName = 255

// decode reads an event strictly: one JSON object, no member unknown, twice or
// in other letters, and names all that is wrong.
func decode(processor string, body []byte) (gatehouse.PaymentEvent, error) {
	var m message
	if err := json.Unmarshal(body, &m, json.RejectUnknownMembers(true)); err != nil {
		return gatehouse.PaymentEvent{}, gatehouse.Errorf(gatehouse.InvalidArgument, "the body is not a payment event").Because(err)
	}
	var bad gatehouse.Violations
	e := gatehouse.PaymentEvent{
		Processor: processor, ID: m.text("id", m.ID, &bad), Type: gatehouse.PaymentEventType(m.text("type", m.Type, &bad)),
		Reference: m.text("reference", m.Reference, &bad), Digest: sha256.Sum256(body),
	}
	if m.Currency == nil || *m.Currency != "usd" {
		bad.Addf("currency", "must be usd")
	}
	const most = int64(gatehouse.MaxTopUp / gatehouse.Cent)
	if m.AmountCents == nil || *m.AmountCents <= 0 || *m.AmountCents > most {
		bad.Addf("amountCents", "must be from 1 to %d", most)
	} else {
		e.Amount = gatehouse.Ticks(*m.AmountCents) * gatehouse.Cent
	}
	if m.TopUpID == nil || e.TopUp.UnmarshalText([]byte(*m.TopUpID)) != nil || e.TopUp.IsZero() {
		bad.Addf("topUpId", "must be the id of a top-up")
	}
	return e, bad.Err()
}

// text is a required member of a bounded length without control characters.
func (message) text(field string, s *string, bad *gatehouse.Violations) string {
	if s == nil || *s == "" || len(*s) > maxName || strings.ContainsFunc(*s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		bad.Addf(field, "must be 1 to %d bytes without control characters", maxName)
		return ""
	}
	return *s
}
