package fleet

import (
	"context"

	"gatehouse"
	wire "gatehouse/gen/fleet"
	"gatehouse/internal/purse"
)

var _ purse.Bank = (*Client)(nil)

// Draw implements [purse.Bank]. Any control node will do: what they grant is in
// their database. A control that does not know the call yet is one that cannot
// be asked.
func (c *Client) Draw(ctx context.Context, r purse.DrawRequest) (purse.DrawReply, error) {
	req := &wire.DrawRequest{Incarnation: r.Incarnation, Shipped: r.Shipped, Seq: r.Seq, Asks: make([]*wire.Ask, len(r.Asks))}
	for i := range r.Asks {
		q := &r.Asks[i]
		req.Asks[i] = &wire.Ask{
			TeamId: q.Fund.Team[:], Of: q.Fund.Of, Start: q.Fund.Start, Returned: int64(q.Returned), Want: int64(q.Want), Least: int64(q.Least),
		}
		if !q.Fund.Budget.IsZero() {
			req.Asks[i].BudgetId = q.Fund.Budget[:]
		}
	}
	var reply *wire.DrawReply
	err := c.quick.each(ctx, callTime, func(ctx context.Context, n *node) (err error) {
		reply, err = n.rpc.Draw(ctx, req)
		return err
	})
	if err != nil {
		return purse.DrawReply{}, err
	}
	out := purse.DrawReply{Answers: make([]purse.Answer, len(reply.GetAnswers()))}
	for i, a := range reply.GetAnswers() {
		out.Answers[i] = purse.Answer{
			Drawn: gatehouse.Ticks(a.GetDrawn()), Returned: gatehouse.Ticks(a.GetReturned()), Left: gatehouse.Ticks(a.GetLeft()),
			Held: gatehouse.Ticks(a.GetHeld()), Others: int(max(a.GetOthers(), 0)), Never: a.GetNever(),
		}
	}
	return out, nil
}
