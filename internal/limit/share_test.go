package limit

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"gatehouse"
)

// liar answers what it was told to, whatever it is asked.
type liar struct {
	others int64
	err    error
}

func (l liar) Lease(_ context.Context, r LeaseRequest) (LeaseReply, error) {
	return LeaseReply{Seq: r.Seq, Shares: make([]Share, len(r.Demands))}, l.err
}

func (l liar) Take(context.Context, TakeRequest) (TakeReply, error) { return TakeReply{}, l.err }

func (l liar) Exchange(_ context.Context, r ExchangeRequest) (ExchangeReply, error) {
	reply := ExchangeReply{Seq: r.Seq, Epoch: 1, Age: 2 * time.Minute}
	for range r.Counts {
		reply.Others = append(reply.Others, l.others)
	}
	return reply, l.err
}

// From the return of Share on nothing is admitted alone, not even what had
// looked before. With an authority that is away and no members, that is nothing.
func TestNothingIsAdmittedAloneAfterShare(t *testing.T) {
	for range 50 {
		l := New(Config{Now: time.Now, Authority: liar{err: errors.New("away")}, Alone: true, Gateway: gatehouse.NewID()})
		key := gatehouse.NewID()
		r := Request{Key: key, Limits: gatehouse.Limits{QPM: 1 << 30}}
		counted := func() int64 {
			s := &l.alone.shards[key[15]%shardCount]
			s.mu.Lock()
			defer s.mu.Unlock()
			if e := s.byKey[key]; e != nil {
				return e.minute.sum
			}
			return 0
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					if v, _, _ := l.Admit(t.Context(), l.elapsed(), r); !v.OK {
						return
					}
				}
			})
		}
		for counted() < 10 {
		}
		l.Share()
		atShare := counted()
		wg.Wait()
		if n := counted(); n != atShare {
			t.Fatalf("%d were admitted after Share returned", n-atShare)
		}
	}
}

// A stream that began while this gateway was alone goes on using tokens, which
// the others must hear of though no new request comes here.
func TestTokensOfStreamsFromBeforeShareAreTold(t *testing.T) {
	l := New(Config{Now: time.Now, Authority: liar{}, Alone: true, Gateway: gatehouse.NewID()})
	key := gatehouse.NewID()
	_, ticket, err := l.Admit(t.Context(), l.elapsed(), Request{Key: key, Limits: gatehouse.Limits{TPM: 1000}, Estimate: 10})
	if err != nil {
		t.Fatal(err)
	}
	l.Share()
	ticket.Post(l.elapsed(), 500)
	r, ok := l.holder.Load().Counts(l.elapsed())
	if !ok || len(r.Counts) != 1 || r.Counts[0].Subject != key || r.Counts[0].Tokens != 510 {
		t.Errorf("%+v", r.Counts)
	}
	if d, ok := l.holder.Load().Demands(l.elapsed()); ok {
		t.Errorf("a subject that nobody asked for since: %+v", d)
	}
}

// Others that count less than nothing would add to the limit.
func TestAnAuthorityThatCountsBelowZeroOpensNothing(t *testing.T) {
	now := time.Now()
	l := New(Config{Now: func() time.Time { return now }, Authority: liar{others: -5000}, Gateway: gatehouse.NewID()})
	r := Request{Key: gatehouse.NewID(), Limits: gatehouse.Limits{TPM: 1000}, Estimate: 400}
	tokens := int64(0)
	for range 20 {
		if v, _, err := l.Admit(t.Context(), l.elapsed(), r); err == nil && v.OK {
			tokens += r.Estimate
		}
		now = now.Add(20 * time.Millisecond)
	}
	if tokens == 0 || tokens > 1000+r.Estimate {
		t.Errorf("%d tokens of 1000", tokens)
	}
}
