package admin

import (
	"context"

	"gatehouse"
	adminpb "gatehouse/gen/admin"
	"gatehouse/gen/authmgmt"
	"gatehouse/internal/api"
)

// ListManagementKeys implements adminpb.AdminServer.
func (service) ListManagementKeys(ctx context.Context, in *adminpb.ListManagementKeysRequest) (*adminpb.ListManagementKeysResponse, error) {
	r := api.From(ctx)
	var bad gatehouse.Violations
	team := api.ID("teamId", in.TeamId, &bad)
	if err := bad.Err(); err != nil {
		return nil, err
	}
	keys, next, err := list(in.PageSize, in.PageToken, func(p gatehouse.Page) ([]*gatehouse.ManagementKey, string, error) {
		return r.ListManagementKeys(ctx, team, p)
	}, func(k *gatehouse.ManagementKey) *authmgmt.ManagementKey {
		return api.ManagementKey(k, gatehouse.Token{}, r.Brand)
	})
	return &adminpb.ListManagementKeysResponse{ManagementKeys: keys, NextPageToken: next}, err
}

// CreateManagementKey implements adminpb.AdminServer.
func (service) CreateManagementKey(ctx context.Context, in *adminpb.CreateManagementKeyRequest) (*authmgmt.ManagementKey, error) {
	r, k := api.From(ctx), given(in.ManagementKey)
	var bad gatehouse.Violations
	n := gatehouse.NewManagementKey{
		TeamID: api.ID("teamId", k.TeamId, &bad), UserID: api.ID("ownerUserId", k.OwnerUserId, &bad),
		Name: k.Name, ACL: k.Acls, Grant: api.Grant(k.Grant), IPRanges: api.IPRanges(k.IpRanges, &bad),
		ExpireTime: api.Time(k.ExpireTime), Scope: gatehouse.ScopeTeam,
	}
	if k.Scope == authmgmt.Scope_SCOPE_ORGANIZATION {
		n.Scope = gatehouse.ScopeOrganization
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return mintedManagement(r)(r.CreateManagementKey(ctx, n))
}

// GetManagementKey implements adminpb.AdminServer.
func (service) GetManagementKey(ctx context.Context, in *adminpb.GetManagementKeyRequest) (*authmgmt.ManagementKey, error) {
	r := api.From(ctx)
	k, err := r.GetManagementKey(ctx, api.PathID(in.Id))
	return mintedManagement(r)(gatehouse.MintedManagementKey{Key: k}, err)
}

// RotateManagementKey implements adminpb.AdminServer.
func (service) RotateManagementKey(ctx context.Context, in *adminpb.RotateManagementKeyRequest) (*authmgmt.ManagementKey, error) {
	r := api.From(ctx)
	rotation := gatehouse.KeyRotation{ID: api.PathID(in.Id), OldSecretExpire: api.Time(in.OldSecretExpireTime)}
	if in.ExpireTime != nil {
		rotation.ExpireTime = gatehouse.Some(api.Time(in.ExpireTime))
	}
	return mintedManagement(r)(r.RotateManagementKey(ctx, rotation))
}

// RevokeManagementKey implements adminpb.AdminServer.
func (service) RevokeManagementKey(ctx context.Context, in *adminpb.RevokeManagementKeyRequest) (*adminpb.RevokeManagementKeyResponse, error) {
	return &adminpb.RevokeManagementKeyResponse{}, api.From(ctx).RevokeManagementKey(ctx, api.PathID(in.Id))
}

func mintedManagement(r *api.Request) func(gatehouse.MintedManagementKey, error) (*authmgmt.ManagementKey, error) {
	return func(m gatehouse.MintedManagementKey, err error) (*authmgmt.ManagementKey, error) {
		if err != nil {
			return nil, err
		}
		r.ETag(m.Key.Revision)
		return api.ManagementKey(m.Key, m.Token, r.Brand), nil
	}
}
