package v1

import (
	"context"

	"gatehouse"
	v1pb "gatehouse/gen/v1"
	"gatehouse/internal/api"
)

// CreateInvitation implements v1pb.TeamServer.
func (team) CreateInvitation(ctx context.Context, in *v1pb.CreateInvitationRequest) (*v1pb.Invitation, error) {
	r := api.From(ctx)
	m, err := r.Invite(ctx, gatehouse.ID{}, in.Email, gatehouse.Role(in.Role))
	if err != nil {
		return nil, err
	}
	out := invitation(r, m.Invitation)
	out.Token = api.Secret(m.Token)
	if m.Link != "" {
		out.Link = &m.Link
	}
	return out, nil
}

// ListInvitations implements v1pb.TeamServer.
func (team) ListInvitations(ctx context.Context, in *v1pb.ListInvitationsRequest) (*v1pb.ListInvitationsResponse, error) {
	r := api.From(ctx)
	found, next, err := readPage(in, func(i *gatehouse.Invitation) gatehouse.ID { return i.ID },
		func(p gatehouse.Page) ([]*gatehouse.Invitation, string, error) {
			return r.ListInvitations(ctx, gatehouse.ID{}, p)
		})
	if err != nil {
		return nil, err
	}
	out := &v1pb.ListInvitationsResponse{Object: list, HasMore: next != "", NextCursor: next}
	for _, i := range found {
		out.Data = append(out.Data, invitation(r, i))
	}
	return out, nil
}

// RevokeInvitation implements v1pb.TeamServer.
func (team) RevokeInvitation(ctx context.Context, in *v1pb.RevokeInvitationRequest) (*v1pb.RevokeInvitationResponse, error) {
	id := api.PathID(in.Id)
	if err := api.From(ctx).RevokeInvitation(ctx, gatehouse.ID{}, id); err != nil {
		return nil, err
	}
	return &v1pb.RevokeInvitationResponse{Id: id.String(), Object: invitationObject, Deleted: true}, nil
}

// AcceptInvitation implements v1pb.TeamServer.
func (team) AcceptInvitation(ctx context.Context, in *v1pb.AcceptInvitationRequest) (*v1pb.AcceptInvitationResponse, error) {
	m, err := api.From(ctx).AcceptInvitation(ctx, gatehouse.Acceptance{Email: in.Email, GivenName: in.GivenName, FamilyName: in.FamilyName})
	if err != nil {
		return nil, err
	}
	k := m.Key
	return &v1pb.AcceptInvitationResponse{
		Id: k.ID.String(), Object: managerObject, Key: m.Token.Reveal(), Name: k.Name, TeamId: k.TeamID.String(), UserId: k.UserID.String(),
		Acls: k.ACL, CreatedAt: api.Stamp(k.CreateTime), ExpiresAt: api.Stamp(k.ExpireTime),
	}, nil
}

func invitation(r *api.Request, i *gatehouse.Invitation) *v1pb.Invitation {
	return &v1pb.Invitation{
		Id: i.ID.String(), Object: invitationObject, Email: i.Email, Role: string(i.Role), Status: string(i.Status(r.Now)),
		CreatedAt: api.Stamp(i.CreateTime), ExpiresAt: api.Stamp(i.ExpireTime),
	}
}
