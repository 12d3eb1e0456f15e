package meter

import (
	"context"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// ingestDoor is the part of the store that usage comes in by.
type ingestDoor interface {
	Ingest(ctx context.Context, f func(store.Ingest) error) error
}

// maxRows bounds one transaction, so that a revocation behind it waits about
// ten milliseconds.
const maxRows = 1000

// Ingester rates batches and inserts them: the sink beside the store.
type Ingester struct{ door ingestDoor }

// NewIngester makes a sink on a store.
func NewIngester(s ingestDoor) *Ingester { return &Ingester{s} }

// Ingest implements Sink. A batch at or below the high-water mark is skipped
// whole. One that reaches over it is inserted, and the unique id drops what is
// there. A batch of more than 1000 records takes several transactions, of
// which only the last moves the mark: a crash between them repeats the batch.
func (g *Ingester) Ingest(ctx context.Context, b Batch) error {
	if b.Gateway.IsZero() || b.Incarnation <= 0 || b.From < 0 || b.To < b.From {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "the batch does not say where it is from")
	}
	for {
		n := min(len(b.Records), maxRows)
		last := n == len(b.Records)
		part := b
		part.Records = b.Records[:n]
		if !last {
			part.Objects = nil
		}
		done, err := g.chunk(ctx, part, last)
		if err != nil || done || last {
			return err
		}
		b.Records = b.Records[n:]
	}
}

// chunk is one transaction. done reports that the whole batch was there.
func (g *Ingester) chunk(ctx context.Context, b Batch, last bool) (done bool, err error) {
	err = g.door.Ingest(ctx, func(tx store.Ingest) error {
		done = false // f may run again
		mark, err := tx.HighWater(b.Gateway, b.Incarnation)
		if err != nil {
			return err
		}
		if mark >= b.To {
			done = true
			return nil
		}
		return insert(tx, b, last)
	})
	return done, err
}

func insert(tx store.Ingest, b Batch, last bool) error {
	rows, err := rate(tx, b)
	if err != nil {
		return err
	}
	if len(rows) > 0 {
		if _, err := tx.InsertUsage(rows); err != nil {
			return err
		}
	}
	if len(b.Objects) > 0 {
		if err := tx.PutObjects(b.Objects); err != nil {
			return err
		}
	}
	if !last {
		return nil
	}
	return tx.SetHighWater(b.Gateway, b.Incarnation, b.To)
}

// rate copies the records, so that a transaction that runs again starts from
// what was sent, and prices each.
func rate(tx store.Ingest, b Batch) ([]gatehouse.UsageRecord, error) {
	rows := append([]gatehouse.UsageRecord(nil), b.Records...)
	prices := map[string][]*gatehouse.Price{}
	for i := range rows {
		r := &rows[i]
		book, ok := prices[r.Model]
		if !ok {
			var err error
			if book, err = tx.PricesOf(r.Model); err != nil {
				return nil, err
			}
			prices[r.Model] = book
		}
		r.Gateway = b.Gateway // whatever the record says: the sender was authenticated, it was not
		Rate(r, book)
	}
	return rows, nil
}

// Rate prices a record by the price of its model that was in force at its
// start; prices are newest effective first. Without one, or when a unit in use
// has none, the record is Unpriced; what has a price keeps it.
func Rate(r *gatehouse.UsageRecord, prices []*gatehouse.Price) {
	r.Costs, r.LongContext, r.Unpriced, r.PriceRevision = gatehouse.Costs{}, false, false, gatehouse.Revision{}
	p := inForce(prices, r.Start)
	if p == nil {
		r.Unpriced = r.Usage != gatehouse.Usage{}
		return
	}
	var ok bool
	r.Costs, r.LongContext, ok = p.Rate(r.Usage, r.ServiceTier)
	r.Unpriced, r.PriceRevision = !ok, p.Revision
}

func inForce(prices []*gatehouse.Price, at time.Time) *gatehouse.Price {
	for _, p := range prices {
		if p.DeleteTime.IsZero() && !p.Effective.After(at) {
			return p
		}
	}
	return nil
}
