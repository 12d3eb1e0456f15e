package admin

import (
	"context"

	"gatehouse"
	adminpb "gatehouse/gen/admin"
	"gatehouse/internal/api"
)

// ListClusters implements adminpb.AdminServer.
func (service) ListClusters(ctx context.Context, in *adminpb.ListClustersRequest) (*adminpb.ListClustersResponse, error) {
	all, next, err := list(in.PageSize, in.PageToken, func(p gatehouse.Page) ([]*gatehouse.Cluster, string, error) {
		return api.From(ctx).ListClusters(ctx, p)
	}, cluster)
	return &adminpb.ListClustersResponse{Clusters: all, NextPageToken: next}, err
}

// CreateCluster implements adminpb.AdminServer.
func (service) CreateCluster(ctx context.Context, in *adminpb.CreateClusterRequest) (*adminpb.Cluster, error) {
	c := given(in.Cluster)
	return oneCluster(ctx)(api.From(ctx).PutCluster(ctx, &gatehouse.Cluster{Name: c.Name, Address: c.Address}))
}

// GetCluster implements adminpb.AdminServer.
func (service) GetCluster(ctx context.Context, in *adminpb.GetClusterRequest) (*adminpb.Cluster, error) {
	return oneCluster(ctx)(api.From(ctx).GetCluster(ctx, in.Name))
}

// UpdateCluster implements adminpb.AdminServer.
func (service) UpdateCluster(ctx context.Context, in *adminpb.UpdateClusterRequest) (*adminpb.Cluster, error) {
	c := given(in.Cluster)
	fields(ctx, in.FieldMask.GetPaths())
	return oneCluster(ctx)(api.From(ctx).PutCluster(ctx, &gatehouse.Cluster{Name: in.Name, Address: c.Address}))
}

// DeleteCluster implements adminpb.AdminServer.
func (service) DeleteCluster(ctx context.Context, in *adminpb.DeleteClusterRequest) (*adminpb.DeleteClusterResponse, error) {
	return &adminpb.DeleteClusterResponse{}, api.From(ctx).DeleteCluster(ctx, in.Name)
}

func oneCluster(ctx context.Context) func(*gatehouse.Cluster, error) (*adminpb.Cluster, error) {
	return one(ctx, cluster, func(c *gatehouse.Cluster) gatehouse.Revision { return c.Revision })
}

func cluster(c *gatehouse.Cluster) *adminpb.Cluster {
	return &adminpb.Cluster{Name: c.Name, Address: c.Address, Declared: c.Declared, Revision: c.Revision.String()}
}

// ListGateways implements adminpb.AdminServer.
func (service) ListGateways(ctx context.Context, in *adminpb.ListGatewaysRequest) (*adminpb.ListGatewaysResponse, error) {
	all, next, err := list(in.PageSize, in.PageToken, func(p gatehouse.Page) ([]*gatehouse.Gateway, string, error) {
		return api.From(ctx).ListGateways(ctx, p)
	}, member)
	return &adminpb.ListGatewaysResponse{Gateways: all, NextPageToken: next}, err
}

// GetGateway implements adminpb.AdminServer. What a gateway reports has no
// revision, so the answer has no ETag.
func (service) GetGateway(ctx context.Context, in *adminpb.GetGatewayRequest) (*adminpb.Gateway, error) {
	g, err := api.From(ctx).GetGateway(ctx, api.PathID(in.Id))
	if err != nil {
		return nil, err
	}
	return member(g), nil
}

// ForgetGateway implements adminpb.AdminServer.
func (service) ForgetGateway(ctx context.Context, in *adminpb.ForgetGatewayRequest) (*adminpb.ForgetGatewayResponse, error) {
	return &adminpb.ForgetGatewayResponse{}, api.From(ctx).ForgetGateway(ctx, api.PathID(in.Id))
}

func member(g *gatehouse.Gateway) *adminpb.Gateway {
	return &adminpb.Gateway{
		Id: g.ID.String(), Cluster: g.Cluster, Version: g.Version, Joined: api.Stamp(g.Joined), LastSeen: api.Stamp(g.LastSeen),
		Enforced: g.Enforced.String(), Problem: g.Problem, Lease: api.Stamp(g.Lease), Forgotten: g.Forgotten,
	}
}
