package apitest

import (
	"context"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/api"
)

// v1 is a Fake with what the dialect of /v1 asks for beside keys.
type v1 struct {
	api.Caller
	call *gatehouse.Call
}

// NewV1 is New for the dialect of /v1.
func NewV1() (api.Backend, map[string]string) {
	inner, vars := New()
	vars["invite"] = gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Invite, KeyID).Reveal()
	return api.BackendFunc(func(c *gatehouse.Call) api.Caller { return &v1{inner.As(c), c} }), vars
}

// Authenticate implements api.Caller: any invitation is good.
func (f *v1) Authenticate(ctx context.Context) error {
	if f.call.Token.Plane() == gatehouse.Invite {
		return nil
	}
	return f.Caller.Authenticate(ctx)
}

// Authorize implements api.Caller.
func (f *v1) Authorize(ctx context.Context, op gatehouse.Operation) error {
	if op == gatehouse.AcceptInvitation {
		return nil
	}
	return f.Caller.Authorize(ctx, op)
}

// ours is NotFound when the request names another team.
func (f *v1) ours() error {
	if !f.call.TeamID.IsZero() && f.call.TeamID != Team {
		return missing("team")
	}
	return nil
}

// ListKeys implements gatehouse.Keys: one key on each of two pages.
func (f *v1) ListKeys(ctx context.Context, q gatehouse.KeyQuery) ([]*gatehouse.Key, string, error) {
	if err := f.ours(); err != nil {
		return nil, "", err
	}
	one, _ := f.GetKey(ctx, KeyID)
	two := *one
	two.ID, two.Name, two.ACL, two.Limits = User, "old", gatehouse.ACL{}, gatehouse.Limits{}
	two.Secrets = []gatehouse.Secret{{Last4: "1aA0"}}
	switch {
	case q.Page.Token != "" && q.Page.Token != "NEXT":
		return nil, "", gatehouse.Violations{{Field: "pageToken", Problem: "not one that this list returned"}}.Err()
	case q.Page.Token == "NEXT":
		return []*gatehouse.Key{&two}, "", nil
	case q.Page.Size == 1:
		return []*gatehouse.Key{one}, "NEXT", nil
	}
	return []*gatehouse.Key{one, &two}, "", nil
}

// BillingAccount implements gatehouse.Money.
func (f *v1) BillingAccount(context.Context, gatehouse.ID) (*gatehouse.BillingAccount, error) {
	return &gatehouse.BillingAccount{ID: Team, Info: gatehouse.BillingInfo{
		Name: "Acme", Email: "billing@example.com", TaxIDType: "us_ein", TaxNumber: "00-0000000",
		Address: gatehouse.Address{Line1: "1 Main St", City: "Springfield", Country: "US", PostalCode: "00000", State: "OR"},
	}}, f.ours()
}

// Balance implements gatehouse.Money.
func (f *v1) Balance(context.Context, gatehouse.ID) (gatehouse.Balance, error) {
	return gatehouse.Balance{Credit: 1000*gatehouse.USD + gatehouse.Cent/2, Updated: Now}, f.ours()
}

// SpendingLimits implements gatehouse.Money.
func (f *v1) SpendingLimits(context.Context, gatehouse.ID) (gatehouse.SpendingLimits, error) {
	soft := 50 * gatehouse.USD
	return gatehouse.SpendingLimits{Soft: &soft, Hard: 200 * gatehouse.USD, Effective: soft}, nil
}

// PreviewInvoice implements gatehouse.Invoices.
func (f *v1) PreviewInvoice(context.Context, gatehouse.ID) (gatehouse.Preview, error) {
	return gatehouse.Preview{Invoice: gatehouse.Invoice{
		Cycle: gatehouse.Cycle{Year: 2026, Month: 1}, Status: gatehouse.InvoicePending, Subtotal: 1230, Tax: 70, Total: 1300, Prepaid: 1300,
		Lines: []gatehouse.InvoiceLine{{Cluster: "local", Model: "grok-4", Unit: gatehouse.CompletionText, Price: 150_000, Units: 820_000, Ticks: 123 * gatehouse.USD / 10, Cents: 1230}},
	}}, nil
}

// AnalyzeUsage implements gatehouse.UsageReader: two groups on each of two
// days, of which one has used nothing on the first. A time that starts in 2024
// has more groups than are shown.
func (f *v1) AnalyzeUsage(_ context.Context, _ gatehouse.ID, q gatehouse.UsageQuery) (a gatehouse.UsageAnswer, err error) {
	if err := f.ours(); err != nil {
		return a, err
	}
	points := func(first, second []float64) []gatehouse.UsagePoint {
		if q.Unit == gatehouse.UnitNone {
			return []gatehouse.UsagePoint{{Time: q.Start, Values: second}}
		}
		return []gatehouse.UsagePoint{{Time: q.Start, Values: first}, {Time: q.End.AddDate(0, 0, -1), Values: second}}
	}
	nothing := make([]float64, len(q.Values))
	big, small := []float64{25e10, 1_000_000, 500_000, 1_500_000}, []float64{1, 0, 3, 3}
	for i, group := range [][2][]string{
		{{"grok-4", KeyID.String()}, {"grok-4", "ci (gthk_...oYZ4)"}},
		{{"grok-4-fast", User.String()}, {"grok-4-fast", User.String()}},
	} {
		s := gatehouse.UsageSeries{Points: points([][]float64{big, nothing}[i], [][]float64{big, small}[i])}
		for _, g := range q.GroupBy {
			at := map[string]int{"model": 0, "api_key_id": 1}[g]
			s.Group, s.Labels = append(s.Group, group[0][at]), append(s.Labels, group[1][at])
		}
		a.Series = append(a.Series, s)
		if len(q.GroupBy) == 0 {
			break
		}
	}
	a.LimitReached = q.Start.Year() == 2024 && len(q.Values) > 1
	return a, nil
}

// GetTeam implements gatehouse.Teams.
func (f *v1) GetTeam(context.Context, gatehouse.ID) (*gatehouse.Team, error) {
	return &gatehouse.Team{ID: Team, Name: "Acme", Billing: gatehouse.BillingMetering, CreateTime: Now, Revision: rev}, f.ours()
}

func person() *gatehouse.User {
	return &gatehouse.User{
		ID: User, TeamID: Team, GivenName: "Ada", FamilyName: "Lovelace", Email: "ada@example.com", Role: gatehouse.RoleOwner, CreateTime: Now, Revision: rev,
	}
}

// ListMembers implements gatehouse.Members.
func (f *v1) ListMembers(context.Context, gatehouse.ID, gatehouse.Page) ([]*gatehouse.User, string, error) {
	return []*gatehouse.User{person()}, "", f.ours()
}

// UpdateMember implements gatehouse.Members.
func (f *v1) UpdateMember(_ context.Context, _, user gatehouse.ID, role gatehouse.Role) (*gatehouse.User, error) {
	if user != User {
		return nil, missing("user")
	}
	u := person()
	u.Role = role
	return u, nil
}

// RemoveMember implements gatehouse.Members. Nobody but the one person can inherit.
func (f *v1) RemoveMember(_ context.Context, _, user, heir gatehouse.ID) error {
	if user != User || !heir.IsZero() && heir != User {
		return missing("user")
	}
	return nil
}

func invited(email string, role gatehouse.Role) *gatehouse.Invitation {
	return &gatehouse.Invitation{ID: KeyID, TeamID: Team, Email: email, Role: role, CreateTime: Now, ExpireTime: Now.Add(gatehouse.InvitationLifetime)}
}

// Invite implements gatehouse.Members.
func (f *v1) Invite(_ context.Context, _ gatehouse.ID, email string, role gatehouse.Role) (m gatehouse.MintedInvitation, err error) {
	if !strings.Contains(email, "@") || role == "" {
		return m, gatehouse.Violations{{Field: "email", Problem: "is required"}, {Field: "role", Problem: "is required"}}.Err()
	}
	return gatehouse.MintedInvitation{
		Invitation: invited(email, role), Token: gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Invite, KeyID), Link: "https://gatehouse.example.com/invitation",
	}, nil
}

// ListInvitations implements gatehouse.Members. The second has expired.
func (f *v1) ListInvitations(context.Context, gatehouse.ID, gatehouse.Page) ([]*gatehouse.Invitation, string, error) {
	old := invited("grace@example.com", gatehouse.RoleViewer)
	old.ExpireTime = Now.Add(-time.Hour)
	return []*gatehouse.Invitation{invited("bob@example.com", gatehouse.RoleDeveloper), old}, "", nil
}

// RevokeInvitation implements gatehouse.Members.
func (f *v1) RevokeInvitation(_ context.Context, _, id gatehouse.ID) error {
	if id != KeyID {
		return missing("invitation")
	}
	return nil
}

// AcceptInvitation implements gatehouse.Members.
func (f *v1) AcceptInvitation(_ context.Context, a gatehouse.Acceptance) (gatehouse.MintedManagementKey, error) {
	return gatehouse.MintedManagementKey{
		Key: &gatehouse.ManagementKey{
			ID: KeyID, TeamID: Team, UserID: User, Name: a.GivenName + " " + a.FamilyName, ACL: []string{"team-token:endpoint:*"}, CreateTime: Now, Personal: true,
		},
		Token: gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Management, KeyID),
	}, nil
}

// ListEvents implements gatehouse.AuditLog. The reason of the second event's
// details echoes the filter.
func (f *v1) ListEvents(_ context.Context, q gatehouse.EventFilter, p gatehouse.Page) ([]gatehouse.EventView, string, error) {
	made := gatehouse.EventView{User: person(), Event: gatehouse.Event{ID: KeyID, Time: Now, Actor: gatehouse.Actor{UserID: User}}}
	made.Act = gatehouse.Act{
		Action: "api_key.created", Kind: gatehouse.KindKey, Subject: KeyID.String(), Result: gatehouse.Done,
		Description: "API key 'production-key' was created", Details: map[string]string{"last4": "oYZ4"},
	}
	echo := gatehouse.EventView{Event: gatehouse.Event{ID: q.EventID, Actor: gatehouse.Actor{Kind: gatehouse.ActorSystem}}}
	echo.Act = gatehouse.Act{Action: q.Action, Details: map[string]string{
		"from": q.From.String(), "to": q.To.String(), "email": q.Email, "user": q.UserID.String(), "token": p.Token,
	}}
	if p.Size == 1 {
		return []gatehouse.EventView{made}, "NEXT", nil
	}
	return []gatehouse.EventView{made, echo}, "", f.ours()
}
