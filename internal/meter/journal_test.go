package meter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse"
)

// memorySink keeps what it was given, as a store would: one row per id.
type memorySink struct {
	mu      sync.Mutex
	rows    map[gatehouse.ID]gatehouse.UsageRecord
	order   []gatehouse.ID
	objects map[string]Object
	repeats int
	fail    error
}

func newMemorySink() *memorySink {
	return &memorySink{rows: map[gatehouse.ID]gatehouse.UsageRecord{}, objects: map[string]Object{}}
}

func (m *memorySink) Ingest(_ context.Context, b Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	for _, r := range b.Records {
		if _, ok := m.rows[r.ID]; ok {
			m.repeats++
			continue
		}
		m.rows[r.ID] = r
		m.order = append(m.order, r.ID)
	}
	for _, o := range b.Objects {
		m.objects[o.ID] = o
	}
	return nil
}

func openJournal(t testing.TB, dir string, o Options) *Journal {
	t.Helper()
	o.Gateway = fixedID(9)
	j, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func newOpen() OpenRecord {
	o := sampleOpen()
	o.ID = gatehouse.NewTimeID(time.Now())
	return o
}

func begin(t testing.TB, j *Journal, o OpenRecord) *Entry {
	t.Helper()
	e, err := j.Begin(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func drain(t testing.TB, s *Shipper) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Drain(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestAClosedRequestBecomesOneRow(t *testing.T) {
	for _, d := range []Durability{Batched, PerRequest} {
		j := openJournal(t, t.TempDir(), Options{Durability: d})
		open, cl := newOpen(), sampleClose()
		e := begin(t, j, open)
		if err := e.Close(cl); err != nil {
			t.Fatal(err)
		}
		if err := e.Close(cl); err != nil { // settle may run twice
			t.Fatal(err)
		}
		if n := j.Stats().Open; n != 0 {
			t.Errorf("%d requests open", n)
		}
		sink := newMemorySink()
		drain(t, NewShipper(j, sink, ShipperOptions{}))
		want := join(fixedID(9), &open, &cl)
		if d := cmp.Diff(map[gatehouse.ID]gatehouse.UsageRecord{open.ID: want}, sink.rows); d != "" {
			t.Error(d)
		}
	}
}

func TestOpenRequestsDoNotHoldBackClosedOnes(t *testing.T) {
	j := openJournal(t, t.TempDir(), Options{SegmentSize: MinSegmentSize})
	long := begin(t, j, newOpen())
	sink := newMemorySink()
	s := NewShipper(j, sink, ShipperOptions{BatchRows: 50})
	for range 4_000 { // many segments
		if err := begin(t, j, newOpen()).Close(sampleClose()); err != nil {
			t.Fatal(err)
		}
	}
	drain(t, s)
	if len(sink.rows) != 4_000 {
		t.Fatalf("%d rows", len(sink.rows))
	}
	drain(t, s) // reads what was carried forward
	drain(t, s)
	if n := j.Stats().Segments; n > 5 {
		t.Errorf("one long request keeps %d segments", n)
	}
	if err := long.Close(sampleClose()); err != nil {
		t.Fatal(err)
	}
	drain(t, s)
	if _, ok := sink.rows[long.ID()]; !ok || sink.repeats != 0 {
		t.Errorf("the long request: shipped %v, repeats %d", ok, sink.repeats)
	}
}

func TestVoidMakesNoRow(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, Options{})
	if err := begin(t, j, newOpen()).Void(); err != nil {
		t.Fatal(err)
	}
	j.Close()
	sink := newMemorySink()
	drain(t, NewShipper(openJournal(t, dir, Options{}), sink, ShipperOptions{}))
	if len(sink.rows) != 0 {
		t.Error("a request that never left was billed")
	}
}

// The journal of a process that stopped in the middle, read by the next one.
func TestTheNextStartResolvesWhatWasOpen(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, Options{})
	first := j.Incarnation()
	closed, lost := newOpen(), newOpen()
	e := begin(t, j, closed)
	begin(t, j, lost).Progress(42)
	if err := e.Object("resp_9"); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(sampleClose()); err != nil {
		t.Fatal(err)
	}
	j.postProgress()
	j.Close()

	for range 2 { // it may happen again before anything was shipped
		j = openJournal(t, dir, Options{})
		if o, ok := j.Object("resp_9"); !ok || o.TeamID != closed.TeamID || o.UpstreamID != closed.UpstreamID {
			t.Errorf("the object's owner was forgotten: %+v", o)
		}
		if j.Incarnation() <= first {
			t.Error("the incarnation did not grow")
		}
		j.Close()
	}
	j = openJournal(t, dir, Options{})
	sink := newMemorySink()
	s := NewShipper(j, sink, ShipperOptions{BatchRows: 1})
	drain(t, s)
	r := sink.rows[lost.ID]
	if len(sink.rows) != 2 || r.Outcome != gatehouse.Interrupted || !r.Estimated {
		t.Fatalf("%d rows, %+v", len(sink.rows), r)
	}
	if r.Usage != Estimate(lost.PromptEstimate, 42) {
		t.Errorf("estimated %v", r.Usage)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, fmt.Sprintf("%016x-*", first))); len(left) != 0 {
		t.Errorf("shipped segments are still there: %v", left)
	}
}

func TestADirectoryHasOneJournal(t *testing.T) {
	dir := t.TempDir()
	openJournal(t, dir, Options{})
	if _, err := Open(dir, Options{Gateway: fixedID(1)}); !errors.Is(err, gatehouse.FailedPrecondition) {
		t.Errorf("a second holder: %v", err)
	}
}

func TestAFullyShippedJournalLeavesNoSegments(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, Options{})
	if err := begin(t, j, newOpen()).Close(sampleClose()); err != nil {
		t.Fatal(err)
	}
	drain(t, NewShipper(j, newMemorySink(), ShipperOptions{}))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.seg")); len(left) != 0 {
		t.Error(left)
	}
}

// A torn tail ends a segment; what stands before it counts.
func TestATornTailLosesOnlyTheTail(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, Options{})
	var ids []gatehouse.ID
	for range 10 {
		e := begin(t, j, newOpen())
		ids = append(ids, e.ID())
		if err := e.Close(sampleClose()); err != nil {
			t.Fatal(err)
		}
	}
	path := j.segs[0].path
	j.Close()
	end := j.segs[0].end()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff}, end-3); err != nil { // inside the last close
		t.Fatal(err)
	}
	f.Close()
	sink := newMemorySink()
	drain(t, NewShipper(openJournal(t, dir, Options{}), sink, ShipperOptions{}))
	if len(sink.rows) != 10 {
		t.Fatalf("%d rows", len(sink.rows))
	}
	for i, id := range ids {
		if want := i == 9; (sink.rows[id].Outcome == gatehouse.Interrupted) != want {
			t.Errorf("record %d: %s", i, sink.rows[id].Outcome)
		}
	}
}

// faultyFile fails on demand.
type faultyFile struct {
	file
	faults *faults
}

type faults struct {
	mu                 sync.Mutex
	create, write, syn error
	once               bool
}

func (f *faults) take(e *error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := *e
	if f.once {
		*e = nil
	}
	return err
}

func (f *faults) set(to *error, err error, once bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*to, f.once = err, once
}

func (f faultyFile) WriteAt(p []byte, at int64) (int, error) {
	if err := f.faults.take(&f.faults.write); err != nil {
		n, _ := f.file.WriteAt(p[:len(p)/2], at)
		return n, err
	}
	return f.file.WriteAt(p, at)
}

func (f faultyFile) Datasync() error {
	if err := f.faults.take(&f.faults.syn); err != nil {
		return err
	}
	return f.file.Datasync()
}

func (f *faults) open(path string, size int64) (file, error) {
	if err := f.take(&f.create); err != nil {
		return nil, err
	}
	real, err := createFile(path, size)
	return faultyFile{real, f}, err
}

// After an error of write or fsync the frames go to another file; nothing is
// lost and nothing is counted twice.
func TestIOErrorsMoveOnToANewSegment(t *testing.T) {
	for name, which := range map[string]func(*faults) *error{
		"write": func(f *faults) *error { return &f.write }, "fsync": func(f *faults) *error { return &f.syn }} {
		t.Run(name, func(t *testing.T) {
			dir, f := t.TempDir(), &faults{}
			j := openJournal(t, dir, Options{create: f.open, Durability: PerRequest, SyncEvery: time.Hour})
			want := map[gatehouse.ID]bool{}
			for i := range 50 {
				if i%10 == 5 {
					f.set(which(f), syscall.EIO, true)
				}
				e := begin(t, j, newOpen())
				want[e.ID()] = true
				if err := e.Close(sampleClose()); err != nil {
					t.Fatal(err)
				}
			}
			if j.Stats().Failed < 5 {
				t.Errorf("%d segments failed", j.Stats().Failed)
			}
			sink := newMemorySink()
			drain(t, NewShipper(j, sink, ShipperOptions{}))
			j.Close()
			drain(t, NewShipper(openJournal(t, dir, Options{}), sink, ShipperOptions{}))
			if len(sink.rows) != len(want) {
				t.Errorf("%d rows of %d", len(sink.rows), len(want))
			}
			for id, r := range sink.rows {
				if !want[id] || r.Outcome != gatehouse.Completed {
					t.Errorf("row %v %s", id, r.Outcome)
				}
			}
		})
	}
}

func TestAFullDiskRefusesNewRequestsAndFinishesOldOnes(t *testing.T) {
	f := &faults{}
	j := openJournal(t, t.TempDir(), Options{create: f.open, SegmentSize: MinSegmentSize, SyncEvery: time.Hour})
	f.set(&f.create, syscall.ENOSPC, false)
	var open []*Entry
	var err error
	for err == nil && len(open) < 10_000 {
		var e *Entry
		if e, err = j.Begin(newOpen()); err == nil {
			open = append(open, e)
		}
	}
	if gatehouse.CodeOf(err) != gatehouse.Unavailable {
		t.Fatalf("begun %d: %v", len(open), err)
	}
	for _, e := range open {
		if err := e.Close(sampleClose()); err != nil {
			t.Fatalf("a running request could not be closed: %v", err)
		}
	}
	f.set(&f.create, nil, false)
	e := begin(t, j, newOpen()) // room again
	if err := e.Close(sampleClose()); err != nil {
		t.Fatal(err)
	}
	sink := newMemorySink()
	drain(t, NewShipper(j, sink, ShipperOptions{}))
	if len(sink.rows) != len(open)+1 {
		t.Errorf("%d rows of %d", len(sink.rows), len(open)+1)
	}
}

// A disk that is wholly gone: Begin refuses, and once it is back everything
// that was promised is there and what was refused is not billed.
func TestARefusedBeginIsNotBilled(t *testing.T) {
	dir, f := t.TempDir(), &faults{}
	j := openJournal(t, dir, Options{create: f.open, SyncEvery: time.Hour})
	running := begin(t, j, newOpen())
	f.set(&f.create, syscall.EIO, false)
	f.set(&f.write, syscall.EIO, false)
	refused := 0
	for range 5 {
		if _, err := j.Begin(newOpen()); gatehouse.CodeOf(err) == gatehouse.Unavailable {
			refused++
		}
	}
	if err := running.Close(sampleClose()); err == nil {
		t.Error("Close did not tell that it is not written")
	}
	f.set(&f.create, nil, false)
	f.set(&f.write, nil, false)
	j.tend(true)
	kept := begin(t, j, newOpen())
	j.Close()
	sink := newMemorySink()
	drain(t, NewShipper(openJournal(t, dir, Options{}), sink, ShipperOptions{}))
	if len(sink.rows) != 2 || sink.rows[running.ID()].Outcome != gatehouse.Completed || sink.rows[kept.ID()].Outcome != gatehouse.Interrupted {
		t.Errorf("refused %d, rows %+v", refused, sink.rows)
	}
}

func TestASinkThatFailsLosesNothing(t *testing.T) {
	j := openJournal(t, t.TempDir(), Options{})
	sink := newMemorySink()
	sink.fail = errors.New("away")
	s := NewShipper(j, sink, ShipperOptions{BatchRows: 7})
	for range 100 {
		if err := begin(t, j, newOpen()).Close(sampleClose()); err != nil {
			t.Fatal(err)
		}
	}
	j.Sync()
	for range 3 {
		if _, err := s.round(t.Context()); err == nil {
			t.Fatal("no error")
		}
	}
	if l := s.Lag(); l.Failures != 3 || l.Bytes == 0 {
		t.Errorf("%+v", l)
	}
	sink.fail = nil
	drain(t, s)
	if l := s.Lag(); len(sink.rows) != 100 || l.Bytes != 0 || l.Age != 0 || l.Failures != 0 {
		t.Errorf("%d rows, %+v", len(sink.rows), l)
	}
}

func TestConcurrentRequestsAreEachCountedOnce(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, Options{SegmentSize: MinSegmentSize, SyncEvery: 4 * time.Millisecond})
	sink := newMemorySink()
	s := NewShipper(j, sink, ShipperOptions{BatchRows: 64})
	ctx, cancel := context.WithCancel(t.Context())
	var shipping, wg sync.WaitGroup
	shipping.Go(func() { s.Run(ctx) })
	const workers, each = 8, 500
	for range workers {
		wg.Go(func() {
			for i := range each {
				e, err := j.Begin(newOpen())
				if err != nil {
					t.Error(err)
					return
				}
				e.Progress(int64(i))
				if i%10 == 0 {
					err = e.Object("resp_" + e.ID().String())
				}
				if e := e.Close(sampleClose()); err != nil || e != nil {
					t.Error(err, e)
				}
			}
		})
	}
	wg.Wait()
	cancel()
	shipping.Wait()
	drain(t, s)
	if len(sink.rows) != workers*each || sink.repeats != 0 || len(sink.objects) != workers*each/10 {
		t.Errorf("%d rows, %d repeats, %d objects", len(sink.rows), sink.repeats, len(sink.objects))
	}
}

// What a power cut would take back must not be a row already.
func TestOnlySyncedRecordsAreShipped(t *testing.T) {
	j := openJournal(t, t.TempDir(), Options{SyncEvery: time.Hour})
	sink := newMemorySink()
	s := NewShipper(j, sink, ShipperOptions{})
	for range 2 {
		if err := begin(t, j, newOpen()).Close(sampleClose()); err != nil {
			t.Fatal(err)
		}
		if more, err := s.round(t.Context()); more || err != nil || len(sink.rows) != 0 {
			t.Fatal("shipped before the fsync", more, err, len(sink.rows))
		}
	}
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.round(t.Context()); err != nil || len(sink.rows) != 2 {
		t.Error(err, len(sink.rows))
	}
}

// A long request whose segment went away while it ran is still in the journal.
func TestALongRequestSurvivesTheTrimmingOfItsSegment(t *testing.T) {
	dir, sink := t.TempDir(), newMemorySink()
	j := openJournal(t, dir, Options{SegmentSize: MinSegmentSize})
	long := begin(t, j, newOpen())
	long.Progress(17)
	s := NewShipper(j, sink, ShipperOptions{})
	for range 4 {
		for range 1_000 {
			if err := begin(t, j, newOpen()).Close(sampleClose()); err != nil {
				t.Fatal(err)
			}
		}
		drain(t, s)
	}
	if j.segs[0].seq == 0 {
		t.Error("the first segment is still there")
	}
	j.Close()
	drain(t, NewShipper(openJournal(t, dir, Options{}), sink, ShipperOptions{}))
	if r := sink.rows[long.ID()]; r.Outcome != gatehouse.Interrupted || r.Usage[gatehouse.CompletionText] != 17 {
		t.Errorf("%+v", r)
	}
}

// Damage in the middle is kept for a person to look at; the rest is read.
func TestADamagedSegmentIsPutAside(t *testing.T) {
	dir, sink := t.TempDir(), newMemorySink()
	j := openJournal(t, dir, Options{SegmentSize: MinSegmentSize})
	for range 1_000 {
		if err := begin(t, j, newOpen()).Close(sampleClose()); err != nil {
			t.Fatal(err)
		}
	}
	path, n := j.segs[0].path, len(j.segs)
	j.Close()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt([]byte{0xff, 0xff}, MinSegmentSize-MinSegmentSize/8)
		f.Close()
	}
	if err != nil || n < 3 {
		t.Fatal(err, n)
	}
	drain(t, NewShipper(openJournal(t, dir, Options{}), sink, ShipperOptions{}))
	if _, err := os.Stat(path + ".damaged"); err != nil || len(sink.rows) < 900 {
		t.Error(err, len(sink.rows))
	}
}
