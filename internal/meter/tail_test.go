package meter

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gatehouse"
)

// volume is a dead gateway's journal of one segment, part of which was
// acknowledged, and the store that acknowledged it.
type volume struct {
	dir    string
	path   string // of the segment
	bytes  []byte
	store  *fakeStore
	acked  int64                  // offset up to which the store has it
	opens  map[gatehouse.ID]int64 // offset behind each open frame
	closes map[gatehouse.ID]int64
	edges  []int64 // where frames end
}

// newVolume makes one: requests that were shipped, requests that were not, and
// ones that never ended, some of which began before what was shipped.
func newVolume(t *testing.T) *volume {
	t.Helper()
	v := &volume{dir: t.TempDir(), store: newFakeStore(), opens: map[gatehouse.ID]int64{}, closes: map[gatehouse.ID]int64{}}
	j := openJournal(t, v.dir, Options{SegmentSize: MinSegmentSize})
	s := NewShipper(j, NewIngester(v.store), ShipperOptions{BatchRows: 3})
	early := begin(t, j, newOpen())
	early.Progress(7)
	for i := range 12 {
		e := begin(t, j, newOpen())
		if i%4 == 3 {
			continue // never ends
		}
		if err := e.Close(sampleClose()); err != nil {
			t.Fatal(err)
		}
		if i == 6 {
			drain(t, s)
			v.acked = s.live.offset
		}
	}
	v.path = j.segs[0].path
	j.Close()
	var err error
	if v.bytes, err = os.ReadFile(v.path); err != nil {
		t.Fatal(err)
	}
	for at := int64(0); ; {
		typ, payload, state := parseFrame(v.bytes[at:], j.incarnation, at)
		if state != frameGood {
			break
		}
		at += int64(frameHeader + len(payload))
		v.edges = append(v.edges, at)
		switch typ {
		case frameOpen:
			o := decodeOpen(string(payload))
			v.opens[o.ID] = at
		case frameClose:
			id, _ := decodeClose(string(payload))
			v.closes[id] = at
		}
	}
	return v
}

// damaged is a copy of the directory whose segment has other bytes.
func (v *volume) damaged(t *testing.T, content []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, filepath.Base(v.path)), content, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// check says what is wrong with a store that got a journal of which only what
// lies before end was good.
func (v *volume) check(t *testing.T, f *fakeStore, end int64) {
	t.Helper()
	want := map[gatehouse.ID]gatehouse.Outcome{}
	for id, at := range v.opens {
		switch closed, ok := v.closes[id]; {
		case ok && (closed <= v.acked || closed <= end):
			want[id] = gatehouse.Completed
		case at <= end:
			want[id] = gatehouse.Interrupted
		}
	}
	got := map[gatehouse.ID]gatehouse.Outcome{}
	for id, r := range f.rows {
		got[id] = r.Outcome
	}
	if !maps.Equal(got, want) {
		t.Fatalf("damage at %d of %d: %d rows, want %d\n%v\n%v", end, v.edges[len(v.edges)-1], len(got), len(want), got, want)
	}
}

func (f *fakeStore) clone() *fakeStore {
	c := *f
	c.rows, c.marks, c.objects = maps.Clone(f.rows), maps.Clone(f.marks), maps.Clone(f.objects)
	return &c
}

// A torn tail loses what it tore, and nothing twice: the file ends or a bit is
// wrong at each frame's edge, around it, and here and there inside. That holds
// also where the damage reaches into what was acknowledged.
func TestDamageAnywhereLosesOnlyWhatItHit(t *testing.T) {
	v := newVolume(t)
	good := func(at int64) (end int64) {
		for _, e := range v.edges {
			if e <= at {
				end = e
			}
		}
		return end
	}
	last := v.edges[len(v.edges)-1]
	var places []int64
	for _, e := range v.edges {
		places = append(places, e-1, e, e+1, e+frameHeader/2)
	}
	for at := v.edges[0]; at < last; at += 29 {
		places = append(places, at)
	}
	for _, at := range places {
		if at < v.edges[0] || at > last {
			continue
		}
		flipped := append([]byte(nil), v.bytes...)
		flipped[at] ^= 1 << (at % 8)
		end := good(at)
		if at == last { // zeros became something: all frames are good
			end = last
		}
		for kind, content := range map[string][]byte{"torn": v.bytes[:at], "flipped": flipped} {
			f := v.store.clone()
			dir := v.damaged(t, content)
			for range 2 { // a second time finds everything there
				if _, err := ShipDir(t.Context(), dir, NewIngester(f), ShipDirOptions{BatchRows: 3}); err != nil {
					t.Fatalf("%s at %d: %v", kind, at, err)
				}
				v.check(t, f, end)
			}
		}
	}
}

// The next start of the gateway reads the same as journal ship does.
func TestTheNextStartReadsATornTailToo(t *testing.T) {
	v := newVolume(t)
	for _, end := range v.edges[1:] {
		f := v.store.clone()
		j := openJournal(t, v.damaged(t, v.bytes[:end]), Options{SegmentSize: MinSegmentSize})
		drain(t, NewShipper(j, NewIngester(f), ShipperOptions{BatchRows: 3}))
		j.Close()
		v.check(t, f, end)
	}
}

// A gateway whose volume was wiped has its id from elsewhere, and a clock that
// may have gone back. Its new journal must not look like the old one's past.
func TestAWipedVolumeDoesNotCollideWithItsMarks(t *testing.T) {
	f, dir, seen := newFakeStore(), t.TempDir(), map[int64]bool{}
	now := time.Now()
	for n, jump := range []time.Duration{0, time.Millisecond, -time.Hour, -time.Hour, time.Second, 0} {
		if now = now.Add(jump); jump == 0 {
			now = now.Add(time.Millisecond)
		}
		j := openJournal(t, dir, Options{SegmentSize: MinSegmentSize, Now: func() time.Time { return now }})
		if seen[j.Incarnation()] {
			t.Fatalf("incarnation %d is there twice", j.Incarnation())
		}
		seen[j.Incarnation()] = true
		s := NewShipper(j, NewIngester(f), ShipperOptions{})
		for range 5 {
			if err := begin(t, j, newOpen()).Close(sampleClose()); err != nil {
				t.Fatal(err)
			}
		}
		drain(t, s)
		if len(f.rows) != 5*(n+1) {
			t.Fatalf("after start %d: %d rows, want %d", n, len(f.rows), 5*(n+1))
		}
		j.Close()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

func TestShippingADirectoryReportsAndChangesNothing(t *testing.T) {
	v := newVolume(t)
	before, err := os.ReadDir(v.dir)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	report, err := ShipDir(t.Context(), v.dir, NewIngester(v.store), ShipDirOptions{BatchRows: 3, Told: func(ShipReport) { told++ }})
	if err != nil {
		t.Fatal(err)
	}
	if report.Incarnations != 1 || report.Records != 13 || report.Interrupted != 4 || report.Batches != told || report.Gateways[0] != fixedID(9).String() {
		t.Errorf("%+v, told %d times", report, told)
	}
	after, err := os.ReadDir(v.dir)
	if err != nil || len(after) != len(before) {
		t.Errorf("the directory changed: %v, %v (%v)", before, after, err)
	}
	if report, err = ShipDir(t.Context(), v.dir, NewIngester(v.store), ShipDirOptions{Delete: true}); err != nil || report.Deleted != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	if left := segmentBytes(t, v.dir); left != 0 || len(v.store.rows) != 13 {
		t.Errorf("%d bytes of segments left, %d rows", left, len(v.store.rows))
	}
}

func TestShippingADirectoryRefusesALiveOneAndAWrongOne(t *testing.T) {
	dir := t.TempDir()
	openJournal(t, filepath.Join(dir, "journal"), Options{})
	for path, want := range map[string]gatehouse.Code{filepath.Join(dir, "journal"): gatehouse.FailedPrecondition,
		dir: gatehouse.InvalidArgument, filepath.Join(dir, "none"): gatehouse.NotFound} {
		if _, err := ShipDir(t.Context(), path, newMemorySink(), ShipDirOptions{}); gatehouse.CodeOf(err) != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}

// A sink that is away is waited for, one that refuses is not.
func TestShippingADirectoryWaitsForItsSink(t *testing.T) {
	v, sink := newVolume(t), newMemorySink()
	sink.fail = away
	ctx, cancel := context.WithTimeout(t.Context(), 120*time.Millisecond)
	defer cancel()
	if _, err := ShipDir(ctx, v.dir, sink, ShipDirOptions{}); !errors.Is(err, away) || ctx.Err() == nil {
		t.Errorf("got %v before its time", err)
	}
	sink.fail = gatehouse.Errorf(gatehouse.PermissionDenied, "no")
	if _, err := ShipDir(t.Context(), v.dir, sink, ShipDirOptions{}); !errors.Is(err, gatehouse.PermissionDenied) {
		t.Errorf("got %v", err)
	}
}

// Rows that retention dropped cannot be told from new ones by their ids; the
// mark can, also where a batch lies across it.
func TestAReplayIsNoNewUsageWhereRowsWereDropped(t *testing.T) {
	v := newVolume(t)
	if _, err := ShipDir(t.Context(), v.dir, NewIngester(v.store), ShipDirOptions{BatchRows: 3}); err != nil {
		t.Fatal(err)
	}
	clear(v.store.rows)
	g := NewIngester(v.store)
	if _, err := ShipDir(t.Context(), v.dir, g, ShipDirOptions{BatchRows: 100}); err != nil || len(v.store.rows) != 0 {
		t.Errorf("%d rows came back (%v)", len(v.store.rows), err)
	}
	if fresh, known := g.Counts(); fresh != 0 || known != 13 {
		t.Errorf("%d fresh, %d known", fresh, known)
	}
}
