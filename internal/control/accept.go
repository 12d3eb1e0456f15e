package control

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// What the holder of something that is no invitation's token learns.
const badInvitation = "Invalid bearer token. Please ensure you use the token of an invitation."

// invited checks that the credential is an invitation's token.
func (c *Caller) invited(ctx context.Context) error {
	return c.s.Store.View(store.System(ctx), func(v store.View) error {
		_, err := c.invitation(v)
		return err
	})
}

// invitation finds and proves the invitation that the call carries. What became
// of it is another question: its holder may know the answer.
func (c *Caller) invitation(v store.View) (*gatehouse.Invitation, error) {
	bad := gatehouse.Errorf(gatehouse.Unauthenticated, badInvitation)
	if c.call.Token.Plane() != gatehouse.Invite {
		return nil, bad
	}
	i, err := found(v.Invitation(c.call.Token.ID()))
	if err != nil {
		return nil, err
	}
	if i == nil {
		i = &gatehouse.Invitation{} // compared too, so that an unknown id takes as long
	}
	if !i.Digest.Equal(c.call.Token.Digest()) || i.ID.IsZero() {
		return nil, bad
	}
	return i, nil
}

// AcceptInvitation implements gatehouse.Members. All that it makes is in one
// transaction, so that of two who accept at once one is told that it was done.
func (c *Caller) AcceptInvitation(ctx context.Context, a gatehouse.Acceptance) (mintedManager, error) {
	n := newcomer{user: gatehouse.NewID(), key: gatehouse.NewID()}
	n.token = gatehouse.MintToken(c.s.Brand, gatehouse.Management, n.key)
	var out mintedManager
	var i *gatehouse.Invitation
	cause := c.causeOf(gatehouse.Actor{Kind: gatehouse.ActorInvited, KeyID: c.call.Token.ID()})
	rev, err := c.s.Store.Update(store.System(ctx), cause, func(tx store.Tx) (err error) {
		out = mintedManager{}
		if i, err = c.invitation(tx); err != nil {
			return err
		}
		if named := c.call.TeamID; !named.IsZero() && named != i.TeamID {
			return missing(invitationNoun) // a route that names a team leads to what is that team's
		}
		now := c.s.Now()
		if err = acceptable(tx, i, a, now); err != nil {
			return err
		}
		out, err = n.join(tx, i, a, utc(now))
		return err
	})
	if err != nil {
		c.refuseInvited(ctx, i, cause, err)
		return mintedManager{}, err
	}
	c.call.Committed = &rev
	return out, nil
}

// acceptable refuses an invitation that is not open, or not this person's.
func acceptable(v store.View, i *gatehouse.Invitation, a gatehouse.Acceptance, now time.Time) error {
	switch i.Status(now) {
	case gatehouse.InvitationAccepted:
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "this invitation was accepted before, and is good for once")
	case gatehouse.InvitationRevoked:
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "this invitation was revoked: ask for another")
	case gatehouse.InvitationExpired:
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "this invitation expired on %s: ask for another", i.ExpireTime.UTC().Format(time.RFC3339))
	}
	if !strings.EqualFold(strings.TrimSpace(a.Email), i.Email) {
		return gatehouse.Errorf(gatehouse.PermissionDenied, "this invitation is for another e-mail address")
	}
	if t, err := found(v.Team(i.TeamID)); err != nil || t == nil || !t.DeleteTime.IsZero() {
		return orElse(err, gatehouse.Errorf(gatehouse.FailedPrecondition, "the team is no more"))
	}
	return vouched(v, i)
}

// vouched refuses an invitation whose inviter could not send it any more. That
// the key which made it has expired since is no reason: it may have been the
// inviter's for a day.
func vouched(v store.View, i *gatehouse.Invitation) error {
	k, err := found(v.ManagementKey(i.MakerID))
	if err != nil {
		return err
	}
	who := &principal{ManagementKey: k}
	if k != nil {
		who.owner, err = owner(v, k)
	}
	switch {
	case err != nil:
		return err
	case k == nil || !k.DeleteTime.IsZero():
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "this invitation was made with a management key that has been revoked: ask for another")
	case who.owner == nil && (k.Personal || !k.UserID.IsZero()), !who.MayCall(gatehouse.CreateInvitation), who.outranked(i.Role) != "":
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "who sent this invitation may not send it any more: ask for another")
	}
	return nil
}

// newcomer is what an acceptance or a first sign-in makes, named before the
// transaction, which may run twice.
type newcomer struct {
	user, key gatehouse.ID
	token     gatehouse.Token
}

// join makes the person, their key, and the invitation a thing of the past.
func (n newcomer) join(tx store.Tx, i *gatehouse.Invitation, a gatehouse.Acceptance, now time.Time) (mintedManager, error) {
	u, err := n.person(tx, i, a, now)
	if err != nil {
		return mintedManager{}, err
	}
	used := *i
	used.UserID, used.AcceptTime = u.ID, now
	err = tx.PutInvitation(&used, done(gatehouse.AcceptInvitation, "invitation.accepted", i.TeamID, gatehouse.KindInvitation, i.ID.String(), "Invitation "+i.ID.String()+" was accepted"))
	if err != nil {
		return mintedManager{}, err
	}
	return n.mint(tx, gatehouse.AcceptInvitation, &gatehouse.ManagementKey{
		TeamID: i.TeamID, UserID: u.ID, MakerID: i.MakerID, Name: "personal", Grant: i.Grant, IPRanges: i.IPRanges, ExpireTime: i.KeyExpire,
	}, now)
}

// person is a new record, or that of the address in the books that has no role.
func (n newcomer) person(tx store.Tx, i *gatehouse.Invitation, a gatehouse.Acceptance, now time.Time) (*gatehouse.User, error) {
	known, err := found(tx.UserByEmail(i.TeamID, i.Email))
	if err != nil {
		return nil, err
	}
	if known != nil && (known.Role != "" || known.Subject != "" || known.Disabled) {
		return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "this address is a member's already")
	}
	u, action := &gatehouse.User{ID: n.user, TeamID: i.TeamID, CreateTime: now}, "user.created"
	if known != nil {
		u, action = known, "member.updated"
	}
	u.Email, u.Role = i.Email, i.Role
	u.GivenName, u.FamilyName = orKeep(a.GivenName, u.GivenName), orKeep(a.FamilyName, u.FamilyName)
	if err := validateUser(u); err != nil {
		return nil, err
	}
	act := done(gatehouse.AcceptInvitation, action, u.TeamID, gatehouse.KindUser, u.ID.String(), "User "+u.ID.String()+" became a member")
	act.Details = changes{"role": string(u.Role)}
	return u, tx.PutUser(u, act)
}

func orKeep(said, had string) string {
	if said == "" {
		return had
	}
	return said
}

// mint makes the person's own management key: of their team, open to all that
// their role opens at any time.
func (n newcomer) mint(tx store.Tx, op gatehouse.Operation, k *gatehouse.ManagementKey, now time.Time) (mintedManager, error) {
	k.ID, k.Scope, k.Personal, k.ACL, k.CreateTime, k.ModifyTime = n.key, gatehouse.ScopeTeam, true, []string{everyScope}, now, now
	k.Secrets = []gatehouse.Secret{{Digest: n.token.Digest(), Last4: n.token.Last4(), CreateTime: now}}
	act := done(op, "management_key.created", k.TeamID, gatehouse.KindManagementKey, k.ID.String(), "Management key '"+k.Name+"' was created")
	act.Details = changes{"scope": string(k.Scope), "acls": everyScope, "personal": "true", "ownerUserId": k.UserID.String(), "last4": n.token.Last4()}
	if err := tx.PutManagementKey(k, act); err != nil {
		return mintedManager{}, err
	}
	return mintedManager{Key: shownManager(k), Token: n.token}, nil
}

// refuseInvited writes down who tried with a true token what they may not. An
// unproven one has no invitation, and gets a line in the program's log.
func (c *Caller) refuseInvited(ctx context.Context, i *gatehouse.Invitation, cause gatehouse.Cause, why error) {
	if i == nil || !c.s.useless.told(i.ID, c.s.Now()) {
		c.s.Logger.WarnContext(ctx, "an invitation was refused", slog.String("ip", c.call.IP.String()),
			slog.String("request_id", c.call.RequestID), slog.String("why", string(gatehouse.CodeOf(why))))
		return
	}
	_, err := c.s.Store.Update(store.System(ctx), cause, func(tx store.Tx) error {
		return tx.Record(gatehouse.Act{
			Action: "access.denied", Operation: string(gatehouse.AcceptInvitation), TeamID: i.TeamID, Result: gatehouse.Denied,
			Kind: gatehouse.KindInvitation, Subject: i.ID.String(), Description: "Invitation " + i.ID.String() + " was not accepted",
			Details: changes{"why": short(gatehouse.Public(why))},
		})
	})
	if err != nil {
		c.s.Logger.ErrorContext(ctx, "denial not audited", slog.String("request_id", c.call.RequestID), slog.Any("error", err))
	}
}
