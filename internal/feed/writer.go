package feed

import (
	"fmt"
	"net/netip"

	"gatehouse"
)

// state is what the replica serves at one revision. It is immutable.
type state struct {
	table
	revision  gatehouse.Revision
	catalogue *Catalogue
	ids       []gatehouse.ID
	acls      []*aclSet
	tags      []map[string]string
	ranges    [][]netip.Prefix
	names     names
	foreign   int // rows of secrets that were minted elsewhere
}

// writer builds states, one after the other. It is used by one goroutine.
type writer struct {
	cluster string
	open    Unseal // nil: credentials come in the clear
	edit    edit
	pools   pools
	draft   *draft
	heads   map[gatehouse.ID]uint32 // first row of each key
	free    []uint32                // rows that no key has
	live    int                     // rows in use
	foreign int                     // those of secrets that were minted elsewhere
	marked  int                     // index slots not empty: live rows and deleted marks
	// graves are the keys that were deleted. They survive snapshots and epochs, so
	// that nothing brings a deleted key back (reliability.md I5, I16).
	graves map[gatehouse.ID]gatehouse.Revision
	// denied holds why records are quarantined, by kind and id.
	denied map[string]string
	last   *Catalogue
}

func newWriter(cluster string) *writer {
	return &writer{
		cluster: cluster, edit: newTable(), draft: newDraft(),
		heads: map[gatehouse.ID]uint32{}, graves: map[gatehouse.ID]gatehouse.Revision{}, denied: map[string]string{},
	}
}

// apply takes one record. What is wrong with it denies it alone. k is its key
// when that was parsed already.
func (w *writer) apply(r *Record, k *gatehouse.Key) {
	if len(w.denied) > 0 {
		delete(w.denied, label(r))
	}
	var err error
	switch r.Kind {
	case gatehouse.KindKey:
		err = w.applyKey(r, k)
	case gatehouse.KindTeam:
		w.draft.teamDirty = true
		err = applyByID(r, w.draft.teams, func(t *gatehouse.Team) bool { return t.ID.String() == r.ID })
	case gatehouse.KindUpstream:
		err = w.applyUpstream(r)
	case gatehouse.KindPrice:
		w.draft.dirty = true
		err = applyByID(r, w.draft.prices, func(p *gatehouse.Price) bool { return p.ID.String() == r.ID })
	case gatehouse.KindModel:
		w.draft.dirty = true
		err = applyNamed(r, w.draft.models, func(m *gatehouse.Model) bool { return m.Name == r.ID })
	case gatehouse.KindAlias:
		w.draft.dirty = true
		err = applyNamed(r, w.draft.aliases, func(a *gatehouse.Alias) bool { return a.Name == r.ID })
	case gatehouse.KindCluster:
		w.draft.dirty = true
		err = applyNamed(r, w.draft.clusters, func(c *gatehouse.Cluster) bool { return c.Name == r.ID })
	default:
		err = fmt.Errorf("unknown kind")
	}
	if err != nil {
		w.denied[label(r)] = err.Error()
	}
}

func label(r *Record) string { return string(r.Kind) + " " + r.ID }

func (w *writer) applyUpstream(r *Record) error {
	w.draft.dirty = true
	bodies := map[gatehouse.ID]*upstreamBody{}
	err := applyByID(r, bodies, func(u *upstreamBody) bool { return u.ID.String() == r.ID })
	id, _ := gatehouse.ParseID(r.ID)
	delete(w.draft.upstreams, id)
	if b := bodies[id]; b != nil {
		if err := w.unseal(b); err != nil {
			return err
		}
		w.draft.upstreams[id] = &b.Upstream
	}
	return err
}

// unseal puts the credential where callers look for it. One in the clear is no
// credential of a gateway that control reaches over a network: whoever was on the
// way has it too.
func (w *writer) unseal(b *upstreamBody) (err error) {
	if w.open == nil {
		b.Upstream.Credential = b.Credential
		return nil
	}
	switch {
	case b.Credential != "":
		return fmt.Errorf("its credential is not sealed")
	case len(b.Sealed) > 0:
		b.Upstream.Credential, err = w.open(b.ID, b.Sealed)
	case b.HasCredential:
		return fmt.Errorf("its credential is missing")
	}
	return err
}

// applyByID and applyNamed replace one object of a map. It is taken out before
// the body is read: what cannot be understood is not served as it was before
// either, since the change may have taken authority away.
func applyByID[T any](r *Record, in map[gatehouse.ID]*T, own func(*T) bool) error {
	id, err := gatehouse.ParseID(r.ID)
	if err != nil {
		return err
	}
	return applyTo(r, in, id, own)
}

func applyNamed[T any](r *Record, in map[string]*T, own func(*T) bool) error {
	return applyTo(r, in, r.ID, own)
}

func applyTo[K comparable, T any](r *Record, in map[K]*T, key K, own func(*T) bool) error {
	delete(in, key)
	if r.Deleted || len(r.Body) == 0 {
		return nil
	}
	v, err := parse[T](r)
	if err != nil {
		return err
	}
	if !own(v) {
		return fmt.Errorf("the body is another object's")
	}
	in[key] = v
	return nil
}

func (w *writer) applyKey(r *Record, k *gatehouse.Key) error {
	id, err := gatehouse.ParseID(r.ID)
	if err != nil {
		return err
	}
	if r.Deleted {
		w.dropKey(id)
		w.graves[id] = r.Revision
		return nil
	}
	if grave, ok := w.graves[id]; ok {
		w.dropKey(id)
		return fmt.Errorf("was deleted at %s and cannot come back", grave)
	}
	if len(r.Body) == 0 {
		w.dropKey(id)
		return nil
	}
	if k == nil {
		if k, err = readKey(r); err != nil {
			w.dropKey(id)
			return err
		}
	}
	return w.putKey(k)
}

// putKey replaces the rows of a key.
func (w *writer) putKey(k *gatehouse.Key) error {
	name := w.keepName(k)
	w.dropKey(k.ID)
	base := w.shared(k)
	base.name = name
	next := uint32(0)
	for i := len(k.Secrets) - 1; i >= 0; i-- {
		s := &k.Secrets[i]
		if other, _ := w.edit.find(&s.Digest); other != nil {
			w.dropKey(k.ID)
			return fmt.Errorf("shares a secret with another key")
		}
		at := w.place()
		row := w.edit.writable(at)
		*row = base
		row.digest, row.secretExpire, row.next = s.Digest, stampOf(s.ExpireTime), next
		if s.Foreign {
			row.flags |= flagForeign
			w.foreign++
		}
		copy(row.last4[:], s.Last4)
		w.edit.insert(&row.digest, at)
		next = at + 1
		w.heads[k.ID] = at
	}
	return nil
}

// keepName reuses the place of an unchanged name, so that the arena grows with
// renames alone.
func (w *writer) keepName(k *gatehouse.Key) span {
	if at, ok := w.heads[k.ID]; ok {
		if old := w.edit.row(at).name; w.pools.names.at(old) == k.Name {
			return old
		}
	}
	w.pools.made++
	return w.pools.names.put(k.Name)
}

// shared is what all rows of a key have in common.
func (w *writer) shared(k *gatehouse.Key) row {
	p := &w.pools
	r := row{
		id: k.ID, limits: k.Limits, epoch: k.Revision.Epoch, n: k.Revision.N,
		create: stampOf(k.CreateTime), modify: stampOf(k.ModifyTime), expire: stampOf(k.ExpireTime),
		team: p.id(k.TeamID), user: p.id(k.UserID), owner: p.id(k.Owner()), modifiedBy: p.id(k.ModifiedBy),
		acl: p.acl(k.ACL), tags: p.tag(k.Tags), ranges: p.prefixes(k.IPRanges),
	}
	for _, f := range []struct {
		on  bool
		bit uint8
	}{{k.Disabled, flagDisabled}, {k.Blocked, flagBlocked}, {k.Strict, flagStrict}, {k.ReserveTPM, flagReserve}} {
		if f.on {
			r.flags |= f.bit
		}
	}
	return r
}

// place finds a free row, and makes room in the index for one more. A row that
// was freed may be used again at once: whoever still reads it does so in the
// chunk of an older state.
func (w *writer) place() uint32 {
	if uint64(w.marked+1)*4 > w.edit.slots()*3 {
		w.edit.resize(w.live + 1)
		w.marked = w.live
	}
	if len(w.free) == 0 {
		first := uint32(len(w.edit.rows) * rowChunk)
		w.edit.grow()
		for i := range uint32(rowChunk) {
			w.free = append(w.free, first+rowChunk-1-i)
		}
	}
	at := w.free[len(w.free)-1]
	w.free = w.free[:len(w.free)-1]
	w.live++
	w.marked++
	return at
}

func (w *writer) dropKey(id gatehouse.ID) {
	at, ok := w.heads[id]
	if !ok {
		return
	}
	delete(w.heads, id)
	for next := at + 1; next != 0; {
		at = next - 1
		r := w.edit.writable(at)
		next = r.next
		_, slot := w.edit.find(&r.digest)
		w.edit.set(slot, slotDeleted)
		if r.flags&flagForeign != 0 {
			w.foreign--
		}
		*r = row{}
		w.free = append(w.free, at)
		w.live--
	}
}

// publish makes an immutable state of what was written and starts the next edit.
func (w *writer) publish(at gatehouse.Revision) *state {
	w.last = w.draft.publish(w.last, w.cluster)
	s := &state{
		table: w.edit.table, revision: at, catalogue: w.last,
		ids: w.pools.ids.list, acls: w.pools.acls.list, tags: w.pools.tags.list,
		ranges: w.pools.ranges.list, names: w.pools.names, foreign: w.foreign,
	}
	w.edit = fork(s.table)
	return s
}

// bloated reports whether most of what keys share may be shared by nobody any
// more.
func (w *writer) bloated() bool { return w.pools.made > 2*w.live+1<<14 }

// compact writes every live row anew with fresh pools. Its cost is that of the
// changes that made it necessary, spread over them.
func (w *writer) compact(s *state) {
	fresh := newWriter(w.cluster)
	for _, head := range w.heads {
		for next := head + 1; next != 0; {
			r := *w.edit.row(next - 1)
			next = r.next
			fresh.adopt(s, r)
		}
	}
	w.edit, w.pools, w.heads = fresh.edit, fresh.pools, fresh.heads
	w.free, w.live, w.marked, w.foreign = fresh.free, fresh.live, fresh.marked, fresh.foreign
	w.pools.made = 0
}

// adopt copies a row of s, whose shared values move to w's pools.
func (w *writer) adopt(s *state, r row) {
	p := &w.pools
	r.team, r.user, r.owner, r.modifiedBy = p.id(s.ids[r.team]), p.id(s.ids[r.user]), p.id(s.ids[r.owner]), p.id(s.ids[r.modifiedBy])
	r.acl, r.tags, r.ranges = p.acl(s.acls[r.acl].list), p.tag(s.tags[r.tags]), p.prefixes(s.ranges[r.ranges])
	r.name = p.names.put(s.names.at(r.name))
	r.next = 0
	if head, ok := w.heads[r.id]; ok {
		r.next = head + 1
	}
	if r.flags&flagForeign != 0 {
		w.foreign++
	}
	at := w.place()
	*w.edit.writable(at) = r
	w.edit.insert(&r.digest, at)
	w.heads[r.id] = at
}
