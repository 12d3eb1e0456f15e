package client

import (
	"context"
	"math"
	"net/http"

	"gatehouse"
	"gatehouse/gen/admin"
)

const joinTokens = "/admin/v1/join-tokens"

// CreateJoinToken implements gatehouse.JoinTokens.
func (c *Client) CreateJoinToken(ctx context.Context, n gatehouse.NewJoinToken) (gatehouse.MintedJoinToken, error) {
	uses := int32(max(min(n.Uses, math.MaxInt32), math.MinInt32)) // what does not fit is refused like the largest that does
	out, err := call[admin.JoinToken](ctx, c, request{method: http.MethodPost, path: joinTokens, body: &admin.CreateJoinTokenRequest{
		Cluster: n.Cluster, Lifetime: span(n.Lifetime), Uses: some(uses),
	}})
	if err != nil {
		return gatehouse.MintedJoinToken{}, err
	}
	m := gatehouse.MintedJoinToken{Token: joinTokenFrom(out)}
	m.Secret, err = token(out.Token)
	return m, err
}

// ListJoinTokens implements gatehouse.JoinTokens.
func (c *Client) ListJoinTokens(ctx context.Context, p gatehouse.Page) ([]*gatehouse.JoinToken, string, error) {
	size, after := page(p)
	out, err := call[admin.ListJoinTokensResponse](ctx, c, request{method: http.MethodGet, path: joinTokens,
		query: &admin.ListJoinTokensRequest{PageSize: size, PageToken: after}})
	return each(out.GetJoinTokens(), joinTokenFrom), out.GetNextPageToken(), err
}

// GetJoinToken implements gatehouse.JoinTokens.
func (c *Client) GetJoinToken(ctx context.Context, t gatehouse.ID) (*gatehouse.JoinToken, error) {
	return one(joinTokenFrom)(call[admin.JoinToken](ctx, c, request{method: http.MethodGet, path: under(joinTokens, t.String())}))
}

// RevokeJoinToken implements gatehouse.JoinTokens.
func (c *Client) RevokeJoinToken(ctx context.Context, t gatehouse.ID) error {
	_, err := call[admin.RevokeJoinTokenResponse](ctx, c, request{method: http.MethodDelete, path: under(joinTokens, t.String())})
	return err
}

func joinTokenFrom(t *admin.JoinToken) *gatehouse.JoinToken {
	out := &gatehouse.JoinToken{
		ID: id(t.Id), Cluster: t.Cluster, Uses: int(t.Uses), Used: int(t.Used), MakerID: id(t.MakerId),
		CreateTime: moment(t.CreateTime), ExpireTime: moment(t.ExpireTime), Revision: revision(t.Revision),
	}
	if s := last4(t.RedactedToken); len(s) > 0 {
		out.Last4 = s[0].Last4
	}
	return out
}
