package sqlstore

import (
	"context"
	"time"

	"gatehouse"
)

// Sum is usage that was added up already: Requests requests of a quarter of an
// hour, with their units and costs.
type Sum struct {
	Team, Key                gatehouse.ID
	Model, Endpoint, Cluster string
	At                       time.Time
	Requests                 int64
	Units                    gatehouse.Usage
	Costs                    gatehouse.Costs
}

// FillRollups appends sums to the rollups, a run for each team and day. It is
// for measuring questions to rollups of a size whose rows would take hours to
// ingest: sums without rows are what CheckUsage reports as a drift.
func (s *Store) FillRollups(ctx context.Context, all []Sum) error {
	var i *ingest
	err := s.perform(ctx, func(w *session) error {
		i = &ingest{view: view{s: s, ctx: context.WithoutCancel(ctx), sess: w}}
		sums := runSums{}
		for n := range all {
			if err := i.fill(sums, &all[n]); err != nil {
				return err
			}
		}
		return sums.write(w)
	})
	if err != nil {
		return err
	}
	for name, id := range i.fresh {
		s.names.add(name, id)
	}
	return nil
}

// fill adds one sum. An item is a unit that a request used, so each request of
// the sum is taken to have used every unit that it has.
func (i *ingest) fill(sums runSums, x *Sum) error {
	u := gatehouse.UsageRecord{TeamID: x.Team, KeyID: x.Key, Model: x.Model, Endpoint: x.Endpoint, Cluster: x.Cluster, Start: x.At, Usage: x.Units, Costs: x.Costs}
	p, err := i.locate(&u)
	if err != nil {
		return err
	}
	sums.add(&u, p)
	k := runKey{p.team, dayOf(x.At)}
	e := sums[k][len(sums[k])-1]
	e.requests, e.items = x.Requests, x.Requests*e.items
	return nil
}
