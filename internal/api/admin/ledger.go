package admin

import (
	"context"
	"maps"
	"slices"

	"gatehouse"
	billingpb "gatehouse/gen/adminbilling"
	"gatehouse/internal/api"
)

// ListPostings implements billingpb.BillingAdminServer.
func (treasury) ListPostings(ctx context.Context, in *billingpb.ListPostingsRequest) (*billingpb.ListPostingsResponse, error) {
	team, err := teamOf(in.TeamId)
	if err != nil {
		return nil, err
	}
	all, next, err := list(in.PageSize, in.PageToken, func(p gatehouse.Page) ([]*gatehouse.Posting, string, error) {
		return api.From(ctx).ListPostings(ctx, team, p)
	}, posting)
	return &billingpb.ListPostingsResponse{Postings: all, NextPageToken: next}, err
}

func posting(p *gatehouse.Posting) *billingpb.Posting {
	out := &billingpb.Posting{
		Id: p.ID.String(), TeamId: p.TeamID.String(), Time: api.Stamp(p.Time), Kind: string(p.Kind), Cycle: month(p.Cycle), Ref: p.Ref, Note: p.Note,
	}
	for _, e := range p.Entries {
		out.Entries = append(out.Entries, &billingpb.Entry{Account: string(e.Account), Amount: money(e.Amount)})
	}
	return out
}

// GetTrialBalance implements billingpb.BillingAdminServer.
func (treasury) GetTrialBalance(ctx context.Context, in *billingpb.GetTrialBalanceRequest) (*billingpb.TrialBalance, error) {
	team, err := teamOf(in.TeamId)
	if err != nil {
		return nil, err
	}
	accounts, err := api.From(ctx).Trial(ctx, team)
	out, sum := &billingpb.TrialBalance{}, gatehouse.Ticks(0)
	for _, a := range slices.Sorted(maps.Keys(accounts)) {
		out.Balances = append(out.Balances, &billingpb.Entry{Account: string(a), Amount: money(accounts[a])})
		sum += accounts[a]
	}
	out.Sum = money(sum)
	return out, err
}

// ListHolds implements billingpb.BillingAdminServer.
func (treasury) ListHolds(ctx context.Context, in *billingpb.ListHoldsRequest) (*billingpb.ListHoldsResponse, error) {
	team, err := teamOf(in.TeamId)
	if err != nil {
		return nil, err
	}
	all, next, err := list(in.PageSize, in.PageToken, func(p gatehouse.Page) ([]*gatehouse.Hold, string, error) {
		return api.From(ctx).ListHolds(ctx, team, p)
	}, hold)
	return &billingpb.ListHoldsResponse{Holds: all, NextPageToken: next}, err
}

// WriteOffHold implements billingpb.BillingAdminServer.
func (treasury) WriteOffHold(ctx context.Context, in *billingpb.WriteOffHoldRequest) (*billingpb.Hold, error) {
	h, err := api.From(ctx).WriteOffHold(ctx, api.PathID(in.Id))
	if err != nil {
		return nil, err
	}
	return hold(h), nil
}

func hold(h *gatehouse.Hold) *billingpb.Hold {
	return &billingpb.Hold{
		Id: h.ID.String(), TeamId: h.TeamID.String(), Fund: h.Fund, GatewayId: h.Gateway.String(), Incarnation: h.Incarnation,
		Drawn: money(h.Drawn), Returned: money(h.Returned), Ingested: money(h.Ingested), Open: money(h.Open()),
		Since: api.Stamp(h.Since), Seen: api.Stamp(h.Seen),
	}
}

// RerateUsage implements billingpb.BillingAdminServer.
func (treasury) RerateUsage(ctx context.Context, in *billingpb.RerateUsageRequest) (*billingpb.RerateReport, error) {
	team, cycle, err := teamCycle(in.TeamId, in.Cycle)
	if err != nil {
		return nil, err
	}
	r, err := api.From(ctx).RerateUsage(ctx, team, cycle)
	return &billingpb.RerateReport{Rows: r.Rows, Changed: r.Changed, Before: money(r.Before), After: money(r.After)}, err
}
