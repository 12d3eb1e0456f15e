package client

import (
	"context"
	"net/http"

	"gatehouse"
	"gatehouse/gen/admin"
)

const prices = "/admin/v1/prices"

// ListPrices implements gatehouse.Prices.
func (c *Client) ListPrices(ctx context.Context, p gatehouse.Page) ([]*gatehouse.Price, string, error) {
	size, after := page(p)
	out, err := call[admin.ListPricesResponse](ctx, c, request{method: http.MethodGet, path: prices,
		query: &admin.ListPricesRequest{PageSize: size, PageToken: after}})
	return each(out.GetPrices(), priceFrom), out.GetNextPageToken(), err
}

// GetPrice implements gatehouse.Prices.
func (c *Client) GetPrice(ctx context.Context, price gatehouse.ID) (*gatehouse.Price, error) {
	return one(priceFrom)(call[admin.Price](ctx, c, request{method: http.MethodGet, path: under(prices, price.String())}))
}

// PutPrice implements gatehouse.Prices. The wire adds prices and deletes those
// to come; it has no route that edits one, so one with an id is refused here
// and not silently added as another.
func (c *Client) PutPrice(ctx context.Context, p *gatehouse.Price) (*gatehouse.Price, error) {
	if !p.ID.IsZero() {
		return nil, gatehouse.Errorf(gatehouse.FailedPrecondition,
			"a price is not edited over HTTP: add one that takes effect later, or delete one that has not taken effect yet")
	}
	return one(priceFrom)(call[admin.Price](ctx, c, request{method: http.MethodPost, path: prices, body: priceTo(p)}))
}

// DeletePrice implements gatehouse.Prices.
func (c *Client) DeletePrice(ctx context.Context, price gatehouse.ID) error {
	_, err := call[admin.DeletePriceResponse](ctx, c, request{method: http.MethodDelete, path: under(prices, price.String())})
	return err
}

func priceTo(p *gatehouse.Price) *admin.Price {
	out := &admin.Price{
		Model: p.Model, Effective: stamp(p.Effective), Units: recast[int64](p.Units), LongContext: recast[int64](p.LongContext),
		LongContextThreshold: p.LongThreshold, Source: p.Source, SourceDate: p.SourceDate,
	}
	for tier, units := range p.Tiers {
		if out.Tiers == nil {
			out.Tiers = map[string]*admin.PriceTier{}
		}
		out.Tiers[tier] = &admin.PriceTier{Units: recast[int64](units)}
	}
	return out
}

func priceFrom(p *admin.Price) *gatehouse.Price {
	out := &gatehouse.Price{
		ID: id(p.Id), Model: p.Model, Effective: moment(p.Effective), Units: recast[gatehouse.Ticks](p.Units),
		LongContext: recast[gatehouse.Ticks](p.LongContext), LongThreshold: p.LongContextThreshold,
		Source: p.Source, SourceDate: p.SourceDate, Declared: p.Declared, Revision: revision(p.Revision),
	}
	for tier, t := range p.Tiers {
		if out.Tiers == nil {
			out.Tiers = map[string]map[string]gatehouse.Ticks{}
		}
		out.Tiers[tier] = recast[gatehouse.Ticks](t.GetUnits())
	}
	return out
}

// recast changes the name of the numbers; nil stays nil.
func recast[To, From ~int64](in map[string]From) map[string]To {
	if in == nil {
		return nil
	}
	out := make(map[string]To, len(in))
	for k, v := range in {
		out[k] = To(v)
	}
	return out
}
