package client

import (
	"context"
	"net/http"

	"gatehouse"
	"gatehouse/gen/authmgmt"
)

// TeamModels implements gatehouse.Discovery. The wire shows of a price what
// xAI's has a member for; the price book itself is ListPrices.
func (c *Client) TeamModels(ctx context.Context, team gatehouse.ID) ([]gatehouse.TeamModels, error) {
	team, err := c.team(ctx, team)
	if err != nil {
		return nil, err
	}
	out, err := call[authmgmt.ListPossibleModelAclsResponse](ctx, c, request{method: http.MethodGet, path: under("/auth/teams", team.String()) + "/models"})
	return each(out.GetClusterConfigs(), clusterModels), err
}

// Endpoints implements gatehouse.Discovery.
func (c *Client) Endpoints(ctx context.Context, team gatehouse.ID) ([]string, error) {
	team, err := c.team(ctx, team)
	if err != nil {
		return nil, err
	}
	out, err := call[authmgmt.ListPossibleEndpointAclsResponse](ctx, c, request{method: http.MethodGet, path: under("/auth/teams", team.String()) + "/endpoints"})
	return each(out.GetAcls(), (*authmgmt.PossibleAcl).GetValue), err
}

// listed is what the typed lists of a cluster have in common.
type listed interface {
	GetName() string
	GetVersion() string
	GetAliases() []string
	GetInputModalities() []authmgmt.Modality
}

func clusterModels(c *authmgmt.ClusterConfig) gatehouse.TeamModels {
	out := gatehouse.TeamModels{Cluster: c.ClusterName}
	add := func(m gatehouse.PricedModel) { out.Models = append(out.Models, m) }
	for _, m := range c.LanguageModels {
		add(languageFrom(m))
	}
	for _, m := range c.EmbeddingModels {
		p := plain(m, gatehouse.EmbeddingModel, nil)
		p.Price = priced(0, map[gatehouse.Unit]int64{gatehouse.PromptText: m.PromptTextTokenPrice, gatehouse.PromptImage: m.PromptImageTokenPrice})
		add(p)
	}
	for _, m := range c.ImageGenerationModels {
		p := plain(m, gatehouse.ImageModel, m.OutputModalities)
		p.Price = priced(0, map[gatehouse.Unit]int64{gatehouse.Images: m.ImagePrice, gatehouse.PromptImages: m.PricePerInputImage})
		add(p)
	}
	for _, m := range c.AudioModels {
		p := plain(m, gatehouse.AudioModel, m.OutputModalities)
		p.Price = priced(0, map[gatehouse.Unit]int64{gatehouse.PromptAudio: m.PromptTokenPrice, gatehouse.CompletionAudio: m.CompletionTokenPrice})
		add(p)
	}
	return out
}

func plain(m listed, t gatehouse.ModelType, output []authmgmt.Modality) gatehouse.PricedModel {
	return gatehouse.PricedModel{Aliases: m.GetAliases(), Model: &gatehouse.Model{
		Name: m.GetName(), Type: t, Version: m.GetVersion(),
		Input: each(m.GetInputModalities(), authmgmt.Modality.String), Output: each(output, authmgmt.Modality.String),
	}}
}

func languageFrom(m *authmgmt.LanguageModel) gatehouse.PricedModel {
	out := plain(m, gatehouse.LanguageModel, m.OutputModalities)
	out.Model.ContextLength = int64(m.MaxPromptLength)
	out.Model.Functions, out.Model.Structured, out.Model.Reasoning = m.Features.GetFunctionCalling(), m.Features.GetStructuredOutputs(), m.Features.GetReasoning()
	out.Price = priced(m.LongContextThreshold, map[gatehouse.Unit]int64{
		gatehouse.PromptText: m.PromptTextTokenPrice, gatehouse.PromptImage: m.PromptImageTokenPrice,
		gatehouse.CacheRead: m.CachedPromptTokenPrice, gatehouse.CompletionText: m.CompletionTextTokenPrice,
		gatehouse.Searches: m.SearchPrice * int64(gatehouse.Cent) / 1000, // cents per 1000
	})
	if out.Price != nil && m.LongContextThreshold > 0 {
		out.Price.LongContext = units(map[gatehouse.Unit]int64{
			gatehouse.PromptText: m.PromptTextTokenPriceLongContext, gatehouse.CacheRead: m.CachedPromptTokenPriceLongContext,
			gatehouse.CompletionText: m.CompletionTokenPriceLongContext,
		})
	}
	return out
}

// priced is nil when nothing has a price: on this wire 0 means both "free" and
// "not priced", and only the second happens.
func priced(threshold int64, by map[gatehouse.Unit]int64) *gatehouse.Price {
	u := units(by)
	if len(u) == 0 {
		return nil
	}
	return &gatehouse.Price{Units: u, LongThreshold: threshold}
}

func units(by map[gatehouse.Unit]int64) map[string]gatehouse.Ticks {
	out := map[string]gatehouse.Ticks{}
	for u, n := range by {
		if n != 0 {
			out[u.String()] = gatehouse.Ticks(n)
		}
	}
	return out
}
