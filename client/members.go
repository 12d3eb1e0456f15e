package client

import (
	"context"
	"net/http"

	"gatehouse"
	"gatehouse/gen/authmgmt"
	"gatehouse/gen/people"
	"gatehouse/gen/v1"
)

const (
	members     = "/v1/team/members"
	invitations = "/v1/team/invitations"
)

// ListMembers implements gatehouse.Members.
func (c *Client) ListMembers(ctx context.Context, team gatehouse.ID, p gatehouse.Page) ([]*gatehouse.User, string, error) {
	size, after := page(p)
	out, err := call[v1.ListMembersResponse](ctx, c, request{method: http.MethodGet, path: members, team: team,
		query: &v1.ListMembersRequest{Limit: size, Cursor: after}})
	return each(out.GetData(), memberFrom), out.GetNextCursor(), err
}

// UpdateMember implements gatehouse.Members.
func (c *Client) UpdateMember(ctx context.Context, team, user gatehouse.ID, role gatehouse.Role) (*gatehouse.User, error) {
	return one(memberFrom)(call[v1.Member](ctx, c, request{method: http.MethodPatch, path: under(members, user.String()), team: team,
		query: &v1.UpdateMemberRequest{FieldMask: mask([]string{"role"})}, body: &v1.Member{Role: string(role)}}))
}

// RemoveMember implements gatehouse.Members.
func (c *Client) RemoveMember(ctx context.Context, team, user, heir gatehouse.ID) error {
	_, err := call[v1.RemoveMemberResponse](ctx, c, request{method: http.MethodDelete, path: under(members, user.String()), team: team,
		query: &v1.RemoveMemberRequest{Heir: heir.String()}})
	return err
}

// Invite implements gatehouse.Members. Whether a letter went out the wire does
// not say.
func (c *Client) Invite(ctx context.Context, team gatehouse.ID, email string, role gatehouse.Role) (m gatehouse.MintedInvitation, err error) {
	out, err := call[v1.Invitation](ctx, c, request{method: http.MethodPost, path: invitations, team: team,
		body: &v1.CreateInvitationRequest{Email: email, Role: string(role)}})
	if err != nil {
		return m, err
	}
	m.Invitation, m.Link = invitationFrom(out), out.GetLink()
	m.Token, err = token(out.Token)
	return m, err
}

// ListInvitations implements gatehouse.Members.
func (c *Client) ListInvitations(ctx context.Context, team gatehouse.ID, p gatehouse.Page) ([]*gatehouse.Invitation, string, error) {
	size, after := page(p)
	out, err := call[v1.ListInvitationsResponse](ctx, c, request{method: http.MethodGet, path: invitations, team: team,
		query: &v1.ListInvitationsRequest{Limit: size, Cursor: after}})
	return each(out.GetData(), invitationFrom), out.GetNextCursor(), err
}

// RevokeInvitation implements gatehouse.Members.
func (c *Client) RevokeInvitation(ctx context.Context, team, invitation gatehouse.ID) error {
	_, err := call[v1.RevokeInvitationResponse](ctx, c, request{method: http.MethodDelete, path: under(invitations, invitation.String()), team: team})
	return err
}

// AcceptInvitation implements gatehouse.Members, for a client whose key is an
// invitation's token.
func (c *Client) AcceptInvitation(ctx context.Context, a gatehouse.Acceptance) (m gatehouse.MintedManagementKey, err error) {
	out, err := call[v1.AcceptInvitationResponse](ctx, c, request{method: http.MethodPost, path: invitations + "/accept",
		body: &v1.AcceptInvitationRequest{Email: a.Email, GivenName: a.GivenName, FamilyName: a.FamilyName}})
	if err != nil {
		return m, err
	}
	m.Key = &gatehouse.ManagementKey{
		ID: id(out.Id), Scope: gatehouse.ScopeTeam, TeamID: id(out.TeamId), UserID: id(out.UserId), Name: out.Name, Personal: true, ACL: out.Acls,
		CreateTime: moment(out.CreatedAt), ExpireTime: moment(out.ExpiresAt),
	}
	m.Token, err = token(&out.Key)
	return m, err
}

// Orphans implements gatehouse.Members.
func (c *Client) Orphans(ctx context.Context, team gatehouse.ID, p gatehouse.Page) ([]*gatehouse.Key, string, error) {
	size, after := page(p)
	out, err := call[people.ListOrphanedApiKeysResponse](ctx, c, request{method: http.MethodGet, path: "/admin/v1/orphans",
		query: &people.ListOrphanedApiKeysRequest{PageSize: size, PageToken: after, TeamId: team.String()}})
	return each(out.GetApiKeys(), keyFrom), out.GetNextPageToken(), err
}

// SignInMethod implements gatehouse.SignIns. It takes no key.
func (c *Client) SignInMethod(ctx context.Context) (gatehouse.SignInMethod, error) {
	out, err := call[people.SignInMethod](ctx, c, request{method: http.MethodGet, path: signInPath})
	return gatehouse.SignInMethod{Issuer: out.GetIssuer(), ClientID: out.GetClientId(), Scopes: out.GetScopes()}, err
}

// SignIn implements gatehouse.SignIns. It takes no key.
func (c *Client) SignIn(ctx context.Context, s gatehouse.SignIn) (gatehouse.MintedManagementKey, error) {
	return mintedManager(call[authmgmt.ManagementKey](ctx, c, request{method: http.MethodPost, path: signInPath, body: &people.SignInWithIdTokenRequest{
		IdToken: s.IDToken, RefreshToken: s.RefreshToken, Nonce: s.Nonce, TeamId: s.TeamID.String(),
	}}))
}

const signInPath = "/auth/sign-in"

func memberFrom(m *v1.Member) *gatehouse.User {
	return &gatehouse.User{
		ID: id(m.Id), GivenName: m.GivenName, FamilyName: m.FamilyName, Email: m.Email, Role: gatehouse.Role(m.Role), CreateTime: moment(m.CreatedAt),
	}
}

// invitationFrom reads what the wire says. That one was accepted it says without
// when: then that is when it was made.
func invitationFrom(i *v1.Invitation) *gatehouse.Invitation {
	out := &gatehouse.Invitation{ID: id(i.Id), Email: i.Email, Role: gatehouse.Role(i.Role), CreateTime: moment(i.CreatedAt), ExpireTime: moment(i.ExpiresAt)}
	if i.Status == string(gatehouse.InvitationAccepted) {
		out.AcceptTime = out.CreateTime
	}
	return out
}
