package admin

import (
	"context"
	"net/netip"

	"gatehouse"
	adminpb "gatehouse/gen/admin"
	"gatehouse/internal/api"
)

// ListApiKeys implements adminpb.AdminServer.
func (service) ListApiKeys(ctx context.Context, in *adminpb.ListApiKeysRequest) (*adminpb.ListApiKeysResponse, error) {
	r := api.From(ctx)
	var bad gatehouse.Violations
	q := gatehouse.KeyQuery{
		TeamID: api.ID("teamId", in.TeamId, &bad), UserID: api.ID("userId", in.UserId, &bad),
		ACL: in.AclFilters, ActiveOnly: in.ActiveOnly,
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	keys, next, err := list(in.PageSize, in.PageToken, func(p gatehouse.Page) ([]*gatehouse.Key, string, error) {
		q.Page = p
		return r.ListKeys(ctx, q)
	}, func(k *gatehouse.Key) *adminpb.ApiKey { return shown(r, k, gatehouse.Token{}) })
	return &adminpb.ListApiKeysResponse{ApiKeys: keys, NextPageToken: next}, err
}

// CreateApiKey implements adminpb.AdminServer.
func (service) CreateApiKey(ctx context.Context, in *adminpb.CreateApiKeyRequest) (*adminpb.ApiKey, error) {
	r, k := api.From(ctx), given(in.ApiKey)
	var bad gatehouse.Violations
	n := newKey(k, &bad)
	if k.Disabled {
		bad.Addf("disabled", "a key is created enabled")
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return minted(r)(r.CreateKey(ctx, n))
}

// newKey reads the members that a creation takes.
func newKey(k *adminpb.ApiKey, bad *gatehouse.Violations) gatehouse.NewKey {
	return gatehouse.NewKey{
		TeamID: api.ID("teamId", k.TeamId, bad), OwnerID: api.ID("ownerUserId", k.OwnerUserId, bad),
		Name: k.Name, ACL: k.AclStrings, ExpireTime: api.Time(k.ExpireTime), Strict: k.Strict, ReserveTPM: k.ReserveTpm,
		Limits:   gatehouse.Limits{QPS: api.Limit(k.Qps), QPM: api.Limit(k.Qpm), TPM: api.Limit(k.Tpm)},
		IPRanges: prefixes(k.IpRanges, bad), Tags: k.Tags,
	}
}

// GetApiKey implements adminpb.AdminServer.
func (service) GetApiKey(ctx context.Context, in *adminpb.GetApiKeyRequest) (*adminpb.ApiKey, error) {
	r := api.From(ctx)
	k, err := r.GetKey(ctx, api.PathID(in.ApiKeyId))
	if err != nil {
		return nil, err
	}
	r.ETag(k.Revision)
	return shown(r, k, gatehouse.Token{}), nil
}

// UpdateApiKey implements adminpb.AdminServer.
func (service) UpdateApiKey(ctx context.Context, in *adminpb.UpdateApiKeyRequest) (*adminpb.ApiKey, error) {
	r, k := api.From(ctx), given(in.ApiKey)
	up := gatehouse.KeyUpdate{ID: api.PathID(in.ApiKeyId), IfMatch: r.Call.IfMatch}
	var bad gatehouse.Violations
	shared := api.KeyMembers{Name: k.Name, ACL: k.AclStrings, QPS: k.Qps, QPM: k.Qpm, TPM: k.Tpm, Disabled: k.Disabled, ExpireTime: k.ExpireTime}
	for _, name := range in.FieldMask.GetPaths() {
		if !shared.Set(&up, name) {
			setOwn(&up, name, k, &bad)
		}
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return minted(r)(r.UpdateKey(ctx, up))
}

// setOwn takes over a member that only this face has.
func setOwn(up *gatehouse.KeyUpdate, name string, k *adminpb.ApiKey, bad *gatehouse.Violations) {
	switch name {
	case "strict":
		up.Strict = gatehouse.Some(k.Strict)
	case "reserve_tpm":
		up.ReserveTPM = gatehouse.Some(k.ReserveTpm)
	case "ip_ranges":
		up.IPRanges = gatehouse.Some(prefixes(k.IpRanges, bad))
	case "tags":
		up.Tags = gatehouse.Some(k.Tags)
	case "owner_user_id":
		up.OwnerID = gatehouse.Some(api.ID("ownerUserId", k.OwnerUserId, bad))
	}
}

// prefixes reads CIDR ranges; an address alone is a range of one.
func prefixes(in []string, bad *gatehouse.Violations) (out []netip.Prefix) {
	for _, s := range in {
		p, err := netip.ParsePrefix(s)
		if addr, notCIDR := netip.ParseAddr(s); notCIDR == nil {
			p, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			bad.Addf("ipRanges", "each must be an address or a range such as 10.0.0.0/8")
			continue
		}
		out = append(out, p)
	}
	return out
}

func minted(r *api.Request) func(gatehouse.MintedKey, error) (*adminpb.ApiKey, error) {
	return func(m gatehouse.MintedKey, err error) (*adminpb.ApiKey, error) {
		if err != nil {
			return nil, err
		}
		r.Warn(m.Warnings...)
		r.ETag(m.Key.Revision)
		return shown(r, m.Key, m.Token), nil
	}
}

func shown(r *api.Request, k *gatehouse.Key, token gatehouse.Token) *adminpb.ApiKey {
	out := &adminpb.ApiKey{
		RedactedApiKey: gatehouse.Redact(r.Brand, gatehouse.Inference, k.Last4()), ApiKey: api.Secret(token),
		UserId: k.UserID.String(), Name: k.Name, CreateTime: api.Stamp(k.CreateTime), ModifyTime: api.Stamp(k.ModifyTime),
		TeamId: k.TeamID.String(), ApiKeyId: k.ID.String(), Disabled: k.Disabled, ExpireTime: api.Stamp(k.ExpireTime),
		Qps: api.LimitOut(k.Limits.QPS), Qpm: api.LimitOut(k.Limits.QPM), Tpm: api.LimitOut(k.Limits.TPM),
		AclStrings: api.Strings(k.ACL), Strict: k.Strict, ReserveTpm: k.ReserveTPM, Tags: k.Tags,
		OwnerUserId: k.Owner().String(), Blocked: k.Blocked, Revision: k.Revision.String(),
	}
	for _, p := range k.IPRanges {
		out.IpRanges = append(out.IpRanges, p.String())
	}
	for _, s := range k.Secrets {
		out.Secrets = append(out.Secrets, &adminpb.KeySecret{
			Last4: s.Last4, CreateTime: api.Stamp(s.CreateTime), ExpireTime: api.Stamp(s.ExpireTime), LastUseTime: api.Stamp(s.LastUse),
			Foreign: s.Foreign,
		})
	}
	return out
}

// given is a message of a body, which is nil when the body was empty.
func given[T any](p *T) *T {
	if p == nil {
		return new(T)
	}
	return p
}
