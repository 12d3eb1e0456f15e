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
	out := make(map[string]bool, len(clusters))
	for _, c := range clusters {
		if !c.DeleteTime.IsZero() {
			continue
		}
		live, awaited := false, false
		for _, g := range gateways {
			if g.Forgotten || g.Cluster != c.Name {
				continue
			}
			live = live || !silent(g, now)
			if g.Enforced.Less(rev) && counts(g, removal, now) {
				awaited = true
			}
		}
		out[c.Label()] = live && !awaited
	}
	return out
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
