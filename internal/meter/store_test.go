package meter

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gatehouse"
	"gatehouse/internal/engine"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgres"
	"gatehouse/internal/store/sqlite"
	"gatehouse/internal/store/sqlstore"
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

// engines opens a store on each engine: what counts usage must not depend on
// which it is.
func engines(t *testing.T, test func(t *testing.T, db store.Store)) {
	t.Run("sqlite", func(t *testing.T) { test(t, openStore(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, openPostgres(t)) })
}

func openPostgres(t testing.TB) store.Store {
	t.Helper()
	admin, ctx := engine.Database(t), context.Background()
	if err := postgres.Migrate(ctx, admin, "meter_test"); err != nil {
		t.Fatal(err)
	}
	request := strings.Replace(admin, "postgres@", "meter_test@", 1)
	db, err := postgres.Open(ctx, request, postgres.Options{Options: sqlstore.Options{Guard: storetest.NewGuard("meter")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// lossy is an ingest door whose commits are reported as lost now and then.
type lossy struct {
	store.Store
	n atomic.Int64
}

func (l *lossy) Ingest(ctx context.Context, f func(store.Ingest) error) error {
	err := l.Store.Ingest(ctx, f)
	if l.n.Add(1)%5 == 0 && err == nil {
		return gatehouse.Errorf(gatehouse.Unavailable, "the answer was lost")
	}
	return err
}

func TestJournalToStoreIsExactlyOnceOverCrashesAndLostAnswers(t *testing.T) {
	engines(t, exactlyOnce)
}

func exactlyOnce(t *testing.T, db store.Store) {
	dir := t.TempDir()
	sink := NewIngester(&lossy{Store: db})
	want := map[gatehouse.ID]gatehouse.Outcome{}
	ctx := store.System(t.Context())
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

// Gateways of several clusters ship to one store at once, each over starts of
// its own, with answers lost on the way: each request has one row, which says
// where it was served, and the sums agree with the rows.
func TestGatewaysOfSeveralClustersShareAStore(t *testing.T) { engines(t, severalGateways) }

func severalGateways(t *testing.T, db store.Store) {
	const gateways, starts, requests = 4, 3, 60
	sink := NewIngester(&lossy{Store: db})
	type served struct {
		gateway gatehouse.ID
		cluster string
	}
	var mu sync.Mutex
	want := map[gatehouse.ID]served{}
	var wg sync.WaitGroup
	day := time.Now().UTC().Truncate(24 * time.Hour)
	for g := range gateways {
		wg.Go(func() {
			dir, s := t.TempDir(), served{fixedID(byte(100 + g)), fmt.Sprint("cluster-", g%2)}
			for range starts {
				j, err := Open(dir, Options{Gateway: s.gateway})
				if err != nil {
					t.Error(err)
					return
				}
				for range requests {
					o := newOpen()
					o.Cluster, o.Start = s.cluster, day.Add(time.Hour)
					e := begin(t, j, o)
					if err := e.Close(sampleClose()); err != nil {
						t.Error(err)
					}
					mu.Lock()
					want[o.ID] = s
					mu.Unlock()
				}
				drain(t, NewShipper(j, sink, ShipperOptions{BatchRows: 9}))
				j.Close()
			}
		})
	}
	wg.Wait()
	got := map[gatehouse.ID]served{}
	ctx := store.System(t.Context())
	scan := store.UsageScan{Team: fixedID(2), Start: day, End: day.Add(24 * time.Hour)}
	if err := db.View(ctx, func(v store.View) error {
		return v.UsageRows(scan, func(r *gatehouse.UsageRecord) error {
			got[r.ID] = served{r.Gateway, r.Cluster}
			return nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		t.Errorf("%d rows of %d", len(got), len(want))
	}
	check, err := db.CheckUsage(ctx, day, false)
	if err != nil || check.Rows != int64(len(want)) || len(check.Drifts) != 0 {
		t.Errorf("%+v, %v", check, err)
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
				got, err = (Analysis{}).Analyze(v, team, q, from)
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

func BenchmarkIngestSQLite(b *testing.B)   { benchmarkIngest(b, openStore(b)) }
func BenchmarkIngestPostgres(b *testing.B) { benchmarkIngest(b, openPostgres(b)) }

func benchmarkIngest(b *testing.B, db store.Store) {
	g := NewIngester(db)
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
