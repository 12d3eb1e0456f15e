package xai

import (
	"context"
	"time"

	"gatehouse"
	"gatehouse/gen/authmgmt"
	"gatehouse/internal/api"
)

// auth answers /auth.
type auth struct {
	authmgmt.UnimplementedAuthManagementServer
}

// CreateApiKey implements authmgmt.AuthManagementServer.
func (auth) CreateApiKey(ctx context.Context, in *authmgmt.CreateApiKeyRequest) (*authmgmt.ApiKey, error) {
	r := api.From(ctx)
	return minted(r)(r.CreateKey(ctx, gatehouse.NewKey{
		TeamID: api.PathID(in.TeamId), Name: in.Name, ACL: in.Acls, ExpireTime: api.Time(in.ExpireTime),
		Limits: gatehouse.Limits{QPS: api.Limit(in.Qps), QPM: api.Limit(in.Qpm), TPM: api.Limit(in.Tpm)},
	}))
}

// ListApiKeys implements authmgmt.AuthManagementServer.
func (auth) ListApiKeys(ctx context.Context, in *authmgmt.ListApiKeysRequest) (*authmgmt.ListApiKeysResponse, error) {
	r := api.From(ctx)
	page, err := api.Page(in.PageSize, in.PaginationToken)
	if err != nil {
		return nil, err
	}
	keys, next, err := r.ListKeys(ctx, gatehouse.KeyQuery{
		TeamID: api.PathID(in.TeamId), ACL: in.AclFilters, ActiveOnly: in.ActiveOnly, Page: page,
	})
	if err != nil {
		return nil, err
	}
	out := &authmgmt.ListApiKeysResponse{PaginationToken: api.Next(next)}
	for _, k := range keys {
		out.ApiKeys = append(out.ApiKeys, shown(r, k, gatehouse.Token{}))
	}
	return out, nil
}

// GetApiKey implements authmgmt.AuthManagementServer.
func (auth) GetApiKey(ctx context.Context, in *authmgmt.GetApiKeyRequest) (*authmgmt.ApiKey, error) {
	r := api.From(ctx)
	k, err := r.GetKey(ctx, keyID(r, in.TeamId, in.ApiKeyId))
	if err != nil {
		return nil, err
	}
	r.ETag(k.Revision)
	return shown(r, k, gatehouse.Token{}), nil
}

// UpdateApiKey implements authmgmt.AuthManagementServer.
func (auth) UpdateApiKey(ctx context.Context, in *authmgmt.UpdateApiKeyRequest) (*authmgmt.ApiKey, error) {
	r := api.From(ctx)
	id := in.ApiKeyId
	if id == "" {
		id = in.ApiKey.ApiKeyId // the guide's spelling
	}
	if id == "" {
		return nil, gatehouse.Violations{{Field: "apiKey.apiKeyId", Problem: "is required on this path"}}.Err()
	}
	up := gatehouse.KeyUpdate{ID: keyID(r, in.TeamId, id), TeamID: r.Call.TeamID, IfMatch: r.Call.IfMatch}
	k := in.ApiKey
	members := api.KeyMembers{Name: k.Name, ACL: k.AclStrings, QPS: k.Qps, QPM: k.Qpm, TPM: k.Tpm, Disabled: k.Disabled, ExpireTime: k.ExpireTime}
	for _, name := range in.FieldMask.GetPaths() {
		members.Set(&up, name) // the kit has made sure that the mask names no others
	}
	return minted(r)(r.UpdateKey(ctx, up))
}

// RotateApiKey implements authmgmt.AuthManagementServer.
func (auth) RotateApiKey(ctx context.Context, in *authmgmt.RotateApiKeyRequest) (*authmgmt.ApiKey, error) {
	r := api.From(ctx)
	rotation := gatehouse.KeyRotation{ID: keyID(r, in.TeamId, in.ApiKeyId), OldSecretExpire: api.Time(in.OldSecretExpireTime)}
	if in.ExpireTime != nil {
		rotation.ExpireTime = gatehouse.Some(api.Time(in.ExpireTime))
	}
	return minted(r)(r.RotateKey(ctx, rotation))
}

// DeleteApiKey implements authmgmt.AuthManagementServer.
func (auth) DeleteApiKey(ctx context.Context, in *authmgmt.DeleteApiKeyRequest) (*authmgmt.DeleteApiKeyResponse, error) {
	r := api.From(ctx)
	return &authmgmt.DeleteApiKeyResponse{}, r.DeleteKey(ctx, keyID(r, in.TeamId, in.ApiKeyId))
}

const maxWait = time.Minute

// CheckApiKeyPropagation implements authmgmt.AuthManagementServer.
func (auth) CheckApiKeyPropagation(ctx context.Context, in *authmgmt.CheckApiKeyPropagationRequest) (*authmgmt.CheckApiKeyPropagationResponse, error) {
	r := api.From(ctx)
	wait := in.Wait.AsDuration()
	if wait < 0 || wait > maxWait {
		return nil, gatehouse.Violations{{Field: "wait", Problem: "must be 0s to 60s"}}.Err()
	}
	clusters, err := r.Propagation(ctx, keyID(r, in.TeamId, in.ApiKeyId), wait)
	return &authmgmt.CheckApiKeyPropagationResponse{IcPropagation: clusters}, err
}

// keyID reads the id of a key, and tells the backend which team the path says
// it belongs to.
func keyID(r *api.Request, team, id string) gatehouse.ID {
	if team != "" {
		r.Call.TeamID = api.PathID(team)
	}
	return api.PathID(id)
}

// minted encodes what create, update and rotate return.
func minted(r *api.Request) func(gatehouse.MintedKey, error) (*authmgmt.ApiKey, error) {
	return func(m gatehouse.MintedKey, err error) (*authmgmt.ApiKey, error) {
		if err != nil {
			return nil, err
		}
		r.Warn(m.Warnings...)
		r.ETag(m.Key.Revision)
		return shown(r, m.Key, m.Token), nil
	}
}

// shown is a key on the wire, with its token when there is one to show.
func shown(r *api.Request, k *gatehouse.Key, token gatehouse.Token) *authmgmt.ApiKey {
	return &authmgmt.ApiKey{
		RedactedApiKey: gatehouse.Redact(r.Brand, gatehouse.Inference, k.Last4()), ApiKey: api.Secret(token),
		UserId: k.UserID.String(), Name: k.Name, CreateTime: api.Stamp(k.CreateTime), ModifyTime: api.Stamp(k.ModifyTime),
		TeamId: k.TeamID.String(), ApiKeyId: k.ID.String(), Disabled: k.Disabled, ExpireTime: api.Stamp(k.ExpireTime),
		Qps: api.LimitOut(k.Limits.QPS), Qpm: api.LimitOut(k.Limits.QPM), Tpm: api.LimitOut(k.Limits.TPM),
		AclStrings: api.Strings(k.ACL),
	}
}
