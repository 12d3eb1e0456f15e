// Package payment holds the drivers of control's port for payments, and the
// edge where other processors tell that money has moved. Nothing here could
// charge anybody: who does is asked, and answers by a signed event or through
// an operator.
//
// A processor's event is a POST to /webhooks/payments/NAME of
//
//	{"id": "evt_1", "type": "top_up.succeeded", "topUpId": "UUID",
//	 "amountCents": 500, "currency": "usd", "reference": "pi_1"}
//
// with the header of package webhook, Gatehouse-Signature: t=UNIX
// SECONDS,v1=HEX, where HEX is the HMAC-SHA256 under the processor's secret of
// the seconds, a point, and the body. The types are top_up.succeeded, .failed
// and .refunded.
package payment

import (
	"context"

	"gatehouse"
)

// Manual is payment by hand: a top-up waits until an operator confirms it.
type Manual struct{}

// Name is "manual", which no webhook may have.
func (Manual) Name() string { return manual }

// Ask does nothing.
func (Manual) Ask(context.Context, *gatehouse.TopUp) (string, error) { return "", nil }

const manual = "manual"

// External is a processor that somebody else's program drives: it reads the
// pending top-ups of its name (GET /admin/v1/top-ups), charges, and tells by
// events.
type External string

// Name is that of its webhook.
func (e External) Name() string { return string(e) }

// Ask does nothing: the program looks by itself.
func (External) Ask(context.Context, *gatehouse.TopUp) (string, error) { return "", nil }
