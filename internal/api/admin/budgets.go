package admin

import (
	"context"

	"gatehouse"
	budgetspb "gatehouse/gen/budgets"
	"gatehouse/internal/api"
)

// budgets answers /admin/v1/budgets and /admin/v1/budget-states.
type budgets struct {
	budgetspb.UnimplementedBudgetsServer
}

// ListBudgets implements budgetspb.BudgetsServer.
func (budgets) ListBudgets(ctx context.Context, in *budgetspb.ListBudgetsRequest) (*budgetspb.ListBudgetsResponse, error) {
	team, err := teamOf(in.TeamId)
	if err != nil {
		return nil, err
	}
	all, err := api.From(ctx).ListBudgets(ctx, team)
	out := &budgetspb.ListBudgetsResponse{}
	for i := range all {
		out.Budgets = append(out.Budgets, budget(&all[i]))
	}
	return out, err
}

// teamOf reads a team that may be left out.
func teamOf(s string) (gatehouse.ID, error) {
	var bad gatehouse.Violations
	id := api.ID("teamId", s, &bad)
	return id, bad.Err()
}

// CreateBudget implements budgetspb.BudgetsServer.
func (budgets) CreateBudget(ctx context.Context, in *budgetspb.CreateBudgetRequest) (*budgetspb.Budget, error) {
	return putBudget(ctx, in.TeamId, gatehouse.ID{}, in.Budget)
}

// UpdateBudget implements budgetspb.BudgetsServer.
func (budgets) UpdateBudget(ctx context.Context, in *budgetspb.UpdateBudgetRequest) (*budgetspb.Budget, error) {
	names := in.FieldMask.GetPaths()
	for i, name := range names {
		if name == "amount_cents" {
			names[i] = "amount" // the record's own
		}
	}
	fields(ctx, names)
	return putBudget(ctx, in.TeamId, api.PathID(in.Id), in.Budget)
}

func putBudget(ctx context.Context, in string, id gatehouse.ID, b *budgetspb.Budget) (*budgetspb.Budget, error) {
	team, err := teamOf(in)
	if err != nil {
		return nil, err
	}
	put := budgetIn(b)
	put.ID = id
	out, err := api.From(ctx).PutBudget(ctx, team, put)
	if err != nil {
		return nil, err
	}
	return budget(out), nil
}

// GetBudget implements budgetspb.BudgetsServer.
func (budgets) GetBudget(ctx context.Context, in *budgetspb.GetBudgetRequest) (*budgetspb.Budget, error) {
	team, err := teamOf(in.TeamId)
	if err != nil {
		return nil, err
	}
	b, err := api.From(ctx).GetBudget(ctx, team, api.PathID(in.Id))
	if err != nil {
		return nil, err
	}
	return budget(b), nil
}

// DeleteBudget implements budgetspb.BudgetsServer.
func (budgets) DeleteBudget(ctx context.Context, in *budgetspb.DeleteBudgetRequest) (*budgetspb.DeleteBudgetResponse, error) {
	team, err := teamOf(in.TeamId)
	if err != nil {
		return nil, err
	}
	return &budgetspb.DeleteBudgetResponse{}, api.From(ctx).DeleteBudget(ctx, team, api.PathID(in.Id))
}

// ListBudgetStates implements budgetspb.BudgetsServer.
func (budgets) ListBudgetStates(ctx context.Context, in *budgetspb.ListBudgetStatesRequest) (*budgetspb.ListBudgetStatesResponse, error) {
	team, err := teamOf(in.TeamId)
	if err != nil {
		return nil, err
	}
	all, err := api.From(ctx).BudgetStates(ctx, team)
	out := &budgetspb.ListBudgetStatesResponse{}
	for _, s := range all {
		out.States = append(out.States, &budgetspb.BudgetState{
			BudgetId: s.Budget.ID.String(), Name: s.Budget.Name, Of: s.Of, AmountTicks: int64(s.Budget.Amount),
			SpentTicks: int64(s.Spent), HeldTicks: int64(s.Held), Start: api.Stamp(s.Start), End: api.Stamp(s.End),
		})
	}
	return out, err
}

func budget(b *gatehouse.Budget) *budgetspb.Budget {
	out := &budgetspb.Budget{
		Id: b.ID.String(), Name: b.Name, Subject: string(b.Subject), Value: b.Value, AmountCents: int64(b.Amount / gatehouse.Cent),
		Period: string(b.Period), Zone: b.Zone, CreateTime: api.Stamp(b.CreateTime), MakerId: b.MakerID.String(),
	}
	for _, p := range b.Alerts() {
		out.AlertAt = append(out.AlertAt, int32(p))
	}
	return out
}

func budgetIn(b *budgetspb.Budget) gatehouse.Budget {
	out := gatehouse.Budget{
		Name: b.GetName(), Subject: gatehouse.BudgetSubject(b.GetSubject()), Value: b.GetValue(), Amount: api.Ticks(b.GetAmountCents()),
		Period: gatehouse.BudgetPeriod(b.GetPeriod()), Zone: b.GetZone(),
	}
	for _, p := range b.GetAlertAt() {
		out.AlertAt = append(out.AlertAt, int(p))
	}
	return out
}
