package control

import (
	"context"

	"gatehouse"
	"gatehouse/internal/meter"
	"gatehouse/internal/store"
)

// AnalyzeUsage implements gatehouse.UsageReader.
func (c *Caller) AnalyzeUsage(ctx context.Context, team gatehouse.ID, q gatehouse.UsageQuery) (gatehouse.UsageAnswer, error) {
	return survey(ctx, c, query[gatehouse.UsageAnswer]{
		op: gatehouse.AnalyzeBillingItems, act: gatehouse.Act{Action: "usage.read", Kind: gatehouse.KindTeam, TeamID: team},
		check: func(v store.View, who *principal) error {
			_, err := liveTeam(v, who, who.home(team))
			return err
		},
		run: func(v store.View, who *principal) (gatehouse.UsageAnswer, error) {
			return meter.Analysis{Retention: c.s.Retention, Brand: c.s.Brand}.Analyze(v, who.home(team), q, who.now)
		},
	})
}
