package v1

import (
	"context"
	"time"

	"gatehouse"
	v1pb "gatehouse/gen/v1"
	"gatehouse/internal/api"
)

// keys answers /v1/api-keys.
type keys struct {
	v1pb.UnimplementedApiKeysServer
}

const keyObject = "api_key"

// ListApiKeys implements v1pb.ApiKeysServer.
func (keys) ListApiKeys(ctx context.Context, in *v1pb.ListApiKeysRequest) (*v1pb.ListApiKeysResponse, error) {
	r := api.From(ctx)
	found, next, err := readPage(in, func(k *gatehouse.Key) gatehouse.ID { return k.ID },
		func(p gatehouse.Page) ([]*gatehouse.Key, string, error) {
			return r.ListKeys(ctx, gatehouse.KeyQuery{LastUse: true, Page: p})
		})
	if err != nil {
		return nil, err
	}
	out := &v1pb.ListApiKeysResponse{Object: list, HasMore: next != "", NextCursor: next}
	for _, k := range found {
		out.Data = append(out.Data, shown(r, k, gatehouse.Token{}))
	}
	return out, nil
}

// CreateApiKey implements v1pb.ApiKeysServer.
func (keys) CreateApiKey(ctx context.Context, in *v1pb.CreateApiKeyRequest) (*v1pb.ApiKey, error) {
	k := in.GetApiKey()
	var bad gatehouse.Violations
	acl, limits := may(k.GetAcl(), &bad)
	if k.GetPermissions() != nil {
		permitted(k.Permissions, &bad)
	}
	if k.GetDisabled() {
		bad.Addf("disabled", "a key is created enabled")
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	r := api.From(ctx)
	return minted(r)(r.CreateKey(ctx, gatehouse.NewKey{Name: k.GetName(), ACL: acl, Limits: limits, ExpireTime: api.Time(k.GetExpiresAt())}))
}

// GetApiKey implements v1pb.ApiKeysServer.
func (keys) GetApiKey(ctx context.Context, in *v1pb.GetApiKeyRequest) (*v1pb.ApiKey, error) {
	r := api.From(ctx)
	k, err := r.GetKey(ctx, api.PathID(in.Id))
	if err != nil {
		return nil, err
	}
	r.ETag(k.Revision)
	return shown(r, k, gatehouse.Token{}), nil
}

// UpdateApiKey implements v1pb.ApiKeysServer.
func (keys) UpdateApiKey(ctx context.Context, in *v1pb.UpdateApiKeyRequest) (*v1pb.ApiKey, error) {
	r := api.From(ctx)
	up := gatehouse.KeyUpdate{ID: api.PathID(in.Id), TeamID: r.Call.TeamID, IfMatch: r.Call.IfMatch}
	var bad gatehouse.Violations
	for _, name := range in.FieldMask.GetPaths() {
		set(&up, name, in.GetApiKey(), &bad)
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return minted(r)(r.UpdateKey(ctx, up))
}

// set takes one masked member over. There is one permission, and every key has it.
func set(up *gatehouse.KeyUpdate, name string, k *v1pb.ApiKey, bad *gatehouse.Violations) {
	switch name {
	case "name":
		up.Name = gatehouse.Some(k.GetName())
	case "permissions":
		permitted(k.GetPermissions(), bad)
	case "disabled":
		up.Disabled = gatehouse.Some(k.GetDisabled())
	case "expires_at":
		up.ExpireTime = gatehouse.Some(api.Time(k.GetExpiresAt()))
	case "acl":
		if k.GetAcl() == nil {
			bad.Addf("acl", "must be an object: it replaces the one before, and {} allows everything")
		}
		acl, limits := may(k.GetAcl(), bad)
		up.ACL, up.QPM, up.TPM = gatehouse.Some(acl), gatehouse.Some(limits.QPM), gatehouse.Some(limits.TPM)
	}
}

// DeleteApiKey implements v1pb.ApiKeysServer.
func (keys) DeleteApiKey(ctx context.Context, in *v1pb.DeleteApiKeyRequest) (*v1pb.DeleteApiKeyResponse, error) {
	id := api.PathID(in.Id)
	if err := api.From(ctx).DeleteKey(ctx, id); err != nil {
		return nil, err
	}
	return &v1pb.DeleteApiKeyResponse{Id: id.String(), Object: keyObject, Deleted: true}, nil
}

// minted encodes what create and update return.
func minted(r *api.Request) func(gatehouse.MintedKey, error) (*v1pb.ApiKey, error) {
	return func(m gatehouse.MintedKey, err error) (*v1pb.ApiKey, error) {
		if err != nil {
			return nil, spelled(err)
		}
		r.Warn(m.Warnings...)
		r.ETag(m.Key.Revision)
		return shown(r, m.Key, m.Token), nil
	}
}

// shown is a key on the wire, with its token when there is one to show: under
// the two names that clients look for.
func shown(r *api.Request, k *gatehouse.Key, token gatehouse.Token) *v1pb.ApiKey {
	return &v1pb.ApiKey{
		Id: k.ID.String(), Object: keyObject, Name: k.Name, CreatedAt: api.Stamp(k.CreateTime), LastUsedAt: api.Stamp(lastUse(k)),
		Permissions: listOf(inference), Acl: granted(k), Disabled: k.Disabled, ExpiresAt: api.Stamp(k.ExpireTime),
		RedactedKey: gatehouse.Redact(r.Brand, gatehouse.Inference, k.Last4()),
		Key:         api.Secret(token), ApiKey: api.Secret(token),
	}
}

// lastUse is when any secret of the key was last used; zero for never.
func lastUse(k *gatehouse.Key) (last time.Time) {
	for _, s := range k.Secrets {
		if s.LastUse.After(last) {
			last = s.LastUse
		}
	}
	return last
}
