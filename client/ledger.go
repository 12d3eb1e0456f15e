package client

import (
	"context"
	"net/http"

	"gatehouse"
	"gatehouse/gen/adminbilling"
)

// ListPostings implements gatehouse.Ledger.
func (c *Client) ListPostings(ctx context.Context, team gatehouse.ID, p gatehouse.Page) ([]*gatehouse.Posting, string, error) {
	size, after := page(p)
	out, err := call[adminbilling.ListPostingsResponse](ctx, c, request{method: http.MethodGet, path: "/admin/v1/postings",
		query: &adminbilling.ListPostingsRequest{PageSize: size, PageToken: after, TeamId: named(team)}})
	return each(out.GetPostings(), postingFrom), out.GetNextPageToken(), err
}

func postingFrom(p *adminbilling.Posting) *gatehouse.Posting {
	cycle, _ := gatehouse.ParseCycle(p.Cycle)
	return &gatehouse.Posting{
		ID: id(p.Id), TeamID: id(p.TeamId), Time: moment(p.Time), Kind: gatehouse.PostingKind(p.Kind), Cycle: cycle, Ref: p.Ref, Note: p.Note,
		Entries: each(p.Entries, func(e *adminbilling.Entry) gatehouse.Entry {
			return gatehouse.Entry{Account: gatehouse.Account(e.Account), Amount: ticks(e.Amount)}
		}),
	}
}

// Trial implements gatehouse.Ledger.
func (c *Client) Trial(ctx context.Context, team gatehouse.ID) (map[gatehouse.Account]gatehouse.Ticks, error) {
	out, err := call[adminbilling.TrialBalance](ctx, c, request{method: http.MethodGet, path: "/admin/v1/trial-balance",
		query: &adminbilling.GetTrialBalanceRequest{TeamId: named(team)}})
	if err != nil {
		return nil, err
	}
	all := map[gatehouse.Account]gatehouse.Ticks{}
	for _, e := range out.Balances {
		all[gatehouse.Account(e.Account)] = ticks(e.Amount)
	}
	return all, nil
}

// ListHolds implements gatehouse.Ledger.
func (c *Client) ListHolds(ctx context.Context, team gatehouse.ID, p gatehouse.Page) ([]*gatehouse.Hold, string, error) {
	size, after := page(p)
	out, err := call[adminbilling.ListHoldsResponse](ctx, c, request{method: http.MethodGet, path: holds,
		query: &adminbilling.ListHoldsRequest{PageSize: size, PageToken: after, TeamId: named(team)}})
	return each(out.GetHolds(), holdFrom), out.GetNextPageToken(), err
}

// WriteOffHold implements gatehouse.Ledger.
func (c *Client) WriteOffHold(ctx context.Context, hold gatehouse.ID) (*gatehouse.Hold, error) {
	return one(holdFrom)(call[adminbilling.Hold](ctx, c, request{method: http.MethodPost, path: under(holds, hold.String()) + "/write-off",
		body: &adminbilling.WriteOffHoldRequest{}}))
}

func holdFrom(h *adminbilling.Hold) *gatehouse.Hold {
	return &gatehouse.Hold{
		ID: id(h.Id), TeamID: id(h.TeamId), Fund: h.Fund, Gateway: id(h.GatewayId), Incarnation: h.Incarnation, Drawn: ticks(h.Drawn),
		Returned: ticks(h.Returned), Ingested: ticks(h.Ingested), Since: moment(h.Since), Seen: moment(h.Seen),
	}
}

// RerateUsage implements gatehouse.Ledger.
func (c *Client) RerateUsage(ctx context.Context, team gatehouse.ID, cycle gatehouse.Cycle) (gatehouse.RerateReport, error) {
	out, err := call[adminbilling.RerateReport](ctx, c, request{method: http.MethodPost, path: "/admin/v1/usage/rerate",
		body: &adminbilling.RerateUsageRequest{TeamId: named(team), Cycle: cycle.String()}})
	return gatehouse.RerateReport{Rows: out.GetRows(), Changed: out.GetChanged(), Before: ticks(out.GetBefore()), After: ticks(out.GetAfter())}, err
}
