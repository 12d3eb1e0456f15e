package meter

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// severalSegments makes a journal of so many closed requests that they take
// more than one segment.
func severalSegments(t *testing.T, requests int) *Journal {
	t.Helper()
	j := openJournal(t, t.TempDir(), Options{SegmentSize: MinSegmentSize})
	more(t, j, requests)
	if n := j.Stats().Segments; n < 2 {
		t.Fatalf("%d segments", n)
	}
	return j
}

func more(t *testing.T, j *Journal, requests int) {
	t.Helper()
	for range requests {
		if err := begin(t, j, newOpen()).Close(sampleClose()); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
}

// A batch reaches over segments, and the next one may not open: too many files,
// an ill disk. What was read before it must not be lost with the error.
func TestAReadErrorInTheMiddleOfABatchLosesNothing(t *testing.T) {
	j := severalSegments(t, 1000)
	sink := newMemorySink()
	s := NewShipper(j, sink, ShipperOptions{BatchRows: 1 << 20})
	path := j.segs[1].path
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for range 3 {
		if _, err := s.round(t.Context()); err != nil {
			failed++
		}
	}
	if failed == 0 {
		t.Error("a segment that is away is not reported")
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	drain(t, s)
	if len(sink.rows) != 1000 {
		t.Errorf("%d rows of 1000", len(sink.rows))
	}
}

// unremovable puts a directory that is not empty in a segment's place.
type unremovable struct {
	*memorySink
	t    *testing.T
	path string
}

func (u *unremovable) Ingest(ctx context.Context, b Batch) error {
	if u.path != "" {
		os.Remove(u.path)
		if err := os.MkdirAll(filepath.Join(u.path, "x"), 0o700); err != nil {
			u.t.Fatal(err)
		}
		u.path = ""
	}
	return u.memorySink.Ingest(ctx, b)
}

// Else the segments behind it would be forgotten in its place, the one that
// takes frames among them.
func TestASegmentThatCannotBeRemovedHoldsNothingUp(t *testing.T) {
	j := severalSegments(t, 1000)
	sink := &unremovable{newMemorySink(), t, j.segs[0].path}
	s := NewShipper(j, sink, ShipperOptions{BatchRows: 1 << 20})
	for range 4 {
		drain(t, s)
		more(t, j, 500)
	}
	drain(t, s)
	if len(sink.rows) != 3000 {
		t.Errorf("%d rows of 3000", len(sink.rows))
	}
}
