package client

import (
	"context"
	"net/http"

	"gatehouse"
	"gatehouse/gen/admin"
)

const (
	teams = "/admin/v1/teams"
	users = "/admin/v1/users"
)

// ListTeams implements gatehouse.Teams.
func (c *Client) ListTeams(ctx context.Context, p gatehouse.Page) ([]*gatehouse.Team, string, error) {
	size, after := page(p)
	out, err := call[admin.ListTeamsResponse](ctx, c, request{method: http.MethodGet, path: teams,
		query: &admin.ListTeamsRequest{PageSize: size, PageToken: after}})
	return each(out.GetTeams(), teamFrom), out.GetNextPageToken(), err
}

// GetTeam implements gatehouse.Teams.
func (c *Client) GetTeam(ctx context.Context, team gatehouse.ID) (*gatehouse.Team, error) {
	return one(teamFrom)(call[admin.Team](ctx, c, request{method: http.MethodGet, path: under(teams, team.String())}))
}

// CreateTeam implements gatehouse.Teams.
func (c *Client) CreateTeam(ctx context.Context, name string) (*gatehouse.Team, error) {
	return one(teamFrom)(call[admin.Team](ctx, c, request{method: http.MethodPost, path: teams, body: &admin.Team{Name: name}}))
}

// UpdateTeam implements gatehouse.Teams.
func (c *Client) UpdateTeam(ctx context.Context, u gatehouse.TeamUpdate) (*gatehouse.Team, error) {
	var paths []string
	body := &admin.Team{
		Name:    take(&paths, "name", u.Name),
		Blocked: take(&paths, "blocked", u.Blocked),
		Billing: string(take(&paths, "billing", u.Billing)),
	}
	if limits := take(&paths, "model_limits", u.ModelLimits); len(limits) > 0 {
		body.ModelLimits = map[string]*admin.Limits{}
		for model, l := range limits {
			body.ModelLimits[model] = &admin.Limits{Qps: some(l.QPS), Qpm: some(l.QPM), Tpm: some(l.TPM)}
		}
	}
	return one(teamFrom)(call[admin.Team](ctx, c, request{method: http.MethodPatch, path: under(teams, u.ID.String()), body: body,
		query: &admin.UpdateTeamRequest{FieldMask: mask(paths)}}))
}

// ListUsers implements gatehouse.Teams.
func (c *Client) ListUsers(ctx context.Context, team gatehouse.ID, p gatehouse.Page) ([]*gatehouse.User, string, error) {
	size, after := page(p)
	out, err := call[admin.ListUsersResponse](ctx, c, request{method: http.MethodGet, path: users,
		query: &admin.ListUsersRequest{PageSize: size, PageToken: after, TeamId: team.String()}})
	return each(out.GetUsers(), userFrom), out.GetNextPageToken(), err
}

// GetUser implements gatehouse.Teams.
func (c *Client) GetUser(ctx context.Context, user gatehouse.ID) (*gatehouse.User, error) {
	return one(userFrom)(call[admin.User](ctx, c, request{method: http.MethodGet, path: under(users, user.String())}))
}

// CreateUser implements gatehouse.Teams.
func (c *Client) CreateUser(ctx context.Context, u *gatehouse.User) (*gatehouse.User, error) {
	return one(userFrom)(call[admin.User](ctx, c, request{method: http.MethodPost, path: users, body: &admin.User{
		TeamId: u.TeamID.String(), GivenName: u.GivenName, FamilyName: u.FamilyName, Email: u.Email, ProfileImage: u.ProfileImage,
	}}))
}

// UpdateUser implements gatehouse.Teams.
func (c *Client) UpdateUser(ctx context.Context, u gatehouse.UserUpdate) (*gatehouse.User, error) {
	var paths []string
	body := &admin.User{
		GivenName:    take(&paths, "given_name", u.GivenName),
		FamilyName:   take(&paths, "family_name", u.FamilyName),
		Email:        take(&paths, "email", u.Email),
		ProfileImage: take(&paths, "profile_image", u.ProfileImage),
	}
	return one(userFrom)(call[admin.User](ctx, c, request{method: http.MethodPatch, path: under(users, u.ID.String()), body: body,
		query: &admin.UpdateUserRequest{FieldMask: mask(paths)}}))
}

// one decodes an answer that is a single record.
func one[P, T any](from func(P) *T) func(P, error) (*T, error) {
	return func(p P, err error) (*T, error) {
		if err != nil {
			return nil, err
		}
		return from(p), nil
	}
}

func teamFrom(t *admin.Team) *gatehouse.Team {
	out := &gatehouse.Team{
		ID: id(t.Id), Name: t.Name, Blocked: t.Blocked, Billing: gatehouse.BillingMode(t.Billing),
		CreateTime: moment(t.CreateTime), Revision: revision(t.Revision),
	}
	for model, l := range t.ModelLimits {
		if out.ModelLimits == nil {
			out.ModelLimits = map[string]gatehouse.Limits{}
		}
		out.ModelLimits[model] = limitsFrom(l)
	}
	return out
}

func limitsTo(l gatehouse.Limits) *admin.Limits {
	if l == (gatehouse.Limits{}) {
		return nil
	}
	return &admin.Limits{Qps: some(l.QPS), Qpm: some(l.QPM), Tpm: some(l.TPM)}
}

func limitsFrom(l *admin.Limits) gatehouse.Limits {
	return gatehouse.Limits{QPS: l.GetQps(), QPM: l.GetQpm(), TPM: l.GetTpm()}
}

func userFrom(u *admin.User) *gatehouse.User {
	return &gatehouse.User{
		ID: id(u.Id), TeamID: id(u.TeamId), GivenName: u.GivenName, FamilyName: u.FamilyName, Email: u.Email,
		ProfileImage: u.ProfileImage, CreateTime: moment(u.CreateTime), Revision: revision(u.Revision),
	}
}
