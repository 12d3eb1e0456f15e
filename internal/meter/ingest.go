package meter

import (
	"context"
	"slices"
	"sync/atomic"

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
type Ingester struct {
	door         ingestDoor
	fresh, known atomic.Int64
}

// NewIngester makes a sink on a store.
func NewIngester(s ingestDoor) *Ingester { return &Ingester{door: s} }

// Counts is how many records came since the start: new ones, and ones that
// were there already.
func (g *Ingester) Counts() (fresh, known int64) { return g.fresh.Load(), g.known.Load() }

// Ingest implements Sink. A batch at or below the high-water mark is skipped
// whole. One that reaches over it is inserted, and the unique id drops what is
// there. A batch of more than 1000 records takes several transactions, of
// which only the last moves the mark: a crash between them repeats the batch.
func (g *Ingester) Ingest(ctx context.Context, b Batch) error {
	if b.Gateway.IsZero() || b.Incarnation <= 0 || b.From < 0 || b.To < b.From {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "the batch does not say where it is from")
	}
	if len(b.Ends) > 0 && (len(b.Ends) != len(b.Records) || !slices.IsSorted(b.Ends)) {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "the batch does not say where its records end")
	}
	for {
		n := min(len(b.Records), maxRows)
		last := n == len(b.Records)
		part := b
		part.Records = b.Records[:n]
		if len(b.Ends) > 0 {
			part.Ends = b.Ends[:n]
		}
		if !last {
			part.Objects = nil
		}
		done, err := g.chunk(ctx, part, last)
		if err != nil || done || last {
			return err
		}
		b.Records = b.Records[n:]
		if len(b.Ends) > 0 {
			b.Ends = b.Ends[n:]
		}
	}
}

// chunk is one transaction. done reports that the whole batch was there.
func (g *Ingester) chunk(ctx context.Context, b Batch, last bool) (done bool, err error) {
	fresh := 0
	err = g.door.Ingest(ctx, func(tx store.Ingest) error {
		done, fresh = false, 0 // f may run again
		tx.From(b.Gateway, b.Incarnation)
		mark, err := tx.HighWater(b.Gateway, b.stream())
		if err != nil {
			return err
		}
		if mark >= b.To {
			done = true
			return nil
		}
		fresh, err = insert(tx, b.past(mark), last)
		return err
	})
	if err == nil {
		g.fresh.Add(int64(fresh))
		g.known.Add(int64(len(b.Records) - fresh))
	}
	return done, err
}

func insert(tx store.Ingest, b Batch, last bool) (fresh int, err error) {
	rows, err := rate(tx, b)
	if err != nil {
		return 0, err
	}
	if len(rows) > 0 {
		news, err := tx.InsertUsage(rows)
		if err != nil {
			return 0, err
		}
		for _, isNew := range news {
			if isNew {
				fresh++
			}
		}
	}
	if len(b.Objects) > 0 {
		if err := tx.PutObjects(b.Objects); err != nil {
			return 0, err
		}
	}
	if !last {
		return fresh, nil
	}
	return fresh, tx.SetHighWater(b.Gateway, b.stream(), b.To)
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

// Rate prices a record; see [gatehouse.UsageRecord.Rate].
func Rate(r *gatehouse.UsageRecord, prices []*gatehouse.Price) { r.Rate(prices) }
