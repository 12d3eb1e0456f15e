package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

var usagePromises = []promise{
	{"a usage row reads back as it was ingested", usageReadsBack},
	{"rows ingested twice count once", ingestIsIdempotent},
	{"cells equal the sums of rows, however they are asked for", cellsEqualRows},
	{"usage is a team's own", usageIsTheTeams},
	{"rows filter by every dimension", rowsFilter},
	{"a high-water mark stands per gateway and incarnation", highWater},
	{"an ingest that fails leaves nothing", ingestIsAtomic},
	{"an object stays with the team that got it first", objectsStay},
	{"a scan that cannot be answered says so", badScans},
}

func (b *bench) usage(at time.Time) gatehouse.UsageRecord {
	u := gatehouse.UsageRecord{
		ID: gatehouse.NewTimeID(at), Start: at, Close: at.Add(time.Second), TeamID: b.team, KeyID: gatehouse.NewID(),
		Model: "m", Endpoint: "chat", Cluster: "local", Gateway: gatehouse.NewID(), RequestID: "r", Upstream: "up",
		Attempts: 1, Status: 200, Outcome: gatehouse.Completed,
	}
	u.Usage[gatehouse.PromptText], u.Usage[gatehouse.Images] = 7, 1
	u.Costs[gatehouse.PromptText] = 5
	return u
}

func (b *bench) insert(records ...gatehouse.UsageRecord) (fresh []bool) {
	b.Helper()
	b.ingest(func(i store.Ingest) (err error) { fresh, err = i.InsertUsage(records); return err })
	return fresh
}

func (b *bench) rows(s store.UsageScan) (out []gatehouse.UsageRecord) {
	b.Helper()
	if s.Team.IsZero() {
		s.Team = b.team
	}
	if s.Start.IsZero() {
		s.Start, s.End = start.AddDate(0, 0, -30), start.AddDate(0, 0, 30)
	}
	b.view(func(v store.View) error {
		return v.UsageRows(s, func(u *gatehouse.UsageRecord) error { out = append(out, *u); return nil })
	})
	return out
}

func (b *bench) cells(s store.UsageScan) (out []store.UsageCell) {
	b.Helper()
	b.view(func(v store.View) error {
		return v.UsageCells(s, func(c store.UsageCell) error { out = append(out, c); return nil })
	})
	return out
}

func usageReadsBack(b *bench) {
	u := b.usage(start.Add(123456 * time.Microsecond))
	u.UserID, u.Tags, u.EndUser, u.Asked, u.ClientIP = b.user, map[string]string{"a": "b"}, "end", "alias", "192.0.2.1"
	u.Estimated, u.LongContext, u.Unpriced, u.ServiceTier = true, true, true, "flex"
	u.FirstByte, u.Latency, u.UpstreamUsage = time.Millisecond, time.Second, `{"x":1}`
	u.PriceRevision = gatehouse.Revision{Epoch: 1, N: 9}
	for i := range u.Usage {
		u.Usage[i], u.Costs[i] = int64(i)*1e12, gatehouse.Ticks(i)*1e15
	}
	b.equal(b.insert(u), []bool{true})
	b.equal(b.rows(store.UsageScan{}), []gatehouse.UsageRecord{u})
}

func ingestIsIdempotent(b *bench) {
	var batch []gatehouse.UsageRecord
	for i := range 70 {
		batch = append(batch, b.usage(start.Add(time.Duration(i)*time.Second)))
	}
	whole := store.UsageScan{Team: b.team, Start: start, End: start.Add(time.Hour)}
	for n, fresh := range b.insert(append(batch, batch[3], batch[3])...) {
		b.equal(fresh, n < 70)
	}
	before := b.cells(whole)
	b.equal(before[0].Requests, int64(70))
	for _, again := range [][]gatehouse.UsageRecord{batch, batch[:1], batch[:40]} {
		b.equal(slices.Contains(b.insert(again...), true), false)
	}
	b.equal(b.cells(whole), before)
	b.equal(len(b.rows(store.UsageScan{})), 70)
	extra := b.usage(start)
	b.equal(b.insert(batch[0], extra, batch[1]), []bool{false, true, false})
}

func cellsEqualRows(b *bench) {
	rng := rand.New(rand.NewPCG(1, 2))
	keys := []gatehouse.ID{gatehouse.NewID(), gatehouse.NewID(), gatehouse.NewID()}
	for range 6 {
		var batch []gatehouse.UsageRecord
		for range 80 {
			u := b.usage(start.Add(time.Duration(rng.Int64N(int64(4 * 24 * time.Hour)))).Truncate(time.Microsecond))
			u.KeyID, u.Model, u.Endpoint = keys[rng.IntN(3)], fmt.Sprint("m", rng.IntN(2)), fmt.Sprint("e", rng.IntN(2))
			u.Cluster, u.ClientIP = fmt.Sprint("c", rng.IntN(2)), fmt.Sprint("192.0.2.", rng.IntN(3))
			u.Usage[gatehouse.Unit(rng.IntN(int(gatehouse.NumUnits)))] += rng.Int64N(1000)
			u.Costs[gatehouse.Unit(rng.IntN(int(gatehouse.NumUnits)))] += gatehouse.Ticks(rng.Int64N(1000))
			batch = append(batch, u)
		}
		b.insert(batch...)
	}
	rows := b.rows(store.UsageScan{})
	b.equal(len(rows), 480)
	for _, width := range []time.Duration{0, 15 * time.Minute, time.Hour, 24 * time.Hour} {
		for _, group := range [][]store.Dimension{
			nil, {store.ByKey}, {store.ByModel}, {store.ByCluster, store.ByModel}, {store.ByKey, store.ByModel}, {store.ByIP},
			{store.ByKey, store.ByEndpoint, store.ByModel, store.ByCluster},
		} {
			for _, where := range []map[store.Dimension][]string{
				nil, {store.ByKey: {keys[0].String(), keys[1].String()}}, {store.ByModel: {"m1", "unknown"}}, {store.ByModel: {"unknown"}},
				{store.ByIP: {"192.0.2.1"}},
			} {
				for _, span := range [][2]time.Time{
					{start.Truncate(24 * time.Hour), start.AddDate(0, 0, 6).Truncate(24 * time.Hour)}, // whole days
					{start.Add(15 * time.Minute), start.Add(63 * time.Hour)},                          // days with ends
					{start.Add(time.Hour), start.Add(5 * time.Hour)},                                  // within a day
					{start.Add(time.Hour), start.Add(30*time.Hour + time.Second)},                     // off the quarter
				} {
					if rng.IntN(4) > 0 {
						continue // a quarter of the combinations, the same each time
					}
					b.compare(rows, store.UsageScan{Team: b.team, Start: span[0], End: span[1], GroupBy: group, Where: where, Width: width})
				}
			}
		}
	}
}

// compare checks cells against a sum of rows made here.
func (b *bench) compare(rows []gatehouse.UsageRecord, s store.UsageScan) {
	b.Helper()
	want := map[string]store.UsageCell{}
	for i := range rows {
		u := &rows[i]
		if u.Start.Before(s.Start) || !u.Start.Before(s.End) || !passes(u, s.Where) {
			continue
		}
		c := store.UsageCell{Start: s.Start}
		if s.Width > 0 {
			c.Start = u.Start.Truncate(s.Width)
		}
		for _, d := range s.GroupBy {
			c.Group = append(c.Group, dimension(u, d))
		}
		if sum, ok := want[place(c)]; ok {
			c = sum
		}
		c.Requests++
		c.Items += u.Usage.Items()
		c.Tokens += u.Usage.Tokens()
		c.Ticks += u.Costs.Total()
		for i := range u.Usage {
			c.Amount += u.Usage[i]
			c.Units[i] += u.Usage[i]
			c.Costs[i] += u.Costs[i]
		}
		want[place(c)] = c
	}
	for _, totals := range []bool{false, true} {
		s.Totals = totals
		got := b.cells(s)
		if len(got) != len(want) {
			b.Fatalf("%+v: %d cells, want %d", s, len(got), len(want))
		}
		for _, c := range got {
			w := want[place(c)]
			if totals {
				w.Units, w.Costs = gatehouse.Usage{}, gatehouse.Costs{}
			}
			if fmt.Sprint(c) != fmt.Sprint(w) {
				b.Fatalf("%+v:\ngot  %+v\nwant %+v", s, c, w)
			}
		}
	}
}

func place(c store.UsageCell) string { return fmt.Sprint(c.Start.Unix(), c.Group) }

func passes(u *gatehouse.UsageRecord, where map[store.Dimension][]string) bool {
	for d, values := range where {
		if !slices.Contains(values, dimension(u, d)) {
			return false
		}
	}
	return true
}

func dimension(u *gatehouse.UsageRecord, d store.Dimension) string {
	return map[store.Dimension]string{
		store.ByKey: u.KeyID.String(), store.ByModel: u.Model, store.ByEndpoint: u.Endpoint, store.ByCluster: u.Cluster,
		store.ByIP: u.ClientIP, store.ByUser: u.UserID.String(),
	}[d]
}

func usageIsTheTeams(b *bench) {
	foreign := b.usage(start)
	foreign.TeamID = gatehouse.NewID()
	b.insert(b.usage(start), foreign)
	for _, team := range []gatehouse.ID{b.team, foreign.TeamID} {
		rows := b.rows(store.UsageScan{Team: team})
		b.equal(len(rows), 1)
		b.equal(rows[0].TeamID, team)
		cells := b.cells(store.UsageScan{Team: team, Start: start, End: start.Add(time.Hour)})
		b.equal(cells[0].Requests, int64(1))
	}
	b.equal(len(b.cells(store.UsageScan{Team: gatehouse.NewID(), Start: start, End: start.Add(time.Hour)})), 0)
}

func rowsFilter(b *bench) {
	u1, u2 := b.usage(start), b.usage(start.Add(-time.Minute))
	u2.KeyID, u2.Model, u2.Endpoint, u2.Cluster, u2.ClientIP, u2.UserID = gatehouse.NewID(), "m2", "embed", "c2", "::1", b.user
	b.insert(u1, u2)
	b.equal(b.rows(store.UsageScan{}), []gatehouse.UsageRecord{u2, u1}) // by start
	for _, d := range []store.Dimension{store.ByKey, store.ByModel, store.ByEndpoint, store.ByCluster, store.ByIP, store.ByUser} {
		got := b.rows(store.UsageScan{Where: map[store.Dimension][]string{d: {dimension(&u2, d)}}})
		b.equal(got, []gatehouse.UsageRecord{u2})
		b.equal(len(b.rows(store.UsageScan{Where: map[store.Dimension][]string{d: {"none"}}})), 0)
	}
	b.equal(len(b.rows(store.UsageScan{Start: start, End: start})), 0)
	b.equal(len(b.rows(store.UsageScan{Start: start, End: start.Add(time.Microsecond)})), 1)
}

func highWater(b *bench) {
	g := gatehouse.NewID()
	b.ingest(func(i store.Ingest) error {
		at, err := i.HighWater(g, 1)
		b.equal(at, int64(0))
		b.ok(err)
		b.ok(i.SetHighWater(g, 1, 100))
		return i.SetHighWater(g, 2, 7)
	})
	b.ingest(func(i store.Ingest) error {
		b.ok(i.SetHighWater(g, 1, 200))
		at, err := i.HighWater(g, 1)
		b.equal(at, int64(200))
		b.ok(err)
		at, err = i.HighWater(g, 2)
		b.equal(at, int64(7))
		return err
	})
}

func ingestIsAtomic(b *bench) {
	mine, g := errors.New("mine"), gatehouse.NewID()
	u := b.usage(start)
	u.Model = "never seen before"
	err := b.s.Ingest(b.ctx, func(i store.Ingest) error {
		if _, err := i.InsertUsage([]gatehouse.UsageRecord{u}); err != nil {
			return err
		}
		b.ok(i.SetHighWater(g, 1, 9))
		b.ok(i.PutObjects([]store.Object{{ID: "o", TeamID: b.team}}))
		return mine
	})
	if !errors.Is(err, mine) {
		b.Fatalf("got %v", err)
	}
	b.equal(len(b.rows(store.UsageScan{})), 0)
	b.ingest(func(i store.Ingest) error {
		at, err := i.HighWater(g, 1)
		b.equal(at, int64(0))
		return err
	})
	// A name numbered in the transaction that failed must not be remembered.
	other := b.usage(start)
	other.Model = "another"
	b.insert(other)
	b.equal(b.insert(u), []bool{true})
	b.equal(len(b.rows(store.UsageScan{Where: map[store.Dimension][]string{store.ByModel: {u.Model}}})), 1)
}

func objectsStay(b *bench) {
	mine := store.Object{ID: "resp_1", TeamID: b.team, UpstreamID: gatehouse.NewID(), Model: "m", CreateTime: start}
	theirs := mine
	theirs.TeamID = gatehouse.NewID()
	b.ingest(func(i store.Ingest) error { return i.PutObjects([]store.Object{mine}) })
	b.ingest(func(i store.Ingest) error { return i.PutObjects([]store.Object{theirs}) })
	b.view(func(v store.View) error {
		got, err := v.Object("resp_1")
		b.ok(err)
		b.equal(got, mine)
		_, err = v.Object("resp_2")
		b.is(err, gatehouse.NotFound)
		return nil
	})
}

func badScans(b *bench) {
	for _, s := range []store.UsageScan{
		{Width: time.Minute}, {GroupBy: []store.Dimension{"nonsense"}}, {GroupBy: []store.Dimension{store.ByKey, store.ByKey}}, {Where: map[store.Dimension][]string{"1=1": {"x"}}},
	} {
		s.Team, s.Start, s.End = b.team, start, start.Add(time.Hour)
		b.is(b.s.View(b.ctx, func(v store.View) error {
			return v.UsageCells(s, func(store.UsageCell) error { return nil })
		}), gatehouse.InvalidArgument)
	}
}
