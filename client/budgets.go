package client

import (
	"context"
	"net/http"

	"gatehouse"
	"gatehouse/gen/budgets"
)

const (
	budgetsPath = "/admin/v1/budgets"
	hooksPath   = "/admin/v1/alert-hooks"
)

// ListBudgets implements gatehouse.Budgets.
func (c *Client) ListBudgets(ctx context.Context, team gatehouse.ID) ([]gatehouse.Budget, error) {
	out, err := call[budgets.ListBudgetsResponse](ctx, c, request{method: http.MethodGet, path: budgetsPath,
		query: &budgets.ListBudgetsRequest{TeamId: named(team)}})
	return each(out.GetBudgets(), func(b *budgets.Budget) gatehouse.Budget { return *budgetFrom(b) }), err
}

// GetBudget implements gatehouse.Budgets.
func (c *Client) GetBudget(ctx context.Context, team, b gatehouse.ID) (*gatehouse.Budget, error) {
	return one(budgetFrom)(call[budgets.Budget](ctx, c, request{method: http.MethodGet, path: under(budgetsPath, b.String()),
		query: &budgets.GetBudgetRequest{TeamId: named(team)}}))
}

// PutBudget implements gatehouse.Budgets. The wire counts in cents: less is cut off.
func (c *Client) PutBudget(ctx context.Context, team gatehouse.ID, b gatehouse.Budget) (*gatehouse.Budget, error) {
	if b.ID.IsZero() {
		return one(budgetFrom)(call[budgets.Budget](ctx, c, request{method: http.MethodPost, path: budgetsPath, body: budgetTo(&b),
			query: &budgets.CreateBudgetRequest{TeamId: named(team)}}))
	}
	return one(budgetFrom)(call[budgets.Budget](ctx, c, request{method: http.MethodPatch, path: under(budgetsPath, b.ID.String()), body: budgetTo(&b),
		query: &budgets.UpdateBudgetRequest{TeamId: named(team), FieldMask: mask(writable((*budgets.Budget)(nil)))}}))
}

// DeleteBudget implements gatehouse.Budgets.
func (c *Client) DeleteBudget(ctx context.Context, team, b gatehouse.ID) error {
	_, err := call[budgets.DeleteBudgetResponse](ctx, c, request{method: http.MethodDelete, path: under(budgetsPath, b.String()),
		query: &budgets.DeleteBudgetRequest{TeamId: named(team)}})
	return err
}

// BudgetStates implements gatehouse.Budgets. Of each budget it has name and
// amount alone.
func (c *Client) BudgetStates(ctx context.Context, team gatehouse.ID) ([]gatehouse.BudgetState, error) {
	out, err := call[budgets.ListBudgetStatesResponse](ctx, c, request{method: http.MethodGet, path: "/admin/v1/budget-states",
		query: &budgets.ListBudgetStatesRequest{TeamId: named(team)}})
	return each(out.GetStates(), func(s *budgets.BudgetState) gatehouse.BudgetState {
		return gatehouse.BudgetState{
			Budget: gatehouse.Budget{ID: id(s.BudgetId), Name: s.Name, Amount: gatehouse.Ticks(s.AmountTicks)}, Of: s.Of,
			Spent: gatehouse.Ticks(s.SpentTicks), Held: gatehouse.Ticks(s.HeldTicks), Start: moment(s.Start), End: moment(s.End),
		}
	}), err
}

// CreateAlertHook implements gatehouse.AlertHooks.
func (c *Client) CreateAlertHook(ctx context.Context, h gatehouse.AlertHook) (*gatehouse.AlertHook, error) {
	return one(hookFrom)(call[budgets.AlertHook](ctx, c, request{method: http.MethodPost, path: hooksPath,
		body: &budgets.CreateAlertHookRequest{TeamId: named(h.TeamID), Url: h.URL, Email: h.Email}}))
}

// ListAlertHooks implements gatehouse.AlertHooks.
func (c *Client) ListAlertHooks(ctx context.Context, team gatehouse.ID) ([]*gatehouse.AlertHook, error) {
	out, err := call[budgets.ListAlertHooksResponse](ctx, c, request{method: http.MethodGet, path: hooksPath,
		query: &budgets.ListAlertHooksRequest{TeamId: named(team)}})
	return each(out.GetAlertHooks(), hookFrom), err
}

// DeleteAlertHook implements gatehouse.AlertHooks.
func (c *Client) DeleteAlertHook(ctx context.Context, team, h gatehouse.ID) error {
	_, err := call[budgets.DeleteAlertHookResponse](ctx, c, request{method: http.MethodDelete, path: under(hooksPath, h.String()),
		query: &budgets.DeleteAlertHookRequest{TeamId: named(team)}})
	return err
}

// ListAlerts implements gatehouse.AlertHooks.
func (c *Client) ListAlerts(ctx context.Context, team gatehouse.ID, p gatehouse.Page) ([]gatehouse.Alert, string, error) {
	size, after := page(p)
	out, err := call[budgets.ListAlertsResponse](ctx, c, request{method: http.MethodGet, path: "/admin/v1/alerts",
		query: &budgets.ListAlertsRequest{TeamId: named(team), PageSize: size, PageToken: after}})
	return each(out.GetAlerts(), func(a *budgets.Alert) gatehouse.Alert {
		return gatehouse.Alert{ID: id(a.Id), Time: moment(a.Time), Kind: a.Kind, Title: a.Title, Text: a.Text, Share: int(a.Share), Pending: each(a.Pending, id)}
	}), out.GetNextPageToken(), err
}

// named is a team of a query: left out when it is the caller's own.
func named(team gatehouse.ID) string {
	if team.IsZero() {
		return ""
	}
	return team.String()
}

func budgetTo(b *gatehouse.Budget) *budgets.Budget {
	return &budgets.Budget{
		Name: b.Name, Subject: string(b.Subject), Value: b.Value, AmountCents: int64(b.Amount / gatehouse.Cent), Period: string(b.Period), Zone: b.Zone,
		AlertAt: each(b.AlertAt, func(p int) int32 { return int32(p) }),
	}
}

func budgetFrom(b *budgets.Budget) *gatehouse.Budget {
	return &gatehouse.Budget{
		ID: id(b.Id), Name: b.Name, Subject: gatehouse.BudgetSubject(b.Subject), Value: b.Value, Amount: gatehouse.Ticks(b.AmountCents) * gatehouse.Cent,
		Period: gatehouse.BudgetPeriod(b.Period), Zone: b.Zone, AlertAt: each(b.AlertAt, func(p int32) int { return int(p) }),
		CreateTime: moment(b.CreateTime), MakerID: id(b.MakerId),
	}
}

func hookFrom(h *budgets.AlertHook) *gatehouse.AlertHook {
	return &gatehouse.AlertHook{ID: id(h.Id), TeamID: id(h.TeamId), URL: h.Url, Email: h.Email, Secret: value(h.Secret), CreateTime: moment(h.CreateTime)}
}
