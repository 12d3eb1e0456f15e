package main

import "gatehouse"

type clustersCmd struct {
	List   clustersListCmd   `cmd:"" help:"List clusters by name."`
	Get    clustersGetCmd    `cmd:"" help:"Show one cluster."`
	Create clustersCreateCmd `cmd:"" help:"Add a cluster."`
	Update clustersUpdateCmd `cmd:"" help:"Change what propagation calls a cluster."`
	Delete clustersDeleteCmd `cmd:"" help:"Remove a cluster that no gateway is a member of."`
}

type clustersListCmd struct {
	remote
	paging
}

// Run lists clusters.
func (c *clustersListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]*gatehouse.Cluster, string, error) { return s.ListClusters(s, p) })
		if err != nil {
			return err
		}
		return s.table("NAME ADDRESS", each(all, clusterRow))
	})
}

func clusterRow(x *gatehouse.Cluster) []string { return []string{x.Name, x.Address} }

type clustersGetCmd struct {
	remote
	Name string `arg:"" help:"The cluster's name."`
}

// Run shows a cluster.
func (c *clustersGetCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		x, err := s.GetCluster(s, c.Name)
		if err != nil {
			return err
		}
		return s.record(clusterPairs(x)...)
	})
}

func clusterPairs(x *gatehouse.Cluster) []string {
	return []string{"name", x.Name, "address", x.Address, "declared in the file", yes(x.Declared), "revision", x.Revision.String()}
}

type clustersCreateCmd struct {
	remote
	Name    string `arg:"" help:"The cluster's name."`
	Address string `help:"Host name that propagation calls it by." placeholder:"HOST"`
}

// Run creates a cluster.
func (c *clustersCreateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		x, err := s.CreateCluster(s, &gatehouse.Cluster{Name: c.Name, Address: c.Address})
		if err != nil {
			return err
		}
		return s.table("NAME ADDRESS", [][]string{clusterRow(x)})
	})
}

type clustersUpdateCmd struct {
	remote
	Name    string  `arg:"" help:"The cluster's name."`
	Address *string `help:"Host name that propagation calls it by; empty: its name." placeholder:"HOST" required:""`
}

// Run updates a cluster.
func (c *clustersUpdateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		x, err := s.UpdateCluster(s, &gatehouse.Cluster{Name: c.Name, Address: value(c.Address)}, "address")
		if err != nil {
			return err
		}
		return s.record(clusterPairs(x)...)
	})
}

type clustersDeleteCmd struct {
	remote
	Name string `arg:"" help:"The cluster's name."`
}

// Run deletes a cluster.
func (c *clustersDeleteCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error { return s.gone("cluster", c.Name, s.DeleteCluster(s, c.Name)) })
}

type gatewaysCmd struct {
	List   gatewaysListCmd   `cmd:"" help:"List gateways and what each enforces."`
	Get    gatewaysGetCmd    `cmd:"" help:"Show one gateway."`
	Forget gatewaysForgetCmd `cmd:"" help:"Stop waiting for a gateway that will not come back."`
}

type gatewaysListCmd struct {
	remote
	paging
}

// Run lists gateways.
func (c *gatewaysListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]*gatehouse.Gateway, string, error) { return s.ListGateways(s, p) })
		if err != nil {
			return err
		}
		return s.table("ID CLUSTER VERSION ENFORCED SEEN PROBLEM", each(all, func(g *gatehouse.Gateway) []string {
			return []string{g.ID.String(), g.Cluster, g.Version, g.Enforced.String(), clock(g.LastSeen, "never"), gatewayProblem(g)}
		}))
	})
}

func gatewayProblem(g *gatehouse.Gateway) string {
	if g.Forgotten {
		return "forgotten"
	}
	return g.Problem
}

type gatewaysGetCmd struct {
	remote
	ID gatehouse.ID `arg:"" help:"The gateway's id."`
}

// Run shows a gateway.
func (c *gatewaysGetCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		g, err := s.GetGateway(s, c.ID)
		if err != nil {
			return err
		}
		return s.record("id", g.ID.String(), "cluster", g.Cluster, "version", g.Version, "joined", clock(g.Joined, ""),
			"seen", clock(g.LastSeen, "never"), "enforced", g.Enforced.String(), "lease", clock(g.Lease, ""), "problem", gatewayProblem(g))
	})
}

type gatewaysForgetCmd struct {
	remote
	ID gatehouse.ID `arg:"" help:"The gateway's id."`
}

// Run forgets a gateway.
func (c *gatewaysForgetCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error { return s.gone("gateway", c.ID.String(), s.ForgetGateway(s, c.ID)) })
}
