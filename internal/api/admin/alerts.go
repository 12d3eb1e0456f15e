package admin

import (
	"context"

	"gatehouse"
	budgetspb "gatehouse/gen/budgets"
	"gatehouse/internal/api"
)

// alerts answers /admin/v1/alert-hooks and /admin/v1/alerts.
type alerts struct {
	budgetspb.UnimplementedAlertsServer
}

// CreateAlertHook implements budgetspb.AlertsServer.
func (alerts) CreateAlertHook(ctx context.Context, in *budgetspb.CreateAlertHookRequest) (*budgetspb.AlertHook, error) {
	team, err := teamOf(in.TeamId)
	if err != nil {
		return nil, err
	}
	h, err := api.From(ctx).CreateAlertHook(ctx, gatehouse.AlertHook{TeamID: team, URL: in.Url, Email: in.Email})
	if err != nil {
		return nil, err
	}
	out := alertHook(h)
	if h.Secret != "" {
		out.Secret = &h.Secret
	}
	return out, nil
}

// ListAlertHooks implements budgetspb.AlertsServer.
func (alerts) ListAlertHooks(ctx context.Context, in *budgetspb.ListAlertHooksRequest) (*budgetspb.ListAlertHooksResponse, error) {
	team, err := teamOf(in.TeamId)
	if err != nil {
		return nil, err
	}
	all, err := api.From(ctx).ListAlertHooks(ctx, team)
	out := &budgetspb.ListAlertHooksResponse{}
	for _, h := range all {
		out.AlertHooks = append(out.AlertHooks, alertHook(h))
	}
	return out, err
}

// DeleteAlertHook implements budgetspb.AlertsServer.
func (alerts) DeleteAlertHook(ctx context.Context, in *budgetspb.DeleteAlertHookRequest) (*budgetspb.DeleteAlertHookResponse, error) {
	team, err := teamOf(in.TeamId)
	if err != nil {
		return nil, err
	}
	return &budgetspb.DeleteAlertHookResponse{}, api.From(ctx).DeleteAlertHook(ctx, team, api.PathID(in.Id))
}

// ListAlerts implements budgetspb.AlertsServer.
func (alerts) ListAlerts(ctx context.Context, in *budgetspb.ListAlertsRequest) (*budgetspb.ListAlertsResponse, error) {
	team, err := teamOf(in.TeamId)
	if err != nil {
		return nil, err
	}
	all, next, err := list(in.PageSize, in.PageToken, func(p gatehouse.Page) ([]gatehouse.Alert, string, error) {
		return api.From(ctx).ListAlerts(ctx, team, p)
	}, alert)
	return &budgetspb.ListAlertsResponse{Alerts: all, NextPageToken: next}, err
}

func alertHook(h *gatehouse.AlertHook) *budgetspb.AlertHook {
	return &budgetspb.AlertHook{Id: h.ID.String(), TeamId: h.TeamID.String(), Url: h.URL, Email: h.Email, CreateTime: api.Stamp(h.CreateTime)}
}

func alert(a gatehouse.Alert) *budgetspb.Alert {
	out := &budgetspb.Alert{Id: a.ID.String(), Time: api.Stamp(a.Time), Kind: a.Kind, Title: a.Title, Text: a.Text, Share: int32(a.Share)}
	for _, id := range a.Pending {
		out.Pending = append(out.Pending, id.String())
	}
	return out
}
