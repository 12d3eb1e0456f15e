package limittest_test

import (
	"context"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/limit"
	"gatehouse/internal/limit/limittest"
)

// replaced is an authority that can be restarted under its callers.
type replaced struct{ *limit.Memory }

func (r *replaced) Lease(ctx context.Context, q limit.LeaseRequest) (limit.LeaseReply, error) {
	return r.Memory.Lease(ctx, q)
}

// A first start has nothing to wait for; any other does (docs/limits.md).
func TestAFirstMemoryGrantsAtOnce(t *testing.T) {
	s := limit.Subject{ID: gatehouse.NewID(), Limits: gatehouse.Limits{QPS: 5, QPM: 9}}
	for first, m := range map[bool]*limit.Memory{true: limit.NewFirstMemory(time.Now), false: limit.NewMemory(time.Now)} {
		r, err := m.Take(t.Context(), limit.TakeRequest{Holder: gatehouse.NewID(), Subjects: []limit.Subject{s}, Cost: 1})
		if err != nil || r.OK != first {
			t.Errorf("first %v: %+v, %v", first, r, err)
		}
	}
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
