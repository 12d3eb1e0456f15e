package meter

import (
	"os"
	"path/filepath"

	"gatehouse"
)

// put appends a frame to the last segment and returns its ticket: once written
// or synced reaches it, the kernel or the disk has the frame. Needs mu.
func (j *Journal) put(typ byte, payload []byte, sum uint32) int64 {
	s := j.segs[len(j.segs)-1]
	size := int64(frameHeader + len(payload))
	if s.end()+size > j.o.SegmentSize && j.spare != nil {
		j.rotate()
		s = j.segs[len(j.segs)-1]
	}
	// Without a spare the file grows beyond its preallocation. Only frames of
	// requests that already began come this far; they may not be refused.
	s.buf = appendFrame(s.buf, typ, payload, sum, j.incarnation, s.base+s.end())
	j.appended += size
	s.ticket = j.appended
	if j.appended-j.synced.Load() >= syncBytes {
		nudge(j.kick)
	}
	return s.ticket
}

// rotate makes the spare the segment that takes frames. Needs mu, or nobody
// else about.
func (j *Journal) rotate() {
	s := j.spare
	j.spare = nil
	if n := len(j.segs); n > 0 {
		last := j.segs[n-1]
		last.sealed = true
		s.base = last.next(j.o.SegmentSize)
	}
	header := encodeSegment(j.o.Gateway, j.incarnation, s.base)
	s.buf = appendFrame(make([]byte, 0, 64<<10), frameSegment, header, frameSum(frameSegment, header), j.incarnation, s.base)
	s.ticket = j.appended
	j.segs, j.dirty = append(j.segs, s), append(j.dirty, s)
	nudge(j.kick)
}

// makeSpare creates the next segment unless it is there. One goroutine creates
// at a time, so that sequence numbers and order of use agree.
func (j *Journal) makeSpare() error {
	j.cmu.Lock()
	defer j.cmu.Unlock()
	j.mu.Lock()
	if j.spare != nil || j.closed {
		j.mu.Unlock()
		return nil
	}
	seq := j.nextSeq
	j.nextSeq++
	j.mu.Unlock()
	path := filepath.Join(j.dir, segmentName(j.incarnation, seq))
	f, err := j.room.open(path, j.o.SegmentSize)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		f.Close()
		return os.Remove(path)
	}
	j.spare = &segment{seq: seq, path: path, f: f}
	return nil
}

func (j *Journal) lastSeq() int64 {
	if len(j.segs) == 0 {
		return -1
	}
	return j.segs[len(j.segs)-1].seq
}

// commit waits until a ticket is as durable as the journal promises.
func (j *Journal) commit(ticket int64) error {
	if j.o.Durability == PerRequest {
		return j.sync(ticket)
	}
	return j.flush(ticket)
}

// flush returns once the kernel has a ticket. Whoever holds wmu writes for all
// that came before it asked.
func (j *Journal) flush(ticket int64) error {
	if j.written.Load() >= ticket {
		return nil
	}
	j.wmu.Lock()
	defer j.wmu.Unlock()
	return j.writeAll(ticket)
}

// writeAll needs wmu.
func (j *Journal) writeAll(ticket int64) error {
	for j.written.Load() < ticket {
		if err := j.heal(); err != nil {
			return err
		}
		s, b, at, upTo := j.unwritten()
		if s == nil {
			return nil
		}
		if _, err := s.f.WriteAt(b, at); err != nil {
			if err := j.replace(s, err); err != nil {
				return err
			}
			continue
		}
		s.written = at + int64(len(b))
		j.written.Store(upTo)
	}
	return nil
}

// unwritten is the first run of bytes that the kernel lacks. The bytes may be
// read without mu: appending never changes them, and forget needs wmu.
func (j *Journal) unwritten() (s *segment, b []byte, at, upTo int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.dirty {
		if s.written < s.end() {
			return s, s.buf[s.written-s.synced:], s.written, s.ticket
		}
	}
	return nil, nil, 0, 0
}

// Sync makes everything appended so far durable.
func (j *Journal) Sync() error {
	j.mu.Lock()
	ticket := j.appended
	j.mu.Unlock()
	return j.sync(ticket)
}

// sync returns once the disk has a ticket. Whoever waited for smu usually finds
// that the one before synced for it too.
func (j *Journal) sync(ticket int64) error {
	if j.synced.Load() >= ticket {
		return nil
	}
	j.smu.Lock()
	defer j.smu.Unlock()
	for j.synced.Load() < ticket {
		if err := j.syncOnce(); err != nil {
			return err
		}
	}
	return nil
}

// mark is how far a segment was written when its fsync began.
type mark struct {
	s  *segment
	f  file // held here, since replace takes it from the segment
	at int64
}

func (j *Journal) syncOnce() error {
	marks, upTo, err := j.writeForSync()
	if err != nil {
		return err
	}
	for _, m := range marks {
		if err := m.f.Datasync(); err != nil {
			j.wmu.Lock()
			err = j.replace(m.s, err)
			j.wmu.Unlock()
			return err // nil: the caller starts over with the new segment
		}
	}
	j.settle(marks, upTo)
	nudge(j.ready)
	return nil
}

func (j *Journal) writeForSync() (marks []mark, upTo int64, err error) {
	j.wmu.Lock()
	defer j.wmu.Unlock()
	j.mu.Lock()
	all := j.appended
	j.mu.Unlock()
	if err := j.writeAll(all); err != nil {
		return nil, 0, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.dirty {
		marks = append(marks, mark{s, s.f, s.written})
	}
	return marks, j.written.Load(), nil
}

// settle notes what an fsync covered, and lets go of segments that it completed.
func (j *Journal) settle(marks []mark, upTo int64) {
	j.wmu.Lock()
	defer j.wmu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.dirty) == 0 || j.dirty[0] != marks[0].s {
		return // a write failed meanwhile: its frames moved on and are not covered
	}
	for _, m := range marks {
		m.s.forget(m.at)
	}
	for len(j.dirty) > 1 && len(j.dirty[0].buf) == 0 {
		j.dirty[0].f.Close()
		j.dirty[0].f, j.dirty[0].buf = nil, nil
		j.dirty = j.dirty[1:]
	}
	j.synced.Store(upTo)
}

// heal moves on from segments that failed when there was no place to move to.
// They are not written to again: their fsync would lie. Needs wmu.
func (j *Journal) heal() error {
	j.mu.Lock()
	cause := j.broken
	var s *segment
	if len(j.dirty) > 0 {
		s = j.dirty[0]
	}
	j.mu.Unlock()
	if cause == nil || s == nil {
		return nil
	}
	return j.replace(s, cause)
}

// replace gives up on every segment that is not wholly synced and writes their
// unsynced frames into a new one. A retried fsync is never trusted: the kernel
// reports an error once and then forgets the pages. Needs wmu.
func (j *Journal) replace(s *segment, cause error) error {
	j.mu.Lock()
	stale := len(j.dirty) == 0 || s.seq < j.dirty[0].seq
	if !stale {
		j.broken = cause // until the move below succeeded
		j.written.Store(j.synced.Load())
	}
	j.mu.Unlock()
	if stale {
		return nil
	}
	if err := j.makeSpare(); err != nil {
		return ioError("the usage journal cannot be written", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.spare == nil {
		return ioError("the usage journal cannot be written", cause)
	}
	lost := j.dirty
	j.dirty = nil
	j.rotate()
	j.failed.Add(int64(len(lost)))
	into := j.segs[len(j.segs)-1]
	for _, d := range lost {
		j.moveFrames(into, d)
	}
	into.ticket = j.appended
	j.written.Store(j.synced.Load())
	j.broken = nil
	return nil
}

// moveFrames appends the unsynced frames of from to into, each with the
// checksum of its new place, and ends from where the disk has it.
func (j *Journal) moveFrames(into, from *segment) {
	for at := 0; at < len(from.buf); {
		typ, payload, state := parseFrame(from.buf[at:], j.incarnation, from.base+from.synced+int64(at))
		if state != frameGood {
			break
		}
		if typ != frameSegment {
			into.buf = appendFrame(into.buf, typ, payload, frameSum(typ, payload), j.incarnation, into.base+into.end())
		}
		at += frameHeader + len(payload)
	}
	from.f.Close()
	from.f, from.buf, from.sealed = nil, nil, true
}

// admit says why no request may begin now, making room where that helps.
func (j *Journal) admit() error {
	j.mu.Lock()
	full := j.full()
	j.mu.Unlock()
	if full {
		if err := j.makeSpare(); err != nil {
			return ioError("the usage journal is full", err)
		}
	}
	return nil
}

// full reports that the rest of the last segment is kept for requests that
// already began. At the limit on disk that is all of it: else a gateway that
// starts over and over would take half a segment more each time. Needs mu.
func (j *Journal) full() bool {
	return j.spare == nil && (j.room.refused.Load() || j.segs[len(j.segs)-1].end() > j.o.SegmentSize/2)
}

// refuse is the reason not to begin a request. Needs mu.
func (j *Journal) refuse() error {
	switch {
	case j.closed:
		return gatehouse.Errorf(gatehouse.Unavailable, "the gateway is stopping")
	case j.broken != nil:
		return ioError("the usage journal cannot be written", j.broken)
	case j.appended-j.synced.Load() > maxUnsynced:
		return ioError("the usage journal is behind", nil)
	}
	return nil
}
