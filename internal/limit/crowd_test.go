package limit_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
	"gatehouse/internal/limit"
)

// distant is a memory behind a wire that serves one call after the other, as
// Redis does: a call waits for those before it, then for its own cost.
type distant struct {
	*limit.Memory
	demand, one time.Duration // what a demand costs, and a take
	stall       time.Duration // what a renewal takes beside
	mu          sync.Mutex
	free        time.Time // when it has served all it was sent
	demands     int       // that it was sent
	takes       int
}

func (d *distant) serve(ctx context.Context, cost time.Duration) error {
	const wire = 100 * time.Microsecond
	d.mu.Lock()
	now := time.Now()
	if d.free.Before(now) {
		d.free = now
	}
	d.free = d.free.Add(cost)
	done := d.free.Add(wire).Sub(now)
	d.mu.Unlock()
	return wait(ctx, done)
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *distant) Lease(ctx context.Context, r limit.LeaseRequest) (limit.LeaseReply, error) {
	d.mu.Lock()
	d.demands += len(r.Demands)
	d.mu.Unlock()
	if err := d.serve(ctx, time.Duration(len(r.Demands))*d.demand); err != nil {
		return limit.LeaseReply{}, err
	}
	reply, err := d.Memory.Lease(ctx, r)
	if late := wait(ctx, d.stall); late != nil {
		return limit.LeaseReply{}, late
	}
	return reply, err
}

func (d *distant) Take(ctx context.Context, r limit.TakeRequest) (limit.TakeReply, error) {
	d.mu.Lock()
	d.takes++
	d.mu.Unlock()
	if err := d.serve(ctx, d.one); err != nil {
		return limit.TakeReply{}, err
	}
	return d.Memory.Take(ctx, r)
}

// crowd has 64 clients send requests of keys that take turns, none above its
// limits, and returns how many were refused and made.
func crowd(t *testing.T, d *distant, keys int, each, long time.Duration) (refused, made int) {
	d.Memory = limit.NewMemory(time.Now)
	time.Sleep(2 * time.Minute) // it has been there for a while
	l := limit.New(limit.Config{Now: time.Now, Authority: d, Gateway: gatehouse.NewID()})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { l.Run(ctx) })
	ids := make([]gatehouse.ID, keys)
	for i := range ids {
		ids[i] = gatehouse.NewID()
	}
	var mu sync.Mutex
	end := time.Now().Add(long)
	for range 64 {
		wg.Go(func() {
			for time.Now().Before(end) {
				mu.Lock()
				id := ids[made%keys]
				made++
				mu.Unlock()
				v, _, err := l.Admit(ctx, time.Since(l.Epoch()), limit.Request{Key: id, Limits: gatehouse.Limits{QPS: 5, QPM: 100}})
				if err != nil || !v.OK {
					mu.Lock()
					refused++
					mu.Unlock()
				}
				time.Sleep(each)
			}
		})
	}
	time.Sleep(long + time.Second)
	stop()
	wg.Wait()
	return refused, made
}

// Every request of a crowd of keys that are each used rarely asks the authority,
// or is part of renewals that the takes of others wait behind. None is above its
// limits, so what is refused is refused for want of an answer.
func TestACrowdOfRarelyUsedKeysIsNotRefused(t *testing.T) {
	for name, c := range map[string]struct {
		authority *distant
		each      time.Duration // from one request of a client to its next
	}{
		"each key every two seconds":   {&distant{demand: 16 * time.Microsecond, one: 20 * time.Microsecond}, 4500 * time.Microsecond},
		"each key every ten seconds":   {&distant{demand: 40 * time.Microsecond, one: 50 * time.Microsecond}, 20 * time.Millisecond},
		"renewals that come back late": {&distant{demand: 16 * time.Microsecond, one: 20 * time.Microsecond, stall: 700 * time.Millisecond}, 4500 * time.Microsecond},
		"renewals that are lost":       {&distant{demand: 16 * time.Microsecond, one: 20 * time.Microsecond, stall: 3 * time.Second}, 4500 * time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := c.authority
				refused, made := crowd(t, d, 30_000, c.each, 8*time.Second)
				t.Logf("%d of %d refused, %d demands, %d takes", refused, made, d.demands, d.takes)
				if 100*refused > made {
					t.Errorf("%d of %d were refused, and none had reached its limit", refused, made)
				}
			})
		})
	}
}

// Two gateways that use a key now and then ask for each admission and get it: a
// share of either would be idle, and the other refused.
func TestAKeyThatSeveralUseRarelyIsLeasedToNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := limit.NewMemory(time.Now)
		time.Sleep(2 * time.Minute)
		ctx, stop := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer stop()
		var two [2]*limit.Limiter
		for i := range two {
			two[i] = limit.New(limit.Config{Now: time.Now, Authority: m, Gateway: gatehouse.NewID()})
			go two[i].Run(ctx)
		}
		r := limit.Request{Key: gatehouse.NewID(), Limits: gatehouse.Limits{QPS: 5, QPM: 100}}
		for i := range 40 {
			time.Sleep(2 * time.Second)
			if v, _, err := two[i%2].Admit(ctx, time.Since(two[i%2].Epoch()), r); err != nil || !v.OK {
				t.Fatalf("request %d: %+v, %v", i, v, err)
			}
		}
	})
}

// gone is an authority of which a client tires.
type gone struct{ *limit.Memory }

func (g gone) Take(ctx context.Context, r limit.TakeRequest) (limit.TakeReply, error) {
	if err := ctx.Err(); err != nil {
		return limit.TakeReply{}, err
	}
	return g.Memory.Take(ctx, r)
}

// A client that leaves while the authority is asked says nothing of the
// authority, and closes it to nobody.
func TestAClientThatLeavesClosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gone{limit.NewMemory(time.Now)}
		time.Sleep(2 * time.Minute)
		l := limit.New(limit.Config{Now: time.Now, Authority: g, Gateway: gatehouse.NewID()})
		r := limit.Request{Key: gatehouse.NewID(), Limits: gatehouse.Limits{QPS: 5}}
		left, leave := context.WithCancel(t.Context())
		leave()
		if _, _, err := l.Admit(left, 0, r); gatehouse.CodeOf(err) != gatehouse.Unavailable || l.Failed() != 0 {
			t.Errorf("%v, %d calls failed", err, l.Failed())
		}
		if v, _, err := l.Admit(t.Context(), 0, r); err != nil || !v.OK {
			t.Errorf("%+v, %v", v, err)
		}
	})
}
