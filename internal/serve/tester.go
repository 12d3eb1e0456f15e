package serve

import (
	"context"

	"gatehouse"
	"gatehouse/internal/gateway"
)

// tester is control's port for testing upstreams: the data plane knows how.
type tester struct{}

// TestUpstream implements the port.
func (tester) TestUpstream(ctx context.Context, u *gatehouse.Upstream) gatehouse.UpstreamReport {
	return gateway.Probe(ctx, u)
}
