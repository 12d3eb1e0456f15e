package sqlite_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/library/filter"
	"gatehouse/internal/store"
	"gatehouse/internal/store/sqlite"
)

// The goals are stated for a million keys and events and ten million usage
// rows; the defaults keep a run of all benchmarks short. A directory keeps the
// filled files for the next run.
var (
	benchRows  = flag.Int("rows", 20_000, "keys and audit events of the page benchmarks")
	benchUsage = flag.Int("usage", 100_000, "usage rows of the usage benchmarks")
	benchDir   = flag.String("benchdir", "", "where to keep filled databases; a temporary directory when empty")
)

var benchTeam = gatehouse.ID{1, 2, 3}

func benchDB(b *testing.B, name string) *sqlite.DB {
	dir := *benchDir
	if dir == "" {
		dir = b.TempDir()
	}
	return open(b, filepath.Join(dir, name))
}

// filledKeys has a team's keys and their creations in the log; one event in a
// thousand is a deletion by another person.
func filledKeys(b *testing.B) *sqlite.DB {
	began := time.Now()
	db := benchDB(b, "keys.db")
	opened := time.Since(began)
	have := 0
	if err := db.View(context.Background(), func(v store.View) error {
		tree, err := v.Tree()
		have = int(tree.Size)
		return err
	}); err != nil {
		b.Fatal(err)
	}
	b.Logf("opened with %d leaves in %s", have, opened)
	for have < *benchRows {
		if _, err := db.Update(context.Background(), gatehouse.Cause{Actor: gatehouse.Actor{Kind: gatehouse.ActorManagementKey, UserID: benchTeam}}, func(tx store.Tx) error {
			for n := have; n < min(have+999, *benchRows); n++ {
				k := benchKey(benchTeam, int64(n))
				k.Disabled = n%2 == 0
				if n%5000 == 77 {
					k.ACL = append(k.ACL, "api-key:model:rare")
				}
				if err := tx.PutKey(k, created(benchTeam, k.Name)); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
		have = min(have+999, *benchRows)
		if _, err := db.Update(context.Background(), gatehouse.Cause{Actor: gatehouse.Actor{Kind: gatehouse.ActorManagementKey, UserID: gatehouse.ID{9}}}, func(tx store.Tx) error {
			have++
			return tx.Record(gatehouse.Act{Action: "api_key.deleted", TeamID: benchTeam, Description: fmt.Sprintf("API key 'old-%d' was deleted", have), Result: gatehouse.Done})
		}); err != nil {
			b.Fatal(err)
		}
	}
	return db
}

// BenchmarkPages reads pages of 100.
func BenchmarkPages(b *testing.B) {
	db := filledKeys(b)
	middle := time.Now()
	view := func(b *testing.B, f func(store.View) (int, error)) {
		n := 0
		for b.Loop() {
			if err := db.View(context.Background(), func(v store.View) (err error) { n, err = f(v); return err }); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(n), "rows")
	}
	for name, q := range map[string]store.KeyList{
		"plain": {}, "active": {ActiveOnly: true, Now: middle}, "user": {User: benchTeam},
		"rareACL":           {ACL: []string{"api-key:model:rare", "api-key:endpoint:chat"}},
		"commonThenRareACL": {ACL: []string{"api-key:endpoint:chat", "api-key:model:rare"}}, "commonACL": {ACL: []string{"api-key:model:*"}, ActiveOnly: true, Now: middle},
	} {
		q.Team, q.Limit = benchTeam, 100
		b.Run("keys/"+name, func(b *testing.B) {
			view(b, func(v store.View) (int, error) { keys, err := v.Keys(q); return len(keys), err })
		})
	}
	for name, f := range map[string]gatehouse.EventFilter{
		"plain": {}, "person": {UserID: gatehouse.ID{9}}, "common": {Query: "created"}, "prefix": {Query: "api cre"}, "rare": {Query: "key-000123 created"},
		"rareWord": {Query: "deleted"}, "none": {Query: "created deleted"}, "action": {Action: "api_key.deleted"}, "personAndWord": {UserID: gatehouse.ID{9}, Query: "deleted"},
		"number": {Query: "0001"}, "time": {From: middle.Add(-time.Hour), To: middle},
	} {
		f.TeamID, f.Limit, f.After = benchTeam, 100, -1
		for dir, asc := range map[string]bool{"down": false, "up": true} {
			f.Ascending = asc
			b.Run("events/"+name+"/"+dir, func(b *testing.B) {
				view(b, func(v store.View) (int, error) { events, err := v.Events(f); return len(events), err })
			})
		}
	}
}

// benchRecord makes one of a month's requests: keys by Zipf, twenty models,
// three clusters, fifty thousand addresses.
func benchRecord(rng *rand.Rand, zipf *rand.Zipf, at time.Time) gatehouse.UsageRecord {
	k := zipf.Uint64()
	u := gatehouse.UsageRecord{
		ID: gatehouse.NewTimeID(at), Start: at, Close: at.Add(time.Second), TeamID: benchTeam,
		KeyID: gatehouse.ID{0xee, byte(k >> 16), byte(k >> 8), byte(k)}, UserID: benchTeam, Model: fmt.Sprint("model-", rng.IntN(20)),
		Endpoint: gatehouse.EndpointChat, Cluster: fmt.Sprint("cluster-", rng.IntN(3)), Gateway: benchTeam,
		ClientIP: fmt.Sprintf("10.%d.%d.1", rng.IntN(200), rng.IntN(250)), RequestID: "0123456789abcdef", Upstream: "upstream",
		Attempts: 1, Status: 200, Outcome: gatehouse.Completed, FirstByte: time.Millisecond, Latency: time.Second,
	}
	u.Usage[gatehouse.PromptText], u.Usage[gatehouse.CompletionText] = rng.Int64N(5000), rng.Int64N(1000)
	u.Costs[gatehouse.PromptText], u.Costs[gatehouse.CompletionText] = 12345, 67890
	return u
}

var benchMonth = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func fill(b *testing.B, db *sqlite.DB, from, to, of int) {
	rng := rand.New(rand.NewPCG(uint64(from), 2))
	zipf := rand.NewZipf(rng, 1.1, 1, 9_999)
	step := 30 * 24 * time.Hour / time.Duration(of)
	batch := make([]gatehouse.UsageRecord, 0, 512)
	for n := from; n < to; n++ {
		batch = append(batch, benchRecord(rng, zipf, benchMonth.Add(time.Duration(n)*step).Truncate(time.Microsecond)))
		if len(batch) == cap(batch) || n == to-1 {
			if err := db.Ingest(context.Background(), func(i store.Ingest) error { _, err := i.InsertUsage(batch); return err }); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
}

// BenchmarkIngest is one row's share of a batch: spread is the benchmark month,
// steady one busy key as under a load test.
func BenchmarkIngest(b *testing.B) {
	b.Run("spread", func(b *testing.B) {
		db := open(b, filepath.Join(b.TempDir(), "ingest.db"))
		b.ResetTimer()
		fill(b, db, 0, b.N, 10_000_000)
	})
	b.Run("steady", func(b *testing.B) {
		db := open(b, filepath.Join(b.TempDir(), "ingest.db"))
		rng := rand.New(rand.NewPCG(1, 2))
		zipf := rand.NewZipf(rng, 1.1, 1, 9_999)
		one := benchRecord(rng, zipf, benchMonth)
		batch := make([]gatehouse.UsageRecord, 512)
		b.ResetTimer()
		for n := 0; n < b.N; n += len(batch) {
			for i := range batch {
				batch[i] = one
				batch[i].ID = gatehouse.NewTimeID(benchMonth.Add(time.Duration(n) * time.Millisecond))
			}
			if err := db.Ingest(context.Background(), func(i store.Ingest) error { _, err := i.InsertUsage(batch); return err }); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkUsage sums a month by day over two dimensions.
func BenchmarkUsage(b *testing.B) {
	db := benchDB(b, "usage.db")
	scan := store.UsageScan{Team: benchTeam, Start: benchMonth, End: benchMonth.AddDate(0, 0, 30), Width: 24 * time.Hour, Totals: true}
	have := 0
	count := scan
	count.Width = 0
	if err := db.View(context.Background(), func(v store.View) error {
		return v.UsageCells(count, func(c store.UsageCell) error { have = int(c.Requests); return nil })
	}); err != nil {
		b.Fatal(err)
	}
	fill(b, db, have, *benchUsage, *benchUsage)
	for _, c := range []struct {
		name string
		edit func(*store.UsageScan)
	}{
		{"model×cluster", func(s *store.UsageScan) { s.GroupBy = []store.Dimension{store.ByModel, store.ByCluster} }},
		{"model×cluster/units", func(s *store.UsageScan) {
			s.GroupBy, s.Totals = []store.Dimension{store.ByModel, store.ByCluster}, false
		}},
		{"model×cluster/hour", func(s *store.UsageScan) {
			s.GroupBy, s.Width = []store.Dimension{store.ByModel, store.ByCluster}, time.Hour
		}},
		{"key", func(s *store.UsageScan) { s.GroupBy = []store.Dimension{store.ByKey} }},
		{"key/once", func(s *store.UsageScan) { s.GroupBy, s.Width = []store.Dimension{store.ByKey}, 0 }},
		{"key×model", func(s *store.UsageScan) { s.GroupBy = []store.Dimension{store.ByKey, store.ByModel} }},
		{"key×model/once", func(s *store.UsageScan) {
			s.GroupBy, s.Width = []store.Dimension{store.ByKey, store.ByModel}, 0
		}},
		{"key/most", func(s *store.UsageScan) {
			s.GroupBy, s.Most, s.Rank = []store.Dimension{store.ByKey}, 1001, store.RankTicks
		}},
		{"key×model/most", func(s *store.UsageScan) {
			s.GroupBy, s.Most, s.Rank = []store.Dimension{store.ByKey, store.ByModel}, 1001, store.RankTicks
		}},
		{"key×model/most/hour", func(s *store.UsageScan) {
			s.GroupBy, s.Most, s.Rank, s.Width = []store.Dimension{store.ByKey, store.ByModel}, 1001, store.RankTicks, time.Hour
		}},
		{"model×cluster/of one key", func(s *store.UsageScan) {
			s.GroupBy = []store.Dimension{store.ByModel, store.ByCluster}
			s.Where = map[store.Dimension][]string{store.ByKey: {gatehouse.ID{0xee, 0, 0, 5}.String()}}
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := scan
			c.edit(&s)
			n := 0
			for b.Loop() {
				n = 0
				if err := db.View(context.Background(), func(v store.View) error {
					return v.UsageCells(s, func(store.UsageCell) error { n++; return nil })
				}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n), "cells")
		})
	}
}

var benchFiles = flag.Int("files", 1000, "files and documents of the library benchmarks")

// filledLibrary has a team's files, owned by one collection, each with a field.
func filledLibrary(b *testing.B) (db *sqlite.DB, collection gatehouse.ID) {
	db, collection = benchDB(b, "library.db"), benchTeam
	have := 0
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	must(db.View(context.Background(), func(v store.View) (err error) { have, _, err = v.LibrarySize(benchTeam); return err }))
	if have == 0 {
		must(db.Work(context.Background(), func(w store.Work) error {
			must(w.PlanBlob(store.Blob{Name: "blob", Team: benchTeam}, time.Now()))
			return w.StoredBlob("blob", time.Now().AddDate(1, 0, 0))
		}))
		_, err := db.Update(context.Background(), gatehouse.Cause{}, func(tx store.Tx) error {
			return tx.PutCollection(&gatehouse.Collection{ID: collection, TeamID: benchTeam, Name: "c", CreateTime: time.Now()}, created(benchTeam, "c"))
		})
		must(err)
	}
	for ; have < *benchFiles; have += 250 {
		_, err := db.Update(context.Background(), gatehouse.Cause{}, func(tx store.Tx) error {
			for n := have; n < min(have+250, *benchFiles); n++ {
				must(putBenchFile(tx, collection, n))
			}
			return nil
		})
		must(err)
	}
	return db, collection
}

func putBenchFile(tx store.Tx, collection gatehouse.ID, n int) error {
	at := time.UnixMicro(int64(1e15) + int64(n)).UTC()
	f := &gatehouse.File{ID: gatehouse.NewID(), TeamID: benchTeam, Name: fmt.Sprintf("file-%d", n*7919%1_000_003), Size: int64(n * 31 % 9973), Blob: "blob", Owned: true, CreateTime: at}
	if err := tx.PutFile(f, created(benchTeam, f.Name)); err != nil {
		return err
	}
	return tx.PutDocument(&gatehouse.Document{CollectionID: collection, FileID: f.ID, TeamID: benchTeam, Fields: map[string]string{"year": fmt.Sprint(n % 100)}, CreateTime: at}, created(benchTeam, f.Name))
}

// BenchmarkLibrary reads pages of 100, adds a document, and claims and ends a
// task.
func BenchmarkLibrary(b *testing.B) {
	db, collection := filledLibrary(b)
	run := func(name string, f func() error) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, by := range []gatehouse.LibrarySort{gatehouse.SortByName, gatehouse.SortByAge, gatehouse.SortBySize} {
		q := store.LibraryList{Team: benchTeam, Collection: collection, Sort: by, Limit: 100, After: store.LibraryCursor{Name: "file-5", Size: 5000, Time: time.UnixMicro(int64(1e15) + int64(*benchFiles/2)), ID: benchTeam}}
		run("files/"+string(by), func() error {
			return db.View(context.Background(), func(v store.View) error { _, err := v.Files(q); return err })
		})
		run("documents/"+string(by), func() error {
			return db.View(context.Background(), func(v store.View) error { _, err := v.Documents(q); return err })
		})
	}
	year, err := filter.Parse("filter", `fields.year:>98 AND NOT name:"x"`, store.DocumentFields)
	if err != nil {
		b.Fatal(err)
	}
	run("documents/filter", func() error {
		return db.View(context.Background(), func(v store.View) error {
			_, err := v.Documents(store.LibraryList{Team: benchTeam, Collection: collection, Filter: year, Sort: gatehouse.SortByAge, Limit: 100})
			return err
		})
	})
	run("size", func() error {
		return db.View(context.Background(), func(v store.View) error { _, _, err := v.LibrarySize(benchTeam); return err })
	})
	run("upload", func() error {
		_, err := db.Update(context.Background(), gatehouse.Cause{}, func(tx store.Tx) error { return putBenchFile(tx, collection, 1) })
		return err
	})
	run("task", func() error {
		return db.Work(context.Background(), func(w store.Work) error {
			t, err := w.ClaimTask("b", time.Now(), time.Now().Add(time.Hour))
			if err == nil {
				_, err = w.EndTask(t, &gatehouse.DocumentState{Status: gatehouse.DocumentProcessed})
			}
			return err
		})
	})
	run("left", func() error {
		return db.Work(context.Background(), func(w store.Work) error { _, err := w.TasksLeft(); return err })
	})
	run("sweep", func() error {
		return db.Work(context.Background(), func(w store.Work) error { _, err := w.SweepBlobs(time.Now(), 100); return err })
	})
}
