package main

import (
	"fmt"

	"gatehouse"
)

type clustersCmd struct {
	List   clustersListCmd   `cmd:"" help:"List clusters by name."`
	Create clustersCreateCmd `cmd:"" help:"Add a cluster."`
}

type clustersListCmd struct {
	remote
	paging
}

// Run lists clusters.
func (c *clustersListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := pages(s, c.paging, func(p gatehouse.Page) ([]*gatehouse.Cluster, string, error) { return s.ListClusters(s, p) })
		if err != nil {
			return err
		}
		return s.table("NAME ADDRESS", each(all, clusterRow))
	})
}

func clusterRow(x *gatehouse.Cluster) []string { return []string{x.Name, x.Address} }

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

type gatewaysCmd struct {
	List   gatewaysListCmd   `cmd:"" help:"List gateways and what each enforces."`
	Forget gatewaysForgetCmd `cmd:"" help:"Stop waiting for a gateway that will not come back."`
}

type gatewaysListCmd struct {
	remote
	paging
}

// Run lists gateways.
func (c *gatewaysListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := pages(s, c.paging, func(p gatehouse.Page) ([]*gatehouse.Gateway, string, error) { return s.ListGateways(s, p) })
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

type gatewaysForgetCmd struct {
	remote
	ID gatehouse.ID `arg:"" help:"The gateway's id."`
}

// Run forgets a gateway.
func (c *gatewaysForgetCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error { return s.gone("gateway", c.ID.String(), s.ForgetGateway(s, c.ID)) })
}

type teamCmd struct {
	List   teamListCmd   `cmd:"" help:"List the teams that the management key reaches."`
	Get    teamGetCmd    `cmd:"" help:"Show one team."`
	Create teamCreateCmd `cmd:"" help:"Create a team."`
}

type teamListCmd struct {
	remote
	paging
}

// Run lists teams.
func (c *teamListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := pages(s, c.paging, func(p gatehouse.Page) ([]*gatehouse.Team, string, error) { return s.ListTeams(s, p) })
		if err != nil {
			return err
		}
		return s.table("ID NAME BILLING STATE", each(all, func(t *gatehouse.Team) []string {
			return []string{t.ID.String(), t.Name, string(t.Billing), teamState(t)}
		}))
	})
}

func teamState(t *gatehouse.Team) string {
	if t.Blocked {
		return "blocked"
	}
	return "active"
}

func teamPairs(t *gatehouse.Team) []string {
	return []string{"id", t.ID.String(), "name", t.Name, "billing", string(t.Billing), "state", teamState(t),
		"created", clock(t.CreateTime, ""), "revision", t.Revision.String()}
}

type teamGetCmd struct {
	remote
	ID gatehouse.ID `arg:"" optional:"" help:"The team's id. Default: the management key's own team."`
}

// Run shows a team.
func (c *teamGetCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		if c.ID.IsZero() {
			self, err := s.Self(s)
			if err != nil {
				return err
			}
			c.ID = self.TeamID
		}
		t, err := s.GetTeam(s, c.ID)
		if err != nil {
			return err
		}
		return s.record(teamPairs(t)...)
	})
}

type teamCreateCmd struct {
	remote
	Name string `arg:"" help:"What to call it."`
}

// Run creates a team.
func (c *teamCreateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		t, err := s.CreateTeam(s, c.Name)
		if err != nil {
			return err
		}
		return s.record(teamPairs(t)...)
	})
}

type usersCmd struct {
	List   usersListCmd   `cmd:"" help:"List the people of a team."`
	Create usersCreateCmd `cmd:"" help:"Add a person to a team."`
}

type usersListCmd struct {
	remote
	paging
	Team gatehouse.ID `help:"Team. Default: the management key's own." placeholder:"ID"`
}

// Run lists users.
func (c *usersListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := pages(s, c.paging, func(p gatehouse.Page) ([]*gatehouse.User, string, error) { return s.ListUsers(s, c.Team, p) })
		if err != nil {
			return err
		}
		return s.table("ID NAME EMAIL", each(all, userRow))
	})
}

func userRow(u *gatehouse.User) []string { return []string{u.ID.String(), personName(u), u.Email} }

func personName(u *gatehouse.User) string {
	switch {
	case u.GivenName == "":
		return u.FamilyName
	case u.FamilyName == "":
		return u.GivenName
	}
	return fmt.Sprintf("%s %s", u.GivenName, u.FamilyName)
}

type usersCreateCmd struct {
	remote
	Team   gatehouse.ID `help:"Team. Default: the management key's own." placeholder:"ID"`
	Given  string       `help:"Given name." placeholder:"TEXT"`
	Family string       `help:"Family name." placeholder:"TEXT"`
	Email  string       `help:"E-mail address." placeholder:"ADDRESS"`
	Image  string       `help:"Picture." placeholder:"URL"`
}

// Run creates a user.
func (c *usersCreateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		u, err := s.CreateUser(s, &gatehouse.User{TeamID: c.Team, GivenName: c.Given, FamilyName: c.Family, Email: c.Email, ProfileImage: c.Image})
		if err != nil {
			return err
		}
		return s.table("ID NAME EMAIL", [][]string{userRow(u)})
	})
}
