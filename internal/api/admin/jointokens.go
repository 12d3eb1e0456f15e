package admin

import (
	"context"

	"gatehouse"
	adminpb "gatehouse/gen/admin"
	"gatehouse/internal/api"
)

// CreateJoinToken implements adminpb.AdminServer. A lifetime or a count of zero
// that somebody wrote is not the default: it becomes -1, out of range behind
// this face, like a limit's.
func (service) CreateJoinToken(ctx context.Context, in *adminpb.CreateJoinTokenRequest) (*adminpb.JoinToken, error) {
	n := gatehouse.NewJoinToken{Cluster: in.Cluster, Lifetime: in.Lifetime.AsDuration(), Uses: int(api.Limit(in.Uses))}
	if in.Lifetime != nil && n.Lifetime == 0 {
		n.Lifetime = -1
	}
	m, err := api.From(ctx).CreateJoinToken(ctx, n)
	if err != nil {
		return nil, err
	}
	out, err := oneJoinToken(ctx)(m.Token, nil)
	if err == nil {
		out.Token = api.Secret(m.Secret)
	}
	return out, err
}

// ListJoinTokens implements adminpb.AdminServer.
func (service) ListJoinTokens(ctx context.Context, in *adminpb.ListJoinTokensRequest) (*adminpb.ListJoinTokensResponse, error) {
	r := api.From(ctx)
	all, next, err := list(in.PageSize, in.PageToken, func(p gatehouse.Page) ([]*gatehouse.JoinToken, string, error) {
		return r.ListJoinTokens(ctx, p)
	}, func(t *gatehouse.JoinToken) *adminpb.JoinToken { return joinToken(t, r.Brand) })
	return &adminpb.ListJoinTokensResponse{JoinTokens: all, NextPageToken: next}, err
}

// GetJoinToken implements adminpb.AdminServer.
func (service) GetJoinToken(ctx context.Context, in *adminpb.GetJoinTokenRequest) (*adminpb.JoinToken, error) {
	return oneJoinToken(ctx)(api.From(ctx).GetJoinToken(ctx, api.PathID(in.Id)))
}

// RevokeJoinToken implements adminpb.AdminServer.
func (service) RevokeJoinToken(ctx context.Context, in *adminpb.RevokeJoinTokenRequest) (*adminpb.RevokeJoinTokenResponse, error) {
	return &adminpb.RevokeJoinTokenResponse{}, api.From(ctx).RevokeJoinToken(ctx, api.PathID(in.Id))
}

func oneJoinToken(ctx context.Context) func(*gatehouse.JoinToken, error) (*adminpb.JoinToken, error) {
	return one(ctx, func(t *gatehouse.JoinToken) *adminpb.JoinToken { return joinToken(t, api.From(ctx).Brand) },
		func(t *gatehouse.JoinToken) gatehouse.Revision { return t.Revision })
}

func joinToken(t *gatehouse.JoinToken, brand string) *adminpb.JoinToken {
	return &adminpb.JoinToken{
		Id: t.ID.String(), Cluster: t.Cluster, RedactedToken: gatehouse.Redact(brand, gatehouse.Join, t.Last4),
		Uses: int32(t.Uses), Used: int32(t.Used), MakerId: t.MakerID.String(),
		CreateTime: api.Stamp(t.CreateTime), ExpireTime: api.Stamp(t.ExpireTime), Revision: t.Revision.String(),
	}
}
