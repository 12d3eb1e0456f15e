package control

import (
	"context"
	"sync"

	"gatehouse"
	"gatehouse/internal/purse"
	"gatehouse/internal/store"
)

var _ purse.Bank = (*Service)(nil)

// Draw implements [purse.Bank]: it grants gateways the money that their requests
// are paid from, and takes back what they do not use. The caller has made sure
// that the gateway is who it says.
//
// Each team's funds are drawn in a transaction of their own, since a team's books
// are locked by whoever counts in them. What an error leaves done is told with
// the answer to the next request: every figure is a total.
func (s *Service) Draw(ctx context.Context, r purse.DrawRequest) (out purse.DrawReply, err error) {
	if err := drawable(&r); err != nil {
		return out, err
	}
	ctx = store.System(ctx)
	if err := s.ended.end(ctx, s.Store, r.Gateway, r.Shipped); err != nil {
		return out, err
	}
	if s.ended.is(r.Gateway, r.Incarnation) {
		return out, gatehouse.Errorf(gatehouse.FailedPrecondition, "this start of the gateway is over, and nobody would end what it drew now")
	}
	out.Answers = make([]purse.Answer, len(r.Asks))
	done := map[gatehouse.ID]bool{}
	for i := range r.Asks {
		if team := r.Asks[i].Fund.Team; !done[team] {
			done[team] = true
			if err := s.drawTeam(ctx, team, &r, out.Answers); err != nil {
				return purse.DrawReply{}, err
			}
		}
	}
	return out, nil
}

// drawTeam answers the asks for one team's funds.
func (s *Service) drawTeam(ctx context.Context, team gatehouse.ID, r *purse.DrawRequest, answers []purse.Answer) error {
	return s.Store.Work(ctx, func(w store.Work) error {
		for i, q := range r.Asks {
			if q.Fund.Team != team {
				continue
			}
			is, err := w.Draw(store.Draw{
				Fund: q.Fund, Gateway: r.Gateway, Incarnation: r.Incarnation, Now: s.Now(), Seq: r.Seq, Returned: q.Returned, Want: q.Want, Least: q.Least,
			})
			if err != nil {
				return err
			}
			answers[i] = purse.Answer(is)
		}
		return nil
	})
}

// drawable refuses what no gateway of ours asks.
func drawable(r *purse.DrawRequest) error {
	bad := r.Gateway.IsZero() || r.Incarnation <= 0 || r.Seq <= 0 || r.Shipped < 0 || r.Shipped > r.Incarnation || len(r.Asks) > purse.MaxAsks
	for _, q := range r.Asks {
		bad = bad || q.Fund.Team.IsZero() || q.Returned < 0 || q.Want < 0 || q.Least < 0
	}
	if bad {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "the draw does not say who asks, or asks for too many funds, or for less than nothing")
	}
	return nil
}

// ended remembers which incarnations' holds were ended: a gateway says so with
// every draw.
type ended struct {
	mu     sync.Mutex
	before map[gatehouse.ID]int64
}

// is reports that an incarnation's holds were ended.
func (e *ended) is(gateway gatehouse.ID, incarnation int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return incarnation < e.before[gateway]
}

func (e *ended) end(ctx context.Context, db store.Store, gateway gatehouse.ID, before int64) error {
	e.mu.Lock()
	known := e.before[gateway] >= before
	e.mu.Unlock()
	if known {
		return nil
	}
	err := db.Work(ctx, func(w store.Work) error { return w.EndIncarnations(gateway, before) })
	if err == nil {
		e.mu.Lock()
		e.before[gateway] = max(e.before[gateway], before)
		e.mu.Unlock()
	}
	return err
}
