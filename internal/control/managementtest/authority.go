package managementtest

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

// call is one operation aimed at ids that the caller may not own.
type call struct {
	op gatehouse.Operation
	do func(Client) error
}

// calls are every operation that takes a team or an id, aimed at what p has.
func calls(t *testing.T, p *plane) []call {
	key := p.key(t, "target").Key.ID
	manager, _ := p.manager(t, gatehouse.NewManagementKey{TeamID: p.TeamID, Scope: gatehouse.ScopeTeam, Name: "target", ACL: []string{gatehouse.ScopeFor(gatehouse.ListTeams)}})
	ctx, team, user := p.ctx, p.TeamID, p.UserID
	return append(memberCalls(p), []call{
		{gatehouse.CreateApiKey, func(c Client) error {
			return second(c.CreateKey(ctx, gatehouse.NewKey{TeamID: team, Name: "x", ACL: everything}))
		}},
		{gatehouse.GetApiKey, func(c Client) error { return second(c.GetKey(ctx, key)) }},
		{gatehouse.ListApiKeys, func(c Client) error { _, _, err := c.ListKeys(ctx, gatehouse.KeyQuery{TeamID: team}); return err }},
		{gatehouse.UpdateApiKey, func(c Client) error {
			return second(c.UpdateKey(ctx, gatehouse.KeyUpdate{ID: key, Name: gatehouse.Some("y")}))
		}},
		{gatehouse.RotateApiKey, func(c Client) error { return second(c.RotateKey(ctx, gatehouse.KeyRotation{ID: key})) }},
		{gatehouse.DeleteApiKey, func(c Client) error { return c.DeleteKey(ctx, key) }},
		{gatehouse.CheckApiKeyPropagation, func(c Client) error { return second(c.Propagation(ctx, key, 0)) }},
		{gatehouse.CreateManagementKey, func(c Client) error {
			return second(c.CreateManagementKey(ctx, gatehouse.NewManagementKey{TeamID: team, Name: "x"}))
		}},
		{gatehouse.GetManagementKey, func(c Client) error { return second(c.GetManagementKey(ctx, manager.Key.ID)) }},
		{gatehouse.ListManagementKeys, func(c Client) error { _, _, err := c.ListManagementKeys(ctx, team, gatehouse.Page{}); return err }},
		{gatehouse.RotateManagementKey, func(c Client) error {
			return second(c.RotateManagementKey(ctx, gatehouse.KeyRotation{ID: manager.Key.ID}))
		}},
		{gatehouse.RevokeManagementKey, func(c Client) error { return c.RevokeManagementKey(ctx, manager.Key.ID) }},
		{gatehouse.ListAuditEvents, func(c Client) error {
			_, _, err := c.ListEvents(ctx, gatehouse.EventFilter{TeamID: team}, gatehouse.Page{})
			return err
		}},
		{gatehouse.AnalyzeBillingItems, func(c Client) error {
			return second(c.AnalyzeUsage(ctx, team, gatehouse.UsageQuery{
				Start: p.Now().Add(-time.Hour), End: p.Now(), Zone: time.UTC, Unit: gatehouse.UnitNone,
				Values: []gatehouse.UsageValue{{Name: "usd", Aggregation: "SUM"}},
			}))
		}},
		{gatehouse.GetTeam, func(c Client) error { return second(c.GetTeam(ctx, team)) }},
		{gatehouse.ListUsers, func(c Client) error { _, _, err := c.ListUsers(ctx, team, gatehouse.Page{}); return err }},
		{gatehouse.GetUser, func(c Client) error { return second(c.GetUser(ctx, user)) }},
		{gatehouse.CreateUser, func(c Client) error { return second(c.CreateUser(ctx, &gatehouse.User{TeamID: team})) }},
		{gatehouse.UpdateUser, func(c Client) error {
			return second(c.UpdateUser(ctx, gatehouse.UserUpdate{ID: user, GivenName: gatehouse.Some("x")}))
		}},
		{gatehouse.ListPossibleModelAcls, func(c Client) error { return second(c.TeamModels(ctx, team)) }},
		{gatehouse.ListPossibleEndpointAcls, func(c Client) error { return second(c.Endpoints(ctx, team)) }},
	}...)
}

// shared are the operations on what all teams share.
func shared(p *plane) []call {
	ctx := p.ctx
	return []call{
		{gatehouse.CreateTeam, func(c Client) error { return second(c.CreateTeam(ctx, "x")) }},
		{gatehouse.UpdateTeam, func(c Client) error {
			return second(c.UpdateTeam(ctx, gatehouse.TeamUpdate{ID: p.TeamID, Name: gatehouse.Some("x")}))
		}},
		{gatehouse.ListUpstreams, func(c Client) error { _, _, err := c.ListUpstreams(ctx, gatehouse.Page{}); return err }},
		{gatehouse.GetUpstream, func(c Client) error { return second(c.GetUpstream(ctx, gatehouse.NewID())) }},
		{gatehouse.CreateUpstream, func(c Client) error { return second(c.PutUpstream(ctx, &gatehouse.Upstream{})) }},
		{gatehouse.DeleteUpstream, func(c Client) error { return c.DeleteUpstream(ctx, gatehouse.NewID()) }},
		{gatehouse.TestUpstream, func(c Client) error { return second(c.TestUpstream(ctx, gatehouse.NewID())) }},
		{gatehouse.ListModels, func(c Client) error { _, _, err := c.ListModels(ctx, gatehouse.Page{}); return err }},
		{gatehouse.GetModel, func(c Client) error { return second(c.GetModel(ctx, "x")) }},
		{gatehouse.CreateModel, func(c Client) error { return second(c.PutModel(ctx, &gatehouse.Model{Name: "x"})) }},
		{gatehouse.DeleteModel, func(c Client) error { return c.DeleteModel(ctx, "x") }},
		{gatehouse.ListAliases, func(c Client) error { _, _, err := c.ListAliases(ctx, gatehouse.Page{}); return err }},
		{gatehouse.GetAlias, func(c Client) error { return second(c.GetAlias(ctx, "x")) }},
		{gatehouse.CreateAlias, func(c Client) error { return second(c.PutAlias(ctx, &gatehouse.Alias{Name: "x"})) }},
		{gatehouse.DeleteAlias, func(c Client) error { return c.DeleteAlias(ctx, "x") }},
		{gatehouse.ListPrices, func(c Client) error { _, _, err := c.ListPrices(ctx, gatehouse.Page{}); return err }},
		{gatehouse.GetPrice, func(c Client) error { return second(c.GetPrice(ctx, gatehouse.NewID())) }},
		{gatehouse.CreatePrice, func(c Client) error { return second(c.PutPrice(ctx, &gatehouse.Price{Model: "x"})) }},
		{gatehouse.DeletePrice, func(c Client) error { return c.DeletePrice(ctx, gatehouse.NewID()) }},
		{gatehouse.ListClusters, func(c Client) error { _, _, err := c.ListClusters(ctx, gatehouse.Page{}); return err }},
		{gatehouse.GetCluster, func(c Client) error { return second(c.GetCluster(ctx, "x")) }},
		{gatehouse.CreateCluster, func(c Client) error { return second(c.PutCluster(ctx, &gatehouse.Cluster{Name: "x"})) }},
		{gatehouse.DeleteCluster, func(c Client) error { return c.DeleteCluster(ctx, "x") }},
		{gatehouse.ListGateways, func(c Client) error { _, _, err := c.ListGateways(ctx, gatehouse.Page{}); return err }},
		{gatehouse.GetGateway, func(c Client) error { return second(c.GetGateway(ctx, gatehouse.NewID())) }},
		{gatehouse.ForgetGateway, func(c Client) error { return c.ForgetGateway(ctx, gatehouse.NewID()) }},
		{gatehouse.ExportAuditEvents, func(c Client) error {
			return c.ExportAudit(ctx, 0, 1, func(gatehouse.AuditLeaf) error { return nil })
		}},
	}
}

func isolation(t *testing.T, p *plane) {
	_, theirs := p.team(t, "other")
	for _, c := range calls(t, p) {
		if err := c.do(theirs); gatehouse.CodeOf(err) != gatehouse.NotFound {
			t.Errorf("%s reached another team: %v", c.op, err)
		}
	}
	missing := second(theirs.GetKey(p.ctx, gatehouse.NewID()))
	foreign := second(theirs.GetKey(p.ctx, p.key(t, "x").Key.ID))
	if gatehouse.Public(missing) != gatehouse.Public(foreign) {
		t.Errorf("a foreign id says %q, a missing one %q", gatehouse.Public(foreign), gatehouse.Public(missing))
	}
	other := p.key(t, "moved").Key
	_, err := p.UpdateKey(p.ctx, gatehouse.KeyUpdate{ID: other.ID, TeamID: gatehouse.NewID(), Name: gatehouse.Some("x")})
	want(t, gatehouse.NotFound, err)
	if teams, _, err := theirs.ListTeams(p.ctx, gatehouse.Page{}); err != nil || len(teams) != 1 {
		t.Errorf("a team's key sees %d teams, %v", len(teams), err)
	}
}

func scopes(t *testing.T, p *plane) {
	_, poor := p.manager(t, gatehouse.NewManagementKey{TeamID: p.TeamID, Scope: gatehouse.ScopeOrganization, Name: "poor", ACL: []string{gatehouse.ScopeFor(gatehouse.RotateApiKey)}})
	for _, c := range append(calls(t, p), shared(p)...) {
		err := c.do(poor)
		if c.op == gatehouse.RotateApiKey {
			ok(t, err)
			continue
		}
		if gatehouse.CodeOf(err) != gatehouse.PermissionDenied || !strings.Contains(gatehouse.Public(err), gatehouse.ScopeFor(c.op)) {
			t.Errorf("%s without its scope: %v", c.op, err)
		}
	}
}

func organizationOnly(t *testing.T, p *plane) {
	_, theirs := p.team(t, "other")
	for _, c := range shared(p) {
		if err := c.do(theirs); gatehouse.CodeOf(err) != gatehouse.PermissionDenied {
			t.Errorf("%s by a team's key: %v", c.op, err)
		}
	}
}

func grants(t *testing.T, p *plane) {
	acl := gatehouse.ACL{"api-key:model:m-1", "api-key:endpoint:chat"}
	most, tokens, until := int32(10), int64(1000), p.Now().Add(24*time.Hour).UTC().Truncate(time.Second)
	_, c := p.manager(t, gatehouse.NewManagementKey{
		TeamID: p.TeamID, Scope: gatehouse.ScopeTeam, Name: "limited", ACL: []string{gatehouse.ScopeFor("*")},
		Grant: &gatehouse.Grant{ACL: &acl, MaxQPS: &most, MaxQPM: &most, MaxTPM: &tokens, MaxExpireTime: &until},
	})
	fits := gatehouse.NewKey{TeamID: p.TeamID, Name: "x", ACL: acl, Limits: gatehouse.Limits{QPS: 10, QPM: 10, TPM: 1000}, ExpireTime: until}
	mine := must[gatehouse.MintedKey](t)(c.CreateKey(p.ctx, fits))
	for name, spoil := range map[string]func(*gatehouse.NewKey){
		"acl":        func(n *gatehouse.NewKey) { n.ACL = everything },
		"qps":        func(n *gatehouse.NewKey) { n.Limits.QPS = 11 },
		"no qpm":     func(n *gatehouse.NewKey) { n.Limits.QPM = 0 },
		"tpm":        func(n *gatehouse.NewKey) { n.Limits.TPM = 1001 },
		"expiry":     func(n *gatehouse.NewKey) { n.ExpireTime = until.Add(time.Second) },
		"for ever":   func(n *gatehouse.NewKey) { n.ExpireTime = time.Time{} },
		"more model": func(n *gatehouse.NewKey) { n.ACL = append(gatehouse.ACL{"api-key:model:m-2"}, acl...) },
	} {
		n := fits
		if spoil(&n); gatehouse.CodeOf(second(c.CreateKey(p.ctx, n))) != gatehouse.PermissionDenied {
			t.Errorf("%s: a key beyond its maker's grant was made", name)
		}
	}
	_, err := c.UpdateKey(p.ctx, gatehouse.KeyUpdate{ID: mine.Key.ID, QPS: gatehouse.Some(int32(0))})
	want(t, gatehouse.PermissionDenied, err)
	_, err = c.RotateKey(p.ctx, gatehouse.KeyRotation{ID: mine.Key.ID, ExpireTime: gatehouse.Some(time.Time{})})
	want(t, gatehouse.PermissionDenied, err)
	wide := p.key(t, "made by root").Key.ID
	_, err = c.RotateKey(p.ctx, gatehouse.KeyRotation{ID: wide})
	want(t, gatehouse.PermissionDenied, err)
	_, err = c.UpdateKey(p.ctx, gatehouse.KeyUpdate{ID: wide, Name: gatehouse.Some("mine")})
	want(t, gatehouse.PermissionDenied, err)
	ok(t, c.DeleteKey(p.ctx, wide))
}

func makers(t *testing.T, p *plane) {
	until := p.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)
	most := int32(10)
	grant := &gatehouse.Grant{MaxQPS: &most}
	parent := gatehouse.NewManagementKey{
		TeamID: p.TeamID, Scope: gatehouse.ScopeTeam, Name: "parent", Grant: grant, ExpireTime: until,
		ACL: []string{gatehouse.ScopeFor(gatehouse.CreateManagementKey), gatehouse.ScopeFor(gatehouse.RotateManagementKey), gatehouse.ScopeFor(gatehouse.ListManagementKeys)},
	}
	_, c := p.manager(t, parent)
	child := must[gatehouse.MintedManagementKey](t)(c.CreateManagementKey(p.ctx, parent))
	for name, spoil := range map[string]func(*gatehouse.NewManagementKey){
		"scope":  func(n *gatehouse.NewManagementKey) { n.Scope = gatehouse.ScopeOrganization },
		"acl":    func(n *gatehouse.NewManagementKey) { n.ACL = []string{gatehouse.ScopeFor(gatehouse.DeleteApiKey)} },
		"all":    func(n *gatehouse.NewManagementKey) { n.ACL = []string{gatehouse.ScopeFor("*")} },
		"grant":  func(n *gatehouse.NewManagementKey) { n.Grant = nil },
		"expiry": func(n *gatehouse.NewManagementKey) { n.ExpireTime = until.Add(time.Minute) },
		"never":  func(n *gatehouse.NewManagementKey) { n.ExpireTime = time.Time{} },
	} {
		n := parent
		if spoil(&n); gatehouse.CodeOf(second(c.CreateManagementKey(p.ctx, n))) != gatehouse.PermissionDenied {
			t.Errorf("%s: a management key beyond its maker was made", name)
		}
	}
	strong, _ := p.manager(t, gatehouse.NewManagementKey{TeamID: p.TeamID, Scope: gatehouse.ScopeTeam, Name: "strong", ACL: []string{gatehouse.ScopeFor("*")}})
	_, err := c.RotateManagementKey(p.ctx, gatehouse.KeyRotation{ID: strong.Key.ID})
	want(t, gatehouse.PermissionDenied, err)
	_, err = c.RotateManagementKey(p.ctx, gatehouse.KeyRotation{ID: child.Key.ID, ExpireTime: gatehouse.Some(until.Add(time.Hour))})
	want(t, gatehouse.PermissionDenied, err)
	must[gatehouse.MintedManagementKey](t)(c.RotateManagementKey(p.ctx, gatehouse.KeyRotation{ID: child.Key.ID}))
	for _, bad := range []gatehouse.NewManagementKey{
		{Name: "", ACL: []string{"team-token:endpoint:Nothing"}, Scope: "SCOPE_WORLD"},
		{Name: "x", ExpireTime: p.Now().Add(-time.Hour)},
		{Name: "x", Grant: &gatehouse.Grant{MaxQPS: new(int32)}},
		{Name: "x", IPRanges: []netip.Prefix{{}}},
	} {
		want(t, gatehouse.InvalidArgument, second(p.CreateManagementKey(p.ctx, bad)))
	}
}

func revocation(t *testing.T, p *plane) {
	m, c := p.manager(t, gatehouse.NewManagementKey{TeamID: p.TeamID, Scope: gatehouse.ScopeTeam, Name: "short", ACL: []string{gatehouse.ScopeFor("*")}})
	must[*gatehouse.ManagementKey](t)(c.Self(p.ctx))
	ok(t, p.RevokeManagementKey(p.ctx, m.Key.ID))
	want(t, gatehouse.Unauthenticated, second(c.Self(p.ctx)))
	want(t, gatehouse.Unauthenticated, second(c.CreateKey(p.ctx, gatehouse.NewKey{Name: "x", ACL: everything})))
	want(t, gatehouse.NotFound, p.RevokeManagementKey(p.ctx, m.Key.ID))
	want(t, gatehouse.NotFound, second(p.GetManagementKey(p.ctx, m.Key.ID)))
}

func managerRotation(t *testing.T, p *plane) {
	m, old := p.manager(t, gatehouse.NewManagementKey{TeamID: p.TeamID, Scope: gatehouse.ScopeTeam, Name: "x", ACL: []string{gatehouse.ScopeFor("*")}})
	next := must[gatehouse.MintedManagementKey](t)(p.RotateManagementKey(p.ctx, gatehouse.KeyRotation{ID: m.Key.ID}))
	must[*gatehouse.ManagementKey](t)(old.Self(p.ctx))
	if got := must[*gatehouse.ManagementKey](t)(p.As(next.Token).Self(p.ctx)); got.ID != m.Key.ID {
		t.Errorf("the new secret is of another key")
	}
	must[gatehouse.MintedManagementKey](t)(p.RotateManagementKey(p.ctx, gatehouse.KeyRotation{ID: m.Key.ID}))
	want(t, gatehouse.Unauthenticated, second(old.Self(p.ctx)))
}

func planes(t *testing.T, p *plane) {
	m := p.key(t, "x")
	for _, token := range []gatehouse.Token{m.Token, {}, gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Management, gatehouse.NewID()),
		gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Management, p.Root.ID())} {
		want(t, gatehouse.Unauthenticated, second(p.As(token).Self(p.ctx)))
	}
}

func self(t *testing.T, p *plane) {
	m, c := p.manager(t, gatehouse.NewManagementKey{TeamID: p.TeamID, Scope: gatehouse.ScopeTeam, Name: "bare"})
	if got := must[*gatehouse.ManagementKey](t)(c.Self(p.ctx)); got.ID != m.Key.ID || got.TeamID != p.TeamID || got.Scope != gatehouse.ScopeTeam {
		t.Errorf("self is %+v", got)
	}
}
