package control

import (
	"context"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// Endpoints implements gatehouse.Discovery.
func (c *Caller) Endpoints(ctx context.Context, team gatehouse.ID) ([]string, error) {
	return read(ctx, c, query[[]string]{
		op: gatehouse.ListPossibleEndpointAcls, act: gatehouse.Act{Action: "endpoints.listed", Kind: gatehouse.KindTeam, TeamID: team},
		run: func(v store.View, who *principal) ([]string, error) {
			_, err := liveTeam(v, who, who.home(team))
			return slices.Clone(c.s.SpokenEndpoints), err
		},
	})
}

// TeamModels implements gatehouse.Discovery: per cluster, the models that some
// upstream there answers for.
func (c *Caller) TeamModels(ctx context.Context, team gatehouse.ID) ([]gatehouse.TeamModels, error) {
	return read(ctx, c, query[[]gatehouse.TeamModels]{
		op: gatehouse.ListPossibleModelAcls, act: gatehouse.Act{Action: "models.listed", Kind: gatehouse.KindTeam, TeamID: team},
		run: func(v store.View, who *principal) ([]gatehouse.TeamModels, error) {
			if _, err := liveTeam(v, who, who.home(team)); err != nil {
				return nil, err
			}
			return offers(v, who.now)
		},
	})
}

// offers joins clusters, upstreams and the catalogue. All of them are small
// sets, read whole.
func offers(v store.View, now time.Time) ([]gatehouse.TeamModels, error) {
	clusters, err := v.Clusters()
	if err != nil {
		return nil, err
	}
	upstreams, err := v.Upstreams()
	if err != nil {
		return nil, err
	}
	priced, err := pricedModels(v, now)
	if err != nil {
		return nil, err
	}
	out := make([]gatehouse.TeamModels, 0, len(clusters))
	for _, cluster := range clusters {
		offer := gatehouse.TeamModels{Cluster: cluster.Name}
		for _, m := range priced {
			if m.Model.In(cluster.Name) && slices.ContainsFunc(upstreams, func(u *gatehouse.Upstream) bool { return answers(u, cluster.Name, m.Model) }) {
				offer.Models = append(offer.Models, m)
			}
		}
		out = append(out, offer)
	}
	return out, nil
}

// answers reports whether u serves the model to gateways of the cluster.
func answers(u *gatehouse.Upstream, cluster string, m *gatehouse.Model) bool {
	if u.Disabled || len(u.Clusters) > 0 && !slices.Contains(u.Clusters, cluster) {
		return false
	}
	return slices.ContainsFunc(u.Serves, func(s gatehouse.Serve) bool {
		return s.Model == m.Name || s.Model == "*" && (s.Owner == "" || s.Owner == m.Owner)
	})
}

// pricedModels joins the catalogue with the prices in force.
func pricedModels(v store.View, now time.Time) ([]gatehouse.PricedModel, error) {
	models, err := v.Models()
	if err != nil {
		return nil, err
	}
	aliases, err := v.Aliases()
	if err != nil {
		return nil, err
	}
	prices, err := v.Prices()
	if err != nil {
		return nil, err
	}
	inForce := map[string]*gatehouse.Price{}
	for _, p := range prices {
		if now.Before(p.Effective) {
			continue
		}
		if old := inForce[p.Model]; old == nil || !p.Effective.Before(old.Effective) {
			inForce[p.Model] = p
		}
	}
	names := map[string][]string{}
	for _, a := range aliases {
		names[a.Target] = append(names[a.Target], a.Name)
	}
	out := make([]gatehouse.PricedModel, len(models))
	for i, m := range models {
		out[i] = gatehouse.PricedModel{Model: m, Price: inForce[m.Name], Aliases: names[m.Name]}
	}
	return out, nil
}
