package feed

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/limit"
	"gatehouse/internal/store"
)

// roll remembers the memberships as of a revision: every batch tells who
// belongs to the fleet, and they change seldom.
type roll struct {
	mu   sync.Mutex
	at   gatehouse.Revision
	list []*gatehouse.Membership
}

// addFleet puts into b what layout 2 says beyond records. Members that did not
// come with those are read after them: who applied b up to a revision has a list
// that is at least as new, which is what Settled rests on.
func (s *Source) addFleet(ctx context.Context, b *Batch) error {
	if b.More { // the last part says it
		b.Members = []limit.Member{}
		return nil
	}
	if s.Verifiers != nil {
		b.Verifiers = s.Verifiers()
	}
	if b.Members != nil {
		return nil
	}
	return s.Store.View(store.System(ctx), func(v store.View) error {
		now, err := v.Revision()
		if err == nil {
			b.Members, err = s.fleet.members(v, now)
		}
		return err
	})
}

// members lists the fleet as of the revision that v is at.
func (r *roll) members(v store.View, now gatehouse.Revision) ([]limit.Member, error) {
	joined, err := r.joined(v, now)
	if err != nil {
		return nil, err
	}
	gateways, err := v.Gateways()
	return Members(joined, gateways), err
}

func (r *roll) joined(v store.View, now gatehouse.Revision) ([]*gatehouse.Membership, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.list == nil || r.at != now {
		list, err := v.Memberships()
		if err != nil {
			return nil, err
		}
		r.list, r.at = list, now
	}
	return r.list, nil
}

// peer is one member while Settled is computed.
type peer struct {
	id       gatehouse.ID
	since    gatehouse.Revision // of its membership; zero: it joined over no network
	joined   time.Time
	enforced gatehouse.Revision
}

// Members lists the fleet for dividing what it shares: everybody who joined,
// whether it was heard of or not, and the gateways in control's own processes.
//
// One is settled when no other can have a list without it: each acknowledged a
// revision in which it was a member, or joined only after it and so never had a
// list without it. A gateway in a control process has no revision; it is settled
// when it was there before everybody else, and else never.
func Members(joined []*gatehouse.Membership, gateways []*gatehouse.Gateway) []limit.Member {
	peers := peersOf(joined, gateways)
	out := make([]limit.Member, 0, len(peers))
	for _, m := range peers {
		out = append(out, limit.Member{ID: m.id, Settled: !slices.ContainsFunc(peers, m.unknownTo)})
	}
	slices.SortFunc(out, func(a, b limit.Member) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return out
}

func peersOf(joined []*gatehouse.Membership, gateways []*gatehouse.Gateway) []peer {
	var out []peer
	at := map[gatehouse.ID]int{}
	for _, m := range joined {
		at[m.ID] = len(out)
		out = append(out, peer{id: m.ID, since: m.Revision, joined: m.CreateTime})
	}
	for _, g := range gateways {
		i, ok := at[g.ID]
		switch {
		case ok:
			out[i].enforced = g.Enforced
		case !g.Forgotten:
			out = append(out, peer{id: g.ID, joined: g.Joined, enforced: g.Enforced})
		}
	}
	return out
}

// unknownTo reports whether o may have a list without m.
func (m peer) unknownTo(o peer) bool {
	switch {
	case o.id == m.id:
		return false
	case m.since.IsZero():
		return !m.joined.Before(o.joined)
	}
	return !m.since.Less(o.since) && o.enforced.Less(m.since)
}
