package fleet

import (
	"context"
	"time"

	"gatehouse"
	wire "gatehouse/gen/fleet"
	"gatehouse/internal/limit"
)

// Lease implements wire.FleetHandler.
func (f *face) Lease(ctx context.Context, r *wire.LeaseRequest) (*wire.LeaseReply, error) {
	holder, err := f.holder(r.GetHolder(), len(r.GetDemands()))
	if err != nil {
		return nil, err
	}
	req := limit.LeaseRequest{Gateway: caller(ctx).member.ID, Holder: holder, Seq: r.GetSeq(), Demands: make([]limit.Demand, len(r.GetDemands()))}
	for i, d := range r.GetDemands() {
		s, err := subjectOf(d.GetSubject())
		if err != nil {
			return nil, err
		}
		req.Demands[i] = limit.Demand{Subject: s, Held: ratesOf(d.GetHeld()), Used: ratesOf(d.GetUsed()), Want: ratesOf(d.GetWant()), Weight: d.GetWeight()}
	}
	reply, err := f.Limits.Lease(ctx, req)
	if err != nil {
		return nil, err
	}
	out := &wire.LeaseReply{Seq: reply.Seq, Shares: make([]*wire.Share, len(reply.Shares))}
	for i := range reply.Shares {
		out.Shares[i] = &wire.Share{Rates: rates(reply.Shares[i].Rates), Free: rates(reply.Shares[i].Free)}
	}
	return out, nil
}

// Take implements wire.FleetHandler.
func (f *face) Take(ctx context.Context, r *wire.TakeRequest) (*wire.TakeReply, error) {
	holder, err := f.holder(r.GetHolder(), len(r.GetSubjects()))
	if err != nil {
		return nil, err
	}
	req := limit.TakeRequest{Gateway: caller(ctx).member.ID, Holder: holder, Guard: time.Duration(r.GetGuard()), Cost: r.GetCost()}
	for _, s := range r.GetSubjects() {
		subject, err := subjectOf(s)
		if err != nil {
			return nil, err
		}
		req.Subjects = append(req.Subjects, subject)
	}
	reply, err := f.Limits.Take(ctx, req)
	if err != nil {
		return nil, err
	}
	return &wire.TakeReply{Ok: reply.OK, Index: int32(reply.Index), Limit: reply.Limit, Full: reply.Full, RetryAfter: int64(reply.RetryAfter)}, nil
}

// Exchange implements wire.FleetHandler.
func (f *face) Exchange(ctx context.Context, r *wire.ExchangeRequest) (*wire.ExchangeReply, error) {
	ids, tokens := r.GetSubjects(), r.GetTokens()
	holder, err := f.holder(r.GetHolder(), len(tokens))
	if err != nil {
		return nil, err
	}
	if len(ids) != len(tokens)*len(gatehouse.ID{}) {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "a count is an id and a number")
	}
	req := limit.ExchangeRequest{Gateway: caller(ctx).member.ID, Holder: holder, Seq: r.GetSeq(), Counts: make([]limit.Count, len(tokens))}
	for i := range tokens {
		req.Counts[i] = limit.Count{Subject: gatehouse.ID(ids[16*i : 16*i+16]), Tokens: tokens[i]}
	}
	reply, err := f.Limits.Exchange(ctx, req)
	if err != nil {
		return nil, err
	}
	return &wire.ExchangeReply{Seq: reply.Seq, Others: reply.Others, Epoch: reply.Epoch, Age: int64(reply.Age)}, nil
}

// holder checks what all calls have in common.
func (f *face) holder(b []byte, subjects int) (gatehouse.ID, error) {
	if f.Limits == nil {
		return gatehouse.ID{}, gatehouse.Errorf(gatehouse.Unavailable, "this control node runs no limit authority").After(time.Second)
	}
	if subjects > limit.MaxBatch {
		return gatehouse.ID{}, gatehouse.Errorf(gatehouse.InvalidArgument, "at most %d subjects at once", limit.MaxBatch)
	}
	return idOf(b)
}

func subjectOf(s *wire.Subject) (limit.Subject, error) {
	id, err := idOf(s.GetId())
	return limit.Subject{
		ID: id, Limits: gatehouse.Limits{QPS: s.GetQps(), QPM: s.GetQpm(), TPM: s.GetTpm()},
		Revision: gatehouse.Revision{Epoch: s.GetEpoch(), N: s.GetN()},
	}, err
}

func rates(r limit.Rates) *wire.Rates {
	if r == (limit.Rates{}) {
		return nil
	}
	return &wire.Rates{Qps: r.QPS, Qpm: r.QPM}
}

func ratesOf(r *wire.Rates) limit.Rates { return limit.Rates{QPS: r.GetQps(), QPM: r.GetQpm()} }
