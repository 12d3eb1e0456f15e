package store

import (
	"context"

	"gatehouse"
)

// System is the scope of whoever answers for the whole installation: the feed,
// ingest, jobs, and operators.
func System(ctx context.Context) context.Context { return context.WithValue(ctx, scopeKey{}, "*") }

// ForTeam is the scope of one team: whatever the statement says, rows of other
// teams are not there. It is a second wall behind the team predicates, and an
// engine that has none (SQLite) leaves it to these.
func ForTeam(ctx context.Context, team gatehouse.ID) context.Context {
	return context.WithValue(ctx, scopeKey{}, team.String())
}

// ScopeOf is what the engine is told: "*" for all teams, a team's id, or
// nothing, under which no row of any team is visible.
func ScopeOf(ctx context.Context) string {
	s, _ := ctx.Value(scopeKey{}).(string)
	return s
}

type scopeKey struct{}
