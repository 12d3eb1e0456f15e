package main

import (
	"fmt"
	"strings"
	"time"

	"gatehouse"
)

type managersCmd struct {
	Create managersCreateCmd `cmd:"" help:"Create a management key that never exceeds yours and print it, this once."`
	List   managersListCmd   `cmd:"" help:"List a team's management keys."`
	Get    managersGetCmd    `cmd:"" help:"Show one management key."`
	Rotate managersRotateCmd `cmd:"" help:"Mint a new secret under the same id and print it, this once."`
	Revoke managersRevokeCmd `cmd:"" help:"End a management key at once."`
}

type managersCreateCmd struct {
	remote
	Name      string        `help:"What to call it." required:"" placeholder:"TEXT"`
	Team      gatehouse.ID  `help:"Home team. Default: your own." placeholder:"ID"`
	Scope     string        `help:"How far it reaches: team or organization." enum:"team,organization" default:"team"`
	ACL       []string      `name:"acl" help:"Operation that it may call, such as CreateApiKey, or * for all. Repeatable." sep:"none" placeholder:"OPERATION"`
	GrantACL  []string      `help:"Most that keys made with it may do, as ACL entries. Repeatable. Default: anything." sep:"none" placeholder:"ENTRY"`
	MaxQPS    amount[int32] `name:"max-qps" help:"Most qps of keys made with it." placeholder:"N"`
	MaxQPM    amount[int32] `name:"max-qpm" help:"Most qpm of keys made with it." placeholder:"N"`
	MaxTPM    amount[int64] `name:"max-tpm" help:"Most tpm of keys made with it." placeholder:"N"`
	MaxBudget money         `name:"max-budget" help:"Largest budget that may be set with it, in dollars." placeholder:"USD"`
	MaxExpire instant       `help:"Latest end of keys made with it." placeholder:"WHEN"`
	IP        []origin      `name:"ip" help:"Addresses it may be used from. Repeatable. Default: any." placeholder:"CIDR"`
	Expire    instant       `help:"When it ends: 90d, 12h, or a time. Default: never." placeholder:"WHEN"`
	Owner     gatehouse.ID  `help:"User whose key it is. Default: your own." placeholder:"ID"`
}

// Run creates a management key.
func (c *managersCreateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		scope := gatehouse.ScopeTeam
		if c.Scope == "organization" {
			scope = gatehouse.ScopeOrganization
		}
		m, err := s.CreateManagementKey(s, gatehouse.NewManagementKey{
			TeamID: c.Team, Scope: scope, Name: c.Name, ACL: each(c.ACL, scopeName), Grant: c.grant(time.Now()),
			IPRanges: prefixes(c.IP), ExpireTime: c.Expire.from(time.Now()), UserID: c.Owner,
		})
		if err != nil {
			return err
		}
		return s.secret(m.Token, fmt.Sprintf("created management key '%s', id %s. It is shown this once:", line(m.Key.Name), m.Key.ID))
	})
}

// scopeName completes an operation's name to the entry that it stands for.
func scopeName(s string) string {
	if strings.Contains(s, ":") {
		return s
	}
	return gatehouse.ScopeFor(gatehouse.Operation(s))
}

// grant is nil when no ceiling was named.
func (c *managersCreateCmd) grant(now time.Time) *gatehouse.Grant {
	g := gatehouse.Grant{}
	if len(c.GrantACL) > 0 {
		acl := gatehouse.ACL(c.GrantACL)
		g.ACL = &acl
	}
	if n := c.MaxQPS.n; n > 0 {
		g.MaxQPS = &n
	}
	if n := c.MaxQPM.n; n > 0 {
		g.MaxQPM = &n
	}
	if n := c.MaxTPM.n; n > 0 {
		g.MaxTPM = &n
	}
	if c.MaxBudget.given {
		g.MaxBudget = &c.MaxBudget.ticks
	}
	if t := c.MaxExpire.from(now); !t.IsZero() {
		g.MaxExpireTime = &t
	}
	if g == (gatehouse.Grant{}) {
		return nil
	}
	return &g
}

type managersListCmd struct {
	remote
	paging
	Team gatehouse.ID `help:"Team. Default: your own." placeholder:"ID"`
}

// Run lists management keys.
func (c *managersListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		keys, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]*gatehouse.ManagementKey, string, error) {
			return s.ListManagementKeys(s, c.Team, p)
		})
		if err != nil {
			return err
		}
		return s.table("ID NAME KEY SCOPE OPERATIONS EXPIRES", each(keys, func(k *gatehouse.ManagementKey) []string {
			return []string{k.ID.String(), k.Name, managerLast4(k), scopeWord(k.Scope), operations(k.ACL), clock(k.ExpireTime, "never")}
		}))
	})
}

func managerLast4(k *gatehouse.ManagementKey) string {
	if len(k.Secrets) == 0 {
		return ""
	}
	return "..." + k.Secrets[0].Last4
}

func scopeWord(s gatehouse.Scope) string {
	return strings.ToLower(strings.TrimPrefix(string(s), "SCOPE_"))
}

func operations(acl []string) string {
	return strings.Join(each(acl, func(s string) string { return strings.TrimPrefix(s, gatehouse.ScopeFor("")) }), ",")
}

func managerPairs(k *gatehouse.ManagementKey) []string {
	out := []string{
		"id", k.ID.String(), "name", k.Name, "scope", scopeWord(k.Scope), "team", k.TeamID.String(), "owner", k.UserID.String(),
		"personal", yes(k.Personal), "operations", operations(k.ACL), "key", managerLast4(k), "ip ranges", ranges(k.IPRanges),
		"created", clock(k.CreateTime, ""), "expires", clock(k.ExpireTime, "never"),
	}
	if g := k.Grant; g != nil {
		if g.ACL != nil {
			out = append(out, "may grant", strings.Join(*g.ACL, " "))
		}
		out = append(out, "may grant up to", limits(gatehouse.Limits{QPS: value(g.MaxQPS), QPM: value(g.MaxQPM), TPM: value(g.MaxTPM)}),
			"may grant until", clock(value(g.MaxExpireTime), ""))
		if g.MaxBudget != nil {
			out = append(out, "may budget up to", usd(*g.MaxBudget))
		}
	}
	return out
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

type managersGetCmd struct {
	remote
	ID gatehouse.ID `arg:"" help:"The management key's id."`
}

// Run shows a management key.
func (c *managersGetCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		k, err := s.GetManagementKey(s, c.ID)
		if err != nil {
			return err
		}
		return s.record(managerPairs(k)...)
	})
}

type managersRotateCmd struct {
	remote
	rotation
}

// Run rotates a management key.
func (c *managersRotateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		m, err := s.RotateManagementKey(s, c.ask(time.Now()))
		if err != nil {
			return err
		}
		return s.secret(m.Token, fmt.Sprintf("rotated management key '%s', id %s. The new secret is shown this once:", line(m.Key.Name), m.Key.ID))
	})
}

type managersRevokeCmd struct {
	remote
	ID gatehouse.ID `arg:"" help:"The management key's id."`
}

// Run revokes a management key.
func (c *managersRevokeCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		return s.gone("management key", c.ID.String(), s.RevokeManagementKey(s, c.ID))
	})
}
