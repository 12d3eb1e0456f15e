package control

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

const (
	invitationNoun = "invitation"
	// mailWithin bounds how long an inviter waits for a mail server.
	mailWithin = 10 * time.Second
)

type mintedInvitation = gatehouse.MintedInvitation

// Invite implements gatehouse.Members. The letter goes out after the commit and
// may fail: the inviter has the link in any case.
func (c *Caller) Invite(ctx context.Context, team gatehouse.ID, email string, role gatehouse.Role) (mintedInvitation, error) {
	id := gatehouse.NewID()
	token := gatehouse.MintToken(c.s.Brand, gatehouse.Invite, id)
	var into *gatehouse.Team // of the letter; nil when an earlier answer is shown again
	out, err := mutate(ctx, c, mutation[mintedInvitation]{
		op: gatehouse.CreateInvitation, target: team.String(), secret: true, // without the address: it may become part of a leaf
		run: func(tx store.Tx, who *principal) (mintedInvitation, error) {
			t, err := liveTeam(tx, who, who.home(team))
			if err != nil {
				return mintedInvitation{}, err
			}
			i := freshInvitation(who, id, t.ID, role, token.Digest())
			if err := checkInvitation(tx, who, i, email); err != nil {
				return mintedInvitation{}, err
			}
			act := done(gatehouse.CreateInvitation, "invitation.created", t.ID, gatehouse.KindInvitation, id.String(), "Invitation "+id.String()+" was created")
			act.Details = changes{"role": string(role), "expireTime": show(i.ExpireTime)}
			into = t
			return mintedInvitation{Invitation: shownInvitation(i), Token: token}, tx.PutInvitation(i, act)
		},
	})
	if err != nil {
		return mintedInvitation{}, err
	}
	out.Link = c.s.link(out.Token)
	out.Mailed = into != nil && c.s.mail(ctx, out, into.Name)
	return out, nil
}

// freshInvitation is bounded as its maker's key is. How long a personal key
// lives says how long its owner is signed in, and bounds nothing.
func freshInvitation(who *principal, id, team gatehouse.ID, role gatehouse.Role, digest gatehouse.Digest) *gatehouse.Invitation {
	now := utc(who.now)
	i := &gatehouse.Invitation{
		ID: id, TeamID: team, Role: role, Digest: digest, InviterID: who.UserID, MakerID: who.ID, Grant: who.Grant, IPRanges: who.IPRanges,
		CreateTime: now, ExpireTime: now.Add(gatehouse.InvitationLifetime),
	}
	if !who.Personal {
		i.KeyExpire = who.ExpireTime
	}
	return i
}

// checkInvitation names what is wrong, then what is beyond the caller, then what
// is there already.
func checkInvitation(v store.View, who *principal, i *gatehouse.Invitation, email string) error {
	var bad gatehouse.Violations
	i.Email = address("email", email, &bad)
	if err := checkRole(i.Role); err != nil {
		bad = append(bad, gatehouse.Violation{Field: "role", Problem: "must be one of owner, admin, billing, developer, auditor, viewer"})
	}
	if err := bad.Err(); err != nil {
		return err
	}
	if err := who.mayGive("role", i.Role); err != nil {
		return err
	}
	if u, err := found(v.UserByEmail(i.TeamID, i.Email)); err != nil || u != nil && u.Role != "" {
		return orElse(err, gatehouse.Errorf(gatehouse.AlreadyExists, "this address is a member's already"))
	}
	return invitationsOf(v, i.TeamID, func(o *gatehouse.Invitation) error {
		if o.Status(who.now) == gatehouse.InvitationPending && strings.EqualFold(o.Email, i.Email) {
			return gatehouse.Errorf(gatehouse.AlreadyExists, "invitation %s to this address is pending: revoke it first", o.ID)
		}
		return nil
	})
}

// orElse prefers the error that there is.
func orElse(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// invitationsOf yields a team's invitations that were not revoked.
func invitationsOf(v store.View, team gatehouse.ID, yield func(*gatehouse.Invitation) error) error {
	return walk(func(after store.Cursor) ([]*gatehouse.Invitation, error) {
		return v.Invitations(team, after, defaultPage)
	},
		func(i *gatehouse.Invitation) (store.Cursor, error) {
			return store.Cursor{Time: i.CreateTime, ID: i.ID.String()}, yield(i)
		})
}

// link is where an invitation is accepted. The token is a fragment: no server on
// the way, and no log, gets to see it.
func (s *Service) link(t gatehouse.Token) string {
	return strings.TrimRight(s.PublicURL, "/") + "/accept#" + t.Reveal()
}

// mail reports whether a server took the letter.
func (s *Service) mail(ctx context.Context, m mintedInvitation, team string) bool {
	if s.Mailer == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, mailWithin)
	defer cancel()
	text := "You have been invited to the team '" + team + "' as " + string(m.Invitation.Role) + ".\n\n" +
		"To accept, open this link before " + m.Invitation.ExpireTime.Format("2 January 2006 15:04 MST") + ":\n\n" + m.Link + "\n\n" +
		"or give it to the command line:\n\n    gatehouse team invitations accept --email " + m.Invitation.Email + "\n\n" +
		"Whoever has the link can accept in your place: do not pass it on.\n"
	if err := s.Mailer.Send(ctx, m.Invitation.Email, "Invitation to "+team, text); err != nil {
		s.Logger.WarnContext(ctx, "an invitation was not mailed", slog.String("invitation", m.Invitation.ID.String()), slog.Any("error", err))
		return false
	}
	return true
}

// ListInvitations implements gatehouse.Members: all but revoked ones.
func (c *Caller) ListInvitations(ctx context.Context, team gatehouse.ID, page gatehouse.Page) ([]*gatehouse.Invitation, string, error) {
	out, err := read(ctx, c, query[listed[*gatehouse.Invitation]]{
		op: gatehouse.ListInvitations, act: gatehouse.Act{Action: "invitation.listed", Kind: gatehouse.KindInvitation, TeamID: team},
		run: func(v store.View, who *principal) (out listed[*gatehouse.Invitation], err error) {
			t, err := liveTeam(v, who, who.home(team))
			if err != nil {
				return out, err
			}
			p, err := c.pager(gatehouse.ListInvitations, t.ID, "", page)
			if err != nil {
				return out, err
			}
			all, err := v.Invitations(t.ID, p.cursor(), p.size+1)
			if err != nil {
				return out, err
			}
			for n, i := range all {
				all[n] = shownInvitation(i)
			}
			return cut(p, all, func(i *gatehouse.Invitation) place { return place{Time: i.CreateTime, ID: i.ID.String()} })
		},
	})
	return out.unpack(err)
}

// RevokeInvitation implements gatehouse.Members. One that was accepted is a
// membership by now, and ends as such.
func (c *Caller) RevokeInvitation(ctx context.Context, team, id gatehouse.ID) error {
	_, err := mutate(ctx, c, mutation[struct{}]{
		op: gatehouse.RevokeInvitation, target: id.String(),
		run: func(tx store.Tx, who *principal) (none struct{}, err error) {
			i, err := found(tx.Invitation(id))
			if err != nil {
				return none, err
			}
			if i == nil || !i.DeleteTime.IsZero() || !who.reaches(i.TeamID) || !team.IsZero() && team != i.TeamID {
				return none, missing(invitationNoun)
			}
			if i.Status(who.now) == gatehouse.InvitationAccepted {
				return none, gatehouse.Errorf(gatehouse.FailedPrecondition, "this invitation was accepted: remove the member instead")
			}
			return none, withdraw(tx, i, who.now, gatehouse.RevokeInvitation)
		},
	})
	return err
}

// withdraw revokes an invitation.
func withdraw(tx store.Tx, i *gatehouse.Invitation, now time.Time, op gatehouse.Operation) error {
	gone := *i
	gone.DeleteTime = utc(now)
	return tx.PutInvitation(&gone, done(op, "invitation.revoked", i.TeamID, gatehouse.KindInvitation, i.ID.String(), "Invitation "+i.ID.String()+" was revoked"))
}

// shownInvitation is an invitation as faces get it: without what identifies it.
func shownInvitation(i *gatehouse.Invitation) *gatehouse.Invitation {
	out := *i
	out.Digest = gatehouse.Digest{}
	return &out
}
