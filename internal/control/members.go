package control

import (
	"context"

	"gatehouse"
	"gatehouse/internal/store"
)

const memberNoun = "member"

// ListMembers implements gatehouse.Members: the people with a role. A page may
// be short of its size while there is a next one, since some who are in the
// books have none.
func (c *Caller) ListMembers(ctx context.Context, team gatehouse.ID, page gatehouse.Page) ([]*gatehouse.User, string, error) {
	out, err := read(ctx, c, query[listed[*gatehouse.User]]{
		op: gatehouse.ListMembers, act: gatehouse.Act{Action: "member.listed", Kind: gatehouse.KindUser, TeamID: team},
		run: func(v store.View, who *principal) (out listed[*gatehouse.User], err error) {
			t, err := liveTeam(v, who, who.home(team))
			if err != nil {
				return out, err
			}
			p, err := c.pager(gatehouse.ListMembers, t.ID, "", page)
			if err != nil {
				return out, err
			}
			users, err := v.Users(t.ID, p.cursor(), p.size+1)
			if err != nil {
				return out, err
			}
			out, err = cut(p, users, func(u *gatehouse.User) place { return place{Time: u.CreateTime, ID: u.ID.String()} })
			var members []*gatehouse.User
			for _, u := range out.items {
				if u.Role != "" {
					members = append(members, u)
				}
			}
			out.items = members
			return out, err
		},
	})
	return out.unpack(err)
}

// UpdateMember implements gatehouse.Members. Whoever is in the books becomes a
// member by their first role.
func (c *Caller) UpdateMember(ctx context.Context, team, user gatehouse.ID, role gatehouse.Role) (*gatehouse.User, error) {
	return mutate(ctx, c, mutation[*gatehouse.User]{
		op: gatehouse.UpdateMember, target: user.String(),
		run: func(tx store.Tx, who *principal) (*gatehouse.User, error) {
			before, err := memberIn(tx, who, team, user)
			if err == nil {
				err = c.matches(before.Revision)
			}
			if err == nil {
				err = regrade(tx, who, before, role)
			}
			if err != nil {
				return nil, err
			}
			u := *before
			u.Role = role
			act := done(gatehouse.UpdateMember, "member.updated", u.TeamID, gatehouse.KindUser, u.ID.String(), "The role of user "+u.ID.String()+" was changed")
			act.Details = changes{}
			note(act.Details, "role", string(before.Role), string(u.Role))
			return &u, tx.PutUser(&u, act)
		},
	})
}

// memberIn is the person if they are of the team that the call means.
func memberIn(v store.View, who *principal, team, user gatehouse.ID) (*gatehouse.User, error) {
	u, err := found(v.User(user))
	if err == nil && (u == nil || !u.DeleteTime.IsZero() || !who.reaches(u.TeamID) || !team.IsZero() && team != u.TeamID) {
		err = missing(memberNoun)
	}
	return u, err
}

// regrade decides whether the caller may give u the role.
func regrade(v store.View, who *principal, u *gatehouse.User, role gatehouse.Role) error {
	if err := checkRole(role); err != nil {
		return err
	}
	err := who.mayTouch(u)
	if err == nil {
		err = who.mayGive("role", role)
	}
	if err == nil {
		err = who.mayRaise(v, u, role)
	}
	if err == nil && role != gatehouse.RoleOwner {
		err = keepsAnOwner(v, u)
	}
	return err
}

func checkRole(role gatehouse.Role) error {
	var bad gatehouse.Violations
	if !role.Valid() {
		bad.Addf("role", "must be one of owner, admin, billing, developer, auditor, viewer")
	}
	return bad.Err()
}

// keepsAnOwner refuses what would leave the team without an owner.
func keepsAnOwner(v store.View, u *gatehouse.User) error {
	last, err := lastOwner(v, u)
	if err == nil && last {
		err = gatehouse.Errorf(gatehouse.FailedPrecondition, "this is the team's last owner: make another one first")
	}
	return err
}

// keepsTheOrganization refuses a team's caller to end a key of the organization
// by removing whose it is: such a key is beyond a team (mayManage).
func keepsTheOrganization(v store.View, who *principal, u *gatehouse.User) error {
	if who.Scope == gatehouse.ScopeOrganization {
		return nil
	}
	return managersOf(v, u, func(k *gatehouse.ManagementKey) error {
		if k.Scope != gatehouse.ScopeOrganization || past(k.ExpireTime, who.now) {
			return nil
		}
		return gatehouse.Errorf(gatehouse.PermissionDenied, "the person holds a management key of %s: removing them takes one", gatehouse.ScopeOrganization)
	})
}

// RemoveMember implements gatehouse.Members. The removal is one transaction and
// holds from there on. The keys follow in portions, since a team may have a
// hundred thousand: cut short, the rest are orphans, and the same call again
// passes them on.
func (c *Caller) RemoveMember(ctx context.Context, team, user, heir gatehouse.ID) error {
	var who *principal
	gone, err := mutate(ctx, c, mutation[*gatehouse.User]{
		op: gatehouse.RemoveMember, target: user.String() + "/" + heir.String(),
		run: func(tx store.Tx, p *principal) (*gatehouse.User, error) {
			who = p
			u, err := leaver(tx, p, team, user, heir)
			if err != nil || !u.DeleteTime.IsZero() {
				return u, err
			}
			if err := c.matches(u.Revision); err != nil {
				return nil, err
			}
			return remove(tx, p, u)
		},
	})
	if err != nil || heir.IsZero() {
		return err
	}
	if who == nil { // the answer was replayed, and what was cut short may still wait
		if who, err = c.identify(ctx, gatehouse.RemoveMember); err != nil {
			return err
		}
	}
	return c.passOn(ctx, who, gone, heir)
}

// leaver is who is to be removed, or was before and has an heir only now.
func leaver(v store.View, who *principal, team, user, heir gatehouse.ID) (*gatehouse.User, error) {
	u, err := found(v.User(user))
	if err != nil {
		return nil, err
	}
	if u == nil || !who.reaches(u.TeamID) || !team.IsZero() && team != u.TeamID || !u.DeleteTime.IsZero() && heir.IsZero() {
		return nil, missing(memberNoun)
	}
	var bad gatehouse.Violations
	if heir == user {
		bad.Addf("heir", "is the person who is removed")
	}
	if err := memberOf(v, "heir", heir, u.TeamID, &bad); err != nil {
		return nil, err
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return u, who.mayTouch(u)
}

// remove ends a membership, and the invitations that the person sent: nobody
// comes in on the word of somebody who had to go.
func remove(tx store.Tx, who *principal, before *gatehouse.User) (*gatehouse.User, error) {
	err := keepsAnOwner(tx, before)
	if err == nil {
		err = keepsTheOrganization(tx, who, before)
	}
	if err != nil {
		return nil, err
	}
	u := *before
	u.DeleteTime = utc(who.now)
	err = tx.PutUser(&u, done(gatehouse.RemoveMember, "member.removed", u.TeamID, gatehouse.KindUser, u.ID.String(), "User "+u.ID.String()+" was removed from the team"))
	if err != nil {
		return nil, err
	}
	return &u, invitationsOf(tx, u.TeamID, func(i *gatehouse.Invitation) error {
		if i.InviterID != u.ID || i.Status(who.now) != gatehouse.InvitationPending {
			return nil
		}
		return withdraw(tx, i, who.now, gatehouse.RemoveMember)
	})
}

// passPortion is how many keys change hands in one transaction: each is a row, a
// leaf and a change, and a revocation may be waiting behind them.
const passPortion = 50

// passOn gives a leaver's keys to an heir. What was decided with the removal is
// carried out whatever became of the caller since: it may have been themselves.
func (c *Caller) passOn(ctx context.Context, who *principal, from *gatehouse.User, heir gatehouse.ID) error {
	var after store.Cursor
	for {
		var page []*gatehouse.Key
		err := c.s.Store.View(who.scoped(ctx), func(v store.View) (err error) {
			page, err = v.Keys(store.KeyList{Team: from.TeamID, After: after, Limit: defaultPage})
			return err
		})
		if err != nil {
			return unfinished(err)
		}
		var theirs []gatehouse.ID
		for _, k := range page {
			after = store.Cursor{Time: k.CreateTime, ID: k.ID.String()}
			if k.Owner() == from.ID {
				theirs = append(theirs, k.ID)
			}
		}
		for len(theirs) > 0 {
			n := min(len(theirs), passPortion)
			if err := c.passSome(ctx, who, theirs[:n], from.ID, heir); err != nil {
				return unfinished(err)
			}
			theirs = theirs[n:]
		}
		if len(page) < defaultPage {
			return nil
		}
	}
}

// passSome is one portion of passOn.
func (c *Caller) passSome(ctx context.Context, who *principal, keys []gatehouse.ID, from, heir gatehouse.ID) error {
	_, err := c.s.Store.Update(who.scoped(ctx), c.cause(who), func(tx store.Tx) error {
		for _, id := range keys {
			before, err := found(tx.Key(id))
			if err != nil {
				return err
			}
			if before == nil || before.Deleted() || before.Owner() != from {
				continue
			}
			k := touch(before, who)
			k.OwnerID = heir
			act := updateAct(before, k)
			act.Operation = string(gatehouse.RemoveMember)
			if err := tx.PutKey(k, act); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// unfinished says that the removal holds all the same.
func unfinished(err error) error {
	return gatehouse.Errorf(gatehouse.Unavailable, "the member was removed, and some of their API keys still wait for their new owner: call again with the same heir").Because(err)
}

// orphanScan bounds how many keys one call looks at: a page may be short of its
// size, or empty, while there is a next one.
const orphanScan = 20 * defaultPage

// Orphans implements gatehouse.Members.
func (c *Caller) Orphans(ctx context.Context, team gatehouse.ID, page gatehouse.Page) ([]*gatehouse.Key, string, error) {
	out, err := survey(ctx, c, query[listed[*gatehouse.Key]]{
		op: gatehouse.ListOrphanedApiKeys, act: gatehouse.Act{Action: "api_key.orphans_listed", Kind: gatehouse.KindKey, TeamID: team},
		check: func(v store.View, who *principal) error {
			_, err := liveTeam(v, who, who.home(team))
			return err
		},
		run: func(v store.View, who *principal) (out listed[*gatehouse.Key], err error) {
			p, err := c.pager(gatehouse.ListOrphanedApiKeys, who.home(team), "", page)
			if err != nil {
				return out, err
			}
			return orphans(v, p, who.home(team))
		},
	})
	return out.unpack(err)
}

// orphans reads a page of a team's keys whose owner is there no more.
func orphans(v store.View, p *pager, team gatehouse.ID) (out listed[*gatehouse.Key], err error) {
	owners, after := owners{}, p.after
	for range orphanScan / defaultPage {
		keys, err := v.Keys(store.KeyList{Team: team, After: store.Cursor{Time: after.Time, ID: after.ID}, Limit: defaultPage})
		if err != nil {
			return out, err
		}
		for _, k := range keys {
			owned, err := owners.there(v, k.Owner())
			if err != nil {
				return out, err
			}
			owned = owned || isLibraryKey(k)
			if !owned && len(out.items) == p.size {
				out.next, err = p.next(after)
				return out, err
			}
			if !owned {
				out.items = append(out.items, shown(k))
			}
			after = place{Time: k.CreateTime, ID: k.ID.String()}
		}
		if len(keys) < defaultPage {
			return out, nil
		}
	}
	out.next, err = p.next(after)
	return out, err
}

// owners remembers who is there: a team has few people and many keys.
type owners map[gatehouse.ID]bool

func (o owners) there(v store.View, id gatehouse.ID) (bool, error) {
	if is, known := o[id]; known || id.IsZero() {
		return is, nil
	}
	u, err := found(v.User(id))
	o[id] = u != nil && there(u)
	return o[id], err
}
