package meter

import (
	"cmp"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"gatehouse"
)

// span is a segment as its reader sees it.
type span struct {
	seq     int64
	path    string
	base    int64
	limit   int64 // position up to which it may be read
	sealed  bool  // limit is final (always so in a dead incarnation)
	gateway gatehouse.ID
	damaged bool // reading stopped before the end of what was written
}

// pending is a request that was opened and, as far as was read, not closed.
type pending struct {
	open   string // payload
	at     int64  // offset of its newest open frame
	output int64
}

// stream reads one incarnation in order and joins opens with closes.
//
// A record is handed out when its close frame is read, so records come in the
// order of closing and a request that runs for an hour holds back nobody. What
// was handed out is described by offsets of the stream alone; after a crash the
// segments that are left are read again from their beginning and give the same
// batches' content at the same offsets.
type stream struct {
	gateway     gatehouse.ID
	incarnation int64
	dead        bool // nothing will be added: what is open at the end was interrupted
	spans       []*span

	at     int   // index of the span being read
	pos    int64 // position in it
	f      *os.File
	buf    []byte // bytes at pos
	chunk  []byte
	opens  map[gatehouse.ID]*pending
	last   time.Time      // latest time seen
	lost   []gatehouse.ID // interrupted requests not handed out yet, in order of opening
	ended  bool
	offset int64 // end of what was handed out
	usual  int   // records of the batch before

	resolved int64 // interrupted requests handed out
}

func newStream(gateway gatehouse.ID, incarnation int64) *stream {
	return &stream{gateway: gateway, incarnation: incarnation, opens: map[gatehouse.ID]*pending{}}
}

const readChunk = 256 << 10

// read returns the next batch of at most limit records, nil when there is
// nothing more for now.
func (s *stream) read(limit int) (*Batch, error) {
	b := &Batch{Gateway: s.gateway, Incarnation: s.incarnation, From: s.offset}
	for len(b.Records) < limit && len(b.Objects) < limit {
		more, err := s.step(b)
		if err != nil && len(b.Records)+len(b.Objects) == 0 {
			return nil, err
		}
		// What was taken is never read again, so it goes; the error comes again.
		if err != nil || !more {
			break
		}
	}
	b.To = s.offset
	if s.dead && s.at >= len(s.spans) && len(b.Records)+len(b.Objects) == 0 {
		b = s.interrupt(limit)
	}
	if len(b.Records)+len(b.Objects) == 0 {
		return nil, nil
	}
	s.usual = len(b.Records)
	return b, nil
}

// step reads one frame into b. more is false at the end of what may be read.
func (s *stream) step(b *Batch) (more bool, err error) {
	if s.at >= len(s.spans) {
		return false, nil
	}
	sp := s.spans[s.at]
	typ, payload, state := parseFrame(s.buf, s.incarnation, sp.base+s.pos)
	if state != frameGood {
		n, err := s.fill(sp)
		if err != nil {
			return false, err
		}
		if n > 0 {
			return true, nil
		}
		return s.finish(sp, state), nil
	}
	size := int64(frameHeader + len(payload))
	s.offset = sp.base + s.pos + size
	s.take(b, typ, payload, sp.base+s.pos)
	s.buf, s.pos = s.buf[size:], s.pos+size
	return true, nil
}

// fill reads on behind what is in buf, and reports how many bytes came.
func (s *stream) fill(sp *span) (int, error) {
	from := s.pos + int64(len(s.buf))
	n := min(sp.limit-from, readChunk-int64(len(s.buf)))
	if n <= 0 {
		return 0, nil
	}
	if s.f == nil {
		f, err := os.Open(sp.path)
		if err != nil {
			return 0, err
		}
		s.f = f
	}
	if s.chunk == nil {
		s.chunk = make([]byte, readChunk)
	}
	kept := copy(s.chunk, s.buf)
	got, err := s.f.ReadAt(s.chunk[kept:kept+int(n)], from)
	s.buf = s.chunk[:kept+got]
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return got, err
}

// finish ends a span when nothing will be added to it, and says whether there
// is another to read.
func (s *stream) finish(sp *span, state frameState) bool {
	if !sp.sealed && !s.dead {
		return false
	}
	sp.damaged = state != frameEnd && s.at < len(s.spans)-1
	s.at++
	s.pos, s.buf = 0, nil
	s.close()
	return s.at < len(s.spans)
}

func (s *stream) close() {
	if s.f != nil {
		s.f.Close()
		s.f = nil
	}
}

// take applies one frame.
func (s *stream) take(b *Batch, typ byte, payload []byte, at int64) {
	switch typ {
	case frameOpen:
		s.takeOpen(string(payload), at)
	case frameClose:
		s.takeClose(b, string(payload))
	case frameObject:
		b.Objects = append(b.Objects, decodeObject(string(payload)))
	case frameProgress:
		id, output := decodeProgress(string(payload))
		if p := s.opens[id]; p != nil {
			p.output = output
		}
	case frameVoid:
		var id gatehouse.ID
		copy(id[:], payload)
		delete(s.opens, id)
	}
}

func (s *stream) takeOpen(payload string, at int64) {
	d := decoder{payload}
	var id gatehouse.ID
	d.id(&id)
	if start := d.time(); start.After(s.last) {
		s.last = start
	}
	if p := s.opens[id]; p != nil {
		p.at = at // written again, so that its old segment can go
		return
	}
	s.opens[id] = &pending{open: payload, at: at}
}

// takeClose hands a record out. A close without its open is one whose record
// was acknowledged: the segment of the open is deleted only then.
func (s *stream) takeClose(b *Batch, payload string) {
	id, c := decodeClose(payload)
	if c.Close.After(s.last) {
		s.last = c.Close
	}
	p := s.opens[id]
	if p == nil {
		return
	}
	delete(s.opens, id)
	o := decodeOpen(p.open)
	if b.Records == nil {
		// A record is 700 bytes: what grows to a batch by doubling is made twice.
		b.Records, b.Ends = make([]gatehouse.UsageRecord, 0, s.usual), make([]int64, 0, s.usual)
	}
	b.add(join(s.gateway, &o, &c), s.offset)
}

// interrupt hands out what a dead incarnation left open.
func (s *stream) interrupt(limit int) *Batch {
	if !s.ended {
		s.ended = true
		for id := range s.opens {
			s.lost = append(s.lost, id)
		}
		slices.SortFunc(s.lost, func(x, y gatehouse.ID) int { return cmp.Compare(s.opens[x].at, s.opens[y].at) })
	}
	b := &Batch{Gateway: s.gateway, Incarnation: s.incarnation, From: s.resolved, Interrupted: true}
	for len(s.lost) > 0 && len(b.Records) < limit {
		p := s.opens[s.lost[0]]
		o := decodeOpen(p.open)
		s.resolved++
		b.add(interrupted(s.gateway, &o, p.output, s.last), s.resolved)
		delete(s.opens, s.lost[0])
		s.lost = s.lost[1:]
	}
	b.To = s.resolved
	return b
}

// passed counts the spans at the beginning that are wholly acknowledged, and
// how many of these no open request needs any more.
func (s *stream) passed(acked int64) (done, free int) {
	oldest := int64(-1) // offset of the oldest open frame still needed
	for _, p := range s.opens {
		if oldest < 0 || p.at < oldest {
			oldest = p.at
		}
	}
	for i := range s.spans {
		if i >= s.at || s.end(i) > acked {
			break
		}
		done++
		if oldest < 0 || oldest >= s.end(i) {
			free = done
		}
	}
	return done, free
}

// exhausted reports that everything of a dead incarnation was handed out.
func (s *stream) exhausted() bool {
	return s.dead && s.at >= len(s.spans) && s.ended && len(s.lost) == 0
}

// end is an offset that no frame of span i reaches and every later frame does.
func (s *stream) end(i int) int64 {
	if i+1 < len(s.spans) {
		return min(s.spans[i+1].base, s.spans[i].base+s.spans[i].limit)
	}
	return s.spans[i].base + s.spans[i].limit
}

// drop forgets the first n spans and removes their files. A damaged one is
// kept under another name, and one that cannot be removed waits for the next
// start, which ships it again to no effect.
func (s *stream) drop(n int) error {
	var errs []error
	for _, sp := range s.spans[:n] {
		var err error
		if sp.damaged {
			err = os.Rename(sp.path, sp.path+damagedSuffix)
		} else {
			err = os.Remove(sp.path)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	s.spans, s.at = s.spans[n:], s.at-n
	return errors.Join(errs...)
}
