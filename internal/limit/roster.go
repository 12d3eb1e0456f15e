package limit

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"gatehouse"
)

// roster is who divides the base shares, seen from one member.
//
// Members learn of changes at different times. The parts still never exceed the
// base: one who learns of a new member makes room at once, and the new one
// takes its part only when it is settled, that is when all others have learnt
// of it, and one longest window later. One who is forgotten is gone for good.
type roster struct {
	members []Member
	self    gatehouse.ID
	from    [kinds]time.Duration // since when base shares may be used
}

// newRoster follows old, which may be nil. A member begins at start: what a
// former run of it admitted may still be in the windows until one has passed.
func newRoster(old *roster, now time.Duration, self gatehouse.ID, members []Member) *roster {
	r := &roster{members: slices.Clone(members), self: self}
	for k := range kinds {
		r.from[k] = 1<<63 - 1
		if !r.settled() {
			continue
		}
		r.from[k] = now + remembered(k)
		if old != nil && old.settled() {
			r.from[k] = old.from[k]
		}
	}
	return r
}

func (r *roster) settled() bool {
	return slices.ContainsFunc(r.members, func(m Member) bool { return m.ID == r.self && m.Settled })
}

// part is this member's part of a base: an equal one, and what is left over goes
// one by one to those whom the subject ranks first. All members compute the
// same ranks.
func (r *roster) part(base int64, subject gatehouse.ID) int64 {
	if base <= 0 || !r.settled() {
		return 0
	}
	n, mine, before := int64(len(r.members)), rank(subject, r.self), int64(0)
	for _, m := range r.members {
		if s := rank(subject, m.ID); s > mine {
			before++
		}
	}
	part := base / n
	if before < base%n {
		part++
	}
	return part
}

// rank is a rendezvous hash: the same everywhere, and a member that joins or
// goes moves nobody else.
func rank(subject, member gatehouse.ID) uint64 {
	x := binary.BigEndian.Uint64(subject[:8]) ^ binary.BigEndian.Uint64(member[:8])*0x9e3779b97f4a7c15
	x = mix(x) ^ binary.BigEndian.Uint64(subject[8:])*0xc2b2ae3d27d4eb4f ^ binary.BigEndian.Uint64(member[8:])
	return mix(x)
}

// mix spreads every bit over all (the finalizer of splitmix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// TeamModel names the subject of a team's limits for one model.
func TeamModel(team gatehouse.ID, model string) gatehouse.ID {
	h := sha256.New()
	h.Write(team[:])
	h.Write([]byte(model))
	var id gatehouse.ID
	copy(id[:], h.Sum(nil))
	return id
}
