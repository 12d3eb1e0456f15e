package gatehouse

import (
	"context"
	"net/netip"
	"time"
)

// Role is what a person may do in a team: a set of operations
// (docs/reference/scopes.md). A personal management key may call what both its
// ACL and its owner's present role open.
type Role string

// The roles.
const (
	RoleOwner     Role = "owner"     // everything of the team
	RoleAdmin     Role = "admin"     // everything but changes to money
	RoleBilling   Role = "billing"   // money, usage and budgets
	RoleDeveloper Role = "developer" // API keys
	RoleAuditor   Role = "auditor"   // reads all, the audit log included
	RoleViewer    Role = "viewer"    // reads keys, models and usage
)

// Roles lists them, the widest first.
var Roles = []Role{RoleOwner, RoleAdmin, RoleBilling, RoleDeveloper, RoleAuditor, RoleViewer}

// InvitationStatus is how an invitation stands.
type InvitationStatus string

// The statuses.
const (
	InvitationPending  InvitationStatus = "pending"
	InvitationAccepted InvitationStatus = "accepted"
	InvitationRevoked  InvitationStatus = "revoked"
	InvitationExpired  InvitationStatus = "expired"
)

// Invitation asks a person into a team under a role. Its token is sent to the
// address and shown to the inviter once; the record holds its digest.
type Invitation struct {
	ID        ID     `json:"id"`
	TeamID    ID     `json:"team"`
	Email     string `json:"email"`
	Role      Role   `json:"role"`
	Digest    Digest `json:"digest"`
	InviterID ID     `json:"inviter,omitzero"` // user
	MakerID   ID     `json:"makerId,omitzero"` // management key
	// What bounds the inviter's key bounds the invited's: its ceiling, where it may
	// be used from and, unless it is a personal one, how long.
	Grant      *Grant         `json:"grant,omitempty"`
	IPRanges   []netip.Prefix `json:"ipRanges,omitempty"`
	KeyExpire  time.Time      `json:"keyExpireTime,omitzero"`
	UserID     ID             `json:"user,omitzero"` // who accepted
	CreateTime time.Time      `json:"createTime"`
	ExpireTime time.Time      `json:"expireTime"`
	AcceptTime time.Time      `json:"acceptTime,omitzero"`
	DeleteTime time.Time      `json:"deleteTime,omitzero"` // revoked
	Revision   Revision       `json:"revision"`
}

// Status is how the invitation stands at now.
func (i *Invitation) Status(now time.Time) InvitationStatus {
	switch {
	case !i.AcceptTime.IsZero():
		return InvitationAccepted
	case !i.DeleteTime.IsZero():
		return InvitationRevoked
	case !now.Before(i.ExpireTime):
		return InvitationExpired
	}
	return InvitationPending
}

// InvitationLifetime is how long an invitation may be accepted.
const InvitationLifetime = 7 * 24 * time.Hour

// MintedInvitation carries the token, shown this once, and the link with it.
type MintedInvitation struct {
	Invitation *Invitation
	Token      Token
	Link       string
	Mailed     bool // the mail was handed to a server
}

// Acceptance is what a person says who accepts an invitation.
type Acceptance struct {
	Email                 string // must be the invitation's
	GivenName, FamilyName string
}

// Members manages the people of a team.
type Members interface {
	ListMembers(ctx context.Context, team ID, page Page) ([]*User, string, error)
	// UpdateMember changes a role; neither the old nor the new may exceed the
	// caller's own. The last owner stays one.
	UpdateMember(ctx context.Context, team, user ID, role Role) (*User, error)
	// RemoveMember ends a membership: the person's management keys are refused
	// from then on; API keys pass to heir, or to nobody and are listed as orphans.
	// Of a person who was removed before it passes on what keys they still have.
	RemoveMember(ctx context.Context, team, user, heir ID) error
	Invite(ctx context.Context, team ID, email string, role Role) (MintedInvitation, error)
	ListInvitations(ctx context.Context, team ID, page Page) ([]*Invitation, string, error)
	RevokeInvitation(ctx context.Context, team, id ID) error
	// AcceptInvitation needs an invitation's token as the credential. It makes the
	// person a member and returns a personal management key.
	AcceptInvitation(context.Context, Acceptance) (MintedManagementKey, error)
	// Orphans lists live API keys without a living owner, oldest first.
	Orphans(ctx context.Context, team ID, page Page) ([]*Key, string, error)
}

// SignIn is what a person shows who signs in by OpenID Connect.
type SignIn struct {
	IDToken      string // a JWT of the configured issuer for the configured client
	RefreshToken string // asked from time to time whether the person is still there; may be empty
	Nonce        string // what the ID token must carry; empty: none was sent
	TeamID       ID     // zero: the one team in which the person's groups give a role
}

// Identity is a person as a verified ID token names one.
type Identity struct {
	Token                 Digest // of the claims that were signed: the same however the token is spelled
	Subject               string // "ISSUER SUB"
	Email                 string // empty unless the provider has verified it
	GivenName, FamilyName string
	Groups                []string
	Expire                time.Time // of the ID token
}

// SignInMethod tells a client how to sign in.
type SignInMethod struct {
	Issuer, ClientID string
	Scopes           []string
}

// SignIns exchanges a proof of identity for a personal management key. Its
// methods need no credential.
type SignIns interface {
	// SignInMethod is NotFound where none is configured.
	SignInMethod(context.Context) (SignInMethod, error)
	// SignIn verifies the ID token, finds or makes the person, sets the role that
	// the groups give, and mints a key for at most a working day.
	SignIn(context.Context, SignIn) (MintedManagementKey, error)
}
