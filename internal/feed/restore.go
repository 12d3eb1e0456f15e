package feed

import (
	"bufio"
	"errors"
	"io"
	"os"
	"runtime"
	"time"

	"gatehouse"
)

// Restore brings r to the last kept state, without a lease. NotFound: nothing
// is kept. Any other error: what is kept cannot be trusted, and r is as it was,
// to be filled by control.
func (a *Archive) Restore(r *Replica) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	proof, last, err := a.lastHeard()
	if err != nil {
		return err
	}
	graves, err := a.exhume()
	if err != nil {
		return refuseArchive("its graves cannot be read", err)
	}
	fresh := NewMemberReplica(r.cluster, r.writer.open)
	fresh.writer.graves = graves
	if graves == nil {
		fresh.writer.graves = map[gatehouse.ID]gatehouse.Revision{}
	}
	if err := a.load(fresh); err != nil {
		return err
	}
	if !fresh.Ready() || fresh.Applied().Less(last.To) {
		a.file.Close()
		a.file, a.steps = nil, nil
		return refuseArchive("it is older than what was heard, or damaged", nil)
	}
	heard := proof.sent
	if last.Time.Before(heard) {
		heard = last.Time
	}
	// A clock that stands before what was heard was set back: how old the state is
	// cannot be told, so it is too old until control says otherwise.
	if a.Now().Add(Drift).Before(heard) {
		heard = time.Time{}
	}
	a.heard, a.reached = proof.sent, fresh.Applied()
	r.adopt(fresh, heard, last)
	return nil
}

func refuseArchive(why string, err error) error {
	return gatehouse.Errorf(gatehouse.FailedPrecondition, "feed: the archive is not used: %s", why).Because(err)
}

// lastHeard reads the proof.
func (a *Archive) lastHeard() (frame, Batch, error) {
	f, err := os.Open(a.path(freshFile))
	if errors.Is(err, os.ErrNotExist) {
		return frame{}, Batch{}, gatehouse.Errorf(gatehouse.NotFound, "feed: nothing is kept in the archive")
	}
	if err != nil {
		return frame{}, Batch{}, refuseArchive("it cannot be read", err)
	}
	defer f.Close()
	proof, err := readFrame(f)
	if err != nil {
		return frame{}, Batch{}, refuseArchive("when control was last heard is not known", err)
	}
	b, err := Open(proof.Signed, a.Verify)
	if err != nil {
		return frame{}, Batch{}, refuseArchive("when control was last heard is not proven", err)
	}
	return proof, b, nil
}

// load applies the file to r as far as it is whole and signed, and leaves it
// open for more.
func (a *Archive) load(r *Replica) error {
	f, err := os.OpenFile(a.path(replicaFile), os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return gatehouse.Errorf(gatehouse.NotFound, "feed: nothing is kept in the archive")
	}
	if err != nil {
		return refuseArchive("it cannot be read", err)
	}
	end := int64(0)
	a.base, a.steps = 0, nil
	for l := range a.frames(f) {
		if l.err != nil || !a.replay(r, l, end) {
			break
		}
		end += l.size
	}
	// What follows the last good frame was never acknowledged, or lastHeard says
	// otherwise; new batches go where it began.
	if err := cut(f, end); err != nil {
		f.Close()
		return refuseArchive("it cannot be written", err)
	}
	a.file, a.size = f, end
	return nil
}

// cut ends f at end and stands there.
func cut(f *os.File, end int64) error {
	if err := f.Truncate(end); err != nil {
		return err
	}
	_, err := f.Seek(end, io.SeekStart)
	return err
}

// replay applies one frame, which begins at offset.
func (a *Archive) replay(r *Replica, l *loaded, offset int64) bool {
	b := &l.batch
	if b.Snapshot {
		if r.Ready() {
			return false
		}
		a.base = offset + l.size
		return r.apply(b, l.keys, time.Time{}) == nil
	}
	a.steps = append(a.steps, stepAt{b.To, offset, offset + l.size})
	at := r.Applied()
	if !at.Less(b.To) {
		return true // the snapshot was taken after it
	}
	if b.From.Less(at) && at.Epoch == b.From.Epoch {
		// The snapshot was taken in its middle. Its records are as of To or later, so
		// they replace what the snapshot had.
		b.From = at
	}
	return r.apply(b, l.keys, time.Time{}) == nil
}

// loaded is a frame that was verified, decoded and parsed.
type loaded struct {
	frame
	batch Batch
	keys  []*gatehouse.Key
	err   error
	done  chan struct{}
}

// frames reads, verifies and parses ahead of whoever applies: signatures and
// bodies are most of the work of a start, and can be done side by side.
func (a *Archive) frames(f *os.File) func(yield func(*loaded) bool) {
	return func(yield func(*loaded) bool) {
		ahead := make(chan *loaded, runtime.GOMAXPROCS(0)+1)
		stop := make(chan struct{})
		go func() {
			defer close(ahead)
			in := bufio.NewReaderSize(f, 1<<20)
			for {
				l := &loaded{done: make(chan struct{})}
				if l.frame, l.err = readFrame(in); l.err != nil {
					return // the end, or where the file was cut
				}
				go l.parse(a.Verify)
				select {
				case ahead <- l:
				case <-stop:
					return
				}
			}
		}()
		for l := range ahead {
			<-l.done
			if !yield(l) {
				close(stop)
				for range ahead {
				}
				return
			}
		}
	}
}

func (l *loaded) parse(verify func(msg, sig []byte) bool) {
	defer close(l.done)
	if l.batch, l.err = Open(l.Signed, verify); l.err == nil {
		l.keys = parseKeys(l.batch.Records)
	}
}

// parseKeys reads the keys among records; one that cannot be read is nil, and
// is read again by whoever has to say why.
func parseKeys(records []Record) []*gatehouse.Key {
	out := make([]*gatehouse.Key, len(records))
	for i := range records {
		r := &records[i]
		if r.Kind != gatehouse.KindKey || r.Deleted || len(r.Body) == 0 {
			continue
		}
		if k, err := readKey(r); err == nil {
			out[i] = k
		}
	}
	return out
}
