package feed

import (
	"time"

	"gatehouse"
)

// Propagated answers, for each cluster by its label, whether revision rev is
// enforced there. It is true only when it is provably so:
//
//   - A cluster with no live gateway is false.
//   - For a change that only adds authority, members that were silent for longer
//     than [Silence] are left out: what they do not know they refuse.
//   - For a removal every member counts until it acknowledges rev, until it must
//     refuse ordinary keys because it heard nothing for [MaxStale], or until an
//     operator forgets it.
//
// It believes acknowledgements alone, never that something was sent.
func Propagated(gateways []*gatehouse.Gateway, clusters []*gatehouse.Cluster, rev gatehouse.Revision, removal bool, now time.Time) map[string]bool {
	return Change{At: rev, Removal: removal}.Propagated(gateways, clusters, now)
}

// Change is what is asked about.
type Change struct {
	At      gatehouse.Revision
	Removal bool // it may have taken authority away
	// StrictSince is the revision since which the key has been strict without a
	// break; zero when it is not. Who enforces at least that refuses the key once its
	// lease is out, whatever else it missed.
	StrictSince gatehouse.Revision
}

// Propagated is [Propagated] for a change of which more is known.
func (c Change) Propagated(gateways []*gatehouse.Gateway, clusters []*gatehouse.Cluster, now time.Time) map[string]bool {
	rev, removal := c.At, c.Removal
	out := make(map[string]bool, len(clusters))
	for _, in := range clusters {
		if !in.DeleteTime.IsZero() {
			continue
		}
		live, awaited := false, false
		for _, g := range gateways {
			if g.Forgotten || g.Cluster != in.Name {
				continue
			}
			live = live || !silent(g, now)
			if g.Enforced.Less(rev) && counts(g, removal, now) && !c.lapsed(g, now) {
				awaited = true
			}
		}
		out[in.Label()] = live && !awaited
	}
	return out
}

// lapsed reports whether g refuses the key by itself: it knows that the key is
// strict, and the longest lease that any control node may have granted it is
// over. Nodes write that bound before they grant, and none takes it back; Drift
// is for their clocks.
func (c Change) lapsed(g *gatehouse.Gateway, now time.Time) bool {
	return !c.StrictSince.IsZero() && !g.Enforced.Less(c.StrictSince) && now.After(g.Lease.Add(Drift))
}

// counts reports whether a member that has not acknowledged must be waited for.
func counts(g *gatehouse.Gateway, removal bool, now time.Time) bool {
	if removal {
		// LeaseLength stands for what LastSeen may lag: a source writes it every few
		// seconds only, and a poll is open for two.
		return now.Sub(g.LastSeen) <= MaxStale+LeaseLength+Drift
	}
	return !silent(g, now)
}

func silent(g *gatehouse.Gateway, now time.Time) bool { return now.Sub(g.LastSeen) > Silence }
