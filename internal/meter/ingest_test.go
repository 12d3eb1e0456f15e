package meter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse"
	"gatehouse/internal/store"
)

// fakeStore is the ingest door over maps, with transactions that may fail
// after their work was done.
type fakeStore struct {
	store.BillingIngest
	rows    map[gatehouse.ID]gatehouse.UsageRecord
	marks   map[string]int64
	objects map[string]store.Object
	prices  map[string][]*gatehouse.Price
	fail    func() bool
	most    int // rows of the largest transaction
}

func newFakeStore() *fakeStore {
	return &fakeStore{rows: map[gatehouse.ID]gatehouse.UsageRecord{}, marks: map[string]int64{}, objects: map[string]store.Object{},
		prices: map[string][]*gatehouse.Price{}, fail: func() bool { return false }}
}

func (f *fakeStore) Ingest(_ context.Context, do func(store.Ingest) error) error {
	tx := *f
	tx.rows, tx.marks, tx.objects = maps.Clone(f.rows), maps.Clone(f.marks), maps.Clone(f.objects)
	if err := do(&tx); err != nil {
		return err
	}
	if f.fail() {
		return errors.New("lost before commit")
	}
	f.rows, f.marks, f.objects, f.most = tx.rows, tx.marks, tx.objects, tx.most
	if f.fail() {
		return errors.New("lost after commit")
	}
	return nil
}

func (f *fakeStore) From(gatehouse.ID, int64) {}

func (f *fakeStore) HighWater(g gatehouse.ID, inc int64) (int64, error) {
	return f.marks[fmt.Sprint(g, inc)], nil
}

func (f *fakeStore) SetHighWater(g gatehouse.ID, inc, at int64) error {
	f.marks[fmt.Sprint(g, inc)] = at
	return nil
}

func (f *fakeStore) InsertUsage(rs []gatehouse.UsageRecord) ([]bool, error) {
	fresh := make([]bool, len(rs))
	for i, r := range rs {
		if _, ok := f.rows[r.ID]; !ok {
			f.rows[r.ID], fresh[i] = r, true
		}
	}
	f.most = max(f.most, len(rs))
	return fresh, nil
}

func (f *fakeStore) PutObjects(os []store.Object) error {
	for _, o := range os {
		f.objects[o.ID] = o
	}
	return nil
}

func (f *fakeStore) PricesOf(m string) ([]*gatehouse.Price, error) { return f.prices[m], nil }

func priceAt(at time.Time, per gatehouse.Ticks, n int64) *gatehouse.Price {
	return &gatehouse.Price{Model: "grok-4", Effective: at, Revision: gatehouse.Revision{Epoch: 1, N: n},
		Units: map[string]gatehouse.Ticks{gatehouse.PromptText.String(): per}}
}

func TestARecordIsRatedByThePriceInForceAtItsStart(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2026, 1, d, 0, 0, 0, 0, time.UTC) }
	book := []*gatehouse.Price{priceAt(day(20), 30, 3), priceAt(day(10), 20, 2), priceAt(day(5), 10, 1)}
	for _, c := range []struct {
		start    time.Time
		cost     gatehouse.Ticks
		revision int64
		unpriced bool
	}{{day(1), 0, 0, true}, {day(5), 70, 1, false}, {day(19), 140, 2, false}, {day(20), 210, 3, false}, {day(30), 210, 3, false}} {
		r := gatehouse.UsageRecord{Start: c.start, Model: "grok-4"}
		r.Usage[gatehouse.PromptText] = 7
		Rate(&r, book)
		if r.Costs.Total() != c.cost || r.PriceRevision.N != c.revision || r.Unpriced != c.unpriced {
			t.Errorf("%s: %v at revision %v, unpriced %v", c.start, r.Costs.Total(), r.PriceRevision, r.Unpriced)
		}
	}
}

func TestAUnitWithoutAPriceIsUnpricedAndNotGuessed(t *testing.T) {
	r := gatehouse.UsageRecord{Start: time.Unix(9, 0)}
	r.Usage[gatehouse.PromptText], r.Usage[gatehouse.Images] = 1, 1
	Rate(&r, []*gatehouse.Price{priceAt(time.Unix(0, 0), 5, 1)})
	if !r.Unpriced || r.Costs[gatehouse.Images] != 0 || r.Costs[gatehouse.PromptText] != 5 {
		t.Errorf("%+v", r)
	}
}

// Duplicates, overlaps, replays from anywhere, transactions lost before and
// after their commit: one row each, whatever happens.
func TestAnyReplayGivesOneRowEach(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "records")
		all := make([]gatehouse.UsageRecord, n)
		for i := range all {
			all[i] = gatehouse.UsageRecord{ID: gatehouse.NewTimeID(time.Unix(int64(i), 0)), Start: time.Unix(int64(i), 0), Model: "m", Attempts: i}
		}
		f := newFakeStore()
		lose := rapid.SliceOfN(rapid.Bool(), 64, 64).Draw(t, "lose")
		f.fail = func() bool {
			if len(lose) == 0 {
				return false
			}
			l := lose[0]
			lose = lose[1:]
			return l
		}
		g := NewIngester(f)
		for acked := 0; acked < n; {
			// A crash rewinds the reader to anywhere before what was acknowledged.
			from := rapid.IntRange(0, acked).Draw(t, "from")
			to := rapid.IntRange(min(acked, n-1)+1, n).Draw(t, "to")
			b := Batch{Gateway: fixedID(9), Incarnation: 1, From: int64(from * 10), To: int64(to * 10), Records: all[from:to]}
			if g.Ingest(context.Background(), b) == nil {
				acked = to
			}
		}
		if len(f.rows) != n {
			t.Fatalf("%d rows of %d", len(f.rows), n)
		}
		for _, r := range all {
			if f.rows[r.ID].Attempts != r.Attempts {
				t.Fatal("a row differs")
			}
		}
	})
}

func TestABatchBelowTheMarkIsNotLookedAt(t *testing.T) {
	f := newFakeStore()
	g := NewIngester(f)
	b := Batch{Gateway: fixedID(9), Incarnation: 1, To: 100, Records: []gatehouse.UsageRecord{{ID: fixedID(1)}}}
	if err := g.Ingest(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	b.Records[0].ID = fixedID(2) // a lie below the mark
	if err := g.Ingest(t.Context(), b); err != nil || len(f.rows) != 1 {
		t.Error(err, len(f.rows))
	}
	b.Incarnation = 2
	if err := g.Ingest(t.Context(), b); err != nil || len(f.rows) != 2 {
		t.Error(err, len(f.rows))
	}
}

func TestLargeBatchesAreCut(t *testing.T) {
	f := newFakeStore()
	b := Batch{Gateway: fixedID(9), Incarnation: 1, To: 1, Objects: []Object{{ID: "o"}}}
	for range 3*maxRows + 1 {
		b.Records = append(b.Records, gatehouse.UsageRecord{ID: gatehouse.NewID()})
	}
	if err := NewIngester(f).Ingest(t.Context(), b); err != nil || f.most > maxRows || len(f.rows) != len(b.Records) || len(f.objects) != 1 {
		t.Error(err, f.most, len(f.rows), f.objects)
	}
}

func TestABatchMustSayWhereItIsFrom(t *testing.T) {
	for _, b := range []Batch{{}, {Gateway: fixedID(1)}, {Gateway: fixedID(1), Incarnation: 1, From: 2, To: 1}} {
		if err := NewIngester(newFakeStore()).Ingest(t.Context(), b); !errors.Is(err, gatehouse.InvalidArgument) {
			t.Errorf("%+v: %v", b, err)
		}
	}
}

// The sender was authenticated as one gateway; its records are that one's.
func TestARecordCannotNameAnotherGateway(t *testing.T) {
	f := newFakeStore()
	b := Batch{Gateway: fixedID(9), Incarnation: 1, To: 1, Records: []gatehouse.UsageRecord{{ID: fixedID(1), Gateway: fixedID(8)}}}
	if err := NewIngester(f).Ingest(t.Context(), b); err != nil || f.rows[fixedID(1)].Gateway != fixedID(9) {
		t.Error(err, f.rows)
	}
}
