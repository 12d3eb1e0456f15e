package admin

import (
	"context"

	"gatehouse"
	adminpb "gatehouse/gen/admin"
	"gatehouse/gen/authmgmt"
	"gatehouse/gen/people"
	"gatehouse/internal/api"
)

// folk answers the service of people.
type folk struct {
	people.UnimplementedPeopleServer
}

// GetSignInMethod implements people.PeopleServer.
func (folk) GetSignInMethod(ctx context.Context, _ *people.GetSignInMethodRequest) (*people.SignInMethod, error) {
	m, err := api.From(ctx).SignInMethod(ctx)
	if err != nil {
		return nil, err
	}
	return &people.SignInMethod{Issuer: m.Issuer, ClientId: m.ClientID, Scopes: m.Scopes}, nil
}

// SignInWithIdToken implements people.PeopleServer.
func (folk) SignInWithIdToken(ctx context.Context, in *people.SignInWithIdTokenRequest) (*authmgmt.ManagementKey, error) {
	var bad gatehouse.Violations
	n := gatehouse.SignIn{IDToken: in.IdToken, RefreshToken: in.RefreshToken, Nonce: in.Nonce, TeamID: api.ID("teamId", in.TeamId, &bad)}
	if n.IDToken == "" {
		bad.Addf("idToken", "is required")
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	r := api.From(ctx)
	return mintedManagement(r)(r.SignIn(ctx, n))
}

// ListOrphanedApiKeys implements people.PeopleServer.
func (folk) ListOrphanedApiKeys(ctx context.Context, in *people.ListOrphanedApiKeysRequest) (*people.ListOrphanedApiKeysResponse, error) {
	r := api.From(ctx)
	var bad gatehouse.Violations
	team := api.ID("teamId", in.TeamId, &bad)
	if err := bad.Err(); err != nil {
		return nil, err
	}
	keys, next, err := list(in.PageSize, in.PageToken, func(p gatehouse.Page) ([]*gatehouse.Key, string, error) {
		return r.Orphans(ctx, team, p)
	}, func(k *gatehouse.Key) *adminpb.ApiKey { return shown(r, k, gatehouse.Token{}) })
	return &people.ListOrphanedApiKeysResponse{ApiKeys: keys, NextPageToken: next}, err
}
