package apitest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gatehouse"
)

// CreateManagementKey implements gatehouse.ManagementKeys.
func (f *Fake) CreateManagementKey(_ context.Context, n gatehouse.NewManagementKey) (m gatehouse.MintedManagementKey, err error) {
	var bad gatehouse.Violations
	gatehouse.ValidateName("name", n.Name, &bad)
	gatehouse.ValidateManagementACL("acls", n.ACL, &bad)
	if err := bad.Err(); err != nil {
		return m, err
	}
	f.commit()
	return gatehouse.MintedManagementKey{
		Key: &gatehouse.ManagementKey{
			ID: KeyID, Scope: n.Scope, TeamID: Team, UserID: User, Name: n.Name, ACL: n.ACL, Grant: n.Grant, IPRanges: n.IPRanges,
			CreateTime: Now, ModifyTime: Now, ExpireTime: n.ExpireTime, Secrets: []gatehouse.Secret{{Last4: "r42q"}}, Revision: rev,
		},
		Token: gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Management, KeyID),
	}, nil
}

// ListTeams implements gatehouse.Teams.
func (f *Fake) ListTeams(context.Context, gatehouse.Page) ([]*gatehouse.Team, string, error) {
	return []*gatehouse.Team{{ID: Team, Name: "Acme", Billing: gatehouse.BillingMetering, CreateTime: Now, Revision: rev}}, "", nil
}

// UpdateTeam implements gatehouse.Teams.
func (f *Fake) UpdateTeam(_ context.Context, u gatehouse.TeamUpdate) (*gatehouse.Team, error) {
	if u.ID != Team {
		return nil, missing("team")
	}
	t := &gatehouse.Team{ID: Team, Name: "Acme", Billing: gatehouse.BillingMetering, CreateTime: Now, Revision: rev}
	take(&t.Name, u.Name)
	take(&t.Blocked, u.Blocked)
	take(&t.Billing, u.Billing)
	f.commit()
	return t, nil
}

// ListEvents implements gatehouse.AuditLog. The description echoes the filter.
func (f *Fake) ListEvents(_ context.Context, q gatehouse.EventFilter, p gatehouse.Page) ([]gatehouse.EventView, string, error) {
	e := gatehouse.EventView{
		Event: gatehouse.Event{ID: KeyID, Time: Now},
		User:  &gatehouse.User{ID: User, GivenName: "Ada", FamilyName: "Lovelace", Email: "ada@example.com", ProfileImage: "https://example.com/ada.png"},
	}
	e.Description = "API key '" + q.Query + "' was created"
	order := gatehouse.EventView{Event: gatehouse.Event{ID: KeyID, Time: q.From}}
	order.Description = map[bool]string{true: "ascending", false: "descending"}[q.Ascending] + " for " + q.UserID.String()
	return []gatehouse.EventView{e, order}, p.Token, nil
}

// ExportAudit implements gatehouse.AuditLog.
func (f *Fake) ExportAudit(_ context.Context, from int64, _ int, yield func(gatehouse.AuditLeaf) error) error {
	for i := from; i < 3; i++ {
		if err := yield(gatehouse.AuditLeaf{Index: i, Body: []byte("leaf"), Signature: []byte{1, 2}}); err != nil {
			return err
		}
	}
	return nil
}

// AnalyzeUsage implements gatehouse.UsageReader. The group echoes the query.
func (f *Fake) AnalyzeUsage(_ context.Context, team gatehouse.ID, q gatehouse.UsageQuery) (a gatehouse.UsageAnswer, err error) {
	if _, err := payer(team); err != nil {
		return a, err
	}
	a.Series = []gatehouse.UsageSeries{{
		Group: append([]string{string(q.Unit)}, q.Filters...), Labels: append([]string{q.Zone.String()}, q.GroupBy...),
		Points: []gatehouse.UsagePoint{{Time: q.Start, Values: []float64{1.25}}, {Time: q.End, Values: []float64{0}}},
	}}
	return a, nil
}

// PutUpstream implements gatehouse.Upstreams.
func (f *Fake) PutUpstream(_ context.Context, u *gatehouse.Upstream) (*gatehouse.Upstream, error) {
	stored := &gatehouse.Upstream{
		ID: KeyID, Name: "main", Kind: gatehouse.OpenAI, BaseURL: "https://api.example.com/v1", HasCredential: true,
		Families: []gatehouse.Family{gatehouse.FamilyChat}, AskUsage: true, HeaderTimeout: time.Minute, IdleTimeout: 90 * time.Second, Revision: rev,
	}
	if !u.ID.IsZero() && u.ID != KeyID {
		return nil, missing("upstream")
	}
	out := gatehouse.Overlay(stored, u, f.call.Fields)
	cleared := u.Credential == "" && slices.Contains(f.call.Fields, "credential")
	out.ID, out.Revision, out.HasCredential = KeyID, rev, !cleared
	f.commit()
	return out, nil
}

// GetModel implements gatehouse.Catalogue. Any name is found.
func (f *Fake) GetModel(_ context.Context, name string) (*gatehouse.Model, error) {
	return &gatehouse.Model{Name: name, Type: gatehouse.LanguageModel, Owner: "xai", Input: []string{"TEXT"}, Revision: rev}, nil
}

// PutModel implements gatehouse.Catalogue.
func (f *Fake) PutModel(ctx context.Context, m *gatehouse.Model) (*gatehouse.Model, error) {
	stored, _ := f.GetModel(ctx, m.Name)
	f.commit()
	return gatehouse.Overlay(stored, m, f.call.Fields), nil
}

// GetAlias implements gatehouse.Catalogue. Any name but "none" is found.
func (f *Fake) GetAlias(_ context.Context, name string) (*gatehouse.Alias, error) {
	if name == "none" {
		return nil, missing("alias")
	}
	return &gatehouse.Alias{Name: name, Target: "grok-4", Fallbacks: []string{"grok-3"}, Revision: rev}, nil
}

// GetPrice implements gatehouse.Prices.
func (f *Fake) GetPrice(_ context.Context, id gatehouse.ID) (*gatehouse.Price, error) {
	if id != KeyID {
		return nil, missing("price")
	}
	return &gatehouse.Price{
		ID: KeyID, Model: "grok-4", Effective: Now, Units: map[string]gatehouse.Ticks{"Prompt text tokens": 30000}, Source: "operator", Revision: rev,
	}, nil
}

// PutPrice implements gatehouse.Prices.
func (f *Fake) PutPrice(_ context.Context, p *gatehouse.Price) (*gatehouse.Price, error) {
	p.ID, p.Revision = KeyID, rev
	f.commit()
	return p, nil
}

// ListGateways implements gatehouse.Fleet.
func (f *Fake) ListGateways(ctx context.Context, _ gatehouse.Page) ([]*gatehouse.Gateway, string, error) {
	g, err := f.GetGateway(ctx, KeyID)
	return []*gatehouse.Gateway{g}, "", err
}

// GetGateway implements gatehouse.Fleet.
func (f *Fake) GetGateway(_ context.Context, id gatehouse.ID) (*gatehouse.Gateway, error) {
	if id != KeyID {
		return nil, missing("gateway")
	}
	return &gatehouse.Gateway{ID: KeyID, Cluster: "local", Version: "1.0", Joined: Now, LastSeen: Now, Enforced: rev}, nil
}

// GetCluster implements gatehouse.Fleet. Any name is found.
func (f *Fake) GetCluster(_ context.Context, name string) (*gatehouse.Cluster, error) {
	return &gatehouse.Cluster{Name: name, Address: name + ".example.com", Revision: rev}, nil
}

// DeleteCluster implements gatehouse.Fleet. "local" has a gateway.
func (f *Fake) DeleteCluster(_ context.Context, name string) error {
	if name == "local" {
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "gateway %s is a member of it", KeyID)
	}
	f.commit()
	return nil
}

// CreateJoinToken implements gatehouse.JoinTokens.
func (f *Fake) CreateJoinToken(_ context.Context, n gatehouse.NewJoinToken) (m gatehouse.MintedJoinToken, err error) {
	var bad gatehouse.Violations
	if n.Lifetime < 0 {
		bad.Addf("lifetime", "must be 1s to %s", gatehouse.MaxJoinLifetime)
	}
	if n.Uses < 0 {
		bad.Addf("uses", "must be 1 to %d", gatehouse.MaxJoinUses)
	}
	if err := bad.Err(); err != nil {
		return m, err
	}
	f.commit()
	return gatehouse.MintedJoinToken{
		Token: &gatehouse.JoinToken{
			ID: KeyID, Cluster: n.Cluster, Last4: "r42q", Uses: n.Uses, MakerID: KeyID, CreateTime: Now, ExpireTime: Now.Add(n.Lifetime), Revision: rev,
		},
		Secret: gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Join, KeyID),
	}, nil
}

// ImportKeys implements gatehouse.Importer. The warning echoes the key.
func (f *Fake) ImportKeys(_ context.Context, keys []gatehouse.ForeignKey, dryRun bool) (out []gatehouse.ImportedKey, err error) {
	for _, k := range keys {
		echo := fmt.Sprintf("%s %s ...%s qpm %d disabled %v dry %v", k.Source, k.Key.Name, k.Last4, k.Key.Limits.QPM, k.Disabled, dryRun)
		out = append(out, gatehouse.ImportedKey{Digest: k.Digest, KeyID: KeyID, Outcome: gatehouse.ImportCreated, Warnings: []string{echo}})
	}
	return out, nil
}

// TeamModels implements gatehouse.Discovery.
func (f *Fake) TeamModels(context.Context, gatehouse.ID) ([]gatehouse.TeamModels, error) {
	priced := func(name string, t gatehouse.ModelType, units map[string]gatehouse.Ticks) gatehouse.PricedModel {
		return gatehouse.PricedModel{
			Model: &gatehouse.Model{Name: name, Type: t, Version: "1.0", ContextLength: 256000, Input: []string{"TEXT", "IMAGE"}, Output: []string{"TEXT"}, Functions: true},
			Price: &gatehouse.Price{Units: units, LongContext: map[string]gatehouse.Ticks{"Prompt text tokens": 60000}, LongThreshold: 128000},
		}
	}
	return []gatehouse.TeamModels{{Cluster: "us-east-1", Models: []gatehouse.PricedModel{
		priced("grok-4", gatehouse.LanguageModel, map[string]gatehouse.Ticks{"Prompt text tokens": 30000, "Searches": 250_000_000}),
		priced("embed", gatehouse.EmbeddingModel, map[string]gatehouse.Ticks{"Prompt text tokens": 100}),
		priced("image", gatehouse.ImageModel, map[string]gatehouse.Ticks{"Images": 700_000_000}),
	}}}, nil
}

// Endpoints implements gatehouse.Discovery.
func (f *Fake) Endpoints(context.Context, gatehouse.ID) ([]string, error) {
	return []string{gatehouse.EndpointChat, gatehouse.EndpointEmbed}, nil
}
