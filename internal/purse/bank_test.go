package purse

import (
	"time"

	"gatehouse"
)

// simBank is the bank as the store keeps it, said once more without a database.
type simBank struct {
	amount, spent map[gatehouse.Fund]gatehouse.Ticks
	holds         map[simHold]*simState
	down          time.Duration

	generous bool // a mistake
}

type simHold struct {
	fund gatehouse.Fund
	gate gatehouse.ID
	inc  int64
}

type simState struct {
	seq                       int64
	drawn, returned, ingested gatehouse.Ticks
	seen                      time.Duration
}

func (s *simState) open() gatehouse.Ticks { return max(0, s.drawn-s.returned-s.ingested) }

func newSimBank() *simBank {
	return &simBank{amount: map[gatehouse.Fund]gatehouse.Ticks{}, spent: map[gatehouse.Fund]gatehouse.Ticks{}, holds: map[simHold]*simState{}}
}

func (b *simBank) draw(now time.Duration, r DrawRequest) DrawReply {
	if r.Shipped > 0 {
		for k, h := range b.holds {
			if k.gate == r.Gateway && k.inc < r.Shipped {
				h.returned = max(h.returned, h.drawn-h.ingested)
			}
		}
	}
	var out DrawReply
	for _, q := range r.Asks {
		out.Answers = append(out.Answers, b.one(now, &r, q))
	}
	return out
}

func (b *simBank) one(now time.Duration, r *DrawRequest, q Ask) Answer {
	k := simHold{q.Fund, r.Gateway, r.Incarnation}
	h := b.holds[k]
	if h == nil {
		h = &simState{} // also for a question: its seq refuses what comes late
		b.holds[k] = h
	}
	left := func() gatehouse.Ticks { return b.amount[q.Fund] - b.spent[q.Fund] - b.held(q.Fund, simHold{}) }
	if h.seq == 0 && q.Returned > 0 {
		q.Want = 0
	}
	if r.Seq > h.seq {
		h.seq, h.seen = r.Seq, now
		h.returned = min(h.drawn, max(h.returned, q.Returned))
		grant := min(q.Want-h.drawn, left())
		if b.generous {
			grant = min(q.Want-h.drawn, b.amount[q.Fund]-b.spent[q.Fund])
		}
		if grant > 0 && h.drawn+grant >= q.Least {
			h.drawn += grant
		}
	}
	a := Answer{Drawn: h.drawn, Returned: h.returned, Left: left(), Held: b.held(q.Fund, k)}
	for o, s := range b.holds {
		if o.fund == q.Fund && o != k && s.seen > now-3*time.Second {
			a.Others++
		}
	}
	return a
}

// held is what all but one hold of a fund.
func (b *simBank) held(f gatehouse.Fund, but simHold) (sum gatehouse.Ticks) {
	for k, h := range b.holds {
		if k.fund == f && k != but {
			sum += h.open()
		}
	}
	return sum
}

func (b *simBank) ingest(gate gatehouse.ID, rows []usage) {
	for _, u := range rows {
		for _, f := range u.funds {
			b.spent[f.Fund] += u.cost
			if h := b.holds[simHold{f.Fund, gate, u.inc}]; h != nil {
				h.ingested += u.cost
			}
		}
	}
}
