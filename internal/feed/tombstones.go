package feed

import (
	"context"
	"slices"

	"gatehouse"
	"gatehouse/internal/store"
)

// Tombstone says that a key was deleted, and at which revision.
type Tombstone struct {
	ID       gatehouse.ID
	Revision gatehouse.Revision
}

// Offer is a gateway's tombstones on their way to control.
type Offer struct{ Tombstones []Tombstone }

// maxOffered bounds what a gateway offers; the newest are what a backup lacks.
const maxOffered = 100_000

// Tombstones are the keys that this replica knows to be deleted, newest first.
// A control plane that was restored from a backup takes from them the deletions
// that it forgot (reliability.md §3.1).
func (r *Replica) Tombstones() []Tombstone {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Tombstone, 0, len(r.writer.graves))
	for id, at := range r.writer.graves {
		out = append(out, Tombstone{id, at})
	}
	slices.SortFunc(out, func(a, b Tombstone) int { return b.Revision.Compare(a.Revision) })
	return out[:min(len(out), maxOffered)]
}

// offerFirst refuses a poll out of an earlier epoch than the store's that says
// nothing of what was deleted there: the gateway's next poll offers it.
func offerFirst(p Poll, now gatehouse.Revision) error {
	if p.Offer != nil {
		return nil
	}
	return gatehouse.Errorf(gatehouse.FailedPrecondition,
		"feed: epoch %d began since gateway %s was last here, in epoch %d: it must say what was deleted before it may follow",
		now.Epoch, p.Gateway, p.Enforced.Epoch)
}

// unaccounted reports whether some gateway that is not forgotten has not come
// over into the store's epoch: it may know of deletions that the store lost, so
// until then nobody gets a lease for strict keys. A gateway that is gone for
// good must be forgotten by an operator, who knows.
func unaccounted(v store.View, now gatehouse.Revision) (bool, error) {
	if now.Epoch <= 1 {
		return false, nil
	}
	all, err := v.Gateways()
	return slices.ContainsFunc(all, func(g *gatehouse.Gateway) bool {
		return !g.Forgotten && !g.Enforced.IsZero() && g.Enforced.Epoch < now.Epoch
	}), err
}

// takeOver hands the tombstones of a poll to whoever commits them.
func (s *Source) takeOver(ctx context.Context, p Poll) error {
	if p.Offer == nil || s.Rebury == nil {
		return nil
	}
	believed := false
	err := s.Store.View(store.System(ctx), func(v store.View) (err error) {
		believed, err = wasElsewhere(v, p)
		return err
	})
	if err != nil || !believed {
		return err
	}
	return s.Rebury(ctx, p.Gateway, p.Offer.Tombstones)
}

// wasElsewhere reports whether the gateway can know what the store lost: it was
// last heard of in an earlier epoch. Within one epoch nothing was lost, and
// nobody may delete by saying so. What a gateway over a network says of itself
// is not enough for that: whoever stole one could delete any key. The store's own
// word counts, which acknowledgements never take back into an earlier epoch.
func wasElsewhere(v store.View, p Poll) (bool, error) {
	now, err := v.Revision()
	if err != nil || p.Enforced.Epoch >= now.Epoch {
		return false, err
	}
	if p.SealTo == (SealKey{}) {
		return true, nil // this process
	}
	all, err := v.Gateways()
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(all, func(g *gatehouse.Gateway) bool { return g.ID == p.Gateway })
	if i < 0 {
		// A backup from between its joining and its first poll.
		m, err := v.Membership(p.Gateway)
		return err == nil && m.Revision.Epoch < now.Epoch, nil
	}
	return !all[i].Enforced.IsZero() && all[i].Enforced.Epoch < now.Epoch, nil
}

// outdated reports whether p acknowledges a revision of an epoch that is over.
// It will be answered with a snapshot; written down, it would make the gateway
// one that may know of lost deletions.
func (s *Source) outdated(ctx context.Context, p Poll) (bool, error) {
	if !p.Ready {
		return false, nil
	}
	if s.epoch.Load() == 0 {
		err := s.Store.View(store.System(ctx), func(v store.View) error {
			now, err := v.Revision()
			s.epoch.Store(now.Epoch)
			return err
		})
		if err != nil {
			return false, err
		}
	}
	return p.Enforced.Epoch < s.epoch.Load(), nil
}
