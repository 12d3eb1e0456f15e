package xai

import (
	"context"
	"strings"

	"gatehouse"
	"gatehouse/gen/authmgmt"
	"gatehouse/internal/api"
)

// ListPossibleEndpointAcls implements authmgmt.AuthManagementServer.
func (auth) ListPossibleEndpointAcls(ctx context.Context, in *authmgmt.ListPossibleEndpointAclsRequest) (*authmgmt.ListPossibleEndpointAclsResponse, error) {
	endpoints, err := api.From(ctx).Endpoints(ctx, api.PathID(in.TeamId))
	out := &authmgmt.ListPossibleEndpointAclsResponse{}
	for _, e := range endpoints {
		out.Acls = append(out.Acls, &authmgmt.PossibleAcl{
			Acl: gatehouse.EndpointACL(e), Namespace: "api-key", Key: "endpoint", Value: e,
			Description: "Grants access to use a specific endpoint with an API Key.",
		})
	}
	return out, err
}

// ListPossibleModelAcls implements authmgmt.AuthManagementServer.
func (auth) ListPossibleModelAcls(ctx context.Context, in *authmgmt.ListPossibleModelAclsRequest) (*authmgmt.ListPossibleModelAclsResponse, error) {
	clusters, err := api.From(ctx).TeamModels(ctx, api.PathID(in.TeamId))
	out := &authmgmt.ListPossibleModelAclsResponse{}
	for _, c := range clusters {
		config := &authmgmt.ClusterConfig{ClusterName: c.Cluster}
		for _, m := range c.Models {
			place(config, m)
		}
		out.ClusterConfigs = append(out.ClusterConfigs, config)
	}
	return out, err
}

// place puts a model into the array of its type.
func place(c *authmgmt.ClusterConfig, m gatehouse.PricedModel) {
	switch m.Model.Type {
	case gatehouse.EmbeddingModel:
		c.EmbeddingModels = append(c.EmbeddingModels, embedding(c.ClusterName, m))
	case gatehouse.ImageModel:
		c.ImageGenerationModels = append(c.ImageGenerationModels, image(c.ClusterName, m))
	case gatehouse.AudioModel:
		c.AudioModels = append(c.AudioModels, audio(c.ClusterName, m))
	default: // moderation models have no array of their own at xAI
		c.LanguageModels = append(c.LanguageModels, language(c.ClusterName, m))
	}
}

// tag is how a unit price appears, in ticks per unit; 0 when there is none.
func tag(m gatehouse.PricedModel, u gatehouse.Unit) int64 {
	if m.Price == nil {
		return 0
	}
	return int64(m.Price.Units[u.String()])
}

// long is tag above the long-context threshold; 0 where nothing changes there.
func long(m gatehouse.PricedModel, u gatehouse.Unit) int64 {
	if m.Price == nil {
		return 0
	}
	return int64(m.Price.LongContext[u.String()])
}

// centsPerThousand turns ticks per search into USD cents per 1000 searches.
func centsPerThousand(ticks int64) int64 { return ticks / (int64(gatehouse.Cent) / 1000) }

func language(cluster string, m gatehouse.PricedModel) *authmgmt.LanguageModel {
	out := &authmgmt.LanguageModel{
		Name: m.Model.Name, Version: m.Model.Version, Cluster: cluster, Aliases: m.Aliases,
		InputModalities: modalities(m.Model.Input), OutputModalities: modalities(m.Model.Output),
		RateLimits: &authmgmt.RateLimits{}, ProvisionedThroughput: &authmgmt.ProvisionedThroughput{},
		PromptTextTokenPrice: tag(m, gatehouse.PromptText), PromptImageTokenPrice: tag(m, gatehouse.PromptImage),
		PromptTextTokenPriceLongContext:   long(m, gatehouse.PromptText),
		CachedPromptTokenPrice:            tag(m, gatehouse.CacheRead),
		CachedPromptTokenPriceLongContext: long(m, gatehouse.CacheRead),
		CompletionTextTokenPrice:          tag(m, gatehouse.CompletionText),
		CompletionTokenPriceLongContext:   long(m, gatehouse.CompletionText),
		SearchPrice:                       centsPerThousand(tag(m, gatehouse.Searches)),
		MaxPromptLength:                   int32(min(m.Model.ContextLength, 1<<31-1)),
		Features: &authmgmt.Features{
			FunctionCalling: m.Model.Functions, StructuredOutputs: m.Model.Structured, Reasoning: m.Model.Reasoning,
		},
	}
	if m.Price != nil {
		out.LongContextThreshold = m.Price.LongThreshold
	}
	return out
}

func embedding(cluster string, m gatehouse.PricedModel) *authmgmt.EmbeddingModel {
	return &authmgmt.EmbeddingModel{
		Name: m.Model.Name, Version: m.Model.Version, Cluster: cluster, Aliases: m.Aliases,
		InputModalities: modalities(m.Model.Input), RateLimits: &authmgmt.RateLimits{},
		PromptTextTokenPrice: tag(m, gatehouse.PromptText), PromptImageTokenPrice: tag(m, gatehouse.PromptImage),
	}
}

func image(cluster string, m gatehouse.PricedModel) *authmgmt.ImageGenerationModel {
	return &authmgmt.ImageGenerationModel{
		Name: m.Model.Name, Version: m.Model.Version, Cluster: cluster, Aliases: m.Aliases,
		InputModalities: modalities(m.Model.Input), OutputModalities: modalities(m.Model.Output),
		RateLimits: &authmgmt.RateLimits{}, ImagePrice: tag(m, gatehouse.Images),
		ResolutionPricing:  []*authmgmt.ImageResolutionPricing{{PricePerImage: tag(m, gatehouse.Images)}},
		PricePerInputImage: tag(m, gatehouse.PromptImages),
	}
}

func audio(cluster string, m gatehouse.PricedModel) *authmgmt.AudioModel {
	return &authmgmt.AudioModel{
		Name: m.Model.Name, Version: m.Model.Version, Cluster: cluster, Aliases: m.Aliases,
		InputModalities: modalities(m.Model.Input), OutputModalities: modalities(m.Model.Output),
		RateLimits:       &authmgmt.RateLimits{},
		PromptTokenPrice: tag(m, gatehouse.PromptAudio), CompletionTokenPrice: tag(m, gatehouse.CompletionAudio),
	}
}

func modalities(in []string) (out []authmgmt.Modality) {
	for _, s := range in {
		out = append(out, authmgmt.Modality(authmgmt.Modality_value[strings.ToUpper(s)]))
	}
	return out
}

// ValidateManagementKey implements authmgmt.AuthManagementServer.
func (auth) ValidateManagementKey(ctx context.Context, _ *authmgmt.ValidateManagementKeyRequest) (*authmgmt.ManagementKey, error) {
	r := api.From(ctx)
	k, err := r.Self(ctx)
	if err != nil {
		return nil, err
	}
	return api.ManagementKey(k, gatehouse.Token{}, r.Brand), nil
}

// ListTeams implements authmgmt.AuthManagementServer.
func (auth) ListTeams(ctx context.Context, in *authmgmt.ListTeamsRequest) (*authmgmt.ListTeamsResponse, error) {
	page, err := api.Page(in.PageSize, in.PageToken)
	if err != nil {
		return nil, err
	}
	teams, next, err := api.From(ctx).ListTeams(ctx, page)
	out := &authmgmt.ListTeamsResponse{NextPageToken: api.Next(next)}
	for _, t := range teams {
		out.Teams = append(out.Teams, &authmgmt.TeamRef{TeamId: t.ID.String(), Name: t.Name})
	}
	return out, err
}
