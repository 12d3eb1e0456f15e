package main

import (
	"fmt"
	"strconv"
	"time"

	"gatehouse"
)

type joinTokensCmd struct {
	Create joinTokensCreateCmd `cmd:"" help:"Create a join token and print it, this once."`
	List   joinTokensListCmd   `cmd:"" help:"List join tokens, oldest first, also used-up and expired ones."`
	Get    joinTokensGetCmd    `cmd:"" help:"Show one join token."`
	Revoke joinTokensRevokeCmd `cmd:"" help:"End a join token. Gateways that joined by it stay members."`
}

type joinTokensCreateCmd struct {
	remote
	Cluster string `help:"Cluster whose gateways the processes become." required:"" placeholder:"NAME"`
	TTL     span   `name:"ttl" help:"How long it can be used: 12h, 7d; at most 30d. Default: 24h." placeholder:"DURATION"`
	Uses    int    `help:"How many processes may join by it, at most 10000." default:"1" placeholder:"N"`
}

// Run creates a join token and prints it alone: a script gives it to whatever
// starts the gateways.
func (c *joinTokensCreateCmd) Run(e *env) error {
	if c.Uses < 1 {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "--uses must be at least 1")
	}
	return c.do(e, 0, func(s *session) error {
		m, err := s.CreateJoinToken(s, gatehouse.NewJoinToken{Cluster: c.Cluster, Lifetime: time.Duration(c.TTL), Uses: c.Uses})
		if err != nil {
			return err
		}
		return s.secret(m.Secret, fmt.Sprintf("created a join token of cluster '%s' for %d, id %s, until %s. It is shown this once:",
			line(m.Token.Cluster), m.Token.Uses, m.Token.ID, clock(m.Token.ExpireTime, "")))
	})
}

// span is a length of time that may be given in days.
type span time.Duration

// UnmarshalText reads a flag. Nothing and less is no length; zero would be
// taken for the default.
func (d *span) UnmarshalText(b []byte) error {
	n, err := duration(string(b))
	if err != nil || n <= 0 {
		return fmt.Errorf("%q is not a duration such as 12h or 7d", b)
	}
	*d = span(n)
	return nil
}

type joinTokensListCmd struct {
	remote
	paging
}

// Run lists join tokens.
func (c *joinTokensListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]*gatehouse.JoinToken, string, error) { return s.ListJoinTokens(s, p) })
		if err != nil {
			return err
		}
		return s.table("ID CLUSTER TOKEN STATE USED EXPIRES", each(all, func(t *gatehouse.JoinToken) []string {
			return []string{t.ID.String(), t.Cluster, "..." + t.Last4, joinState(t, time.Now()), joinUse(t), clock(t.ExpireTime, "")}
		}))
	})
}

func joinUse(t *gatehouse.JoinToken) string {
	return strconv.Itoa(t.Used) + " of " + strconv.Itoa(t.Uses)
}

// joinState is what a join token is, worst first.
func joinState(t *gatehouse.JoinToken, now time.Time) string {
	switch {
	case !now.Before(t.ExpireTime):
		return "expired"
	case !t.Usable(now):
		return "used up"
	}
	return "active"
}

type joinTokensGetCmd struct {
	remote
	ID gatehouse.ID `arg:"" help:"The join token's id."`
}

// Run shows a join token.
func (c *joinTokensGetCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		t, err := s.GetJoinToken(s, c.ID)
		if err != nil {
			return err
		}
		return s.record("id", t.ID.String(), "cluster", t.Cluster, "token", "..."+t.Last4, "state", joinState(t, time.Now()), "used", joinUse(t),
			"created", clock(t.CreateTime, ""), "expires", clock(t.ExpireTime, ""), "created by", t.MakerID.String(), "revision", t.Revision.String())
	})
}

type joinTokensRevokeCmd struct {
	remote
	ID gatehouse.ID `arg:"" help:"The join token's id."`
}

// Run revokes a join token.
func (c *joinTokensRevokeCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		return s.gone("join token", c.ID.String(), s.RevokeJoinToken(s, c.ID))
	})
}
