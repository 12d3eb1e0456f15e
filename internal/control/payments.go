package control

import (
	"bytes"
	"context"
	"log/slog"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// paymentMemory is how long an event's id is remembered: longer than any
// processor tries to deliver one again. Later than that, the state of the
// top-up keeps money from coming twice.
const paymentMemory = 30 * 24 * time.Hour

// takePayment is what acts of payment events are called in the log.
const takePayment gatehouse.Operation = "TakePaymentEvent"

// TakePayment does what a processor's event says. The caller has verified that
// it is the processor's. The same event again changes nothing; another one
// under its id is Unprocessable. An event about a top-up that is not there or
// is another processor's is NotFound; one whose amount is not the top-up's is
// InvalidArgument; one that the top-up's state forbids is FailedPrecondition.
func (s *Service) TakePayment(ctx context.Context, e gatehouse.PaymentEvent) error {
	_, err := s.Store.Update(store.System(ctx), s.system("payment event"), func(tx store.Tx) error {
		name := "payment/" + fingerprint(e.Processor, e.ID)
		before, known, err := tx.Recall(name, s.Now())
		switch {
		case err != nil:
			return err
		case known && bytes.Equal(before, e.Digest[:]):
			return nil
		case known:
			return gatehouse.Errorf(gatehouse.Unprocessable, "this event id was used for another event")
		}
		if err := s.takePayment(tx, e); err != nil {
			return err
		}
		return tx.Remember(name, e.Digest[:], s.Now().Add(paymentMemory))
	})
	if err != nil {
		s.refusedPayment(ctx, e, err)
	}
	return err
}

func (s *Service) takePayment(tx store.Tx, e gatehouse.PaymentEvent) error {
	t, err := found(tx.TopUp(e.TopUp))
	if err != nil {
		return err
	}
	if t == nil || t.Processor != e.Processor {
		return missing("top-up")
	}
	var bad gatehouse.Violations
	reference := checkText("reference", e.Reference, maxExternal, &bad)
	if e.Type != gatehouse.TopUpRefundedEvent && e.Amount != t.Amount {
		bad.Addf("amountCents", "is not the amount of the top-up")
	}
	if err := bad.Err(); err != nil {
		return err
	}
	return s.payment(tx, e, t, reference)
}

// payment moves what an event moves. A success is taken after a failure too:
// processors try again, and then the money is there. A refund is taken when the
// credit was spent: the money is gone, and the books must say so.
func (s *Service) payment(tx store.Tx, e gatehouse.PaymentEvent, t *gatehouse.TopUp, reference string) (err error) {
	switch paid := t.Status == gatehouse.TopUpSucceeded; {
	case e.Type == gatehouse.TopUpSucceededEvent && !paid:
		_, err = s.paid(tx, takePayment, t, reference)
	case e.Type == gatehouse.TopUpSucceededEvent:
		_, err = unchanged(tx, takePayment, t)
	case e.Type == gatehouse.TopUpFailedEvent && t.Status == gatehouse.TopUpPending:
		_, err = s.failed(tx, takePayment, t, "the payment processor said so")
	case e.Type == gatehouse.TopUpFailedEvent && !paid:
		_, err = unchanged(tx, takePayment, t)
	case e.Type == gatehouse.TopUpFailedEvent:
		err = gatehouse.Errorf(gatehouse.FailedPrecondition, "the top-up was paid")
	case e.Type == gatehouse.TopUpRefundedEvent:
		if err = refundable(t, e.Amount); err == nil {
			_, err = s.refunded(tx, takePayment, t, e.Amount)
		}
	default:
		err = gatehouse.Violations{{Field: "type", Problem: "must be top_up.succeeded, top_up.failed or top_up.refunded"}}.Err()
	}
	return err
}

// refusedPayment writes down a verified event that was not followed: somebody's
// money is somewhere else than the books say. A failure of ours is logged alone:
// the event will come again.
func (s *Service) refusedPayment(ctx context.Context, e gatehouse.PaymentEvent, why error) {
	log := s.Logger.With(slog.String("processor", e.Processor), slog.String("event", short(e.ID)))
	log.WarnContext(ctx, "payment event refused", slog.Any("error", why))
	if gatehouse.CodeOf(why) == gatehouse.Internal {
		return
	}
	_, err := s.Store.Update(store.System(ctx), s.system("payment event"), func(tx store.Tx) error {
		t, err := found(tx.TopUp(e.TopUp))
		if err != nil {
			return err
		}
		var team gatehouse.ID // the installation's log, when it is nobody's
		if t != nil && t.Processor == e.Processor {
			team = t.TeamID
		}
		return tx.Record(gatehouse.Act{
			Action: "payment.refused", Operation: string(takePayment), TeamID: team, Kind: gatehouse.KindTopUp, Subject: e.TopUp.String(), Result: gatehouse.Denied,
			Description: "An event of the payment processor '" + e.Processor + "' was refused",
			Details:     changes{"event": short(e.ID), "type": short(string(e.Type)), "why": short(gatehouse.Public(why))},
		})
	})
	if err != nil {
		log.ErrorContext(ctx, "refused payment event not audited", slog.Any("error", err))
	}
}
