// Package managementtest is the conformance suite of the management contracts
// of package gatehouse. Whatever implements them passes it: control on a
// store, a client over HTTP in each dialect. A case gets an installation of its
// own and knows nothing about how it is reached.
package managementtest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

// Client is the management plane as one principal sees it.
type Client interface {
	gatehouse.Keys
	gatehouse.ManagementKeys
	gatehouse.AuditLog
	gatehouse.UsageReader
	gatehouse.Teams
	gatehouse.Upstreams
	gatehouse.Catalogue
	gatehouse.Prices
	gatehouse.Fleet
	gatehouse.JoinTokens
	gatehouse.Importer
	gatehouse.Discovery
	gatehouse.Members
}

// Installation is a fresh one after its bootstrap: one team, its owner, and a
// management key of the organization that may do everything.
type Installation struct {
	As     func(gatehouse.Token) Client
	Root   gatehouse.Token
	TeamID gatehouse.ID
	UserID gatehouse.ID
	Now    func() time.Time
}

// Factory makes an installation that is gone when the test is.
type Factory func(*testing.T) Installation

// Run checks an implementation.
func Run(t *testing.T, make Factory) {
	for _, c := range []struct {
		promise string
		check   func(*testing.T, *plane)
	}{
		{"a created key is what was asked for and shows its token once", createdKey},
		{"every bad field is named at once", everyViolation},
		{"an unknown model warns and an alias grants its target", warnings},
		{"an update changes the named fields and no other", updateMask},
		{"an update of another revision is a conflict", updateConflict},
		{"a rotation keeps the id and at most two secrets", rotation},
		{"a deleted key stays gone and its propagation is answered", deletion},
		{"pages are whole, ordered and end", paging},
		{"a page token opens its own list alone", pageTokens},
		{"list filters hold", filters},
		{"another team's ids are not there", isolation},
		{"a missing scope is named whatever the id", scopes},
		{"team keys do not touch what all teams share", organizationOnly},
		{"a key never exceeds its maker's grant", grants},
		{"a management key never exceeds its maker", makers},
		{"a revoked management key is refused at once", revocation},
		{"a rotated management key works by both secrets", managerRotation},
		{"an inference key is no management key", planes},
		{"a key knows itself without any scope", self},
		{"acts, denials and reads are in the log, and listing it ends", auditLog},
		{"teams and people can be shaped", people},
		{"an upstream's credential goes in and never out", credentials},
		{"a bad upstream is refused by field", badUpstreams},
		{"models, aliases and prices hang together", catalogue},
		{"a price in force stays", prices},
		{"clusters answer to one label each", clusters},
		{"a model is served where it was assigned", modelClusters},
		{"a join token is shown once and bounded", joinTokens},
		{"limits of a team's models and of an upstream can be set and taken away", sharedLimits},
		{"foreign keys come in once and stay deleted", imports},
		{"members come by invitation and go without their keys", members},
		{"an address is invited once and may be uninvited", invitations},
		{"a management key speaks in its maker's name", personal},
		{"what ACLs may name can be listed", discovery},
	} {
		t.Run(strings.ReplaceAll(c.promise, " ", "_"), func(t *testing.T) {
			in := make(t)
			c.check(t, &plane{Installation: in, Client: in.As(in.Root), ctx: t.Context()})
		})
	}
}

// plane is an installation seen by its first management key.
type plane struct {
	Installation
	Client
	ctx context.Context
}

// must fails the test on an error.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("unexpected error: %v", err)
		}
		return v
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
}

func want(t *testing.T, code gatehouse.Code, err error) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Fatalf("got %v, want %s", err, code)
	}
}

// wantField checks that the error names a field among its violations.
func wantField(t *testing.T, field string, err error) {
	t.Helper()
	want(t, gatehouse.InvalidArgument, err)
	if !strings.Contains(gatehouse.Public(err), field) {
		t.Fatalf("%v does not name %s", err, field)
	}
}

var everything = gatehouse.ACL{"api-key:model:*", "api-key:endpoint:*"}

// key makes a plain key in the first team.
func (p *plane) key(t *testing.T, name string) gatehouse.MintedKey {
	t.Helper()
	return must[gatehouse.MintedKey](t)(p.CreateKey(p.ctx, gatehouse.NewKey{TeamID: p.TeamID, Name: name, ACL: everything}))
}

// team makes another team with a management key that may do everything in it.
func (p *plane) team(t *testing.T, name string) (gatehouse.ID, Client) {
	t.Helper()
	team := must[*gatehouse.Team](t)(p.CreateTeam(p.ctx, name))
	_, c := p.manager(t, gatehouse.NewManagementKey{TeamID: team.ID, Scope: gatehouse.ScopeTeam, Name: name, ACL: []string{gatehouse.ScopeFor("*")}})
	return team.ID, c
}

// manager makes a management key and speaks through it.
func (p *plane) manager(t *testing.T, n gatehouse.NewManagementKey) (gatehouse.MintedManagementKey, Client) {
	t.Helper()
	m := must[gatehouse.MintedManagementKey](t)(p.CreateManagementKey(p.ctx, n))
	return m, p.As(m.Token)
}
