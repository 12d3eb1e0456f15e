package meter

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse"
)

// Batch is a run of a journal: the records and objects whose frames lie in
// (From, To] of one incarnation's stream. Records are in the order of closing.
type Batch struct {
	Gateway     gatehouse.ID            `json:"gateway"`
	Incarnation int64                   `json:"incarnation"`
	From        int64                   `json:"from"`
	To          int64                   `json:"to"`
	Records     []gatehouse.UsageRecord `json:"records,omitempty"`
	Objects     []Object                `json:"objects,omitempty"`
}

// Sink takes batches. nil means that the batch is durable there, whatever was
// durable before: it may be deleted here. A sink must bear the same batch, or
// parts of it, any number of times.
type Sink interface {
	Ingest(ctx context.Context, b Batch) error
}

// Bounds of shipping. 800 rows keep one ingest transaction near ten
// milliseconds on SQLite.
const (
	DefaultBatchRows = 800
	firstRetry       = 50 * time.Millisecond
	lastRetry        = 5 * time.Second
)

// ShipperOptions shape a shipper. Zero fields take the defaults.
type ShipperOptions struct {
	BatchRows int // records per batch, default DefaultBatchRows
	Log       *slog.Logger
}

// Shipper moves synced records from a journal to a sink, and deletes the
// journal's segments behind it.
type Shipper struct {
	j    *Journal
	sink Sink
	o    ShipperOptions

	mu   sync.Mutex // one round at a time
	old  []*stream
	live *stream
	held *Batch // read, and not acknowledged

	failures atomic.Int64
	rows     atomic.Int64
	behind   atomic.Int64 // unix nanoseconds since when something waits; 0: nothing does
}

// NewShipper makes a shipper. A journal has one, since it remembers what was
// read.
func NewShipper(j *Journal, sink Sink, o ShipperOptions) *Shipper {
	if o.BatchRows <= 0 {
		o.BatchRows = DefaultBatchRows
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Shipper{j: j, sink: sink, o: o, old: j.old, live: newStream(j.o.Gateway, j.incarnation)}
}

// Run ships until ctx ends, and then returns nil. A sink that fails is tried
// again, at first after 50 ms, later every 5 s: usage is never dropped.
func (s *Shipper) Run(ctx context.Context) error {
	wait := firstRetry
	for ctx.Err() == nil {
		more, err := s.round(ctx)
		switch {
		case err != nil:
			s.o.Log.Warn("usage not shipped", "error", err, "failures", s.failures.Load())
			pause(ctx, wait)
			wait = min(2*wait, lastRetry)
		case more:
			wait = firstRetry
		default:
			select {
			case <-ctx.Done():
			case <-s.j.ready:
			}
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// Drain syncs the journal and ships all that is complete. It gives up when ctx
// ends; what is left is shipped after the next start.
func (s *Shipper) Drain(ctx context.Context) error {
	if err := s.j.Sync(); err != nil {
		return err
	}
	for wait := firstRetry; ; {
		more, err := s.round(ctx)
		if err == nil && !more {
			return nil
		}
		if ctx.Err() != nil {
			return gatehouse.Errorf(gatehouse.DeadlineExceeded, "usage is left to ship").Because(ctx.Err())
		}
		if err == nil {
			wait = firstRetry
			continue
		}
		pause(ctx, wait)
		wait = min(2*wait, lastRetry)
	}
}

// round ships at most one batch. more is false when nothing waits.
func (s *Shipper) round(ctx context.Context) (more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.live
	if len(s.old) > 0 {
		st = s.old[0]
	} else {
		s.j.spansFor(st)
	}
	if s.held == nil {
		if s.held, err = st.read(s.o.BatchRows); err != nil {
			s.failures.Add(1)
			return false, ioError("the usage journal cannot be read", err)
		}
	}
	if s.held != nil {
		s.behind.CompareAndSwap(0, s.j.o.Now().UnixNano())
		if err := s.sink.Ingest(ctx, *s.held); err != nil {
			s.failures.Add(1)
			return false, err
		}
		s.failures.Store(0)
		s.rows.Add(int64(len(s.held.Records)))
		s.j.objects.ack(s.held.Objects)
		s.held, more = nil, true
	} else if st == s.live {
		s.behind.Store(0)
	}
	return s.trim(st) || more, nil
}

// trim deletes what st has had acknowledged: all that it read, since nothing
// is held. It reports whether st was an old incarnation that is done with.
func (s *Shipper) trim(st *stream) bool {
	if st != s.live {
		if !st.exhausted() {
			return false
		}
		if err := st.drop(len(st.spans)); err != nil {
			s.o.Log.Warn("journal segment not removed", "error", err)
		}
		s.old = s.old[1:]
		return true
	}
	done, free := st.passed(st.offset)
	if done-free >= 2 {
		s.j.carry(st.spans[done-1].seq)
	}
	s.j.dropSegments(free, st.offset)
	if err := st.drop(free); err != nil {
		s.o.Log.Warn("journal segment not removed", "error", err)
	}
	return false
}

// spansFor tells a reader of this incarnation how far it may read.
func (j *Journal) spansFor(st *stream) {
	j.mu.Lock()
	defer j.mu.Unlock()
	known := map[int64]*span{}
	for _, sp := range st.spans {
		known[sp.seq] = sp
	}
	for _, s := range j.segs {
		sp := known[s.seq]
		if sp == nil {
			sp = &span{seq: s.seq, path: s.path, base: s.base, gateway: j.o.Gateway}
			st.spans = append(st.spans, sp)
		}
		sp.limit, sp.sealed = s.synced, s.sealed && len(s.buf) == 0
	}
}

// dropSegments forgets the first n segments; shipped is what was acknowledged.
func (j *Journal) dropSegments(n int, shipped int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.segs = j.segs[n:]
	j.shipped = shipped
}

// Lag is the distance between what is durable here and what was acknowledged.
type Lag struct {
	Bytes        int64         // synced in this incarnation and not acknowledged
	Age          time.Duration // how long something has been waiting; 0 when nothing does
	Failures     int64         // consecutive failed batches
	Incarnations int           // earlier incarnations with something left
	Rows         int64         // shipped since the start
}

// Lag says how far shipping is behind, for metrics.
func (s *Shipper) Lag() Lag {
	l := Lag{Failures: s.failures.Load(), Rows: s.rows.Load()}
	if t := s.behind.Load(); t != 0 {
		l.Age = s.j.o.Now().Sub(time.Unix(0, t))
	}
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	last := s.j.segs[len(s.j.segs)-1]
	l.Bytes = max(last.base+last.synced-s.j.shipped, 0)
	return l
}
