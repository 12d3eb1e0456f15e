package managementtest

import (
	"testing"

	"gatehouse"
)

// memberCalls are the operations on people that name a team or an id.
func memberCalls(p *plane) []call {
	ctx, team, user := p.ctx, p.TeamID, p.UserID
	return []call{
		{gatehouse.ListMembers, func(c Client) error { _, _, err := c.ListMembers(ctx, team, gatehouse.Page{}); return err }},
		{gatehouse.UpdateMember, func(c Client) error { return second(c.UpdateMember(ctx, team, user, gatehouse.RoleOwner)) }},
		{gatehouse.RemoveMember, func(c Client) error { return c.RemoveMember(ctx, team, user, gatehouse.ID{}) }},
		{gatehouse.CreateInvitation, func(c Client) error { return second(c.Invite(ctx, team, "x@example.com", gatehouse.RoleViewer)) }},
		{gatehouse.ListInvitations, func(c Client) error { _, _, err := c.ListInvitations(ctx, team, gatehouse.Page{}); return err }},
		{gatehouse.RevokeInvitation, func(c Client) error { return c.RevokeInvitation(ctx, team, gatehouse.NewID()) }},
		{gatehouse.ListOrphanedApiKeys, func(c Client) error { _, _, err := c.Orphans(ctx, team, gatehouse.Page{}); return err }},
	}
}

// members walks somebody through: asked in, made more, and gone without a trace
// of authority; their keys stay.
func members(t *testing.T, p *plane) {
	m := must[gatehouse.MintedInvitation](t)(p.Invite(p.ctx, gatehouse.ID{}, "ada@example.com", gatehouse.RoleViewer))
	want(t, gatehouse.AlreadyExists, second(p.Invite(p.ctx, gatehouse.ID{}, "ada@example.com", gatehouse.RoleViewer)))
	if m.Link == "" || m.Token.Plane() != gatehouse.Invite {
		t.Errorf("%+v", m)
	}
	guest := p.As(m.Token)
	want(t, gatehouse.Unauthenticated, second(guest.Self(p.ctx)))
	want(t, gatehouse.PermissionDenied, second(guest.AcceptInvitation(p.ctx, gatehouse.Acceptance{Email: "bob@example.com"})))
	k := must[gatehouse.MintedManagementKey](t)(guest.AcceptInvitation(p.ctx, gatehouse.Acceptance{Email: "ada@example.com", GivenName: "Ada"}))
	if again := second(guest.AcceptInvitation(p.ctx, gatehouse.Acceptance{Email: "ada@example.com"})); again == nil {
		t.Error("an invitation was accepted twice")
	}
	ada := p.As(k.Token)
	if me := must[*gatehouse.ManagementKey](t)(ada.Self(p.ctx)); !me.Personal || me.ID != k.Key.ID {
		t.Errorf("%+v", me)
	}
	want(t, gatehouse.PermissionDenied, second(ada.CreateKey(p.ctx, gatehouse.NewKey{Name: "k", ACL: everything})))
	up := must[*gatehouse.User](t)(p.UpdateMember(p.ctx, gatehouse.ID{}, k.Key.UserID, gatehouse.RoleDeveloper))
	if up.Role != gatehouse.RoleDeveloper || up.GivenName != "Ada" {
		t.Errorf("%+v", up)
	}
	made := must[gatehouse.MintedKey](t)(ada.CreateKey(p.ctx, gatehouse.NewKey{Name: "k", ACL: everything}))
	all, next, err := p.ListMembers(p.ctx, gatehouse.ID{}, gatehouse.Page{})
	if err != nil || next != "" || len(all) != 2 || all[1].ID != k.Key.UserID || all[0].Role != gatehouse.RoleOwner {
		t.Errorf("members %v %q, %v", all, next, err)
	}
	ok(t, p.RemoveMember(p.ctx, gatehouse.ID{}, k.Key.UserID, gatehouse.ID{}))
	want(t, gatehouse.Unauthenticated, second(ada.Self(p.ctx)))
	orphans, _, err := p.Orphans(p.ctx, gatehouse.ID{}, gatehouse.Page{})
	if err != nil || len(orphans) != 1 || orphans[0].ID != made.Key.ID {
		t.Errorf("orphans %v, %v", orphans, err)
	}
	ok(t, p.RemoveMember(p.ctx, gatehouse.ID{}, k.Key.UserID, p.UserID))
	if owner := must[*gatehouse.Key](t)(p.GetKey(p.ctx, made.Key.ID)).Owner(); owner != p.UserID {
		t.Errorf("owner %s", owner)
	}
}

// invitations come and go.
func invitations(t *testing.T, p *plane) {
	for _, email := range []string{"a@example.com", "b@example.com", "c@example.com"} {
		must[gatehouse.MintedInvitation](t)(p.Invite(p.ctx, p.TeamID, email, gatehouse.RoleViewer))
	}
	some, next, err := p.ListInvitations(p.ctx, p.TeamID, gatehouse.Page{Size: 2})
	if err != nil || len(some) != 2 || next == "" {
		t.Fatalf("%v %q, %v", some, next, err)
	}
	rest, last, err := p.ListInvitations(p.ctx, p.TeamID, gatehouse.Page{Size: 2, Token: next})
	if err != nil || len(rest) != 1 || last != "" || rest[0].Email != "c@example.com" || rest[0].Status(p.Now()) != gatehouse.InvitationPending {
		t.Fatalf("%v %q, %v", rest, last, err)
	}
	ok(t, p.RevokeInvitation(p.ctx, p.TeamID, rest[0].ID))
	want(t, gatehouse.NotFound, p.RevokeInvitation(p.ctx, p.TeamID, rest[0].ID))
	for _, role := range []gatehouse.Role{"", "root"} {
		want(t, gatehouse.InvalidArgument, second(p.Invite(p.ctx, p.TeamID, "d@example.com", role)))
	}
}
