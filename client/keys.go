package client

import (
	"context"
	"net/http"
	"time"

	"gatehouse"
	"gatehouse/gen/admin"
	"gatehouse/gen/authmgmt"
)

// Keys go through /admin/v1, whose record is whole; rotating, deleting and
// propagation are /auth's.
const (
	adminKeys = "/admin/v1/api-keys"
	authKeys  = "/auth/api-keys"
)

// CreateKey implements gatehouse.Keys.
func (c *Client) CreateKey(ctx context.Context, n gatehouse.NewKey) (gatehouse.MintedKey, error) {
	return mintedKey(exchange[admin.ApiKey](ctx, c, request{method: http.MethodPost, path: adminKeys, body: newKeyTo(n)}))
}

func newKeyTo(n gatehouse.NewKey) *admin.ApiKey {
	return &admin.ApiKey{
		TeamId: n.TeamID.String(), Name: n.Name, AclStrings: n.ACL, ExpireTime: stamp(n.ExpireTime),
		Qps: some(n.Limits.QPS), Qpm: some(n.Limits.QPM), Tpm: some(n.Limits.TPM),
		Strict: n.Strict, ReserveTpm: n.ReserveTPM, IpRanges: cidrs(n.IPRanges), Tags: n.Tags, OwnerUserId: n.OwnerID.String(),
	}
}

// GetKey implements gatehouse.Keys.
func (c *Client) GetKey(ctx context.Context, key gatehouse.ID) (*gatehouse.Key, error) {
	out, err := call[admin.ApiKey](ctx, c, request{method: http.MethodGet, path: under(adminKeys, key.String())})
	if err != nil {
		return nil, err
	}
	return keyFrom(out), nil
}

// ListKeys implements gatehouse.Keys.
func (c *Client) ListKeys(ctx context.Context, q gatehouse.KeyQuery) ([]*gatehouse.Key, string, error) {
	size, after := page(q.Page)
	out, err := call[admin.ListApiKeysResponse](ctx, c, request{method: http.MethodGet, path: adminKeys, query: &admin.ListApiKeysRequest{
		PageSize: size, PageToken: after, TeamId: q.TeamID.String(), UserId: q.UserID.String(), AclFilters: q.ACL, ActiveOnly: q.ActiveOnly,
	}})
	return each(out.GetApiKeys(), keyFrom), out.GetNextPageToken(), err
}

// UpdateKey implements gatehouse.Keys. The route that can change everything
// does not name a team, so one that is given is compared first; a key never
// moves between teams, so nothing can come in between.
func (c *Client) UpdateKey(ctx context.Context, u gatehouse.KeyUpdate) (gatehouse.MintedKey, error) {
	if !u.TeamID.IsZero() {
		k, err := c.GetKey(ctx, u.ID)
		if err != nil {
			return gatehouse.MintedKey{}, err
		}
		if k.TeamID != u.TeamID {
			return gatehouse.MintedKey{}, gatehouse.Errorf(gatehouse.NotFound, "Cannot find API key")
		}
	}
	var paths []string
	body := &admin.ApiKey{
		Name:        take(&paths, "name", u.Name),
		AclStrings:  take(&paths, "acl_strings", u.ACL),
		Qps:         some(take(&paths, "qps", u.QPS)),
		Qpm:         some(take(&paths, "qpm", u.QPM)),
		Tpm:         some(take(&paths, "tpm", u.TPM)),
		Disabled:    take(&paths, "disabled", u.Disabled),
		ExpireTime:  stamp(take(&paths, "expire_time", u.ExpireTime)),
		Strict:      take(&paths, "strict", u.Strict),
		ReserveTpm:  take(&paths, "reserve_tpm", u.ReserveTPM),
		IpRanges:    cidrs(take(&paths, "ip_ranges", u.IPRanges)),
		Tags:        take(&paths, "tags", u.Tags),
		OwnerUserId: take(&paths, "owner_user_id", u.OwnerID).String(),
	}
	return mintedKey(exchange[admin.ApiKey](ctx, c, request{
		method: http.MethodPatch, path: under(adminKeys, u.ID.String()), body: body, ifMatch: u.IfMatch,
		query: &admin.UpdateApiKeyRequest{FieldMask: mask(paths)},
	}))
}

// RotateKey implements gatehouse.Keys. A rotation on the wire cannot say
// "never"; a key that is to lose its expiry is updated first.
func (c *Client) RotateKey(ctx context.Context, r gatehouse.KeyRotation) (gatehouse.MintedKey, error) {
	if r.ExpireTime.Set && r.ExpireTime.Value.IsZero() {
		if out, err := c.UpdateKey(ctx, gatehouse.KeyUpdate{ID: r.ID, ExpireTime: r.ExpireTime}); err != nil {
			return out, err
		}
	}
	out, header, err := exchange[authmgmt.ApiKey](ctx, c, request{
		method: http.MethodPost, path: under(authKeys, r.ID.String()) + "/rotate",
		body: &authmgmt.RotateApiKeyRequest{ExpireTime: stamp(r.ExpireTime.Value), OldSecretExpireTime: stamp(r.OldSecretExpire)},
	})
	return mintedKey(widened(out), header, err)
}

// DeleteKey implements gatehouse.Keys.
func (c *Client) DeleteKey(ctx context.Context, key gatehouse.ID) error {
	_, err := call[authmgmt.DeleteApiKeyResponse](ctx, c, request{method: http.MethodDelete, path: under(authKeys, key.String())})
	return err
}

// Propagation implements gatehouse.Keys.
func (c *Client) Propagation(ctx context.Context, key gatehouse.ID, wait time.Duration) (map[string]bool, error) {
	out, err := call[authmgmt.CheckApiKeyPropagationResponse](ctx, c, request{
		method: http.MethodGet, path: under(authKeys, key.String()) + "/propagation",
		query: &authmgmt.CheckApiKeyPropagationRequest{Wait: span(wait)},
	})
	return out.GetIcPropagation(), err
}

// widened is xAI's key in our own message, which has the same members and more.
func widened(k *authmgmt.ApiKey) *admin.ApiKey {
	if k == nil {
		return nil
	}
	return &admin.ApiKey{
		RedactedApiKey: k.RedactedApiKey, ApiKey: k.ApiKey, UserId: k.UserId, Name: k.Name, CreateTime: k.CreateTime,
		ModifyTime: k.ModifyTime, TeamId: k.TeamId, ApiKeyId: k.ApiKeyId, Disabled: k.Disabled, ExpireTime: k.ExpireTime,
		Qps: k.Qps, Qpm: k.Qpm, Tpm: k.Tpm, AclStrings: k.AclStrings,
	}
}

func mintedKey(out *admin.ApiKey, h http.Header, err error) (gatehouse.MintedKey, error) {
	if err != nil {
		return gatehouse.MintedKey{}, err
	}
	m := gatehouse.MintedKey{Key: keyFrom(out), Warnings: warnings(h)}
	if m.Key.Revision.IsZero() {
		m.Key.Revision = committed(h)
	}
	m.Token, err = token(out.ApiKey)
	return m, err
}

func keyFrom(k *admin.ApiKey) *gatehouse.Key {
	out := &gatehouse.Key{
		ID: id(k.ApiKeyId), TeamID: id(k.TeamId), UserID: id(k.UserId), OwnerID: id(k.OwnerUserId), Name: k.Name, ACL: k.AclStrings,
		Limits:   gatehouse.Limits{QPS: k.GetQps(), QPM: k.GetQpm(), TPM: k.GetTpm()},
		Disabled: k.Disabled, Blocked: k.Blocked, Strict: k.Strict, ReserveTPM: k.ReserveTpm,
		IPRanges: prefixes(k.IpRanges), Tags: k.Tags, CreateTime: moment(k.CreateTime), ModifyTime: moment(k.ModifyTime),
		ExpireTime: moment(k.ExpireTime), Revision: revision(k.Revision),
	}
	for _, s := range k.Secrets {
		out.Secrets = append(out.Secrets, gatehouse.Secret{
			Last4: s.Last4, CreateTime: moment(s.CreateTime), ExpireTime: moment(s.ExpireTime), LastUse: moment(s.LastUseTime),
			Foreign: s.Foreign,
		})
	}
	if len(out.Secrets) == 0 {
		out.Secrets = last4(k.RedactedApiKey)
	}
	return out
}
