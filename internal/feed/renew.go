package feed

import (
	"context"
	"io"
	"math/rand/v2"
	"time"

	"gatehouse"
)

// renewRetry is how long a snapshot for the disk that failed waits, at least.
// Nothing is wrong meanwhile but the size of a file.
const renewRetry = 10 * time.Second

// renew replaces what is kept by a newer snapshot whenever the batches behind it
// have become too many to start from quickly. The snapshot comes beside the
// changes, which go on.
func (f *Follower) renew(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.Archive.due:
		}
		for ctx.Err() == nil {
			err := f.takeSnapshot(ctx)
			if err == nil {
				break
			}
			f.Log.Warn("the snapshot for the disk failed", "err", err)
			pause(ctx, max(retryAfter(err), renewRetry/2+rand.N(renewRetry)))
		}
	}
}

// takeSnapshot pulls a whole snapshot into a file of its own and puts it in
// place.
func (f *Follower) takeSnapshot(ctx context.Context) error {
	if !f.Replica.Ready() {
		return nil // the snapshot that is served will be kept too
	}
	p := Poll{Gateway: f.Gateway, Cluster: f.Cluster, Version: f.Version, Wire: Wire, Archive: true}
	var draft *draftFile
	defer func() { draft.drop() }()
	f.Archive.spool(true)
	defer f.Archive.spool(false)
	for {
		signed, b, sent, err := f.pullPart(ctx, &p)
		if err != nil {
			return err
		}
		if draft == nil {
			if draft, err = f.Archive.open(spoolSuffix, b); err != nil {
				return err
			}
		}
		if b.To != draft.to {
			return gatehouse.Errorf(gatehouse.Conflict, "feed: the parts of a snapshot are of different revisions")
		}
		if err := draft.add(signed, sent, b.To); err != nil {
			return err
		}
		if !b.More {
			d := draft
			draft = nil // it is the archive's now
			return f.Archive.place(f.Replica, d)
		}
		p.Session, p.Part = b.Session, b.Part+1
	}
}

// pullPart asks for the part that p names.
func (f *Follower) pullPart(ctx context.Context, p *Poll) (Signed, *Batch, time.Time, error) {
	p.Nonce = rand.Uint64()
	sent := f.Now()
	signed, err := f.Feed.Pull(ctx, *p)
	if err != nil {
		return Signed{}, nil, sent, err
	}
	b, err := Open(signed, f.Verify)
	if err == nil && (b.Nonce != p.Nonce || !b.Snapshot || b.Part != p.Part || p.Session != 0 && b.Session != p.Session) {
		err = gatehouse.Errorf(gatehouse.Conflict, "feed: not the part that was asked for")
	}
	return signed, &b, sent, err
}

// spool says whether a snapshot for the disk is under way.
func (a *Archive) spool(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.spooling, a.loose = on, nil
}

// place puts a whole snapshot in place of what is kept, with the batches that
// came after it. The snapshot is synced first, so that nobody waits long.
func (a *Archive) place(r *Replica, d *draftFile) error {
	if err := d.file.Sync(); err != nil {
		d.drop()
		return err
	}
	d.base = d.size
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.follow(d)
	if err == nil && d.to.Less(a.reached) {
		err = gatehouse.Errorf(gatehouse.Conflict, "feed: the snapshot for the disk is behind what is kept")
	}
	if err != nil {
		d.drop()
		return err
	}
	return a.replace(r, d)
}

// follow copies the batches after d's snapshot into it.
func (a *Archive) follow(d *draftFile) error {
	snapshot := d.to
	for _, at := range a.steps {
		if a.file == nil || !snapshot.Less(at.to) {
			continue
		}
		n, err := io.Copy(d.file, io.NewSectionReader(a.file, at.offset, at.end-at.offset))
		if err != nil {
			return err
		}
		d.steps = append(d.steps, stepAt{at.to, d.size, d.size + n})
		d.size, d.to = d.size+n, at.to
	}
	for _, l := range a.loose {
		if snapshot.Less(l.to) {
			if err := d.add(l.Signed, l.sent, l.to); err != nil {
				return err
			}
		}
	}
	return nil
}

// recheck asks for a new snapshot when what is kept begins under a key that is
// no longer accepted: the next start would refuse it. Keys move forward only, so
// what follows its beginning is signed by the same or a later one.
func (a *Archive) recheck() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return
	}
	first, err := readFrame(io.NewSectionReader(a.file, 0, a.size))
	if err != nil || !a.Verify(first.Payload, first.Signature) {
		a.want()
	}
}
