package client

import (
	"context"
	"net/http"

	"gatehouse"
	"gatehouse/gen/admin"
)

const (
	clusters = "/admin/v1/clusters"
	gateways = "/admin/v1/gateways"
)

// ListClusters implements gatehouse.Fleet.
func (c *Client) ListClusters(ctx context.Context, p gatehouse.Page) ([]*gatehouse.Cluster, string, error) {
	size, after := page(p)
	out, err := call[admin.ListClustersResponse](ctx, c, request{method: http.MethodGet, path: clusters,
		query: &admin.ListClustersRequest{PageSize: size, PageToken: after}})
	return each(out.GetClusters(), clusterFrom), out.GetNextPageToken(), err
}

// GetCluster implements gatehouse.Fleet.
func (c *Client) GetCluster(ctx context.Context, name string) (*gatehouse.Cluster, error) {
	return one(clusterFrom)(call[admin.Cluster](ctx, c, request{method: http.MethodGet, path: under(clusters, name)}))
}

// CreateCluster adds a cluster; AlreadyExists when there is one of the name or label.
func (c *Client) CreateCluster(ctx context.Context, x *gatehouse.Cluster) (*gatehouse.Cluster, error) {
	return one(clusterFrom)(call[admin.Cluster](ctx, c, request{method: http.MethodPost, path: clusters, body: clusterTo(x)}))
}

// PutCluster implements gatehouse.Fleet.
func (c *Client) PutCluster(ctx context.Context, x *gatehouse.Cluster) (*gatehouse.Cluster, error) {
	return one(clusterFrom)(upsert[admin.Cluster](ctx, c, clusters, x.Name, clusterTo(x),
		&admin.UpdateClusterRequest{FieldMask: mask(writable((*admin.Cluster)(nil)))}))
}

// UpdateCluster changes the named members, of which there is "address", of the
// cluster x.Name.
func (c *Client) UpdateCluster(ctx context.Context, x *gatehouse.Cluster, members ...string) (*gatehouse.Cluster, error) {
	return one(clusterFrom)(call[admin.Cluster](ctx, c, request{method: http.MethodPatch, path: under(clusters, x.Name),
		body: clusterTo(x), query: &admin.UpdateClusterRequest{FieldMask: mask(members)}}))
}

// DeleteCluster implements gatehouse.Fleet.
func (c *Client) DeleteCluster(ctx context.Context, name string) error {
	_, err := call[admin.DeleteClusterResponse](ctx, c, request{method: http.MethodDelete, path: under(clusters, name)})
	return err
}

// ListGateways implements gatehouse.Fleet.
func (c *Client) ListGateways(ctx context.Context, p gatehouse.Page) ([]*gatehouse.Gateway, string, error) {
	size, after := page(p)
	out, err := call[admin.ListGatewaysResponse](ctx, c, request{method: http.MethodGet, path: gateways,
		query: &admin.ListGatewaysRequest{PageSize: size, PageToken: after}})
	return each(out.GetGateways(), gatewayFrom), out.GetNextPageToken(), err
}

// GetGateway implements gatehouse.Fleet.
func (c *Client) GetGateway(ctx context.Context, gateway gatehouse.ID) (*gatehouse.Gateway, error) {
	return one(gatewayFrom)(call[admin.Gateway](ctx, c, request{method: http.MethodGet, path: under(gateways, gateway.String())}))
}

// ForgetGateway implements gatehouse.Fleet.
func (c *Client) ForgetGateway(ctx context.Context, gateway gatehouse.ID) error {
	_, err := call[admin.ForgetGatewayResponse](ctx, c, request{method: http.MethodDelete, path: under(gateways, gateway.String())})
	return err
}

func clusterTo(x *gatehouse.Cluster) *admin.Cluster {
	return &admin.Cluster{Name: x.Name, Address: x.Address}
}

func clusterFrom(x *admin.Cluster) *gatehouse.Cluster {
	return &gatehouse.Cluster{Name: x.Name, Address: x.Address, Declared: x.Declared, Revision: revision(x.Revision)}
}

func gatewayFrom(g *admin.Gateway) *gatehouse.Gateway {
	return &gatehouse.Gateway{
		ID: id(g.Id), Cluster: g.Cluster, Version: g.Version, Joined: moment(g.Joined), LastSeen: moment(g.LastSeen),
		Enforced: revision(g.Enforced), Problem: g.Problem, Lease: moment(g.Lease), Forgotten: g.Forgotten,
	}
}
