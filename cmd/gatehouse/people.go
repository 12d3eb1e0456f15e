package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gatehouse"
)

type teamCmd struct {
	List        teamListCmd    `cmd:"" help:"List the teams that the management key reaches."`
	Get         teamGetCmd     `cmd:"" help:"Show one team."`
	Create      teamCreateCmd  `cmd:"" help:"Create a team."`
	Update      teamUpdateCmd  `cmd:"" help:"Change what is given of a team and nothing else."`
	Members     membersCmd     `cmd:"" help:"Manage who is in a team, and as what."`
	Invitations invitationsCmd `cmd:"" help:"Ask people into a team."`
}

type teamListCmd struct {
	remote
	paging
}

// Run lists teams.
func (c *teamListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]*gatehouse.Team, string, error) { return s.ListTeams(s, p) })
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
	out := []string{"id", t.ID.String(), "name", t.Name, "billing", string(t.Billing), "state", teamState(t),
		"created", clock(t.CreateTime, ""), "revision", t.Revision.String()}
	for _, model := range slices.Sorted(maps.Keys(t.ModelLimits)) {
		out = append(out, "limits of "+model, limits(t.ModelLimits[model]))
	}
	return out
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

type teamUpdateCmd struct {
	remote
	ID      gatehouse.ID `arg:"" help:"The team's id."`
	Name    *string      `help:"New name." placeholder:"TEXT"`
	Billing *string      `help:"metering, prepaid or postpaid." placeholder:"MODE"`
	Block   bool         `help:"Refuse all its keys until unblocked." xor:"switch"`
	Unblock bool         `help:"Accept its keys again." xor:"switch"`
	Model   []modelLimit `name:"model-limit" help:"Limits of all its keys together for a model: MODEL=qps:5,qpm:100,tpm:10000, or MODEL=none. Other models keep theirs. Repeatable." sep:"none" placeholder:"LIMITS"`
}

// modelLimit is a flag: what a team may send to one model.
type modelLimit struct {
	model  string
	limits gatehouse.Limits
}

// UnmarshalText reads MODEL=none or MODEL=NAME:N,…
func (l *modelLimit) UnmarshalText(b []byte) error {
	at := strings.LastIndexByte(string(b), '=')
	if at < 1 {
		return fmt.Errorf("%q is not MODEL=qps:5,qpm:100,tpm:10000 or MODEL=none", b)
	}
	l.model = string(b[:at])
	return (*sendLimit)(&l.limits).UnmarshalText(b[at+1:])
}

// limit puts the limits named over those that the team has: on the wire they
// are replaced as a whole.
func (c *teamUpdateCmd) limit(s *session, u *gatehouse.TeamUpdate) error {
	if len(c.Model) == 0 {
		return nil
	}
	t, err := s.GetTeam(s, c.ID)
	if err != nil {
		return err
	}
	all := maps.Clone(t.ModelLimits)
	if all == nil {
		all = map[string]gatehouse.Limits{}
	}
	for _, l := range c.Model {
		if all[l.model] = l.limits; l.limits == (gatehouse.Limits{}) {
			delete(all, l.model)
		}
	}
	u.ModelLimits = gatehouse.Some(all)
	return nil
}

// Run updates a team.
func (c *teamUpdateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		u := gatehouse.TeamUpdate{ID: c.ID, Name: opt(c.Name), Blocked: gatehouse.Opt[bool]{Set: c.Block || c.Unblock, Value: c.Block}}
		if c.Billing != nil {
			u.Billing = gatehouse.Some(gatehouse.BillingMode(*c.Billing))
		}
		if !u.Name.Set && !u.Blocked.Set && !u.Billing.Set && len(c.Model) == 0 {
			return something(nil)
		}
		if err := c.limit(s, &u); err != nil {
			return err
		}
		t, err := s.UpdateTeam(s, u)
		if err != nil {
			return err
		}
		return s.record(teamPairs(t)...)
	})
}

type usersCmd struct {
	List   usersListCmd   `cmd:"" help:"List the people of a team."`
	Create usersCreateCmd `cmd:"" help:"Add a person to a team."`
	Update usersUpdateCmd `cmd:"" help:"Change what is given of a person and nothing else."`
}

type usersListCmd struct {
	remote
	paging
	Team gatehouse.ID `help:"Team. Default: the management key's own." placeholder:"ID"`
}

// Run lists users.
func (c *usersListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]*gatehouse.User, string, error) { return s.ListUsers(s, c.Team, p) })
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

type usersUpdateCmd struct {
	remote
	ID     gatehouse.ID `arg:"" help:"The user's id."`
	Given  *string      `help:"Given name." placeholder:"TEXT"`
	Family *string      `help:"Family name." placeholder:"TEXT"`
	Email  *string      `help:"E-mail address." placeholder:"ADDRESS"`
	Image  *string      `help:"Picture." placeholder:"URL"`
}

// Run updates a user.
func (c *usersUpdateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		up := gatehouse.UserUpdate{ID: c.ID, GivenName: opt(c.Given), FamilyName: opt(c.Family), Email: opt(c.Email), ProfileImage: opt(c.Image)}
		if up == (gatehouse.UserUpdate{ID: c.ID}) {
			return something(nil)
		}
		u, err := s.UpdateUser(s, up)
		if err != nil {
			return err
		}
		return s.table("ID NAME EMAIL", [][]string{userRow(u)})
	})
}
