package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/client"
)

type membersCmd struct {
	List   membersListCmd   `cmd:"" help:"List the people who have a role."`
	Role   membersRoleCmd   `cmd:"" help:"Give somebody another role, none that opens more than your own."`
	Remove membersRemoveCmd `cmd:"" help:"End a membership. The person's management keys are refused from then on; their API keys stay."`
}

// whose is the flag of commands about a team's people.
type whose struct {
	Team gatehouse.ID `help:"Team. Default: the management key's own." placeholder:"ID"`
}

type membersListCmd struct {
	remote
	paging
	whose
}

// Run lists members.
func (c *membersListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]*gatehouse.User, string, error) { return s.ListMembers(s, c.Team, p) })
		if err != nil {
			return err
		}
		return s.table("ID NAME EMAIL ROLE", each(all, memberRow))
	})
}

func memberRow(u *gatehouse.User) []string { return append(userRow(u), string(u.Role)) }

type membersRoleCmd struct {
	remote
	whose
	ID   gatehouse.ID   `arg:"" help:"The person's id."`
	Role gatehouse.Role `arg:"" help:"owner, admin, billing, developer, auditor or viewer."`
}

// Run changes a role.
func (c *membersRoleCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		u, err := s.UpdateMember(s, c.Team, c.ID, c.Role)
		if err != nil {
			return err
		}
		return s.table("ID NAME EMAIL ROLE", [][]string{memberRow(u)})
	})
}

type membersRemoveCmd struct {
	remote
	whose
	ID   gatehouse.ID `arg:"" help:"The person's id."`
	Heir gatehouse.ID `help:"Who gets their API keys, also those of somebody who was removed before. Default: nobody; 'keys orphans' lists them." placeholder:"ID"`
}

// passTime is what an heir of very many keys may have to wait.
const passTime = 10 * time.Minute

// Run removes a member.
func (c *membersRemoveCmd) Run(e *env) error {
	return c.do(e, passTime, func(s *session) error {
		return s.gone("member", c.ID.String(), s.RemoveMember(s, c.Team, c.ID, c.Heir))
	})
}

type invitationsCmd struct {
	Create invitationsCreateCmd `cmd:"" help:"Invite somebody, and print the link, this once."`
	List   invitationsListCmd   `cmd:"" help:"List invitations that were not revoked, oldest first."`
	Revoke invitationsRevokeCmd `cmd:"" help:"Take an invitation back."`
	Accept invitationsAcceptCmd `cmd:"" help:"Accept an invitation, and print a personal management key, this once."`
}

type invitationsCreateCmd struct {
	remote
	whose
	Email string         `arg:"" help:"Whom to invite."`
	Role  gatehouse.Role `help:"owner, admin, billing, developer, auditor or viewer." required:"" placeholder:"ROLE"`
}

// Run invites somebody. The link alone goes to stdout.
func (c *invitationsCreateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		m, err := s.Invite(s, c.Team, c.Email, c.Role)
		if err != nil {
			return err
		}
		return s.show(func(w io.Writer) {
			fmt.Fprintf(s.e.err, "invited %s as %s, id %s, until %s. The link is shown this once:\n",
				line(m.Invitation.Email), m.Invitation.Role, m.Invitation.ID, clock(m.Invitation.ExpireTime, ""))
			fmt.Fprintln(w, m.Link)
		})
	})
}

type invitationsListCmd struct {
	remote
	paging
	whose
}

// Run lists invitations.
func (c *invitationsListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]*gatehouse.Invitation, string, error) {
			return s.ListInvitations(s, c.Team, p)
		})
		if err != nil {
			return err
		}
		return s.table("ID EMAIL ROLE STATE EXPIRES", each(all, func(i *gatehouse.Invitation) []string {
			return []string{i.ID.String(), i.Email, string(i.Role), string(i.Status(time.Now())), clock(i.ExpireTime, "")}
		}))
	})
}

type invitationsRevokeCmd struct {
	remote
	whose
	ID gatehouse.ID `arg:"" help:"The invitation's id."`
}

// Run revokes an invitation.
func (c *invitationsRevokeCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		return s.gone("invitation", c.ID.String(), s.RevokeInvitation(s, c.Team, c.ID))
	})
}

type invitationsAcceptCmd struct {
	remote
	Email  string `help:"The address that was invited." required:"" placeholder:"ADDRESS"`
	Link   string `help:"File with the link or the token; - is standard input." default:"-" placeholder:"FILE"`
	Given  string `help:"Given name." placeholder:"TEXT"`
	Family string `help:"Family name." placeholder:"TEXT"`
}

// Run accepts an invitation. The link is no argument: it is a credential.
func (c *invitationsAcceptCmd) Run(e *env) error {
	if c.Link == "-" && e.terminal() {
		fmt.Fprintln(e.err, "Paste the link of the invitation, then Enter and Ctrl-D:")
	}
	text, err := secretFrom(e, c.Link)
	if err != nil {
		return err
	}
	if _, fragment, ok := strings.Cut(text, "#"); ok {
		text = fragment
	}
	token, err := client.ParseKey(text)
	if err != nil || token.Plane() != gatehouse.Invite {
		return gatehouse.Errorf(gatehouse.Unauthenticated, "this is neither the link nor the token of an invitation")
	}
	return c.with(e, token, 0, func(s *session) error {
		m, err := s.AcceptInvitation(s, gatehouse.Acceptance{Email: c.Email, GivenName: c.Given, FamilyName: c.Family})
		if err != nil {
			return err
		}
		return s.secret(m.Token, fmt.Sprintf("you are a member of team %s now. Your management key, id %s, is shown this once:", m.Key.TeamID, m.Key.ID))
	})
}

type keysOrphansCmd struct {
	remote
	paging
	whose
}

// Run lists orphans.
func (c *keysOrphansCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		keys, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]*gatehouse.Key, string, error) { return s.Orphans(s, c.Team, p) })
		if err != nil {
			return err
		}
		return s.table("ID NAME KEY STATE OWNER CREATED", each(keys, func(k *gatehouse.Key) []string {
			return []string{k.ID.String(), k.Name, "..." + k.Last4(), state(k, time.Now()), k.Owner().String(), clock(k.CreateTime, "")}
		}))
	})
}
