package limit

import (
	"slices"
	"time"

	"gatehouse"
)

// part is what bounds one subject of a request beside its limits. The zero part
// bounds nothing: this process has the whole limit.
type part struct {
	shared bool
	taken  bool         // rates were taken from the authority and count there
	bound  [kinds]int64 // of what this process may admit itself
	others int64        // tokens that other gateways count
	blind  bool         // others are unknown: tokens is the limit to go by
	tokens int64
}

// whole is the part of a process that has every limit to itself. Nobody writes
// to it.
var whole part

func (p *part) most(kind int, limit int64) int64 {
	switch {
	case p.taken:
		return 1 << 62
	case p.shared:
		return min(p.bound[kind], limit)
	}
	return limit
}

func (p *part) mostTokens(tpm int64) int64 {
	switch {
	case p.blind && p.tokens == 0:
		return -1 // nothing of the limit is ours
	case p.blind:
		return min(p.tokens, tpm)
	case p.shared:
		return tpm - p.others
	}
	return tpm
}

// one is one subject of a request under judgement.
type one struct {
	r     Request
	part  part
	shard *shard
	entry *entry
}

// admitMore is admit for a request with several subjects.
func (t *Table) admitMore(now time.Duration, r *Request) (v Verdict, ticket *Ticket, mine bool) {
	var room [1 + MaxMore]one
	all := split(r, room[:0])
	unlock := t.lock(all)
	defer unlock()
	for i := range all {
		if s := all[i].shard; s != nil && s.shared {
			return v, nil, false
		}
	}
	for i := range all {
		all[i].enter(now)
	}
	v, ticket = admitLocked(now, all)
	return v, ticket, true
}

// split makes one request of each subject that has limits. They stay in order:
// the verdict names them by their place.
func split(r *Request, into []one) []one {
	into = append(into, one{r: *r})
	for _, s := range r.More[:min(len(r.More), MaxMore)] {
		into = append(into, one{r: Request{Key: s.ID, Limits: s.Limits, Revision: s.Revision, Estimate: r.Estimate, Reserve: r.Reserve}})
	}
	return into
}

// lock takes the shards of all subjects, each once, in one order for everybody,
// so that two requests cannot wait for each other.
func (t *Table) lock(all []one) (unlock func()) {
	var room [1 + MaxMore]byte
	order := room[:0]
	for i := range all {
		if all[i].r.Limits != (gatehouse.Limits{}) {
			order = append(order, all[i].r.Key[15]%shardCount)
			all[i].shard = &t.shards[all[i].r.Key[15]%shardCount]
		}
	}
	slices.Sort(order)
	order = slices.Compact(order)
	for _, i := range order {
		t.shards[i].mu.Lock()
	}
	return func() {
		for _, i := range order {
			t.shards[i].mu.Unlock()
		}
	}
}

func (o *one) enter(now time.Duration) {
	if o.shard == nil {
		return
	}
	o.entry = o.shard.entry(o.r.Key, now)
	o.entry.use(o.r.Limits)
	o.entry.advance(now)
}

// admitLocked judges every subject before anything is taken of any.
func admitLocked(now time.Duration, all []one) (Verdict, *Ticket) {
	for i := range all {
		if e := all[i].entry; e != nil {
			if v := e.judge(now, &all[i].r, &all[i].part); !v.OK {
				v.Subject = i
				return v, nil
			}
		}
	}
	verdict, first := Verdict{OK: true}, (*Ticket)(nil)
	for i := len(all) - 1; i >= 0; i-- {
		e := all[i].entry
		if e == nil {
			continue
		}
		v := Verdict{OK: true}
		if ticket := e.take(all[i].shard, now, &all[i].r, &all[i].part, &v); ticket != nil {
			ticket.next, first = first, ticket
		}
		if i == 0 {
			verdict = v // headers show the key's own limits
		}
	}
	return verdict, first
}
