package gatehouse

import (
	"net/netip"
	"slices"
	"time"
)

// BillingMode says what running out of money does (contract.md).
type BillingMode string

// The billing modes.
const (
	BillingMetering BillingMode = "metering" // priced and recorded; nothing stops
	BillingPrepaid  BillingMode = "prepaid"
	BillingPostpaid BillingMode = "postpaid"
)

// Pays reports that usage takes from the team's credit, or is owed.
func (m BillingMode) Pays() bool { return m == BillingPrepaid || m == BillingPostpaid }

// Team owns keys, usage and an audit log. No operation by one team's
// credential reads, changes or names anything of another.
type Team struct {
	ID      ID          `json:"id"`
	Name    string      `json:"name"`
	Blocked bool        `json:"blocked,omitempty"`
	Billing BillingMode `json:"billing"`
	// BillingTurns are the times at which the team came to pay, or to be only
	// metered, in turn and oldest first; Billing is how it stands after the last.
	BillingTurns []time.Time `json:"billingTurns,omitempty"`
	// ModelLimits bound all keys of the team together, by canonical model.
	ModelLimits map[string]Limits `json:"modelLimits,omitempty"`
	// Budgets bound what the team, its keys, owners and tags may spend.
	Budgets    []Budget  `json:"budgets,omitempty"`
	CreateTime time.Time `json:"createTime"`
	DeleteTime time.Time `json:"deleteTime,omitzero"`
	Revision   Revision  `json:"revision"`
}

// MaxBillingTurns bounds BillingTurns: of a team that had more, what lies before
// the oldest that is kept counts as one time.
const MaxBillingTurns = 50

// PaysAt reports whether requests made at a time are paid for, or only metered.
// That does not change when the team comes to pay: what was used before is on no
// bill, whenever it arrives or is priced again.
func (t *Team) PaysAt(at time.Time) bool {
	pays := t.Billing.Pays()
	for _, turn := range slices.Backward(t.BillingTurns) {
		if !at.Before(turn) {
			break
		}
		pays = !pays
	}
	return pays
}

// User is a person as audit events show one.
type User struct {
	ID           ID        `json:"id"`
	TeamID       ID        `json:"teamId"`
	GivenName    string    `json:"givenName,omitempty"`
	FamilyName   string    `json:"familyName,omitempty"`
	Email        string    `json:"email,omitempty"`
	ProfileImage string    `json:"profileImage,omitempty"` // a URL
	Role         Role      `json:"role,omitempty"`         // empty: a name in the books, without a role
	Subject      string    `json:"subject,omitempty"`      // "ISSUER SUB TEAM" of the person's sign-in
	Disabled     bool      `json:"disabled,omitempty"`     // left at the identity provider
	CreateTime   time.Time `json:"createTime"`
	DeleteTime   time.Time `json:"deleteTime,omitzero"`
	Revision     Revision  `json:"revision"`
}

// Scope is how far a management key reaches.
type Scope string

// The scopes, spelled as on the wire.
const (
	ScopeTeam         Scope = "SCOPE_TEAM"         // one team
	ScopeOrganization Scope = "SCOPE_ORGANIZATION" // every team, and the installation's own objects
)

// ManagementKey is a credential of the management plane. It is never cached:
// the transaction that acts on its authority reads it.
type ManagementKey struct {
	ID         ID             `json:"id"`
	Scope      Scope          `json:"scope"`
	TeamID     ID             `json:"teamId"` // the scope's team; under ScopeOrganization the home team
	UserID     ID             `json:"userId"` // its owner
	MakerID    ID             `json:"makerId,omitzero"`
	Name       string         `json:"name"`
	Personal   bool           `json:"personal,omitempty"` // bounded by its owner's present role
	ACL        []string       `json:"acl"`                // team-token:endpoint:NAME, NAME an [Operation] or *
	Grant      *Grant         `json:"grant,omitempty"`
	IPRanges   []netip.Prefix `json:"ipRanges,omitempty"`
	CreateTime time.Time      `json:"createTime"`
	ModifyTime time.Time      `json:"modifyTime"`
	ExpireTime time.Time      `json:"expireTime,omitzero"`
	DeleteTime time.Time      `json:"deleteTime,omitzero"` // not zero: revoked
	Secrets    []Secret       `json:"secrets"`
	Revision   Revision       `json:"revision"`
}

// Grant is a ceiling: nothing that its holder makes, updates or rotates may
// exceed it, judged on the stored result. A nil Grant, and a nil field, is
// unbounded; under a maximum, an unlimited key is refused.
type Grant struct {
	ACL           *ACL       `json:"acls,omitempty"`
	MaxQPS        *int32     `json:"maxQps,omitempty"`
	MaxQPM        *int32     `json:"maxQpm,omitempty"`
	MaxTPM        *int64     `json:"maxTpm,omitempty"`
	MaxExpireTime *time.Time `json:"maxExpireTime,omitempty"`
	MaxBudget     *Ticks     `json:"maxBudget,omitempty"` // of any budget that its holder sets
}

// Admits reports every way in which k exceeds g.
func (g *Grant) Admits(k *Key, v *Violations) {
	if g == nil {
		return
	}
	if g.ACL != nil {
		if excess := k.ACL.Within(*g.ACL); excess != "" {
			v.Addf("acls", "%q is beyond what this management key may grant", clip(excess))
		}
	}
	over(v, "qps", k.Limits.QPS, g.MaxQPS)
	over(v, "qpm", k.Limits.QPM, g.MaxQPM)
	over(v, "tpm", k.Limits.TPM, g.MaxTPM)
	if m := g.MaxExpireTime; m != nil && (k.ExpireTime.IsZero() || k.ExpireTime.After(*m)) {
		v.Addf("expireTime", "must be at most %s", m.UTC().Format(time.RFC3339))
	}
}

// Covers reports every way in which child, given to a management key made
// under g, would exceed g.
func (g *Grant) Covers(child *Grant, v *Violations) {
	if g == nil {
		return
	}
	if child == nil {
		child = &Grant{}
	}
	if g.ACL != nil {
		if child.ACL == nil {
			v.Addf("grant.acls", "is required: your own ceiling has one")
		} else if excess := child.ACL.Within(*g.ACL); excess != "" {
			v.Addf("grant.acls", "%q is beyond your own ceiling", clip(excess))
		}
	}
	overPtr(v, "grant.maxQps", child.MaxQPS, g.MaxQPS)
	overPtr(v, "grant.maxQpm", child.MaxQPM, g.MaxQPM)
	overPtr(v, "grant.maxTpm", child.MaxTPM, g.MaxTPM)
	overPtr(v, "grant.maxBudget", child.MaxBudget, g.MaxBudget)
	if m := g.MaxExpireTime; m != nil && (child.MaxExpireTime == nil || child.MaxExpireTime.After(*m)) {
		v.Addf("grant.maxExpireTime", "must be at most %s", m.UTC().Format(time.RFC3339))
	}
}

func over[T int32 | int64](v *Violations, field string, got T, most *T) {
	if most != nil && (got == 0 || got > *most) {
		v.Addf(field, "must be at most %d: that is what this management key may grant", *most)
	}
}

func overPtr[T int32 | int64 | Ticks](v *Violations, field string, got, most *T) {
	if most != nil && (got == nil || *got > *most) {
		v.Addf(field, "must be at most %v, your own ceiling", *most)
	}
}
