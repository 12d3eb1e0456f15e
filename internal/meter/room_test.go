package meter

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

// away is what a sink says while nobody is there.
var away = gatehouse.Errorf(gatehouse.Unavailable, "control is away")

// fill begins and closes requests until the journal refuses one.
func fill(t *testing.T, j *Journal) (taken int) {
	t.Helper()
	for ; taken < 100_000; taken++ {
		e, err := j.Begin(newOpen())
		if err != nil {
			if !errors.Is(err, gatehouse.Unavailable) {
				t.Fatalf("refused with %v, which is no 503", err)
			}
			return taken
		}
		if err := e.Close(sampleClose()); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the journal took everything")
	return 0
}

// segmentBytes is what the directory's segments take.
func segmentBytes(t *testing.T, dir string) (sum int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if info, err := os.Stat(n); err == nil {
			sum += info.Size()
		}
	}
	return sum
}

// Nothing is served that cannot be billed, what began is written down all the
// same, and service resumes by itself.
func TestAtTheLimitOnDiskNewRequestsAreRefusedAndOldOnesAreKept(t *testing.T) {
	const limit = 8 * MinSegmentSize
	now := time.Now()
	dir, log := t.TempDir(), &strings.Builder{}
	j := openJournal(t, dir, Options{SegmentSize: MinSegmentSize, MaxBytes: limit, Now: func() time.Time { return now }})
	sink := newMemorySink()
	s := NewShipper(j, sink, ShipperOptions{Log: slog.New(slog.NewTextHandler(log, nil))})
	sink.fail = away
	var running []*Entry
	for range 50 {
		running = append(running, begin(t, j, newOpen()))
	}
	taken := fill(t, j)
	if got := segmentBytes(t, dir); got > limit {
		t.Errorf("%d bytes on disk, limit %d", got, limit)
	}
	if j.Ready() == nil || !j.Stats().Full {
		t.Errorf("a full journal says that it is ready: %+v", j.Stats())
	}
	for _, e := range running {
		if err := e.Close(sampleClose()); err != nil {
			t.Fatalf("a request that began could not be written down: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if alarmed := s.alarm(false); !alarmed || !strings.Contains(log.String(), "fills up") {
		t.Errorf("no alarm: %s", log)
	}
	if err := s.Drain(ctx); !errors.Is(err, gatehouse.DeadlineExceeded) || !strings.Contains(log.String(), "journal ship") {
		t.Errorf("a drain that left usage behind said %v, log %s", err, log)
	}

	sink.fail = nil
	drain(t, s)
	now = now.Add(time.Second)
	if err := j.Ready(); err != nil {
		t.Errorf("after shipping: %v", err)
	}
	begin(t, j, newOpen()).Void()
	if len(sink.rows) != taken+50 || sink.repeats != 0 {
		t.Errorf("%d rows of %d, %d repeats", len(sink.rows), taken+50, sink.repeats)
	}
}

func TestARestartWithAFullJournalComesUpRefusesAndShips(t *testing.T) {
	const limit = 6 * MinSegmentSize
	dir, sink, taken := t.TempDir(), newMemorySink(), 0
	o := Options{SegmentSize: MinSegmentSize, MaxBytes: limit}
	for start := range 20 {
		j := openJournal(t, dir, o)
		n := fill(t, j)
		if start > 0 && n > 0 {
			t.Errorf("start %d took %d requests beyond the limit", start, n)
		}
		taken += n
		j.Close()
	}
	if got := segmentBytes(t, dir); got > limit+2*MinSegmentSize {
		t.Errorf("restarts made %d bytes of segments, limit %d", got, limit)
	}
	j := openJournal(t, dir, o)
	drain(t, NewShipper(j, sink, ShipperOptions{}))
	if len(sink.rows) != taken {
		t.Errorf("%d rows of %d", len(sink.rows), taken)
	}
	for deadline := time.Now().Add(5 * time.Second); j.Ready() != nil; {
		if time.Now().After(deadline) {
			t.Fatal("not ready after everything was shipped")
		}
	}
}

func TestADiskWithoutRoomRefusesBeforeItIsFull(t *testing.T) {
	j := openJournal(t, t.TempDir(), Options{SegmentSize: MinSegmentSize, MinFree: 1 << 60})
	if _, err := j.Begin(newOpen()); !errors.Is(err, gatehouse.Unavailable) {
		t.Errorf("got %v", err)
	}
}
