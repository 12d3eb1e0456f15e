package feed

import (
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse"
	"gatehouse/internal/limit"
)

// Replica is what a gateway knows. Reading takes no lock: a look-up loads one
// pointer and follows it through memory that nobody changes. Only one Follower
// writes.
type Replica struct {
	now     atomic.Pointer[state] // nil until a whole snapshot was applied
	heard   atomic.Pointer[heard]
	control atomic.Int64 // highest clock of control seen, Unix milliseconds
	members atomic.Pointer[[]limit.Member]

	mu      sync.Mutex // guards what follows: the writer's side
	cluster string
	writer  *writer
	staging *staging
}

// staging is a snapshot of which some parts have come.
type staging struct {
	writer  *writer
	session uint64
	to      gatehouse.Revision
	next    uint32
}

// heard is what the last good answer of control allows. The times are of the
// gateway's clock.
type heard struct {
	sent  time.Time // of the poll that was answered
	lease time.Time // until when strict keys may be served
	// forgotten: the answer was that this gateway is no member, so it allows nothing.
	forgotten bool
}

// NewReplica returns an empty replica of a gateway in cluster. It is not ready.
func NewReplica(cluster string) *Replica {
	r := &Replica{cluster: cluster, writer: newWriter(cluster)}
	r.heard.Store(new(heard))
	return r
}

// NewMemberReplica is the replica of a gateway that control reaches over a
// network: credentials of upstreams come sealed, and open opens them.
func NewMemberReplica(cluster string, open Unseal) *Replica {
	r := NewReplica(cluster)
	r.writer.open = open
	return r
}

// Members are the gateways of the fleet as of the last batch, sorted; empty
// before the first, and from a source that does not say. Callers must not
// change it.
func (r *Replica) Members() []limit.Member {
	if m := r.members.Load(); m != nil {
		return *m
	}
	return nil
}

// Lookup finds the key that has a secret. A deleted, denied or unknown one is
// not found; a disabled, blocked or expired one is, and its State says so. An
// unready replica finds nothing: ask Ready first, cannot tell is not no.
func (r *Replica) Lookup(d gatehouse.Digest) (KeyView, bool) {
	s := r.now.Load()
	if s == nil {
		return KeyView{}, false
	}
	row, _ := s.find(&d)
	return KeyView{row, s}, row != nil
}

// Foreign reports whether some secret here was minted elsewhere, so that a
// credential of another shape than ours is worth a look-up. An unready replica
// cannot tell.
func (r *Replica) Foreign() (some, known bool) {
	s := r.now.Load()
	return s != nil && s.foreign > 0, s != nil
}

// Catalogue is the newest. Within a request take [KeyView.Catalogue], which is
// as old as the key. It is empty until the replica is ready.
func (r *Replica) Catalogue() *Catalogue {
	if s := r.now.Load(); s != nil {
		return s.catalogue
	}
	return new(Catalogue)
}

// Applied is the revision that is served; zero until ready.
func (r *Replica) Applied() gatehouse.Revision {
	if s := r.now.Load(); s != nil {
		return s.revision
	}
	return gatehouse.Revision{}
}

// Ready reports whether a whole snapshot was applied.
func (r *Replica) Ready() bool { return r.now.Load() != nil }

// Keys is how many secrets can be found, for metrics.
func (r *Replica) Keys() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.writer.live
}

// Leased reports whether strict keys may be served at now. Read the clock after
// looking the key up. Both of the gateway's clocks must agree: the monotonic one
// stands still while a machine is suspended, the other may be set back.
func (r *Replica) Leased(now time.Time) bool {
	lease := r.heard.Load().lease
	return now.Before(lease) && now.Round(0).Before(lease.Round(0))
}

// Stale is how long ago control was last heard at now. Over [MaxStale] the
// gateway cannot tell and answers 503.
func (r *Replica) Stale(now time.Time) time.Duration {
	sent := r.heard.Load().sent
	if sent.IsZero() {
		return MaxStale + 1
	}
	return max(now.Sub(sent), now.Round(0).Sub(sent.Round(0)), 0)
}

// Fresh reports whether the replica may decide about ordinary keys at now: it
// is ready, and heard control within MaxStale.
func (r *Replica) Fresh(now time.Time) bool { return r.Ready() && r.Stale(now) <= MaxStale }

// Now is the time that expiry is judged by: wall, or the highest clock of
// control seen when that is later. A clock that is set back revives no key.
func (r *Replica) Now(wall time.Time) time.Time {
	if c := time.UnixMilli(r.control.Load()); c.After(wall) {
		return c.UTC()
	}
	return wall
}

// Problem counts the quarantined records and names the first, for the next
// poll; it is empty when there are none.
func (r *Replica) Problem() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := ""
	for label := range r.writer.denied {
		if first == "" || label < first {
			first = label
		}
	}
	if first == "" {
		return ""
	}
	return clip(fmt.Sprintf("%d denied; %s: %s", len(r.writer.denied), first, r.writer.denied[first]))
}

// clip bounds what a bad record can make us repeat.
func clip(s string) string {
	const most = 300
	if len(s) > most {
		s = s[:most] + "..."
	}
	return s
}

// Apply takes the next batch. sent is the gateway's clock when it sent the poll
// that this answers. A batch that does not follow what is served is refused
// whole, as Conflict, and changes nothing.
func (r *Replica) Apply(b *Batch, sent time.Time) error { return r.apply(b, nil, sent) }

// apply is Apply with the keys among the records parsed already: keys, when not
// nil, is as long as they are.
func (r *Replica) apply(b *Batch, keys []*gatehouse.Key, sent time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.follows(b); err != nil {
		return err
	}
	w := r.target(b)
	for i := range b.Records {
		var k *gatehouse.Key
		if keys != nil {
			k = keys[i]
		}
		w.apply(&b.Records[i], k)
	}
	if b.More {
		r.staging.next++
		return nil
	}
	r.serve(w, b, sent)
	return nil
}

// target is the writer that b is for: the served one, or that of a snapshot.
func (r *Replica) target(b *Batch) *writer {
	if !b.Snapshot {
		return r.writer
	}
	if b.Part == 0 {
		w := newWriter(r.cluster)
		w.open = r.writer.open
		for id, at := range r.writer.graves {
			w.graves[id] = at
		}
		r.staging = &staging{writer: w, session: b.Session, to: b.To}
	}
	return r.staging.writer
}

// serve publishes what w holds.
func (r *Replica) serve(w *writer, b *Batch, sent time.Time) {
	r.staging = nil
	r.writer = w
	// An empty batch only renews the lease: nothing is published for it.
	if old := r.now.Load(); old == nil || b.Snapshot || len(b.Records) > 0 || b.To != old.revision {
		s := w.publish(b.To)
		if w.bloated() {
			w.compact(s)
			s = w.publish(b.To)
		}
		r.now.Store(s)
	}
	if ms := b.Time.UnixMilli(); ms > r.control.Load() {
		r.control.Store(ms)
	}
	if b.Members != nil {
		r.members.Store(&b.Members)
	}
	// The lease comes after the state: in between, the old lease guards the new
	// state, which is the safe order. A lease is never shortened by a later answer,
	// because what was granted was granted.
	h := heard{sent: sent, lease: r.heard.Load().lease}
	if until := sent.Add(b.Lease); b.Lease > 0 && until.After(h.lease) {
		h.lease = until
	}
	r.heard.Store(&h)
}

// follows says why b cannot be applied now.
func (r *Replica) follows(b *Batch) error {
	applied, ready := r.Applied(), r.Ready()
	refuse := func(why string) error {
		return gatehouse.Errorf(gatehouse.Conflict, "feed: batch %s to %s at %s: %s", b.From, b.To, applied, why)
	}
	if b.Lease < 0 || b.Lease > LeaseLength {
		return refuse("a longer lease than anyone may grant")
	}
	if !b.Snapshot {
		switch {
		case !ready:
			return refuse("there is no snapshot to continue")
		case b.From != applied:
			return refuse("it does not continue what is served")
		case b.To.Less(b.From) || b.To.Epoch != b.From.Epoch:
			return refuse("it goes back, or into another epoch")
		case b.More:
			return refuse("only snapshots have parts")
		}
		return nil
	}
	switch st := r.staging; {
	case ready && b.To.Less(applied):
		return refuse("the snapshot is older")
	case !b.From.IsZero():
		return refuse("a snapshot starts at nothing")
	case b.Part > 0 && (st == nil || st.session != b.Session || st.next != b.Part || st.to != b.To):
		return refuse("it is not the snapshot's next part")
	}
	return nil
}

// resume is what the next poll says about a snapshot under way.
func (r *Replica) resume() (session uint64, part uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.staging == nil {
		return 0, 0
	}
	return r.staging.session, r.staging.next
}

// graves are the keys that were deleted.
func (r *Replica) graves() map[gatehouse.ID]gatehouse.Revision {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.writer.graves)
}

// adopt takes over what was restored from a disk. heard is when control was
// last heard, zero when that cannot be told. There is no lease in it.
func (r *Replica) adopt(from *Replica, at time.Time, last Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writer, r.staging = from.writer, nil
	r.control.Store(max(from.control.Load(), last.Time.UnixMilli()))
	r.members.Store(from.members.Load())
	if last.To == from.Applied() {
		r.members.Store(&last.Members)
	}
	r.heard.Store(&heard{sent: at})
	r.now.Store(from.now.Load())
}

// abandon forgets a snapshot under way: the next poll starts another.
func (r *Replica) abandon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.staging = nil
}
