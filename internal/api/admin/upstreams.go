package admin

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"

	"gatehouse"
	adminpb "gatehouse/gen/admin"
	"gatehouse/internal/api"
)

// ListUpstreams implements adminpb.AdminServer.
func (service) ListUpstreams(ctx context.Context, in *adminpb.ListUpstreamsRequest) (*adminpb.ListUpstreamsResponse, error) {
	all, next, err := list(in.PageSize, in.PageToken, func(p gatehouse.Page) ([]*gatehouse.Upstream, string, error) {
		return api.From(ctx).ListUpstreams(ctx, p)
	}, upstream)
	return &adminpb.ListUpstreamsResponse{Upstreams: all, NextPageToken: next}, err
}

// CreateUpstream implements adminpb.AdminServer.
func (service) CreateUpstream(ctx context.Context, in *adminpb.CreateUpstreamRequest) (*adminpb.Upstream, error) {
	return oneUpstream(ctx)(api.From(ctx).PutUpstream(ctx, upstreamIn(given(in.Upstream))))
}

// GetUpstream implements adminpb.AdminServer.
func (service) GetUpstream(ctx context.Context, in *adminpb.GetUpstreamRequest) (*adminpb.Upstream, error) {
	return oneUpstream(ctx)(api.From(ctx).GetUpstream(ctx, api.PathID(in.Id)))
}

// UpdateUpstream implements adminpb.AdminServer. Like any member, a credential
// that is named and null is cleared; one that is not named is kept.
func (service) UpdateUpstream(ctx context.Context, in *adminpb.UpdateUpstreamRequest) (*adminpb.Upstream, error) {
	u := upstreamIn(given(in.Upstream))
	u.ID = api.PathID(in.Id)
	fields(ctx, in.FieldMask.GetPaths())
	return oneUpstream(ctx)(api.From(ctx).PutUpstream(ctx, u))
}

// DeleteUpstream implements adminpb.AdminServer.
func (service) DeleteUpstream(ctx context.Context, in *adminpb.DeleteUpstreamRequest) (*adminpb.DeleteUpstreamResponse, error) {
	return &adminpb.DeleteUpstreamResponse{}, api.From(ctx).DeleteUpstream(ctx, api.PathID(in.Id))
}

// TestUpstream implements adminpb.AdminServer.
func (service) TestUpstream(ctx context.Context, in *adminpb.TestUpstreamRequest) (*adminpb.TestUpstreamResponse, error) {
	report, err := api.From(ctx).TestUpstream(ctx, api.PathID(in.Id))
	return &adminpb.TestUpstreamResponse{
		Ok: report.OK, Status: int32(report.Status), Latency: durationpb.New(report.Latency),
		Problem: report.Problem, Models: int32(report.Models),
	}, err
}

func oneUpstream(ctx context.Context) func(*gatehouse.Upstream, error) (*adminpb.Upstream, error) {
	return one(ctx, upstream, func(u *gatehouse.Upstream) gatehouse.Revision { return u.Revision })
}

// upstream leaves the credential out, whatever the backend says.
func upstream(u *gatehouse.Upstream) *adminpb.Upstream {
	out := &adminpb.Upstream{
		Id: u.ID.String(), Name: u.Name, Kind: string(u.Kind), BaseUrl: u.BaseURL,
		HasCredential: u.HasCredential, Clusters: u.Clusters, AllowPrivate: u.AllowPrivate,
		CaCert: u.CACert, Proxy: u.Proxy, Http: u.HTTP, AskUsage: &u.AskUsage,
		HeaderTimeout: durationpb.New(u.HeaderTimeout), IdleTimeout: durationpb.New(u.IdleTimeout),
		Disabled: u.Disabled, Declared: u.Declared, Revision: u.Revision.String(), Limits: limits(u.Limits),
	}
	for _, f := range u.Families {
		out.Families = append(out.Families, string(f))
	}
	for _, s := range u.Serves {
		out.Serves = append(out.Serves, &adminpb.Serve{Model: s.Model, Owner: s.Owner, As: s.As, Weight: int32(s.Weight)})
	}
	return out
}

func upstreamIn(u *adminpb.Upstream) *gatehouse.Upstream {
	out := &gatehouse.Upstream{
		Name: u.Name, Kind: gatehouse.UpstreamKind(u.Kind), BaseURL: u.BaseUrl, Credential: u.GetCredential(),
		Clusters: u.Clusters, AllowPrivate: u.AllowPrivate, CACert: u.CaCert, Proxy: u.Proxy, HTTP: u.Http,
		AskUsage: u.AskUsage == nil || *u.AskUsage, Disabled: u.Disabled, Limits: limitsIn(u.Limits),
		HeaderTimeout: u.HeaderTimeout.AsDuration(), IdleTimeout: u.IdleTimeout.AsDuration(),
	}
	for _, f := range u.Families {
		out.Families = append(out.Families, gatehouse.Family(f))
	}
	for _, s := range u.Serves {
		out.Serves = append(out.Serves, gatehouse.Serve{Model: s.Model, Owner: s.Owner, As: s.As, Weight: int(s.Weight)})
	}
	return out
}
