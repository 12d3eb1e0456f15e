package client

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"gatehouse"
	"gatehouse/gen/admin"
	"gatehouse/gen/authmgmt"
)

const managementKeys = "/admin/v1/management-keys"

// CreateManagementKey implements gatehouse.ManagementKeys.
func (c *Client) CreateManagementKey(ctx context.Context, n gatehouse.NewManagementKey) (gatehouse.MintedManagementKey, error) {
	scope, ok := authmgmt.Scope_value[string(n.Scope)]
	if !ok && n.Scope != "" {
		return gatehouse.MintedManagementKey{}, gatehouse.Violations{{Field: "scope", Problem: "must be SCOPE_TEAM or SCOPE_ORGANIZATION"}}.Err()
	}
	return mintedManager(call[authmgmt.ManagementKey](ctx, c, request{method: http.MethodPost, path: managementKeys, body: &authmgmt.ManagementKey{
		TeamId: n.TeamID.String(), Scope: authmgmt.Scope(scope), OwnerUserId: n.UserID.String(), Name: n.Name, Acls: n.ACL,
		IpRanges: rangesTo(n.IPRanges), ExpireTime: stamp(n.ExpireTime), Grant: grantTo(n.Grant),
	}}))
}

// GetManagementKey implements gatehouse.ManagementKeys.
func (c *Client) GetManagementKey(ctx context.Context, key gatehouse.ID) (*gatehouse.ManagementKey, error) {
	return manager(call[authmgmt.ManagementKey](ctx, c, request{method: http.MethodGet, path: under(managementKeys, key.String())}))
}

// ListManagementKeys implements gatehouse.ManagementKeys.
func (c *Client) ListManagementKeys(ctx context.Context, team gatehouse.ID, p gatehouse.Page) ([]*gatehouse.ManagementKey, string, error) {
	size, after := page(p)
	out, err := call[admin.ListManagementKeysResponse](ctx, c, request{method: http.MethodGet, path: managementKeys,
		query: &admin.ListManagementKeysRequest{PageSize: size, PageToken: after, TeamId: team.String()}})
	return each(out.GetManagementKeys(), managerFrom), out.GetNextPageToken(), err
}

// RotateManagementKey implements gatehouse.ManagementKeys.
func (c *Client) RotateManagementKey(ctx context.Context, r gatehouse.KeyRotation) (gatehouse.MintedManagementKey, error) {
	if r.ExpireTime.Set && r.ExpireTime.Value.IsZero() {
		return gatehouse.MintedManagementKey{}, gatehouse.Violations{{Field: "expireTime", Problem: "a rotation cannot take the expiry away; create a management key without one"}}.Err()
	}
	return mintedManager(call[authmgmt.ManagementKey](ctx, c, request{
		method: http.MethodPost, path: under(managementKeys, r.ID.String()) + "/rotate",
		body: &admin.RotateManagementKeyRequest{ExpireTime: stamp(r.ExpireTime.Value), OldSecretExpireTime: stamp(r.OldSecretExpire)},
	}))
}

// RevokeManagementKey implements gatehouse.ManagementKeys.
func (c *Client) RevokeManagementKey(ctx context.Context, key gatehouse.ID) error {
	_, err := call[admin.RevokeManagementKeyResponse](ctx, c, request{method: http.MethodDelete, path: under(managementKeys, key.String())})
	return err
}

// Self implements gatehouse.ManagementKeys.
func (c *Client) Self(ctx context.Context) (*gatehouse.ManagementKey, error) {
	return manager(call[authmgmt.ManagementKey](ctx, c, request{method: http.MethodGet, path: "/auth/management-keys/validation"}))
}

// team is the team that a call means: the one named, else the key's own, which
// paths have to spell.
func (c *Client) team(ctx context.Context, named gatehouse.ID) (gatehouse.ID, error) {
	if !named.IsZero() {
		return named, nil
	}
	k, err := c.Self(ctx)
	if err != nil {
		return named, err
	}
	return k.TeamID, nil
}

func manager(k *authmgmt.ManagementKey, err error) (*gatehouse.ManagementKey, error) {
	if err != nil {
		return nil, err
	}
	return managerFrom(k), nil
}

func mintedManager(k *authmgmt.ManagementKey, err error) (m gatehouse.MintedManagementKey, _ error) {
	if m.Key, err = manager(k, err); err != nil {
		return gatehouse.MintedManagementKey{}, err
	}
	m.Token, err = token(k.ApiKey)
	return m, err
}

func managerFrom(k *authmgmt.ManagementKey) *gatehouse.ManagementKey {
	return &gatehouse.ManagementKey{
		ID: id(k.ApiKeyId), Scope: gatehouse.Scope(k.Scope.String()), TeamID: id(k.TeamId), UserID: id(k.OwnerUserId), Name: k.Name, ACL: k.Acls, Personal: k.Personal,
		Grant: grantFrom(k.Grant), IPRanges: rangesFrom(k.IpRanges), CreateTime: moment(k.CreateTime), ModifyTime: moment(k.ModifyTime),
		ExpireTime: moment(k.ExpireTime), Secrets: last4(k.RedactedApiKey), Revision: revision(k.Revision),
	}
}

// rangesTo spells an allow-list xAI's way. An invalid range is sent as one
// without an address: to leave it out would allow more than was asked for.
func rangesTo(in []netip.Prefix) *authmgmt.IpRanges {
	if len(in) == 0 {
		return nil
	}
	out := &authmgmt.IpRanges{}
	for _, p := range in {
		r := &authmgmt.IpRange{Address: &authmgmt.IpAddress{}, PrefixLength: int32(p.Bits())}
		switch {
		case p.Addr().Is4():
			r.Address.Address = &authmgmt.IpAddress_Ipv4{Ipv4: p.Addr().String()}
		case p.IsValid():
			r.Address.Address = &authmgmt.IpAddress_Ipv6{Ipv6: p.Addr().String()}
		}
		out.IpRanges = append(out.IpRanges, r)
	}
	return out
}

func rangesFrom(in *authmgmt.IpRanges) (out []netip.Prefix) {
	for _, r := range in.GetIpRanges() {
		addr, err := netip.ParseAddr(r.GetAddress().GetIpv4() + r.GetAddress().GetIpv6())
		if err == nil {
			out = append(out, netip.PrefixFrom(addr, int(r.PrefixLength)))
		}
	}
	return out
}

func grantTo(g *gatehouse.Grant) *authmgmt.Grant {
	if g == nil {
		return nil
	}
	out := &authmgmt.Grant{MaxQps: g.MaxQPS, MaxQpm: g.MaxQPM, MaxTpm: g.MaxTPM, MaxExpireTime: stamp(value(g.MaxExpireTime))}
	if g.ACL != nil {
		out.Acls = &structpb.ListValue{Values: each(*g.ACL, structpb.NewStringValue)}
	}
	if g.MaxBudget != nil {
		out.MaxBudgetCents = new(int64(*g.MaxBudget / gatehouse.Cent))
	}
	return out
}

func grantFrom(g *authmgmt.Grant) *gatehouse.Grant {
	if g == nil {
		return nil
	}
	out := &gatehouse.Grant{MaxQPS: g.MaxQps, MaxQPM: g.MaxQpm, MaxTPM: g.MaxTpm}
	if g.Acls != nil {
		acl := gatehouse.ACL(each(g.Acls.Values, (*structpb.Value).GetStringValue))
		out.ACL = &acl
	}
	if g.MaxBudgetCents != nil {
		out.MaxBudget = new(gatehouse.Ticks(*g.MaxBudgetCents) * gatehouse.Cent)
	}
	if g.MaxExpireTime != nil {
		out.MaxExpireTime = some[time.Time](moment(g.MaxExpireTime))
	}
	return out
}
