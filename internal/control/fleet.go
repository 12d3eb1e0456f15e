package control

import (
	"context"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

const (
	maxClusterName = 63
	maxAddress     = 253
	// aliveWithin is how recently a gateway was heard of to count as there
	// (design.md §7).
	aliveWithin = 10 * time.Second
)

// ListClusters implements gatehouse.Fleet.
func (c *Caller) ListClusters(ctx context.Context, page gatehouse.Page) ([]*gatehouse.Cluster, string, error) {
	return listAll(ctx, c, gatehouse.ListClusters, "cluster.listed", gatehouse.KindCluster, page, store.View.Clusters,
		func(x *gatehouse.Cluster) string { return x.Name })
}

// GetCluster implements gatehouse.Fleet.
func (c *Caller) GetCluster(ctx context.Context, cluster string) (*gatehouse.Cluster, error) {
	return get(ctx, c, gatehouse.GetCluster, reading("cluster.read", gatehouse.KindCluster, short(cluster)),
		func(v store.View) (*gatehouse.Cluster, error) { return present(v.Cluster(cluster)) })
}

// PutCluster implements gatehouse.Fleet.
func (c *Caller) PutCluster(ctx context.Context, x *gatehouse.Cluster) (*gatehouse.Cluster, error) {
	return put(ctx, c, gatehouse.CreateCluster, gatehouse.UpdateCluster, x.Name, func(tx store.Tx, op gatehouse.Operation) (*gatehouse.Cluster, error) {
		before, err := present(tx.Cluster(x.Name))
		if err != nil {
			return nil, err
		}
		next := *x
		next.Declared = false
		if before != nil {
			if err := c.matches(before.Revision); err != nil {
				return nil, err
			}
			next = *gatehouse.Overlay(before, x, c.call.Fields)
			next.Declared = before.Declared
		}
		return &next, c.s.putCluster(tx, before, &next, op)
	}, func(v store.View) (bool, error) { x, err := present(v.Cluster(x.Name)); return x != nil, err })
}

// putCluster keeps labels apart: two clusters under one label would be one
// entry of the propagation map, and one of them would answer for both.
func (s *Service) putCluster(tx store.Tx, before, x *gatehouse.Cluster, op gatehouse.Operation) error {
	var bad gatehouse.Violations
	if !label(x.Name, maxClusterName) {
		bad.Addf("name", "must be 1 to %d of a-z, 0-9, '-', '_' and '.'", maxClusterName)
	}
	if x.Address != "" && !label(x.Address, maxAddress) {
		bad.Addf("address", "must be a host name of at most %d characters, in lower case", maxAddress)
	}
	if err := bad.Err(); err != nil {
		return err
	}
	others, err := tx.Clusters()
	if err != nil {
		return err
	}
	for _, o := range others {
		if o.Name != x.Name && o.Label() == x.Label() {
			return gatehouse.Errorf(gatehouse.AlreadyExists, "the cluster '%s' is known as %s", o.Name, x.Label())
		}
	}
	x.DeleteTime = never
	act := s.named(op, "cluster", gatehouse.KindCluster, x.Name, before != nil)
	act.Details = map[string]string{"address": x.Address}
	return tx.PutCluster(x, act)
}

// DeleteCluster implements gatehouse.Fleet.
func (c *Caller) DeleteCluster(ctx context.Context, cluster string) error {
	return drop(ctx, c, gatehouse.DeleteCluster, cluster, func(tx store.Tx) error {
		x, err := present(tx.Cluster(cluster))
		if err == nil && x == nil {
			err = missing("cluster")
		}
		if err == nil {
			err = c.matches(x.Revision)
		}
		if err != nil {
			return err
		}
		return c.s.dropCluster(tx, x)
	})
}

// label is what host names and propagation maps are made of.
func label(s string, most int) bool {
	return s != "" && len(s) <= most && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.:", r)
	})
}

// ListGateways implements gatehouse.Fleet.
func (c *Caller) ListGateways(ctx context.Context, page gatehouse.Page) ([]*gatehouse.Gateway, string, error) {
	return listAll(ctx, c, gatehouse.ListGateways, "gateway.listed", gatehouse.KindGateway, page, store.View.Gateways,
		func(g *gatehouse.Gateway) string { return g.Cluster + "\x00" + g.ID.String() })
}

// GetGateway implements gatehouse.Fleet. It shows what the list shows, so a
// forgotten member too: who looks one up wants to know what became of it.
func (c *Caller) GetGateway(ctx context.Context, id gatehouse.ID) (*gatehouse.Gateway, error) {
	return get(ctx, c, gatehouse.GetGateway, reading("gateway.read", gatehouse.KindGateway, id.String()),
		func(v store.View) (*gatehouse.Gateway, error) {
			gateways, err := v.Gateways()
			if i := slices.IndexFunc(gateways, func(g *gatehouse.Gateway) bool { return g.ID == id }); i >= 0 {
				return gateways[i], err
			}
			return nil, err
		})
}

// ForgetGateway implements gatehouse.Fleet. A member that was just heard of is
// not forgotten, since it serves and propagation would no longer wait for it;
// except one that joined: its membership ends in the same transaction, it can
// acknowledge nothing more and is told so at its next call. Otherwise a gateway
// in the wrong hands could not be shut out while it runs.
func (c *Caller) ForgetGateway(ctx context.Context, id gatehouse.ID) error {
	return drop(ctx, c, gatehouse.ForgetGateway, id.String(), func(tx store.Tx) error {
		m, err := found(tx.Membership(id))
		if err != nil {
			return err
		}
		gateways, err := tx.Gateways()
		if err != nil {
			return err
		}
		var g *gatehouse.Gateway
		if i := slices.IndexFunc(gateways, func(g *gatehouse.Gateway) bool { return g.ID == id && !g.Forgotten }); i >= 0 {
			g = gateways[i]
		}
		joined := m != nil && m.DeleteTime.IsZero()
		switch {
		case g == nil && !joined:
			return missing("gateway")
		case !joined && c.s.Now().Sub(g.LastSeen) < aliveWithin:
			return gatehouse.Errorf(gatehouse.FailedPrecondition, "the gateway was heard of in the last %s; stop it first", aliveWithin)
		}
		return c.s.forget(tx, g, m, joined)
	})
}

// forget writes the end of a member: of what is known of it, nil when it never
// reported, and of its membership, if it joined.
func (s *Service) forget(tx store.Tx, g *gatehouse.Gateway, m *gatehouse.Membership, joined bool) error {
	if g != nil {
		err := tx.ForgetGateway(g.ID, done(gatehouse.ForgetGateway, "gateway.forgotten", gatehouse.ID{}, gatehouse.KindGateway,
			g.ID.String(), "Gateway "+g.ID.String()+" of cluster '"+g.Cluster+"' was forgotten"))
		if err != nil || !joined {
			return err
		}
	}
	gone := *m
	gone.DeleteTime = utc(s.Now())
	return tx.PutMembership(&gone, done(gatehouse.ForgetGateway, "gateway.expelled", gatehouse.ID{}, gatehouse.KindMembership,
		gone.ID.String(), "The membership of gateway "+gone.ID.String()+" in cluster '"+gone.Cluster+"' ended"))
}

// dropCluster refuses while somebody may still serve under the name, and while
// an upstream or a model is kept for it: that one could then not even be renamed,
// since it names what is not there.
func (s *Service) dropCluster(tx store.Tx, x *gatehouse.Cluster) error {
	gateways, err := tx.Gateways()
	if err != nil {
		return err
	}
	for _, g := range gateways {
		if g.Cluster == x.Name && !g.Forgotten {
			return gatehouse.Errorf(gatehouse.FailedPrecondition, "gateway %s is a member of it", g.ID)
		}
	}
	upstreams, err := tx.Upstreams()
	if err != nil {
		return err
	}
	for _, u := range upstreams {
		if slices.Contains(u.Clusters, x.Name) {
			return gatehouse.Errorf(gatehouse.FailedPrecondition, "the upstream '%s' is kept for it", u.Name)
		}
	}
	models, err := tx.Models()
	if err != nil {
		return err
	}
	for _, m := range models {
		if slices.Contains(m.Clusters, x.Name) {
			return gatehouse.Errorf(gatehouse.FailedPrecondition, "the model '%s' is kept for it", m.Name)
		}
	}
	gone := *x
	gone.DeleteTime = utc(s.Now())
	return tx.PutCluster(&gone, s.deleted(gatehouse.DeleteCluster, "cluster", gatehouse.KindCluster, x.Name))
}
