package meter

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
)

// A day without control: the gateway restarts every six hours, tries to ship
// all the time, and hands out ids of objects. Afterwards each request has one
// row, memory did not grow with the day, and every object had its owner.
func TestADayWithoutControlLosesAndDoublesNothing(t *testing.T) {
	const perSecond, restarts = 1, 4
	dir, sink := t.TempDir(), newMemorySink()
	want := map[gatehouse.ID]gatehouse.Outcome{}
	var objects []string
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range restarts {
		// A bubble each, since a clock in one stands still while files are written.
		synctest.Test(t, func(t *testing.T) {
			j := openJournal(t, dir, Options{SyncEvery: time.Minute})
			s := NewShipper(j, sink, ShipperOptions{})
			sink.fail = away
			stop := make(chan struct{})
			go func() {
				for {
					s.round(t.Context())
					select {
					case <-stop:
						return
					case <-time.After(lastRetry):
					}
				}
			}()
			for n := range int(24*time.Hour/time.Second) / restarts * perSecond {
				o := newOpen()
				o.ID, o.Start = gatehouse.NewTimeID(time.Now()), time.Now()
				e := begin(t, j, o)
				want[o.ID] = gatehouse.Completed
				if n%10 == 0 {
					objects = append(objects, "resp_"+fmt.Sprint(len(objects)))
					if err := e.Object(objects[len(objects)-1]); err != nil {
						t.Fatal(err)
					}
				}
				if n%5000 == 17 {
					want[o.ID] = gatehouse.Interrupted
				} else if err := e.Close(sampleClose()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second / perSecond)
			}
			close(stop)
			if l := s.Lag(); l.Age < 5*time.Hour || l.Failed < 1000 {
				t.Errorf("lag after six hours: %+v", l)
			}
			j.Close()
		})
	}
	sink.fail = nil
	j := openJournal(t, dir, Options{})
	for i := 0; i < len(objects); i += 97 {
		if _, ok := j.Object(objects[i]); !ok {
			t.Fatalf("the owner of object %d of %d was forgotten", i, len(objects))
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	drain(t, NewShipper(j, sink, ShipperOptions{}))
	t.Logf("%d requests, %d objects, %d MiB of segments, heap %d → %d MiB", len(want), len(objects),
		segmentBytes(t, dir)>>20, before.HeapAlloc>>20, after.HeapAlloc>>20)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 { // most of it is what the test remembers
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	if sink.repeats != 0 || len(sink.rows) != len(want) || len(sink.objects) != len(objects) {
		t.Fatalf("%d rows of %d, %d repeats, %d objects of %d", len(sink.rows), len(want), sink.repeats, len(sink.objects), len(objects))
	}
	for id, outcome := range want {
		if sink.rows[id].Outcome != outcome {
			t.Fatalf("%s: %s, want %s", id, sink.rows[id].Outcome, outcome)
		}
	}
}

// Objects that the store does not have yet are found however many there are,
// and memory holds the newest alone.
func TestUnacknowledgedObjectsGoToDiskAndAreFound(t *testing.T) {
	var m objectMap
	m.init(t.TempDir())
	defer m.close()
	const n = 3*maxWaiting + 7
	object := func(i int) Object { return Object{ID: fmt.Sprint("resp_", i), TeamID: fixedID(byte(i)), Model: "m"} }
	for i := range n {
		m.add(object(i))
	}
	if len(m.byID) > maxWaiting || len(m.runs) == 0 {
		t.Errorf("%d objects in memory, %d runs", len(m.byID), len(m.runs))
	}
	for i := 0; i < n; i += 101 {
		if o, ok := m.get(object(i).ID); !ok || o.TeamID != fixedID(byte(i)) {
			t.Fatalf("object %d: %+v, %v", i, o, ok)
		}
	}
	if _, ok := m.get("resp_none"); ok {
		t.Error("an object that nobody made was found")
	}
	for i := 0; i < n; i += 1000 {
		var acked []Object
		for k := i; k < min(i+1000, n); k++ {
			acked = append(acked, object(k))
		}
		m.ack(acked)
		if next := i + 1000 + maxObjects; next < n {
			if _, ok := m.get(object(next).ID); !ok {
				t.Fatalf("object %d was forgotten before the store had it", next)
			}
		}
	}
	if len(m.runs) > 1 || len(m.byID) > maxWaiting+maxObjects || len(m.waiting) != 0 {
		t.Errorf("after all were acknowledged: %d runs, %d in memory, %d waiting", len(m.runs), len(m.byID), len(m.waiting))
	}
}
