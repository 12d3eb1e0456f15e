package gatehouse

import (
	"cmp"
	"fmt"
)

// Revision orders every mutation of one installation. Epoch counts timelines:
// a restore from backup, or a failover that lost its tail, starts a new one. N
// is gapless within an epoch and assigned in the mutation's own transaction,
// so commit order is revision order.
type Revision struct {
	Epoch int64 `json:"epoch"`
	N     int64 `json:"n"`
}

// Compare is -1, 0 or 1, epochs first.
func (r Revision) Compare(o Revision) int {
	if c := cmp.Compare(r.Epoch, o.Epoch); c != 0 {
		return c
	}
	return cmp.Compare(r.N, o.N)
}

// Less reports whether r is before o.
func (r Revision) Less(o Revision) bool { return r.Compare(o) < 0 }

// IsZero reports whether there is no revision.
func (r Revision) IsZero() bool { return r == Revision{} }

// String is "epoch.n", as in X-Gatehouse-Revision.
func (r Revision) String() string { return fmt.Sprintf("%d.%d", r.Epoch, r.N) }

// ParseRevision inverts String.
func ParseRevision(s string) (Revision, error) {
	var r Revision
	if n, err := fmt.Sscanf(s, "%d.%d", &r.Epoch, &r.N); n != 2 || err != nil || r.String() != s {
		return Revision{}, Errorf(InvalidArgument, "not a revision: want EPOCH.N")
	}
	return r, nil
}

// Kind names the kinds of record that a revision can change. They are also
// the subject kinds of audit events.
type Kind string

// The kinds.
const (
	KindKey           Kind = "api_key"
	KindManagementKey Kind = "management_key"
	KindTeam          Kind = "team"
	KindUser          Kind = "user"
	KindUpstream      Kind = "upstream"
	KindModel         Kind = "model"
	KindAlias         Kind = "alias"
	KindPrice         Kind = "price"
	KindCluster       Kind = "cluster"
	KindGateway       Kind = "gateway"
	KindJoinToken     Kind = "join_token"
	KindMembership    Kind = "membership"
	KindBilling       Kind = "billing_account"
	KindTopUp         Kind = "top_up"
	KindInvoice       Kind = "invoice"
	KindInvitation    Kind = "invitation"
	KindAlertHook     Kind = "alert_hook"
	KindFile          Kind = "file"
	KindCollection    Kind = "collection"
	KindDocument      Kind = "document" // its subject is COLLECTION/FILE
	KindInstallation  Kind = "installation"
)

// Change says that a record was written at a revision. It carries no content:
// whoever follows the feed reads the record itself, which is at least that new.
type Change struct {
	Revision Revision
	Kind     Kind
	ID       string // an ID, or the name where the kind is named
}
