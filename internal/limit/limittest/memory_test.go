package limittest_test

import (
	"context"
	"testing"
	"time"

	"gatehouse/internal/limit"
	"gatehouse/internal/limit/limittest"
)

// replaced is an authority that can be restarted under its callers.
type replaced struct{ *limit.Memory }

func (r *replaced) Lease(ctx context.Context, q limit.LeaseRequest) (limit.LeaseReply, error) {
	return r.Memory.Lease(ctx, q)
}

func TestMemoryKeepsTheContract(t *testing.T) {
	limittest.Run(t, func(*testing.T) limittest.Subjected {
		now := time.Now()
		clock := func() time.Time { return now }
		r := &replaced{limit.NewMemory(clock)}
		now = now.Add(5 * time.Minute) // long in office
		return limittest.Subjected{Authority: r, Forget: func(*testing.T) { r.Memory = limit.NewMemory(clock) }}
	})
}
