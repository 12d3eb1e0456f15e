package fleet

import (
	"context"

	"gatehouse"
	wire "gatehouse/gen/fleet"
	"gatehouse/internal/purse"
)

// Draw implements wire.FleetHandler.
func (f *face) Draw(ctx context.Context, r *wire.DrawRequest) (*wire.DrawReply, error) {
	if f.Bank == nil {
		return nil, gatehouse.Errorf(gatehouse.Unavailable, "this control node has no money to give")
	}
	if len(r.GetAsks()) > purse.MaxAsks {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "at most %d funds at once", purse.MaxAsks)
	}
	req := purse.DrawRequest{
		Gateway: caller(ctx).member.ID, Incarnation: r.GetIncarnation(), Shipped: r.GetShipped(), Seq: r.GetSeq(), Asks: make([]purse.Ask, len(r.GetAsks())),
	}
	for i, q := range r.GetAsks() {
		fund, err := fundOf(q)
		if err != nil {
			return nil, err
		}
		req.Asks[i] = purse.Ask{
			Fund: fund, Returned: gatehouse.Ticks(q.GetReturned()), Want: gatehouse.Ticks(q.GetWant()), Least: gatehouse.Ticks(q.GetLeast()),
		}
	}
	reply, err := f.Bank.Draw(ctx, req)
	if err != nil {
		return nil, err
	}
	out := &wire.DrawReply{Answers: make([]*wire.Answer, len(reply.Answers))}
	for i, a := range reply.Answers {
		out.Answers[i] = &wire.Answer{
			Drawn: int64(a.Drawn), Returned: int64(a.Returned), Left: int64(a.Left), Held: int64(a.Held), Others: int32(a.Others), Never: a.Never,
		}
	}
	return out, nil
}

func fundOf(q *wire.Ask) (f gatehouse.Fund, err error) {
	f = gatehouse.Fund{Of: q.GetOf(), Start: q.GetStart()}
	if f.Team, err = idOf(q.GetTeamId()); err != nil || len(q.GetBudgetId()) == 0 {
		return f, err
	}
	f.Budget, err = idOf(q.GetBudgetId())
	return f, err
}
