package sqlstore

import (
	"crypto/sha256"
	"sync"

	"gatehouse"
	"gatehouse/internal/store"
)

// headKey names a record in few bytes: the heads of a million keys stay in
// memory.
type headKey struct {
	kind byte
	id   [16]byte
}

// kindBytes numbers the kinds whose rows the log vouches for.
var kindBytes = map[gatehouse.Kind]byte{
	gatehouse.KindKey: 1, gatehouse.KindManagementKey: 2, gatehouse.KindTeam: 3, gatehouse.KindUser: 4,
	gatehouse.KindUpstream: 5, gatehouse.KindModel: 6, gatehouse.KindAlias: 7, gatehouse.KindPrice: 8,
	gatehouse.KindCluster: 9, gatehouse.KindJoinToken: 10, gatehouse.KindMembership: 11,
	gatehouse.KindBilling: 12, gatehouse.KindTopUp: 13, gatehouse.KindInvoice: 14, gatehouse.KindInvitation: 15,
	gatehouse.KindAlertHook: 16,
	gatehouse.KindFile:      17, gatehouse.KindCollection: 18, gatehouse.KindDocument: 19,
}

// headOf makes the key of a record. Names hash: a collision in 128 bits would
// merely make one record's head pass for another's, whose MAC still names it.
func headOf(kind gatehouse.Kind, id string) headKey {
	k := headKey{kind: kindBytes[kind]}
	if parsed, err := gatehouse.ParseID(id); err == nil && parsed.String() == id {
		k.id = parsed
		return k
	}
	sum := sha256.Sum256([]byte(id))
	copy(k.id[:], sum[:])
	return k
}

// heads knows the last revision that the audit log has for each record. It is
// filled by replaying the log at open and moved by each Put, before COMMIT: a
// reader that sees a head newer than its snapshot knows that the record
// changed after it looked, and must not call the older row a forgery.
type heads struct {
	mu sync.RWMutex
	m  map[headKey]gatehouse.Revision
	// tree is the log that m was read from. Only where processes share a
	// database is it kept: see catchup.go.
	tree store.Tree
}

func (h *heads) get(k headKey) (gatehouse.Revision, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	r, ok := h.m[k]
	return r, ok
}

// set moves a head and returns how to move it back.
func (h *heads) set(k headKey, r gatehouse.Revision) (undo func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old, had := h.m[k]
	h.m[k] = r
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if had {
			h.m[k] = old
		} else {
			delete(h.m, k)
		}
	}
}
