package feed

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"gatehouse/internal/durable"

	"gatehouse"
)

// ArchiveConfig is what an Archive works with; all is required.
type ArchiveConfig struct {
	Dir    string // made when it is not there
	Verify func(msg, sig []byte) bool
	Now    func() time.Time
	Log    *slog.Logger
}

// Archive keeps on disk what a gateway needs to start while control is away:
// the parts of a snapshot and the batches after it, as they came and under
// control's signature, so that the disk can lose them but cannot invent any.
//
//   - replica: the snapshot's parts, then the batches. What was acknowledged is
//     synced first: a revocation that control believes enforced survives the
//     machine.
//   - fresh: the last batch that was heard, at most freshEvery old. It is the
//     proof of when control was last heard, and of a revision that the replica
//     must reach: an older replica in its place is refused.
//   - graves: keys that were deleted, of earlier snapshots and epochs. They are
//     not signed, since they can only take authority away.
//
// A directory that is put back whole, fresh and all, cannot be told from one
// that was asleep; it serves for MaxStale from when it was last heard, and no
// longer.
type Archive struct {
	ArchiveConfig
	due chan struct{} // a new snapshot is wanted

	mu      sync.Mutex // guards what follows
	file    *os.File   // replica, at its end; nil: there is none
	base    int64      // bytes of the snapshot
	size    int64
	steps   []stepAt // the batches after it
	reached gatehouse.Revision
	draft   *draftFile
	heard   time.Time // when fresh was last written
	problem string
	// spooling and loose bridge the time in which there is no file but a snapshot
	// for one is under way: the batches that come meanwhile.
	spooling bool
	loose    []looseStep
}

// looseStep is a batch that waits for a file.
type looseStep struct {
	Signed
	sent time.Time
	to   gatehouse.Revision
}

// stepAt is where a batch lies in the file.
type stepAt struct {
	to          gatehouse.Revision
	offset, end int64
}

// draftFile is a snapshot being written.
type draftFile struct {
	file    *os.File
	path    string
	session uint64
	to      gatehouse.Revision
	base    int64 // bytes of the snapshot, set when it is whole
	size    int64
	steps   []stepAt
}

const (
	replicaFile = "replica"
	freshFile   = "fresh"
	gravesFile  = "graves"
	newSuffix   = ".new"
	spoolSuffix = ".spool"
	// freshEvery is how far the proof of having heard control may lag. It shortens
	// MaxStale after a restart, and never lengthens it.
	freshEvery = 30 * time.Second
	// leastTail is how many bytes of batches are kept whatever the size of the
	// snapshot.
	leastTail = 16 << 20
)

// NewArchive returns an archive in c.Dir. It does no I/O.
func NewArchive(c ArchiveConfig) *Archive {
	return &Archive{ArchiveConfig: c, due: make(chan struct{}, 1)}
}

// Problem says why nothing is kept, for control; empty when all is well.
func (a *Archive) Problem() string {
	if a == nil {
		return ""
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.problem
}

// keep takes a batch that was applied. It returns when the batch is durable, or
// when what is kept was given up: an archive that stayed behind what was
// acknowledged would bring back, at the next start, what had been taken away.
func (a *Archive) keep(signed Signed, b *Batch, sent time.Time, r *Replica) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var err error
	switch {
	case b.Snapshot:
		err = a.part(signed, b, sent, r)
	case b.To != b.From || len(b.Records) > 0:
		err = a.step(signed, b, sent)
	}
	if err == nil && !b.More && a.file != nil && (b.Snapshot || b.To != b.From || a.Now().Sub(a.heard) >= freshEvery) {
		err = a.proof(signed, sent)
	}
	if err != nil {
		a.giveUp(err)
	}
}

// part adds a part to the snapshot that comes.
func (a *Archive) part(signed Signed, b *Batch, sent time.Time, r *Replica) error {
	if b.Part == 0 {
		if err := a.begin(b); err != nil {
			return err
		}
	}
	d := a.draft
	if d == nil || d.session != b.Session {
		return nil // its first part could not be kept
	}
	if err := d.add(signed, sent, b.To); err != nil || b.More {
		return err
	}
	a.draft = nil
	return a.replace(r, d)
}

func (a *Archive) begin(b *Batch) (err error) {
	a.discard()
	a.draft, err = a.open(newSuffix, b)
	return err
}

// open starts a snapshot in a file beside the present one.
func (a *Archive) open(suffix string, b *Batch) (*draftFile, error) {
	if err := os.MkdirAll(a.Dir, 0o700); err != nil {
		return nil, err
	}
	path := a.path(replicaFile) + suffix
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return &draftFile{file: f, path: path, session: b.Session, to: b.To}, nil
}

// add writes a frame; once the snapshot is whole, it is a step to a revision.
func (d *draftFile) add(signed Signed, sent time.Time, to gatehouse.Revision) error {
	n, err := writeFrame(d.file, signed, sent)
	if d.base > 0 {
		d.steps = append(d.steps, stepAt{to, d.size, d.size + n})
		d.to = to
	}
	d.size += n
	return err
}

func (d *draftFile) drop() {
	if d != nil {
		d.file.Close()
		os.Remove(d.path)
	}
}

// replace puts d in the place of the present file. The graves come first: the
// file that it replaces may be the only one that knows some of them.
func (a *Archive) replace(r *Replica, d *draftFile) error {
	err := errors.Join(a.bury(r), d.file.Sync())
	if err == nil {
		err = os.Rename(d.path, a.path(replicaFile))
	}
	if err == nil {
		err = durable.SyncDir(a.Dir)
	}
	if err != nil {
		d.drop()
		return err
	}
	if a.file != nil {
		a.file.Close() // replaced: what it could not write is wanted no more
	}
	a.file, a.base, a.size, a.steps, a.reached = d.file, d.size, d.size, d.steps, d.to
	if d.base > 0 {
		a.base = d.base
	}
	a.problem, a.loose, a.heard = "", nil, time.Time{}
	return nil
}

// step appends a batch and syncs it.
func (a *Archive) step(signed Signed, b *Batch, sent time.Time) error {
	if a.file == nil {
		if a.spooling {
			a.loose = append(a.loose, looseStep{signed, sent, b.To})
		}
		a.want()
		return nil
	}
	if a.reached.Less(b.From) {
		return errors.New("a batch is missing before this one")
	}
	n, err := writeFrame(a.file, signed, sent)
	if err == nil {
		err = a.file.Sync()
	}
	if err != nil {
		return err
	}
	a.steps = append(a.steps, stepAt{b.To, a.size, a.size + n})
	a.size += n
	a.reached = b.To
	if a.size-a.base > max(leastTail, a.base/2) {
		a.want()
	}
	return nil
}

// want asks for a new snapshot, once.
func (a *Archive) want() {
	select {
	case a.due <- struct{}{}:
	default:
	}
}

// proof replaces fresh. It is not synced: losing it for an older one is losing
// time, and the replica was synced before.
func (a *Archive) proof(signed Signed, sent time.Time) error {
	f, err := os.OpenFile(a.path(freshFile)+newSuffix, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = writeFrame(f, signed, sent)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(a.path(freshFile)+newSuffix, a.path(freshFile))
	}
	if err == nil {
		a.heard = a.Now()
	}
	return err
}

// giveUp removes what is kept, since it no longer says what is served. A start
// then waits for control.
func (a *Archive) giveUp(why error) {
	a.discard()
	if a.file != nil {
		a.file.Close()
		a.file = nil
	}
	err := os.Remove(a.path(replicaFile))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	a.problem = "nothing is kept on disk: a restart needs control"
	if err != nil {
		a.problem = "what is kept on disk is out of date and cannot be removed"
	}
	a.Log.Error("the replica is not kept on disk", "err", why, "removed", err == nil)
	a.want()
}

func (a *Archive) discard() {
	a.draft.drop()
	a.draft = nil
}

// Close ends writing.
func (a *Archive) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.discard()
	if a.file == nil {
		return nil
	}
	err := a.file.Close()
	a.file = nil
	return err
}

func (a *Archive) path(name string) string { return filepath.Join(a.Dir, name) }
