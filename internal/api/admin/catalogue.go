package admin

import (
	"context"

	"gatehouse"
	adminpb "gatehouse/gen/admin"
	"gatehouse/internal/api"
)

// ListModels implements adminpb.AdminServer.
func (service) ListModels(ctx context.Context, in *adminpb.ListModelsRequest) (*adminpb.ListModelsResponse, error) {
	all, next, err := list(in.PageSize, in.PageToken, func(p gatehouse.Page) ([]*gatehouse.Model, string, error) {
		return api.From(ctx).ListModels(ctx, p)
	}, model)
	return &adminpb.ListModelsResponse{Models: all, NextPageToken: next}, err
}

// CreateModel implements adminpb.AdminServer.
func (service) CreateModel(ctx context.Context, in *adminpb.CreateModelRequest) (*adminpb.Model, error) {
	return oneModel(ctx)(api.From(ctx).PutModel(ctx, modelIn(given(in.Model))))
}

// GetModel implements adminpb.AdminServer.
func (service) GetModel(ctx context.Context, in *adminpb.GetModelRequest) (*adminpb.Model, error) {
	return oneModel(ctx)(api.From(ctx).GetModel(ctx, in.Name))
}

// UpdateModel implements adminpb.AdminServer.
func (service) UpdateModel(ctx context.Context, in *adminpb.UpdateModelRequest) (*adminpb.Model, error) {
	m := modelIn(given(in.Model))
	m.Name = in.Name
	fields(ctx, in.FieldMask.GetPaths())
	return oneModel(ctx)(api.From(ctx).PutModel(ctx, m))
}

// DeleteModel implements adminpb.AdminServer.
func (service) DeleteModel(ctx context.Context, in *adminpb.DeleteModelRequest) (*adminpb.DeleteModelResponse, error) {
	return &adminpb.DeleteModelResponse{}, api.From(ctx).DeleteModel(ctx, in.Name)
}

func oneModel(ctx context.Context) func(*gatehouse.Model, error) (*adminpb.Model, error) {
	return one(ctx, model, func(m *gatehouse.Model) gatehouse.Revision { return m.Revision })
}

func model(m *gatehouse.Model) *adminpb.Model {
	return &adminpb.Model{
		Name: m.Name, Type: string(m.Type), Owner: m.Owner, Version: m.Version, Created: api.Stamp(m.Created),
		ContextLength: m.ContextLength, Input: m.Input, Output: m.Output, FunctionCalling: m.Functions,
		StructuredOutputs: m.Structured, Reasoning: m.Reasoning, Source: m.Source, SourceDate: m.SourceDate,
		Clusters: m.Clusters, Declared: m.Declared, Revision: m.Revision.String(),
	}
}

func modelIn(m *adminpb.Model) *gatehouse.Model {
	return &gatehouse.Model{
		Name: m.Name, Type: gatehouse.ModelType(m.Type), Owner: m.Owner, Version: m.Version, Created: api.Time(m.Created),
		ContextLength: m.ContextLength, Input: m.Input, Output: m.Output, Functions: m.FunctionCalling,
		Structured: m.StructuredOutputs, Reasoning: m.Reasoning, Source: m.Source, SourceDate: m.SourceDate,
		Clusters: m.Clusters,
	}
}

// ListAliases implements adminpb.AdminServer.
func (service) ListAliases(ctx context.Context, in *adminpb.ListAliasesRequest) (*adminpb.ListAliasesResponse, error) {
	all, next, err := list(in.PageSize, in.PageToken, func(p gatehouse.Page) ([]*gatehouse.Alias, string, error) {
		return api.From(ctx).ListAliases(ctx, p)
	}, alias)
	return &adminpb.ListAliasesResponse{Aliases: all, NextPageToken: next}, err
}

// CreateAlias implements adminpb.AdminServer.
func (service) CreateAlias(ctx context.Context, in *adminpb.CreateAliasRequest) (*adminpb.Alias, error) {
	return oneAlias(ctx)(api.From(ctx).PutAlias(ctx, aliasIn(given(in.Alias))))
}

// GetAlias implements adminpb.AdminServer.
func (service) GetAlias(ctx context.Context, in *adminpb.GetAliasRequest) (*adminpb.Alias, error) {
	return oneAlias(ctx)(api.From(ctx).GetAlias(ctx, in.Name))
}

// UpdateAlias implements adminpb.AdminServer.
func (service) UpdateAlias(ctx context.Context, in *adminpb.UpdateAliasRequest) (*adminpb.Alias, error) {
	a := aliasIn(given(in.Alias))
	a.Name = in.Name
	fields(ctx, in.FieldMask.GetPaths())
	return oneAlias(ctx)(api.From(ctx).PutAlias(ctx, a))
}

// DeleteAlias implements adminpb.AdminServer.
func (service) DeleteAlias(ctx context.Context, in *adminpb.DeleteAliasRequest) (*adminpb.DeleteAliasResponse, error) {
	return &adminpb.DeleteAliasResponse{}, api.From(ctx).DeleteAlias(ctx, in.Name)
}

func oneAlias(ctx context.Context) func(*gatehouse.Alias, error) (*adminpb.Alias, error) {
	return one(ctx, alias, func(a *gatehouse.Alias) gatehouse.Revision { return a.Revision })
}

func alias(a *gatehouse.Alias) *adminpb.Alias {
	return &adminpb.Alias{Name: a.Name, Target: a.Target, Fallbacks: a.Fallbacks, Declared: a.Declared, Revision: a.Revision.String()}
}

func aliasIn(a *adminpb.Alias) *gatehouse.Alias {
	return &gatehouse.Alias{Name: a.Name, Target: a.Target, Fallbacks: a.Fallbacks}
}

// ListPrices implements adminpb.AdminServer.
func (service) ListPrices(ctx context.Context, in *adminpb.ListPricesRequest) (*adminpb.ListPricesResponse, error) {
	all, next, err := list(in.PageSize, in.PageToken, func(p gatehouse.Page) ([]*gatehouse.Price, string, error) {
		return api.From(ctx).ListPrices(ctx, p)
	}, price)
	return &adminpb.ListPricesResponse{Prices: all, NextPageToken: next}, err
}

// CreatePrice implements adminpb.AdminServer.
func (service) CreatePrice(ctx context.Context, in *adminpb.CreatePriceRequest) (*adminpb.Price, error) {
	return onePrice(ctx)(api.From(ctx).PutPrice(ctx, priceIn(given(in.Price))))
}

// GetPrice implements adminpb.AdminServer.
func (service) GetPrice(ctx context.Context, in *adminpb.GetPriceRequest) (*adminpb.Price, error) {
	return onePrice(ctx)(api.From(ctx).GetPrice(ctx, api.PathID(in.Id)))
}

// DeletePrice implements adminpb.AdminServer.
func (service) DeletePrice(ctx context.Context, in *adminpb.DeletePriceRequest) (*adminpb.DeletePriceResponse, error) {
	return &adminpb.DeletePriceResponse{}, api.From(ctx).DeletePrice(ctx, api.PathID(in.Id))
}

func onePrice(ctx context.Context) func(*gatehouse.Price, error) (*adminpb.Price, error) {
	return one(ctx, price, func(p *gatehouse.Price) gatehouse.Revision { return p.Revision })
}

func price(p *gatehouse.Price) *adminpb.Price {
	out := &adminpb.Price{
		Id: p.ID.String(), Model: p.Model, Effective: api.Stamp(p.Effective), Units: numbers[int64](p.Units),
		LongContext: numbers[int64](p.LongContext), LongContextThreshold: p.LongThreshold,
		Source: p.Source, SourceDate: p.SourceDate, Declared: p.Declared, Revision: p.Revision.String(),
		Tiers: map[string]*adminpb.PriceTier{},
	}
	for name, units := range p.Tiers {
		out.Tiers[name] = &adminpb.PriceTier{Units: numbers[int64](units)}
	}
	return out
}

func priceIn(p *adminpb.Price) *gatehouse.Price {
	out := &gatehouse.Price{
		Model: p.Model, Effective: api.Time(p.Effective), Units: numbers[gatehouse.Ticks](p.Units),
		LongContext: numbers[gatehouse.Ticks](p.LongContext), LongThreshold: p.LongContextThreshold,
		Source: p.Source, SourceDate: p.SourceDate,
	}
	for name, t := range p.Tiers {
		if out.Tiers == nil {
			out.Tiers = map[string]map[string]gatehouse.Ticks{}
		}
		out.Tiers[name] = numbers[gatehouse.Ticks](t.GetUnits())
	}
	return out
}

// numbers converts between ticks and their numbers.
func numbers[To, From ~int64](in map[string]From) map[string]To {
	out := make(map[string]To, len(in))
	for k, v := range in {
		out[k] = To(v)
	}
	return out
}
