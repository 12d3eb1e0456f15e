package admin

import (
	"context"

	"gatehouse"
	adminpb "gatehouse/gen/admin"
	"gatehouse/internal/api"
)

// ListTeams implements adminpb.AdminServer.
func (service) ListTeams(ctx context.Context, in *adminpb.ListTeamsRequest) (*adminpb.ListTeamsResponse, error) {
	teams, next, err := list(in.PageSize, in.PageToken, func(p gatehouse.Page) ([]*gatehouse.Team, string, error) {
		return api.From(ctx).ListTeams(ctx, p)
	}, team)
	return &adminpb.ListTeamsResponse{Teams: teams, NextPageToken: next}, err
}

// CreateTeam implements adminpb.AdminServer.
func (service) CreateTeam(ctx context.Context, in *adminpb.CreateTeamRequest) (*adminpb.Team, error) {
	t := given(in.Team)
	var bad gatehouse.Violations
	if t.Blocked {
		bad.Addf("blocked", "is set by an update")
	}
	if t.Billing != "" && t.Billing != string(gatehouse.BillingMetering) {
		bad.Addf("billing", "is set by an update")
	}
	if len(t.ModelLimits) > 0 {
		bad.Addf("modelLimits", "is set by an update")
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return oneTeam(ctx)(api.From(ctx).CreateTeam(ctx, t.Name))
}

// GetTeam implements adminpb.AdminServer.
func (service) GetTeam(ctx context.Context, in *adminpb.GetTeamRequest) (*adminpb.Team, error) {
	return oneTeam(ctx)(api.From(ctx).GetTeam(ctx, api.PathID(in.Id)))
}

// UpdateTeam implements adminpb.AdminServer.
func (service) UpdateTeam(ctx context.Context, in *adminpb.UpdateTeamRequest) (*adminpb.Team, error) {
	t, up := given(in.Team), gatehouse.TeamUpdate{ID: api.PathID(in.Id)}
	for _, name := range in.FieldMask.GetPaths() {
		switch name {
		case "name":
			up.Name = gatehouse.Some(t.Name)
		case "blocked":
			up.Blocked = gatehouse.Some(t.Blocked)
		case "billing":
			up.Billing = gatehouse.Some(gatehouse.BillingMode(t.Billing))
		case "model_limits":
			up.ModelLimits = gatehouse.Some(modelLimitsIn(t.ModelLimits))
		}
	}
	return oneTeam(ctx)(api.From(ctx).UpdateTeam(ctx, up))
}

func oneTeam(ctx context.Context) func(*gatehouse.Team, error) (*adminpb.Team, error) {
	return one(ctx, team, func(t *gatehouse.Team) gatehouse.Revision { return t.Revision })
}

func team(t *gatehouse.Team) *adminpb.Team {
	out := &adminpb.Team{
		Id: t.ID.String(), Name: t.Name, Blocked: t.Blocked, Billing: string(t.Billing),
		CreateTime: api.Stamp(t.CreateTime), Revision: t.Revision.String(), ModelLimits: map[string]*adminpb.Limits{},
	}
	for model, l := range t.ModelLimits {
		out.ModelLimits[model] = limits(l)
	}
	return out
}

// limits is nil for none at all, which is null on the wire.
func limits(l gatehouse.Limits) *adminpb.Limits {
	if l == (gatehouse.Limits{}) {
		return nil
	}
	return &adminpb.Limits{Qps: api.LimitOut(l.QPS), Qpm: api.LimitOut(l.QPM), Tpm: api.LimitOut(l.TPM)}
}

func limitsIn(l *adminpb.Limits) gatehouse.Limits {
	if l == nil {
		return gatehouse.Limits{}
	}
	return gatehouse.Limits{QPS: api.Limit(l.Qps), QPM: api.Limit(l.Qpm), TPM: api.Limit(l.Tpm)}
}

func modelLimitsIn(in map[string]*adminpb.Limits) map[string]gatehouse.Limits {
	out := make(map[string]gatehouse.Limits, len(in))
	for model, l := range in {
		out[model] = limitsIn(l)
	}
	return out
}

// ListUsers implements adminpb.AdminServer.
func (service) ListUsers(ctx context.Context, in *adminpb.ListUsersRequest) (*adminpb.ListUsersResponse, error) {
	var bad gatehouse.Violations
	of := api.ID("teamId", in.TeamId, &bad)
	if err := bad.Err(); err != nil {
		return nil, err
	}
	users, next, err := list(in.PageSize, in.PageToken, func(p gatehouse.Page) ([]*gatehouse.User, string, error) {
		return api.From(ctx).ListUsers(ctx, of, p)
	}, user)
	return &adminpb.ListUsersResponse{Users: users, NextPageToken: next}, err
}

// CreateUser implements adminpb.AdminServer.
func (service) CreateUser(ctx context.Context, in *adminpb.CreateUserRequest) (*adminpb.User, error) {
	u := given(in.User)
	var bad gatehouse.Violations
	n := &gatehouse.User{
		TeamID: api.ID("teamId", u.TeamId, &bad), GivenName: u.GivenName, FamilyName: u.FamilyName,
		Email: u.Email, ProfileImage: u.ProfileImage,
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return oneUser(ctx)(api.From(ctx).CreateUser(ctx, n))
}

// GetUser implements adminpb.AdminServer.
func (service) GetUser(ctx context.Context, in *adminpb.GetUserRequest) (*adminpb.User, error) {
	return oneUser(ctx)(api.From(ctx).GetUser(ctx, api.PathID(in.Id)))
}

// UpdateUser implements adminpb.AdminServer.
func (service) UpdateUser(ctx context.Context, in *adminpb.UpdateUserRequest) (*adminpb.User, error) {
	u, up := given(in.User), gatehouse.UserUpdate{ID: api.PathID(in.Id)}
	for _, name := range in.FieldMask.GetPaths() {
		switch name {
		case "given_name":
			up.GivenName = gatehouse.Some(u.GivenName)
		case "family_name":
			up.FamilyName = gatehouse.Some(u.FamilyName)
		case "email":
			up.Email = gatehouse.Some(u.Email)
		case "profile_image":
			up.ProfileImage = gatehouse.Some(u.ProfileImage)
		}
	}
	return oneUser(ctx)(api.From(ctx).UpdateUser(ctx, up))
}

func oneUser(ctx context.Context) func(*gatehouse.User, error) (*adminpb.User, error) {
	return one(ctx, user, func(u *gatehouse.User) gatehouse.Revision { return u.Revision })
}

func user(u *gatehouse.User) *adminpb.User {
	return &adminpb.User{
		Id: u.ID.String(), TeamId: u.TeamID.String(), GivenName: u.GivenName, FamilyName: u.FamilyName,
		Email: u.Email, ProfileImage: u.ProfileImage, CreateTime: api.Stamp(u.CreateTime), Revision: u.Revision.String(),
	}
}
