package client

import (
	"context"
	"net/http"
	"slices"

	"gatehouse"
	"gatehouse/gen/admin"
)

const upstreams = "/admin/v1/upstreams"

// ListUpstreams implements gatehouse.Upstreams.
func (c *Client) ListUpstreams(ctx context.Context, p gatehouse.Page) ([]*gatehouse.Upstream, string, error) {
	size, after := page(p)
	out, err := call[admin.ListUpstreamsResponse](ctx, c, request{method: http.MethodGet, path: upstreams,
		query: &admin.ListUpstreamsRequest{PageSize: size, PageToken: after}})
	return each(out.GetUpstreams(), upstreamFrom), out.GetNextPageToken(), err
}

// GetUpstream implements gatehouse.Upstreams.
func (c *Client) GetUpstream(ctx context.Context, upstream gatehouse.ID) (*gatehouse.Upstream, error) {
	return one(upstreamFrom)(call[admin.Upstream](ctx, c, request{method: http.MethodGet, path: under(upstreams, upstream.String())}))
}

// PutUpstream implements gatehouse.Upstreams.
func (c *Client) PutUpstream(ctx context.Context, u *gatehouse.Upstream) (*gatehouse.Upstream, error) {
	if u.ID.IsZero() {
		return one(upstreamFrom)(call[admin.Upstream](ctx, c, request{method: http.MethodPost, path: upstreams, body: upstreamTo(u)}))
	}
	members := writable((*admin.Upstream)(nil))
	if u.Credential == "" {
		members = slices.DeleteFunc(members, func(m string) bool { return m == "credential" })
	}
	return c.UpdateUpstream(ctx, u, members...)
}

// UpdateUpstream changes the named members (proto names, such as "base_url") of
// the upstream u.ID. "credential" with an empty Credential takes it away.
func (c *Client) UpdateUpstream(ctx context.Context, u *gatehouse.Upstream, members ...string) (*gatehouse.Upstream, error) {
	return one(upstreamFrom)(call[admin.Upstream](ctx, c, request{method: http.MethodPatch, path: under(upstreams, u.ID.String()),
		body: upstreamTo(u), query: &admin.UpdateUpstreamRequest{FieldMask: mask(members)}}))
}

// DeleteUpstream implements gatehouse.Upstreams.
func (c *Client) DeleteUpstream(ctx context.Context, upstream gatehouse.ID) error {
	_, err := call[admin.DeleteUpstreamResponse](ctx, c, request{method: http.MethodDelete, path: under(upstreams, upstream.String())})
	return err
}

// TestUpstream implements gatehouse.Upstreams.
func (c *Client) TestUpstream(ctx context.Context, upstream gatehouse.ID) (gatehouse.UpstreamReport, error) {
	out, err := call[admin.TestUpstreamResponse](ctx, c, request{method: http.MethodPost, path: under(upstreams, upstream.String()) + "/test",
		body: &admin.TestUpstreamRequest{}})
	if err != nil {
		return gatehouse.UpstreamReport{}, err
	}
	return gatehouse.UpstreamReport{
		OK: out.Ok, Status: int(out.Status), Latency: out.Latency.AsDuration(), Problem: out.Problem, Models: int(out.Models),
	}, nil
}

func upstreamTo(u *gatehouse.Upstream) *admin.Upstream {
	return &admin.Upstream{
		Name: u.Name, Kind: string(u.Kind), BaseUrl: u.BaseURL, Credential: some(u.Credential), Families: texts(u.Families),
		Serves: each(u.Serves, func(s gatehouse.Serve) *admin.Serve {
			return &admin.Serve{Model: s.Model, Owner: s.Owner, As: s.As, Weight: int32(s.Weight)}
		}),
		Clusters: u.Clusters, AllowPrivate: u.AllowPrivate, CaCert: u.CACert, Proxy: u.Proxy, Http: u.HTTP, AskUsage: &u.AskUsage,
		HeaderTimeout: span(u.HeaderTimeout), IdleTimeout: span(u.IdleTimeout), Disabled: u.Disabled, Limits: limitsTo(u.Limits),
	}
}

func upstreamFrom(u *admin.Upstream) *gatehouse.Upstream {
	return &gatehouse.Upstream{
		ID: id(u.Id), Name: u.Name, Kind: gatehouse.UpstreamKind(u.Kind), BaseURL: u.BaseUrl, HasCredential: u.HasCredential,
		Families: each(u.Families, func(s string) gatehouse.Family { return gatehouse.Family(s) }),
		Serves: each(u.Serves, func(s *admin.Serve) gatehouse.Serve {
			return gatehouse.Serve{Model: s.Model, Owner: s.Owner, As: s.As, Weight: int(s.Weight)}
		}),
		Clusters: u.Clusters, AllowPrivate: u.AllowPrivate, CACert: u.CaCert, Proxy: u.Proxy, HTTP: u.Http, AskUsage: u.GetAskUsage(),
		HeaderTimeout: u.HeaderTimeout.AsDuration(), IdleTimeout: u.IdleTimeout.AsDuration(), Disabled: u.Disabled, Limits: limitsFrom(u.Limits),
		Declared: u.Declared, Revision: revision(u.Revision),
	}
}
