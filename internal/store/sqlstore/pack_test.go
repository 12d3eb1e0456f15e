package sqlstore

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gatehouse"
)

func drawEntries(t *rapid.T, most int) (out []*entry) {
	small := rapid.Int64Range(0, 3)
	for range rapid.IntRange(0, most).Draw(t, "n") {
		e := &entry{cell: cell{rapid.Int64Range(0, 400).Draw(t, "key"), small.Draw(t, "model"), small.Draw(t, "endpoint"), small.Draw(t, "cluster"), rapid.Int64Range(0, 95).Draw(t, "slot")}}
		var u gatehouse.Usage
		var c gatehouse.Costs
		unit := rapid.IntRange(0, int(gatehouse.NumUnits)-1).Draw(t, "unit")
		u[unit], c[unit] = rapid.Int64Range(0, 1<<40).Draw(t, "count"), gatehouse.Ticks(rapid.Int64Range(0, 1<<50).Draw(t, "cost"))
		e.sum = sumOf(&u, &c)
		out = append(out, e)
	}
	return out
}

// unpack reads a pack back by cell, and fails where cells do not rise.
func unpack(t *rapid.T, pack, units []byte) map[cell]sum {
	out, last := map[cell]sum{}, cell{key: -1}
	for u := (&unpacker{pack: pack, units: units}); ; u.next++ {
		if err := u.fill(); err != nil {
			t.Fatal(err)
		}
		if u.done() {
			return out
		}
		e := u.at()
		if last.compare(&e.cell) >= 0 {
			t.Fatalf("%v after %v", e.cell, last)
		}
		out[e.cell], last = e.sum, e.cell
	}
}

// Every entry is in each of a run's packs, whatever was merged in which order.
func TestRunsSumWhatTheyWereMadeOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		models, cells, quarters := map[cell]sum{}, map[cell]sum{}, map[cell]sum{}
		var runs []run
		for range rapid.IntRange(1, 5).Draw(t, "runs") {
			entries := drawEntries(t, 60)
			for _, e := range entries {
				for m, c := range map[*map[cell]sum]cell{
					&models: {0, e.model, e.endpoint, e.cluster, e.slot}, &cells: {e.key, e.model, e.endpoint, e.cluster, 0}, &quarters: e.cell,
				} {
					x := (*m)[c]
					x.add(&e.sum)
					(*m)[c] = x
				}
			}
			runs = append(runs, newRun(entries))
		}
		merged, err := mergeRuns(runs)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			want        map[cell]sum
			pack, units []byte
		}{{models, merged.models, nil}, {cells, merged.cells, merged.units}, {quarters, merged.quarters, nil}} {
			if d := cmp.Diff(c.want, unpack(t, c.pack, c.units), cmp.AllowUnexported(cell{}, sum{}, totals{})); d != "" {
				t.Fatal(d)
			}
		}
	})
}

// A month's hot day has more entries than a block.
func TestPacksOfManyBlocks(t *testing.T) {
	var entries []*entry
	for i := range 3*blockSize + 1 {
		e := &entry{cell: cell{key: int64(i / 3), model: int64(i % 3), slot: int64(i % 96)}}
		e.sum = sum{totals: totals{1, 1, int64(i), int64(i), int64(i)}}
		e.units[0], e.costs[0] = int64(i), gatehouse.Ticks(i)
		entries = append(entries, e)
	}
	slices.Reverse(entries)
	r := newRun(entries)
	n, b := 0, blocks{pack: r.cells, units: r.units}
	for {
		k, err := b.next()
		if err != nil {
			t.Fatal(err)
		}
		if k == nil {
			break
		}
		n += k.n
	}
	if n != len(entries) || r.requests != int64(n) {
		t.Errorf("%d entries of %d", n, len(entries))
	}
}

// What is on the disk may be anything.
func FuzzUnpack(f *testing.F) {
	e := &entry{cell: cell{key: 300, slot: 95}}
	e.sum = sum{totals: totals{1, 2, 3, 4, 500}}
	e.units[3], e.costs[3] = 7, 9
	r := newRun([]*entry{e})
	f.Add(r.cells, r.units)
	f.Add(r.quarters, []byte{})
	f.Fuzz(func(t *testing.T, pack, units []byte) {
		for u := (&unpacker{pack: pack, units: units}); ; u.next++ {
			if u.fill() != nil || u.done() {
				return
			}
		}
	})
}

// The remainder of a row is what encoding/json would write.
func TestRestOfIsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]{0,9}`), rapid.SampledFrom([]string{`{"a":"<b>\n"}`, "\x7f\x00", "\xff", `\"`}))
		at := time.UnixMicro(rapid.Int64Range(1, 1<<50).Draw(t, "at")).UTC()
		u := gatehouse.UsageRecord{Close: at, EndUser: text.Draw(t, "e"), Asked: text.Draw(t, "a"), RequestID: text.Draw(t, "r"), Upstream: text.Draw(t, "s"),
			Attempts: rapid.Int().Draw(t, "n"), Status: rapid.Int().Draw(t, "t"), Outcome: gatehouse.Outcome(text.Draw(t, "o")), Estimated: rapid.Bool().Draw(t, "x"),
			LongContext: rapid.Bool().Draw(t, "l"), ServiceTier: text.Draw(t, "v"), FirstByte: time.Duration(rapid.Int64().Draw(t, "f")), Latency: time.Duration(rapid.Int64().Draw(t, "d")),
			UpstreamUsage: text.Draw(t, "p"), Unpriced: rapid.Bool().Draw(t, "z"), PriceRevision: gatehouse.Revision{Epoch: rapid.Int64().Draw(t, "pe"), N: rapid.Int64().Draw(t, "pn")},
			Tags: rapid.MapOfN(rapid.String(), text, 0, 3).Draw(t, "g")}
		if rapid.Bool().Draw(t, "ids") {
			u.UserID, u.Gateway = gatehouse.NewID(), gatehouse.NewID()
		}
		want, err := json.Marshal(usageRest{
			micros(u.Close), u.UserID, u.Tags, u.EndUser, u.Asked, u.Gateway, u.RequestID, u.Upstream, u.Attempts, u.Status,
			u.Outcome, u.Estimated, u.LongContext, u.ServiceTier, u.FirstByte, u.Latency, u.UpstreamUsage, u.Unpriced,
			u.PriceRevision.Epoch, u.PriceRevision.N,
		})
		if err != nil {
			t.Fatal(err)
		}
		var a, b usageRest
		if json.Unmarshal(want, &a) != nil || json.Unmarshal(restOf(&u), &b) != nil {
			t.Fatalf("%s does not parse", restOf(&u))
		}
		if d := cmp.Diff(a, b); d != "" {
			t.Fatal(d)
		}
	})
}
