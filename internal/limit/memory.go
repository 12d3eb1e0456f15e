package limit

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"gatehouse"
)

// Memory is an authority in this process: control has one for its gateways when
// there is no Valkey.
type Memory struct {
	mu    sync.Mutex
	book  *Book
	now   func() time.Time
	start time.Time
}

// NewMemory returns an authority that remembers nothing: it treats whatever was
// granted before it as still in force until that is over.
func NewMemory(now func() time.Time) *Memory {
	return &Memory{book: NewBook(rand.Uint64(), 0), now: now, start: now()}
}

// NewFirstMemory returns an authority that grants from now on: there is nothing
// to wait for. It is only for who knows that no gateway was ever part of this
// installation, and that nobody else is its authority; what anything admitted
// in the last 71.5 seconds would be admitted again.
func NewFirstMemory(now func() time.Time) *Memory {
	m := NewMemory(now)
	m.book.since = -(Life + Margin + remembered(perMinute))
	return m
}

// Lease implements [Authority].
func (m *Memory) Lease(_ context.Context, r LeaseRequest) (LeaseReply, error) {
	if err := r.Check(); err != nil {
		return LeaseReply{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.book.Lease(m.elapsed(), r), nil
}

// Take implements [Authority].
func (m *Memory) Take(_ context.Context, r TakeRequest) (TakeReply, error) {
	if err := r.Check(); err != nil {
		return TakeReply{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.book.Take(m.elapsed(), r), nil
}

// Exchange implements [Authority].
func (m *Memory) Exchange(_ context.Context, r ExchangeRequest) (ExchangeReply, error) {
	if err := r.Check(); err != nil {
		return ExchangeReply{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.book.Exchange(m.elapsed(), r), nil
}

// elapsed is monotonic: two readings under the lock never run backwards.
func (m *Memory) elapsed() time.Duration { return m.now().Sub(m.start) }

// Check refuses what no gateway sends, so that a broken or hostile one cannot
// take what is not there.
func (r *LeaseRequest) Check() error {
	if r.Holder.IsZero() || r.Seq == 0 || len(r.Demands) > MaxBatch {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "a lease request names its holder, a sequence from 1 on and at most %d subjects", MaxBatch)
	}
	for i := range r.Demands {
		d := &r.Demands[i]
		if d.Subject.ID.IsZero() || negative(d.Held) || negative(d.Used) || negative(d.Want) || d.Weight < 0 || d.Weight > MaxWeight || bad(d.Subject.Limits) {
			return gatehouse.Errorf(gatehouse.InvalidArgument, "a demand has a subject and no negative amounts")
		}
	}
	return nil
}

// Check refuses what would give back instead of taking.
func (r *TakeRequest) Check() error {
	if r.Holder.IsZero() || r.Cost < 1 || r.Guard < 0 || r.Guard > MaxGuard || len(r.Subjects) == 0 || len(r.Subjects) > 8 {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "a take names its holder, one to eight subjects, a cost of at least 1 and a guard of 0 to %v", MaxGuard)
	}
	for _, s := range r.Subjects {
		if s.ID.IsZero() || bad(s.Limits) {
			return gatehouse.Errorf(gatehouse.InvalidArgument, "a subject has an id and no negative limits")
		}
	}
	return nil
}

// Check refuses counts that would lower the sum of others.
func (r *ExchangeRequest) Check() error {
	if r.Holder.IsZero() || r.Seq == 0 || len(r.Counts) > MaxBatch {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "an exchange names its holder, a sequence from 1 on and at most %d subjects", MaxBatch)
	}
	for _, c := range r.Counts {
		if c.Subject.IsZero() || c.Tokens < 0 {
			return gatehouse.Errorf(gatehouse.InvalidArgument, "a count has a subject and is not negative")
		}
	}
	return nil
}

func negative(r Rates) bool { return r.QPS < 0 || r.QPM < 0 }

func bad(l gatehouse.Limits) bool { return l.QPS < 0 || l.QPM < 0 || l.TPM < 0 }
