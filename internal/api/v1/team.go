package v1

import (
	"context"

	"gatehouse"
	v1pb "gatehouse/gen/v1"
	"gatehouse/internal/api"
)

// team answers /v1/team.
type team struct {
	v1pb.UnimplementedTeamServer
}

// What objects say they are.
const (
	teamObject       = "team"
	memberObject     = "team_member"
	invitationObject = "invitation"
	managerObject    = "management_key"
)

// GetTeam implements v1pb.TeamServer.
func (team) GetTeam(ctx context.Context, _ *v1pb.GetTeamRequest) (*v1pb.TeamInfo, error) {
	r := api.From(ctx)
	t, err := r.GetTeam(ctx, gatehouse.ID{})
	if err != nil {
		return nil, err
	}
	r.ETag(t.Revision)
	return &v1pb.TeamInfo{
		Id: t.ID.String(), Object: teamObject, Name: t.Name, CreatedAt: api.Stamp(t.CreateTime), BillingMode: string(t.Billing), Blocked: t.Blocked,
	}, nil
}

// ListMembers implements v1pb.TeamServer.
func (team) ListMembers(ctx context.Context, in *v1pb.ListMembersRequest) (*v1pb.ListMembersResponse, error) {
	found, next, err := readPage(in, func(u *gatehouse.User) gatehouse.ID { return u.ID },
		func(p gatehouse.Page) ([]*gatehouse.User, string, error) {
			return api.From(ctx).ListMembers(ctx, gatehouse.ID{}, p)
		})
	if err != nil {
		return nil, err
	}
	out := &v1pb.ListMembersResponse{Object: list, HasMore: next != "", NextCursor: next}
	for _, u := range found {
		out.Data = append(out.Data, member(u))
	}
	return out, nil
}

// UpdateMember implements v1pb.TeamServer. There is one member of the object to
// change, and the kit has made sure that the mask names it.
func (team) UpdateMember(ctx context.Context, in *v1pb.UpdateMemberRequest) (*v1pb.Member, error) {
	r := api.From(ctx)
	u, err := r.UpdateMember(ctx, gatehouse.ID{}, api.PathID(in.Id), gatehouse.Role(in.GetMember().GetRole()))
	if err != nil {
		return nil, err
	}
	r.ETag(u.Revision)
	return member(u), nil
}

// RemoveMember implements v1pb.TeamServer.
func (team) RemoveMember(ctx context.Context, in *v1pb.RemoveMemberRequest) (*v1pb.RemoveMemberResponse, error) {
	var bad gatehouse.Violations
	id, heir := api.PathID(in.Id), api.ID("heir", in.Heir, &bad)
	if err := bad.Err(); err != nil {
		return nil, err
	}
	if err := api.From(ctx).RemoveMember(ctx, gatehouse.ID{}, id, heir); err != nil {
		return nil, err
	}
	return &v1pb.RemoveMemberResponse{Id: id.String(), Object: memberObject, Deleted: true}, nil
}

func member(u *gatehouse.User) *v1pb.Member {
	return &v1pb.Member{
		Id: u.ID.String(), Object: memberObject, Email: u.Email, GivenName: u.GivenName, FamilyName: u.FamilyName,
		Role: string(u.Role), CreatedAt: api.Stamp(u.CreateTime),
	}
}
