package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"text/tabwriter"
	"time"

	house "gatehouse"
	"gatehouse/internal/meter"
	"gatehouse/internal/secret"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgres"
	"gatehouse/internal/store/sqlstore"
)

// The shape of a quarter of usage: 90 days of 1.11 million events each are 100
// million; a day has 4,000 keys × 14 kinds of request, 56,000 sums, in 90 days
// 5.04 million, each over four quarters of an hour.
const (
	rollupDays   = 90
	rollupKeys   = 4_000
	rollupEvents = 100_000_000
	keyKinds     = 14
	sumQuarters  = 4
)

// runRollups measures questions to the rollups of a hundred million events on
// PostgreSQL: `go run ./bench -only rollups`. It starts a server of its own. The
// sums are written as ingest would have left them after its merges, since the
// rows would take hours.
func runRollups(p plan) error {
	server, err := startPostgres(p.dir, "rollups")
	if server != nil {
		defer server.Kill()
	}
	if err != nil {
		return err
	}
	b := &books{p: p, dir: p.dir, team: house.NewID(), table: tabwriter.NewWriter(os.Stdout, 2, 0, 2, ' ', 0)}
	if b.keys, err = secret.Create(filepath.Join(p.dir, "secrets")); err != nil {
		return err
	}
	db, err := postgres.Open(context.Background(), asRequests(server.DSN("rollups")), postgres.Options{Options: sqlstore.Options{Guard: b.keys}})
	if err != nil {
		return err
	}
	defer db.Close()
	r := &rollups{books: b, pg: db}
	fmt.Printf("\nrollups: %s, %d CPUs, %s, PostgreSQL; %d events over %d days in %d sums\n\n", cpuModel(), runtime.NumCPU(), runtime.Version(),
		b.scaled(rollupEvents), rollupDays, rollupDays*keyKinds*b.scaled(rollupKeys))
	fmt.Fprintln(b.table, "what\tgoal\tmedian\tworst\tremark")
	for _, step := range []func() error{r.fill, r.ask} {
		if err := step(); err != nil {
			return err
		}
	}
	return b.table.Flush()
}

// rollups is the measurement of one database.
type rollups struct {
	*books
	pg *postgres.DB
}

// fill writes a day at a time.
func (r *rollups) fill() error {
	for range r.scaled(rollupKeys) {
		r.used = append(r.used, house.NewID())
	}
	rng, began := rand.New(rand.NewPCG(3, 4)), time.Now()
	perSum := max(int64(r.scaled(rollupEvents)/(rollupDays*keyKinds*sumQuarters*len(r.used))), 1)
	for d := range rollupDays {
		if err := r.pg.FillRollups(context.Background(), r.day(rng, booksMonth.AddDate(0, 0, d), perSum)); err != nil {
			return err
		}
	}
	r.say("writing the sums", "", fmt.Sprintf("%.0f s", time.Since(began).Seconds()), "", fmt.Sprint(rollupDays, " runs"))
	return nil
}

func (r *rollups) day(rng *rand.Rand, day time.Time, requests int64) (out []sqlstore.Sum) {
	for _, key := range r.used {
		for kind := range keyKinds {
			for range sumQuarters {
				s := sqlstore.Sum{Team: r.team, Key: key, Model: fmt.Sprint("model-", kind%7), Endpoint: "chat", Cluster: fmt.Sprint("cluster-", kind/7),
					At: day.Add(time.Duration(rng.IntN(96)) * 15 * time.Minute), Requests: requests + rng.Int64N(3)}
				s.Units[house.PromptText], s.Units[house.CompletionText] = s.Requests*rng.Int64N(5000), s.Requests*rng.Int64N(1000)
				for i, n := range s.Units {
					s.Costs[i] = house.Ticks(n * 12_500)
				}
				out = append(out, s)
			}
		}
	}
	return out
}

// ask asks for every pair of dimensions by day. The goal is for bounded ones,
// which keys are not.
func (r *rollups) ask() error {
	dimensions := []string{"model", "cluster_name", "endpoint", "api_key_id"}
	for i, x := range dimensions {
		for _, y := range dimensions[i+1:] {
			goal := "500 ms"
			if y == "api_key_id" {
				goal = ""
			}
			for _, v := range []house.UsageValue{{Name: "usd", Aggregation: "SUM"}, {Name: "billing_items", Aggregation: "COUNT"}} {
				q := house.UsageQuery{Start: booksMonth, End: booksMonth.AddDate(0, 0, rollupDays), Zone: time.UTC, Unit: house.UnitDay,
					Values: []house.UsageValue{v}, GroupBy: []string{x, y}}
				if err := r.times(fmt.Sprintf("usage %s by day, %s × %s", v.Aggregation, x, y), goal, func() (remark string, err error) {
					err = r.pg.View(store.ForTeam(context.Background(), r.team), func(view store.View) error {
						a, err := meter.Analysis{}.Analyze(view, r.team, q, time.Now())
						remark = fmt.Sprintf("%d series", len(a.Series))
						return err
					})
					return remark, err
				}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
