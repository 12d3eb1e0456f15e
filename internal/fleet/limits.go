package fleet

import (
	"context"
	"time"

	"gatehouse"
	wire "gatehouse/gen/fleet"
	"gatehouse/internal/limit"
)

var _ limit.Authority = (*Client)(nil)

// The times within which the authority answers, or cannot tell. A share lives
// ten seconds, so there is time to ask again; a take holds up a request.
const (
	leaseTime = 2 * time.Second
	takeTime  = 500 * time.Millisecond
)

// Lease implements limit.Authority.
func (c *Client) Lease(ctx context.Context, r limit.LeaseRequest) (limit.LeaseReply, error) {
	req := &wire.LeaseRequest{Holder: r.Holder[:], Seq: r.Seq, Demands: make([]*wire.Demand, len(r.Demands))}
	for i := range r.Demands {
		d := &r.Demands[i]
		req.Demands[i] = &wire.Demand{
			Subject: subject(&d.Subject), Held: rates(d.Held), Used: rates(d.Used), Want: rates(d.Want), Weight: d.Weight,
		}
	}
	reply, err := ask(ctx, c, leaseTime, req, wire.FleetClient.Lease)
	if err != nil {
		return limit.LeaseReply{}, err
	}
	out := limit.LeaseReply{Seq: reply.GetSeq(), Shares: make([]limit.Share, len(reply.GetShares()))}
	for i, s := range reply.GetShares() {
		out.Shares[i] = limit.Share{Rates: ratesOf(s.GetRates()), Free: ratesOf(s.GetFree())}
	}
	return out, answers(len(out.Shares), len(r.Demands))
}

// Take implements limit.Authority.
func (c *Client) Take(ctx context.Context, r limit.TakeRequest) (limit.TakeReply, error) {
	req := &wire.TakeRequest{Holder: r.Holder[:], Guard: int64(r.Guard), Cost: r.Cost}
	for i := range r.Subjects {
		req.Subjects = append(req.Subjects, subject(&r.Subjects[i]))
	}
	reply, err := ask(ctx, c, takeTime, req, wire.FleetClient.Take)
	if err != nil {
		return limit.TakeReply{}, err
	}
	out := limit.TakeReply{
		OK: reply.GetOk(), Index: int(reply.GetIndex()), Limit: reply.GetLimit(), Full: reply.GetFull(), RetryAfter: time.Duration(reply.GetRetryAfter()),
	}
	if out.Index < 0 || out.Index >= len(r.Subjects) && !out.OK {
		return limit.TakeReply{}, answers(out.Index, len(r.Subjects))
	}
	return out, nil
}

// Exchange implements limit.Authority.
func (c *Client) Exchange(ctx context.Context, r limit.ExchangeRequest) (limit.ExchangeReply, error) {
	req := &wire.ExchangeRequest{Holder: r.Holder[:], Seq: r.Seq, Tokens: make([]int64, len(r.Counts)), Subjects: make([]byte, 0, 16*len(r.Counts))}
	for i := range r.Counts {
		req.Subjects = append(req.Subjects, r.Counts[i].Subject[:]...)
		req.Tokens[i] = r.Counts[i].Tokens
	}
	reply, err := ask(ctx, c, leaseTime, req, wire.FleetClient.Exchange)
	if err != nil {
		return limit.ExchangeReply{}, err
	}
	out := limit.ExchangeReply{Seq: reply.GetSeq(), Others: reply.GetOthers(), Epoch: reply.GetEpoch(), Age: time.Duration(reply.GetAge())}
	return out, answers(len(out.Others), len(r.Counts))
}

// ask makes one call of the authority. A node that answers at once that it
// cannot serve it, as all but one do where control is the authority, costs next
// to nothing, so the next one is asked. After one that is silent nobody is:
// asking a second would cost more time than the answer is good for, and the next
// call goes there.
func ask[Q, A any](ctx context.Context, c *Client, limit time.Duration, req *Q, call func(wire.FleetClient, context.Context, *Q) (*A, error)) (out *A, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for range c.limits.list {
		to := c.limits.now()
		out, err = call(to.rpc, ctx, req)
		if err = fault(err); gatehouse.CodeOf(err) != gatehouse.Unavailable && !away(err) {
			return out, err
		}
		c.limits.failed(to)
		if away(err) || ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// answers refuses a reply that does not fit its request: shares of other
// subjects would be admitted under.
func answers(got, asked int) error {
	if got != asked {
		return gatehouse.Errorf(gatehouse.Unavailable, "the limit authority answered %d of %d", got, asked)
	}
	return nil
}

func subject(s *limit.Subject) *wire.Subject {
	return &wire.Subject{
		Id: s.ID[:], Qps: s.Limits.QPS, Qpm: s.Limits.QPM, Tpm: s.Limits.TPM, Epoch: s.Revision.Epoch, N: s.Revision.N,
	}
}

func rates(r limit.Rates) *wire.Rates {
	if r == (limit.Rates{}) {
		return nil
	}
	return &wire.Rates{Qps: r.QPS, Qpm: r.QPM}
}

func ratesOf(r *wire.Rates) limit.Rates { return limit.Rates{QPS: r.GetQps(), QPM: r.GetQpm()} }
