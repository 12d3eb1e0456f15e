package meter

import (
	"sync"
	"sync/atomic"

	"gatehouse"
)

// Entry is one request between Begin and Close. It is used by one goroutine,
// but for Progress, which any may call.
type Entry struct {
	j          *Journal
	prev, next *Entry // ring of open entries; guarded by Journal.mu
	done       bool   // guarded by Journal.mu
	seq        int64  // segment of the newest open frame; guarded by Journal.mu
	open       []byte // payload of the open frame

	id, team   gatehouse.ID
	upstreamID gatehouse.ID
	model      string
	changed    bool // Retarget was called
	upstream   string

	output atomic.Int64
	posted int64 // output in the newest progress frame; guarded by Journal.mu
}

// Begin writes the open record. When it returns nil the record survives the
// death of this process (and, per request, of the machine), so the first byte
// may go to an upstream. Unavailable, with advice when to retry, means that it
// must not.
func (j *Journal) Begin(open OpenRecord) (*Entry, error) {
	e := &Entry{j: j, id: open.ID, team: open.TeamID, upstreamID: open.UpstreamID, model: open.Model}
	e.open = encodeOpen((*payloads.Get().(*[]byte))[:0], &open)
	ticket, err := j.enter(e, frameSum(frameOpen, e.open))
	if err != nil {
		return nil, err
	}
	if err := j.commit(ticket); err != nil {
		// The frame may still reach the disk with the next segment; the void
		// frame behind it keeps it from being billed.
		_ = e.Void()
		return nil, err
	}
	return e, nil
}

// enter appends the open frame and links the entry.
func (j *Journal) enter(e *Entry, sum uint32) (int64, error) {
	for range 16 { // others may fill what admit made
		j.mu.Lock()
		if err := j.refuse(); err != nil {
			j.mu.Unlock()
			return 0, err
		}
		if !j.full() {
			ticket := j.put(frameOpen, e.open, sum)
			e.seq = j.lastSeq()
			e.prev, e.next = j.live.prev, &j.live
			e.prev.next, j.live.prev = e, e
			j.liveN++
			j.mu.Unlock()
			return ticket, nil
		}
		j.mu.Unlock()
		if err := j.admit(); err != nil {
			return 0, err
		}
	}
	return 0, ioError("the usage journal is full", nil)
}

// leave unlinks the entry and appends its last frame. ok is false when it had left already.
func (j *Journal) leave(e *Entry, typ byte, payload []byte) (ticket int64, ok bool) {
	sum := frameSum(typ, payload)
	j.mu.Lock()
	defer j.mu.Unlock()
	if e.done {
		return 0, false
	}
	e.done = true
	e.prev.next, e.next.prev = e.next, e.prev
	j.liveN--
	e.recycle()
	return j.put(typ, payload, sum), true
}

// recycle gives the payload's memory back. Needs Journal.mu: carry reads it.
func (e *Entry) recycle() {
	open := e.open
	e.open = nil
	payloads.Put(&open)
}

// ID is that of the usage record.
func (e *Entry) ID() gatehouse.ID { return e.id }

// Retarget says that the request goes elsewhere than the open record said:
// another upstream, or another model after a fallback. It writes nothing;
// Object and Close use it.
func (e *Entry) Retarget(upstreamID gatehouse.ID, upstream, model string) {
	e.upstreamID, e.upstream, e.model, e.changed = upstreamID, upstream, model, true
}

// Object records that the upstream handed out id to this request's team. It
// must be called before the client sees id: whoever has an id can use it, on
// any gateway, after any crash.
func (e *Entry) Object(id string) error {
	if len(id) > maxText {
		return gatehouse.Errorf(gatehouse.Internal, "the upstream's id is longer than %d bytes", maxText)
	}
	o := Object{ID: id, TeamID: e.team, UpstreamID: e.upstreamID, Model: e.model, CreateTime: e.j.o.Now().UTC()}
	payload := encodeObject(nil, &o)
	sum := frameSum(frameObject, payload)
	e.j.mu.Lock()
	ticket := e.j.put(frameObject, payload, sum)
	e.j.mu.Unlock()
	e.j.objects.add(o)
	return e.j.commit(ticket)
}

// Progress notes how many tokens of output were seen so far, for the estimate
// should this process die. It costs one store; the journal's keeper writes it
// down within SyncEvery/4.
func (e *Entry) Progress(output int64) { e.output.Store(output) }

var payloads = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// Close writes the close record; a second Close does nothing. On an error the
// record is kept in memory and written once the disk works again.
func (e *Entry) Close(c CloseRecord) error {
	if e.changed {
		if c.Model == "" {
			c.Model = e.model
		}
		if c.Upstream == "" {
			c.Upstream = e.upstream
		}
	}
	if c.Close.IsZero() {
		c.Close = e.j.o.Now()
	}
	buf := payloads.Get().(*[]byte)
	*buf = encodeClose((*buf)[:0], e.id, &c)
	ticket, ok := e.j.leave(e, frameClose, *buf)
	payloads.Put(buf)
	if !ok {
		return nil
	}
	return e.j.commit(ticket)
}

// Void takes the record back: no byte of the request reached any upstream, so
// nothing is owed and no usage row is made.
func (e *Entry) Void() error {
	ticket, ok := e.j.leave(e, frameVoid, e.id[:])
	if !ok {
		return nil
	}
	return e.j.commit(ticket)
}

// postProgress appends a frame for every entry whose output grew.
func (j *Journal) postProgress() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for e := j.live.next; e != &j.live; e = e.next {
		j.putProgress(e, false)
	}
}

// putProgress needs mu.
func (j *Journal) putProgress(e *Entry, again bool) {
	n := e.output.Load()
	if n == 0 || (n == e.posted && !again) {
		return
	}
	e.posted = n
	payload := encodeProgress(make([]byte, 0, 32), e.id, n)
	j.put(frameProgress, payload, frameSum(frameProgress, payload))
}

// carry writes the open records of a segment again further on, so that one
// long stream does not keep the files of everything after it.
func (j *Journal) carry(seq int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for e := j.live.next; e != &j.live; e = e.next {
		if e.seq > seq {
			continue
		}
		j.put(frameOpen, e.open, frameSum(frameOpen, e.open))
		j.putProgress(e, true)
		e.seq = j.lastSeq()
	}
}
