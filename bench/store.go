package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"

	house "gatehouse" // the plain name is a target of this package
	"gatehouse/internal/engine"
	"gatehouse/internal/meter"
	"gatehouse/internal/secret"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgres"
	"gatehouse/internal/store/sqlite"
	"gatehouse/internal/store/sqlstore"
)

// books measures the database alone: `go run ./bench -only store`. It fills a
// scratch directory with a million keys, each with its leaf in the audit log,
// and a month of ten million requests, and asks what people ask; -scale shrinks
// both. Everything goes through the store's doors, under real secrets, so what
// is read is verified as it is in service.
type books struct {
	p      plan
	dir    string
	db     database
	pg     *engine.Postgres // nil: SQLite
	keys   *secret.Keys
	team   house.ID
	used   []house.ID // keys that usage is by
	events int        // how many are ingested, before they are scaled
	table  *tabwriter.Writer
}

// database is what the measurement needs of an engine.
type database interface {
	View(context.Context, func(store.View) error) error
	Update(context.Context, house.Cause, func(store.Tx) error) (house.Revision, error)
	Ingest(context.Context, func(store.Ingest) error) error
	Close() error
}

// The sizes of the goals, and the shape of the load.
const (
	manyKeys    = 1_000_000
	manyEvents  = 10_000_000
	usingKeys   = 10_000
	usedModels  = 20
	usedIPs     = 50_000
	creators    = 32
	ingestBatch = meter.DefaultBatchRows
)

var booksMonth = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// runBooks is the whole measurement.
func runBooks(p plan) (err error) {
	b := &books{p: p, dir: p.dir, team: house.NewID(), events: manyEvents, table: tabwriter.NewWriter(os.Stdout, 2, 0, 2, ' ', 0)}
	fmt.Fprintln(b.table, "what\tgoal\tmedian\tworst\tremark")
	name, steps := "SQLite", []func() error{b.create, b.fillKeys, b.reopen, b.pages, b.searches, b.ingest, b.questions, b.reopen}
	if p.postgres {
		// The keys come first: creation is measured with all of them there.
		name, steps, b.events = "PostgreSQL", []func() error{b.durability, b.create, b.pages, b.ingest, b.balance}, manyEvents/20
		defer func() { b.stopServer() }()
		if err := b.startMass(); err != nil {
			return err
		}
	} else if b.keys, err = secret.Create(filepath.Join(b.dir, "secrets")); err != nil {
		return err
	}
	if err := b.open(); err != nil {
		return err
	}
	defer func() { b.db.Close() }()
	fmt.Printf("\nbooks: %s, %d CPUs, %s, %s; %d keys and leaves, %d events over 30 days (%d Zipf keys, %d models, 3 clusters, %d addresses)\n\n",
		cpuModel(), runtime.NumCPU(), runtime.Version(), name, b.scaled(manyKeys), b.scaled(b.events), usingKeys, usedModels, usedIPs)
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return b.table.Flush()
}

func (b *books) scaled(n int) int { return max(int(float64(n)*b.p.scale), 1000) }

func (b *books) open() (err error) {
	options := sqlstore.Options{Guard: b.keys}
	if b.pg != nil {
		b.db, err = postgres.Open(context.Background(), asRequests(b.pg.DSN("books")), postgres.Options{Options: options})
		return err
	}
	b.db, err = sqlite.Open(context.Background(), filepath.Join(b.dir, "truth.db"), options)
	return err
}

func (b *books) stopServer() {
	if b.pg != nil {
		b.pg.Kill()
	}
}

// durability reads back what the server does before it acknowledges: creation
// is slow or fast for that before anything else.
func (b *books) durability() error {
	for _, name := range []string{"server_version", "fsync", "full_page_writes", "synchronous_commit", "data_checksums", "wal_sync_method"} {
		value, err := b.pg.Show(asRequests(b.pg.DSN("books")), name)
		if err != nil {
			return err
		}
		b.say("setting "+name, "", value, "", "read back from the server")
	}
	return nil
}

func (b *books) say(what, goal, median, worst, remark string) {
	fmt.Fprintln(b.table, strings.Join([]string{what, goal, median, worst, remark}, "\t"))
	fmt.Fprintf(os.Stderr, "%-44s %s %s\n", what, median, remark)
}

func millisOf(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }

// times runs f often enough for a median.
func (b *books) times(what, goal string, f func() (string, error)) error {
	var took []time.Duration
	var remark string
	for range 9 {
		began := time.Now()
		var err error
		if remark, err = f(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.say(what, goal, millisOf(took[len(took)/2]), millisOf(took[len(took)-1]), remark)
	return nil
}

// goal is one that depends on the engine.
func (b *books) goal(sqlite, postgres string) string {
	if b.pg != nil {
		return postgres
	}
	return sqlite
}

// ours is the scope of the one team: what requests work in.
func (b *books) ours() context.Context { return store.ForTeam(context.Background(), b.team) }

func (b *books) view(f func(store.View) error) error { return b.db.View(b.ours(), f) }

func (b *books) cause() house.Cause {
	return house.Cause{Actor: house.Actor{Kind: house.ActorManagementKey, KeyID: b.team, UserID: b.team, IP: "192.0.2.1"}}
}

func (b *books) key(n int) (*house.Key, house.Act) {
	now, id := time.Now().UTC(), house.NewID()
	k := &house.Key{ID: id, TeamID: b.team, UserID: b.team, Name: fmt.Sprintf("key-%06d", n), ACL: house.ACL{"api-key:model:*", "api-key:endpoint:chat"},
		CreateTime: now, ModifyTime: now, Disabled: n%2 == 0,
		Secrets: []house.Secret{{Digest: house.DigestOf(id.String()), Last4: "abcd", CreateTime: now}}}
	if n%5000 == 77 {
		k.ACL = append(k.ACL, "api-key:model:rare")
	}
	verb := [...]string{"created", "imported"}[n/2%2]
	return k, house.Act{Action: "api_key.created", Operation: "CreateApiKey", TeamID: b.team, Description: fmt.Sprintf("API key '%s' was %s", k.Name, verb)}
}

// create measures single creations, each its own durable act.
func (b *books) create() error {
	var next atomic.Int64
	var group sync.WaitGroup
	var failed atomic.Value
	b.used = make([]house.ID, usingKeys)
	began := time.Now()
	for range creators {
		group.Go(func() {
			for n := next.Add(1) - 1; n < usingKeys && failed.Load() == nil; n = next.Add(1) - 1 {
				k, act := b.key(int(n))
				if _, err := b.db.Update(b.ours(), b.cause(), func(tx store.Tx) error { return tx.PutKey(k, act) }); err != nil {
					failed.Store(err)
				}
				b.used[n] = k.ID
			}
		})
	}
	group.Wait()
	b.say("creating keys, 32 at once", b.goal("1000/s", "500/s"), fmt.Sprintf("%.0f/s", usingKeys/time.Since(began).Seconds()), "", "durable and audited, at the store's door")
	err, _ := failed.Load().(error)
	return err
}

// fillKeys makes the rest.
func (b *books) fillKeys() error { return b.fillFrom(usingKeys) }

// fillFrom makes keys many to a transaction.
func (b *books) fillFrom(from int) error {
	began := time.Now()
	for n := from; n < b.scaled(manyKeys); {
		end := min(n+1000, b.scaled(manyKeys))
		if _, err := b.db.Update(b.ours(), b.cause(), func(tx store.Tx) error {
			for i := n; i < end; i++ {
				k, act := b.key(i)
				if err := tx.PutKey(k, act); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
		n = end
	}
	b.say("loading keys and leaves", "", fmt.Sprintf("%.0f s", time.Since(began).Seconds()), "", "a thousand to a transaction")
	return nil
}

// reopen measures a start: everything is verified before anything is served.
func (b *books) reopen() error {
	if err := b.db.Close(); err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(b.dir, "truth.db"))
	if err != nil {
		return err
	}
	began := time.Now()
	if err := b.open(); err != nil {
		return err
	}
	b.say("opening", "", fmt.Sprintf("%.1f s", time.Since(began).Seconds()), "", fmt.Sprintf("%d MB", info.Size()>>20))
	return nil
}

func (b *books) pages() error {
	for _, q := range []struct {
		name string
		list store.KeyList
	}{
		{"first", store.KeyList{}}, {"in the middle", store.KeyList{After: store.Cursor{Time: time.Now().Add(-time.Minute)}}},
		{"active", store.KeyList{ActiveOnly: true, Now: time.Now()}}, {"of a person", store.KeyList{User: b.team}},
		{"by rare ACL", store.KeyList{ACL: []string{"api-key:endpoint:chat", "api-key:model:rare"}}},
	} {
		q.list.Team, q.list.Limit = b.team, 100
		if err := b.times("key page, "+q.name, "20 ms", func() (remark string, err error) {
			err = b.view(func(v store.View) error {
				keys, err := v.Keys(q.list)
				remark = fmt.Sprint(len(keys), " keys")
				return err
			})
			return remark, err
		}); err != nil {
			return err
		}
	}
	return nil
}

func (b *books) searches() error {
	for _, q := range []struct {
		name   string
		filter house.EventFilter
	}{
		{"newest", house.EventFilter{}}, {"a common word", house.EventFilter{Query: "created"}}, {"two common words", house.EventFilter{Query: "api created"}},
		{"common words that never meet", house.EventFilter{Query: "created imported"}}, {"a rare word", house.EventFilter{Query: "key-000123 imported"}},
		{"an action", house.EventFilter{Action: "api_key.created"}}, {"an hour", house.EventFilter{From: time.Now().Add(-time.Hour), To: time.Now()}},
	} {
		q.filter.TeamID, q.filter.Limit, q.filter.After = b.team, 100, -1
		if err := b.times("audit search, "+q.name, "20 ms", func() (remark string, err error) {
			err = b.view(func(v store.View) error {
				events, err := v.Events(q.filter)
				remark = fmt.Sprint(len(events), " events")
				return err
			})
			return remark, err
		}); err != nil {
			return err
		}
	}
	return nil
}

// event is one of the month's requests.
func (b *books) event(rng *rand.Rand, zipf *rand.Zipf, at time.Time) house.UsageRecord {
	ip := rng.IntN(usedIPs)
	u := house.UsageRecord{ID: house.NewTimeID(at), Start: at, Close: at.Add(time.Second), TeamID: b.team, KeyID: b.used[zipf.Uint64()], UserID: b.team,
		Model: fmt.Sprint("model-", rng.IntN(usedModels)), Endpoint: house.EndpointChat, Cluster: fmt.Sprint("cluster-", rng.IntN(3)), Gateway: b.team,
		ClientIP: fmt.Sprintf("10.0.%d.%d", ip/250, ip%250), RequestID: "0123456789abcdef", Upstream: "upstream", Attempts: 1, Status: 200,
		Outcome: house.Completed, FirstByte: time.Millisecond, Latency: time.Second, UpstreamUsage: `{"prompt_tokens":77,"completion_tokens":20,"total_tokens":97}`}
	u.Usage[house.PromptText], u.Usage[house.CompletionText] = 1+rng.Int64N(5000), 1+rng.Int64N(1000)
	for i, n := range u.Usage {
		u.Costs[i] = house.Ticks(n * 12_500)
	}
	return u
}

// ingest loads the month at full speed, and meanwhile makes a key now and then:
// an act of authority must not queue behind usage.
func (b *books) ingest() error {
	stop, probed := make(chan struct{}), make(chan []time.Duration)
	go func() { probed <- b.probe(stop) }()
	rng := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(rng, 1.1, 1, usingKeys-1)
	total := b.scaled(b.events)
	step := 30 * 24 * time.Hour / time.Duration(total)
	var doors []time.Duration
	var spent float64
	for n := 0; n < total; {
		batch := make([]house.UsageRecord, min(ingestBatch, total-n))
		for i := range batch {
			batch[i] = b.event(rng, zipf, booksMonth.Add(time.Duration(n+i)*step).Truncate(time.Microsecond))
		}
		cpu, began := ownCPU(), time.Now()
		if err := b.db.Ingest(store.System(context.Background()), func(i store.Ingest) error { _, err := i.InsertUsage(batch); return err }); err != nil {
			return err
		}
		doors, spent, n = append(doors, time.Since(began)), spent+ownCPU()-cpu, n+len(batch)
	}
	close(stop)
	acts := <-probed
	slices.Sort(doors)
	slices.Sort(acts)
	var sum time.Duration
	for _, d := range doors {
		sum += d
	}
	at := func(d []time.Duration, q float64) string { return millisOf(d[int(q*float64(len(d)-1))]) }
	b.say("ingest", b.goal("", "10000/s"), fmt.Sprintf("%.0f rows/s", float64(total)/sum.Seconds()), "", fmt.Sprintf("%.1f µs of CPU a row, %.0f s in all", spent*1e6/float64(total), sum.Seconds()))
	b.say("ingest, one batch", "20 ms", at(doors, 0.5), at(doors, 1), fmt.Sprintf("%d rows, merging included; p99 %s", ingestBatch, at(doors, 0.99)))
	b.say("creating a key under full ingest", "250 ms", at(acts, 0.5), at(acts, 1), fmt.Sprintf("p99 %s of %d", at(acts, 0.99), len(acts)))
	return nil
}

// probe makes a key every 20 ms.
func (b *books) probe(stop <-chan struct{}) (took []time.Duration) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := manyKeys; ; n++ {
		k, act := b.key(n)
		began := time.Now()
		if _, err := b.db.Update(b.ours(), b.cause(), func(tx store.Tx) error { return tx.PutKey(k, act) }); err == nil {
			took = append(took, time.Since(began))
		}
		select {
		case <-stop:
			return took
		case <-tick.C:
		}
	}
}

// ownCPU is this process' user and system time in seconds.
func ownCPU() float64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// questions asks for every pair of dimensions by day.
func (b *books) questions() error {
	sum := house.UsageValue{Name: "usd", Aggregation: "SUM"}
	count := house.UsageValue{Name: "billing_items", Aggregation: "COUNT"}
	dimensions := []string{"api_key_id", "model", "endpoint", "cluster_name"}
	type question struct {
		groups  []string
		filters []string
		unit    house.TimeUnit
		values  []house.UsageValue
		goal    string
		end     time.Duration
	}
	var all []question
	for i, x := range dimensions {
		for _, y := range dimensions[i+1:] {
			all = append(all, question{groups: []string{x, y}, values: []house.UsageValue{sum}, goal: "300 ms"}, question{groups: []string{x, y}, values: []house.UsageValue{count}, goal: "300 ms"})
		}
	}
	all = append(all, question{groups: dimensions[:1], values: []house.UsageValue{sum, count}, goal: "300 ms"},
		question{groups: dimensions[:2], values: []house.UsageValue{sum, count}, end: -17*time.Minute - time.Second},
		question{groups: dimensions[1:2], filters: []string{"api_key_id:" + b.used[5].String()}, values: []house.UsageValue{sum}},
		question{groups: dimensions[:2], values: []house.UsageValue{sum}, unit: house.UnitHour},
		question{groups: []string{"model", "cluster_name"}, values: []house.UsageValue{sum}, unit: house.UnitHour},
		question{groups: []string{"api_key_id", "unit_type"}, values: []house.UsageValue{sum}},
		question{values: []house.UsageValue{{Name: "tokens", Aggregation: "SUM"}}, unit: house.UnitNone})
	for _, x := range all {
		q := house.UsageQuery{Start: booksMonth, End: booksMonth.AddDate(0, 0, 30).Add(x.end), Zone: time.UTC, Unit: cmp.Or(x.unit, house.UnitDay), Values: x.values, GroupBy: x.groups, Filters: x.filters}
		what := fmt.Sprintf("usage %s by %s", x.values[0].Aggregation, strings.ToLower(string(q.Unit)))
		if len(x.groups) > 0 {
			what += ", " + strings.Join(x.groups, " × ")
		}
		if len(x.filters) > 0 {
			what += ", of one key"
		}
		if x.end != 0 {
			what += ", crooked end"
		}
		if err := b.times(what, x.goal, func() (remark string, err error) {
			err = b.view(func(v store.View) error {
				a, err := meter.Analysis{}.Analyze(v, b.team, q, time.Now())
				remark = fmt.Sprintf("%d series", len(a.Series))
				return err
			})
			return remark, err
		}); err != nil {
			return err
		}
	}
	return b.balance()
}

// balance checks that every row is on the books.
func (b *books) balance() error {
	var requests int64
	err := b.view(func(v store.View) error {
		return v.UsageCells(store.UsageScan{Team: b.team, Start: booksMonth, End: booksMonth.AddDate(0, 1, 0), Totals: true},
			func(c store.UsageCell) error { requests += c.Requests; return nil })
	})
	if want := int64(b.scaled(b.events)); err == nil && requests != want {
		err = fmt.Errorf("%d requests are on the books, %d were ingested", requests, want)
	}
	return err
}
