package feed

import (
	"net/netip"
	"time"

	"gatehouse"
)

// KeyView is one secret of one key, with everything that admission needs. It is
// a value of two pointers into an immutable snapshot: taking one allocates
// nothing, and it goes on meaning what it meant when it was looked up.
type KeyView struct {
	row *row
	in  *state
}

// KeyState says whether a key may be used, from its own fields alone; the
// team's are in Team.
type KeyState uint8

// The states, in the order in which they are told: the first that applies.
const (
	Active   KeyState = iota
	Blocked           // by the installation
	Disabled          // by its users
	Expired           // the key, or this secret after a rotation
)

// State judges the key at now, which callers take from [Replica.Now].
func (k KeyView) State(now time.Time) KeyState {
	switch {
	case k.row.flags&flagBlocked != 0:
		return Blocked
	case k.row.flags&flagDisabled != 0:
		return Disabled
	case k.row.expire.passed(now) || k.row.secretExpire.passed(now):
		return Expired
	}
	return Active
}

// ID names the key; both secrets of a rotation have the same.
func (k KeyView) ID() gatehouse.ID { return k.row.id }

// TeamID is whose key it is.
func (k KeyView) TeamID() gatehouse.ID { return k.in.ids[k.row.team] }

// UserID created the key.
func (k KeyView) UserID() gatehouse.ID { return k.in.ids[k.row.user] }

// OwnerID answers for the key: its creator unless it was given to someone.
func (k KeyView) OwnerID() gatehouse.ID { return k.in.ids[k.row.owner] }

// ModifiedBy changed the key last.
func (k KeyView) ModifiedBy() gatehouse.ID { return k.in.ids[k.row.modifiedBy] }

// Team is the key's team as of the same revision. Without it nothing may be
// admitted: the record is missing or was denied.
func (k KeyView) Team() (*gatehouse.Team, bool) { return k.in.catalogue.Team(k.TeamID()) }

// Catalogue is what the key's requests are routed and priced by, as of the same
// revision as the key.
func (k KeyView) Catalogue() *Catalogue { return k.in.catalogue }

// Limits are the key's.
func (k KeyView) Limits() gatehouse.Limits { return k.row.limits }

// Strict reports whether the key is refused without a lease. Check the lease
// after the look-up: a process that was paused in between then checks again.
func (k KeyView) Strict() bool { return k.row.flags&flagStrict != 0 }

// ReserveTPM reports whether the key's tokens are held from admission on.
func (k KeyView) ReserveTPM() bool { return k.row.flags&flagReserve != 0 }

// Disabled reports whether its users disabled the key.
func (k KeyView) Disabled() bool { return k.row.flags&flagDisabled != 0 }

// Blocked reports whether the installation blocked the key.
func (k KeyView) Blocked() bool { return k.row.flags&flagBlocked != 0 }

// ExpireTime is when the key as a whole ends; zero is never.
func (k KeyView) ExpireTime() time.Time { return k.row.expire.time() }

// SecretExpireTime is when this secret ends beside the key's own time: set on
// the old one at a rotation.
func (k KeyView) SecretExpireTime() time.Time { return k.row.secretExpire.time() }

// CreateTime is when the key was made.
func (k KeyView) CreateTime() time.Time { return k.row.create.time() }

// ModifyTime is when the key was last changed.
func (k KeyView) ModifyTime() time.Time { return k.row.modify.time() }

// Revision is that of the key's last change.
func (k KeyView) Revision() gatehouse.Revision {
	return gatehouse.Revision{Epoch: k.row.epoch, N: k.row.n}
}

// Name is the key's. It allocates: admission does not need it.
func (k KeyView) Name() string { return k.in.names.at(k.row.name) }

// Last4 is the visible end of this secret. It allocates.
func (k KeyView) Last4() string {
	n := 0
	for n < len(k.row.last4) && k.row.last4[n] != 0 {
		n++
	}
	return string(k.row.last4[:n])
}

// Tags are for cost allocation. Callers must not change the map.
func (k KeyView) Tags() map[string]string { return k.in.tags[k.row.tags] }

// IPRanges is where the key may be used from; empty is anywhere. Callers must
// not change it.
func (k KeyView) IPRanges() []netip.Prefix { return k.in.ranges[k.row.ranges] }

// AllowedFrom reports whether a client at addr may use the key.
func (k KeyView) AllowedFrom(addr netip.Addr) bool {
	return gatehouse.AllowedFrom(k.IPRanges(), addr)
}

// ACL is the key's, as written. Callers must not change it.
func (k KeyView) ACL() gatehouse.ACL { return k.in.acls[k.row.acl].list }

// AllowsEndpoint reports whether requests of the endpoint may pass.
func (k KeyView) AllowsEndpoint(endpoint string) bool {
	return k.in.acls[k.row.acl].allowsEndpoint(endpoint)
}

// AllowsModel reports whether a request dispatched to the canonical model may
// pass. An alias in the ACL grants what it targets now.
func (k KeyView) AllowsModel(model string) bool {
	acl := k.in.acls[k.row.acl]
	if acl.allowsModel(model) {
		return true
	}
	if len(acl.models) == 0 {
		return false
	}
	for _, alias := range k.in.catalogue.AliasesOf(model) {
		if acl.allowsModel(alias) {
			return true
		}
	}
	return false
}
