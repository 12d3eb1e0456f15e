package meter

import (
	"context"
	"log/slog"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse"
)

// Batch is a run of a journal: the records and objects whose frames lie in
// (From, To] of one incarnation's stream. Records are in the order of closing.
//
// Requests that a dead incarnation left open come in batches of their own, after
// all others, and are counted from 1: behind a torn tail there is no telling
// which offsets were handed out before it tore, so they cannot have any.
type Batch struct {
	Gateway     gatehouse.ID            `json:"gateway"`
	Incarnation int64                   `json:"incarnation"`
	From        int64                   `json:"from"`
	To          int64                   `json:"to"`
	Interrupted bool                    `json:"interrupted,omitempty"`
	Records     []gatehouse.UsageRecord `json:"records,omitempty"`
	Ends        []int64                 `json:"ends,omitempty"` // offset behind each record's close frame; none from old senders
	Objects     []Object                `json:"objects,omitempty"`
}

func (b *Batch) add(r gatehouse.UsageRecord, end int64) {
	b.Records, b.Ends = append(b.Records, r), append(b.Ends, end)
}

// stream numbers what the high-water mark counts.
func (b *Batch) stream() int64 {
	if b.Interrupted {
		return -b.Incarnation
	}
	return b.Incarnation
}

// past is the batch without the records up to a mark. A reader that starts over
// cuts its batches elsewhere, so the mark lies inside one; what is below it is
// known even where its rows were dropped by retention since.
func (b *Batch) past(mark int64) Batch {
	out := *b
	if len(b.Ends) != len(b.Records) {
		return out
	}
	n := sort.Search(len(b.Ends), func(i int) bool { return b.Ends[i] > mark })
	out.Records, out.Ends = b.Records[n:], b.Ends[n:]
	return out
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
	failed   atomic.Int64
	waits    atomic.Int64 // len(old)
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
	s := &Shipper{j: j, sink: sink, o: o, old: j.old, live: newStream(j.o.Gateway, j.incarnation)}
	s.waits.Store(int64(len(s.old)))
	return s
}

// Run ships until ctx ends, and then returns nil. A sink that fails is tried
// again, at first after 50 ms, later every 5 s: usage is never dropped.
func (s *Shipper) Run(ctx context.Context) error {
	wait, alarmed := firstRetry, false
	for ctx.Err() == nil {
		more, err := s.round(ctx)
		alarmed = s.alarm(alarmed)
		switch {
		case err != nil:
			if n := s.failures.Load(); n&(n-1) == 0 { // a day of failures is no day of lines
				s.o.Log.Warn("usage not shipped", "error", err, "failures", n)
			}
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

// alarm says once that the journal fills up, while there is time to act, and
// once that it has room again.
func (s *Shipper) alarm(alarmed bool) bool {
	seen, limit := s.j.room.look(), s.j.o.MaxBytes
	full := limit > 0 && seen.bytes > limit/alarmShare
	switch {
	case full && !alarmed:
		s.o.Log.Error("the usage journal fills up: at its limit requests are refused", "bytes", seen.bytes, "limit", limit)
	case !full && alarmed:
		s.o.Log.Info("the usage journal has room again", "bytes", seen.bytes, "limit", limit)
	}
	return full
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
			return s.left(ctx.Err())
		}
		if err == nil {
			wait = firstRetry
			continue
		}
		pause(ctx, wait)
		wait = min(2*wait, lastRetry)
	}
}

// left says what a stop leaves behind, and how it gets home.
func (s *Shipper) left(cause error) error {
	l := s.Lag()
	s.o.Log.Error("usage is left to ship: it goes with the next start, or with gatehouse journal ship",
		"journal", s.j.dir, "bytes", l.Bytes, "incarnations", l.Incarnations, "waiting", l.Age.String())
	return gatehouse.Errorf(gatehouse.DeadlineExceeded, "%d bytes of usage are left to ship, and %d earlier incarnations", l.Bytes, l.Incarnations).Because(cause)
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
			s.fail()
			return false, ioError("the usage journal cannot be read", err)
		}
	}
	if s.held != nil {
		s.behind.CompareAndSwap(0, s.j.o.Now().UnixNano())
		if err := s.sink.Ingest(ctx, *s.held); err != nil {
			s.fail()
			return false, err
		}
		s.failures.Store(0)
		s.rows.Add(int64(len(s.held.Records)))
		s.j.objects.ack(s.held.Objects)
		s.held, more = nil, true
	} else if st == s.live {
		s.behind.Store(0)
	}
	more = s.trim(st) || more
	s.waits.Store(int64(len(s.old)))
	return more, nil
}

func (s *Shipper) fail() {
	s.failures.Add(1)
	s.failed.Add(1)
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
	Failed       int64         // all failed batches since the start
	Incarnations int           // earlier incarnations with something left
	Rows         int64         // shipped since the start
}

// Lag says how far shipping is behind, for metrics.
func (s *Shipper) Lag() Lag {
	l := Lag{Failures: s.failures.Load(), Failed: s.failed.Load(), Rows: s.rows.Load(), Incarnations: int(s.waits.Load())}
	if t := s.behind.Load(); t != 0 {
		l.Age = s.j.o.Now().Sub(time.Unix(0, t))
	}
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	last := s.j.segs[len(s.j.segs)-1]
	l.Bytes = max(last.base+last.synced-s.j.shipped, 0)
	return l
}
