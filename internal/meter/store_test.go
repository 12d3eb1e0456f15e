package meter

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gatehouse"
	"gatehouse/internal/store"
	"gatehouse/internal/store/sqlite"
	"gatehouse/internal/store/storetest"
)

// What the fakes promise holds on the real engine.

func openStore(t testing.TB) store.Store {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "truth.db"), sqlite.Options{Guard: storetest.NewGuard("meter")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// lossy is an ingest door whose commits are reported as lost now and then.
type lossy struct {
	store.Store
	n int
}

func (l *lossy) Ingest(ctx context.Context, f func(store.Ingest) error) error {
	err := l.Store.Ingest(ctx, f)
	if l.n++; l.n%5 == 0 && err == nil {
		return gatehouse.Errorf(gatehouse.Unavailable, "the answer was lost")
	}
	return err
}

func TestJournalToStoreIsExactlyOnceOverCrashesAndLostAnswers(t *testing.T) {
	db, dir := openStore(t), t.TempDir()
	sink := NewIngester(&lossy{Store: db})
	want := map[gatehouse.ID]gatehouse.Outcome{}
	ctx := t.Context()
	for range 3 {
		j := openJournal(t, dir, Options{})
		s := NewShipper(j, sink, ShipperOptions{BatchRows: 7})
		for i := range 30 {
			o := newOpen()
			e := begin(t, j, o)
			want[o.ID] = gatehouse.Interrupted
			if i%5 != 0 {
				want[o.ID] = gatehouse.Completed
				if err := e.Close(sampleClose()); err != nil {
					t.Fatal(err)
				}
			}
			if i == 15 {
				j.Sync()
				s.round(ctx)
				s.round(ctx)
			}
		}
		j.Close() // with entries open and rows unshipped: as good as a crash
	}
	drain(t, NewShipper(openJournal(t, dir, Options{}), sink, ShipperOptions{BatchRows: 7}))
	got := map[gatehouse.ID]gatehouse.Outcome{}
	now := time.Now()
	scan := store.UsageScan{Team: fixedID(2), Start: time.Unix(0, 0), End: now.AddDate(1, 0, 0)}
	if err := db.View(ctx, func(v store.View) error {
		return v.UsageRows(scan, func(r *gatehouse.UsageRecord) error {
			got[r.ID] = r.Outcome
			return nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// Analysis over the engine's rollups and rows agrees with brute force too.
func TestAnalyzeOnTheEngineAgreesWithBruteForce(t *testing.T) {
	db := openStore(t)
	rapid.Check(t, func(t *rapid.T) {
		// A team of its own isolates each case.
		team, from := gatehouse.NewID(), rapid.SampledFrom(oracleStarts).Draw(t, "from")
		rows := oracleRows(t, team, from, 6*24*time.Hour)
		for i := range rows {
			rows[i].ID = gatehouse.NewTimeID(rows[i].Start)
		}
		ctx := context.Background()
		if err := db.Ingest(ctx, func(tx store.Ingest) error {
			_, err := tx.InsertUsage(rows)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			q, keep := oracleQuery(t, from)
			var got gatehouse.UsageAnswer
			err := db.View(ctx, func(v store.View) (err error) {
				got, err = Analyze(v, team, q, from)
				return err
			})
			if err == nil {
				err = compareAnswer(q, oracle(rows, team, q, keep), got)
			}
			if err != nil {
				t.Fatalf("%+v: %v", q, err)
			}
		}
	})
}

func BenchmarkIngestSQLite(b *testing.B) {
	g := NewIngester(openStore(b))
	start, at := time.Now(), int64(0)
	open, cl := sampleOpen(), sampleClose()
	for b.Loop() {
		batch := Batch{Gateway: fixedID(9), Incarnation: 1, From: at, To: at + 1}
		at++
		for range DefaultBatchRows {
			open.ID, open.Start = gatehouse.NewTimeID(time.Now()), time.Now()
			open.KeyID[0] = byte(at)
			batch.Records = append(batch.Records, join(fixedID(9), &open, &cl))
		}
		if err := g.Ingest(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(at*DefaultBatchRows)/time.Since(start).Seconds(), "rows/s")
}
