package limit

import (
	"bytes"
	"math"
	"slices"
	"time"

	"gatehouse"
)

// Book is the memory of an authority: the rules of [Authority] as arithmetic.
// It has no clock and no lock; now is any time that does not run backwards.
//
// Why no window overshoots: charge is the most that a holder may have admitted
// in any window that ends now. It holds what the holder was granted, until its
// life, the margin and one whole window after it are over; or, where the holder
// said so, what its windows hold beside what it still may use. A grant is at
// most the pool less the charges of all others and what was taken, and the pool
// is the limit less the base shares, which are never granted.
type Book struct {
	epoch    uint64
	since    time.Duration // memory reaches back to here
	accounts map[gatehouse.ID]*account
	tokens   map[gatehouse.ID]map[gatehouse.ID]count
}

// account is what the book knows of one subject.
type account struct {
	limits   gatehouse.Limits
	revision gatehouse.Revision
	holdings map[gatehouse.ID]*holding
	taken    [kinds]tally
	used     time.Duration // when last asked for
}

// holding is one holder's part of an account.
type holding struct {
	seq    uint64
	weight int64
	want   [kinds]int64
	lease  [kinds]int64 // the most it may go on using
	until  time.Duration
	used   [kinds]int64 // what its windows held at seen
	seen   time.Duration
}

// count is what one holder counts of a subject's tokens.
type count struct {
	seq    uint64
	tokens int64
	at     time.Duration
}

// The kinds of rate limits, as indexes.
const (
	perSecond = iota
	perMinute
	kinds
)

var (
	kindNames = [kinds]string{"qps", "qpm"}
	kindParts = [kinds]time.Duration{secondPart, minutePart}
)

// remembered is how long an admission of a kind may matter: its window, and one
// part more for clocks that drift.
func remembered(kind int) time.Duration { return kindParts[kind] * slots }

// NewBook returns an empty book. What was granted before now is unknown to it,
// so it grants nothing new until that is over. Epoch must differ from that of
// any book before it.
func NewBook(epoch uint64, now time.Duration) *Book {
	return &Book{epoch: epoch, since: now, accounts: map[gatehouse.ID]*account{}, tokens: map[gatehouse.ID]map[gatehouse.ID]count{}}
}

// Lease is [Authority.Lease].
func (b *Book) Lease(now time.Duration, r LeaseRequest) LeaseReply {
	reply := LeaseReply{Seq: r.Seq, Shares: make([]Share, len(r.Demands))}
	for i := range r.Demands {
		d := &r.Demands[i]
		b.sweep(now)
		a := b.account(d.Subject, now)
		reply.Shares[i] = b.lease(a, now, r.Holder, r.Seq, d)
	}
	return reply
}

func (b *Book) lease(a *account, now time.Duration, holder gatehouse.ID, seq uint64, d *Demand) Share {
	h := a.holdings[holder]
	if h == nil {
		h = new(holding)
		a.holdings[holder] = h
	}
	if seq <= h.seq {
		return Share{} // late or doubled; its sender listens to a newer reply
	}
	h.seq, h.weight, h.seen = seq, max(d.Weight, 1), now
	h.want, h.used = d.Want.kinds(), d.Used.kinds()
	held := d.Held.kinds()
	// Until this reply is taken the holder uses Held and no more, whatever was
	// granted in replies that it never took.
	h.lease, h.until = held, now+Life+Margin
	var grant, free [kinds]int64
	for k := range kinds {
		limit := limitOf(a.limits, k)
		if limit == 0 {
			continue
		}
		room := max(limit-baseOf(limit)-a.charged(now, k, holder)-a.taken[k].sum(now, k), 0)
		grant[k] = min(a.target(now, k, holder), room)
		if b.forgot(now, k) {
			grant[k] = min(grant[k], held[k])
		}
		h.lease[k] = max(held[k], grant[k])
		free[k] = max(room-h.charge(now, k), 0)
		if a.small(now, k) {
			free[k] = limit - baseOf(limit) // ask each time
		}
	}
	return Share{Rates: rates(grant), Free: rates(free)}
}

// forgot says whether something may be in force that this book does not know.
func (b *Book) forgot(now time.Duration, kind int) bool {
	return !planted("restart") && now < b.since+Life+Margin+remembered(kind)
}

// Take is [Authority.Take].
func (b *Book) Take(now time.Duration, r TakeRequest) TakeReply {
	if r.Cost < 1 {
		return TakeReply{RetryAfter: time.Second}
	}
	b.sweep(now)
	accounts := make([]*account, len(r.Subjects))
	for i, s := range r.Subjects {
		accounts[i] = b.account(s, now)
		if no, ok := b.refuse(accounts[i], now, int64(r.Cost)); !ok {
			no.Index = i
			return no
		}
	}
	for _, a := range accounts {
		for k := range kinds {
			if limitOf(a.limits, k) > 0 && !planted("precheck") {
				// Counted as late as it may be dispatched: two admissions a window apart
				// here may be closer where they are dispatched.
				a.taken[k].add(now+r.Guard, k, int64(r.Cost))
			}
		}
	}
	return TakeReply{OK: true}
}

func (b *Book) refuse(a *account, now time.Duration, cost int64) (TakeReply, bool) {
	for k := range kinds {
		limit := limitOf(a.limits, k)
		if limit == 0 {
			continue
		}
		pool, taken := limit-baseOf(limit), a.taken[k].sum(now, k)
		no := TakeReply{Limit: kindNames[k], RetryAfter: time.Second}
		switch {
		case b.forgot(now, k):
			return no, false
		case a.charged(now, k, gatehouse.ID{})+taken+cost > pool:
			no.Full = 10*(a.inUse(now, k)+taken) >= 9*pool
			return no, false
		}
	}
	return TakeReply{}, true
}

// Exchange is [Authority.Exchange].
func (b *Book) Exchange(now time.Duration, r ExchangeRequest) ExchangeReply {
	reply := ExchangeReply{Seq: r.Seq, Epoch: b.epoch, Others: make([]int64, len(r.Counts)),
		Age: min(now-b.since, remembered(perMinute))}
	for i, c := range r.Counts {
		all := b.tokens[c.Subject]
		if all == nil {
			all = map[gatehouse.ID]count{}
			b.tokens[c.Subject] = all
		}
		if old := all[r.Holder]; r.Seq > old.seq {
			all[r.Holder] = count{r.Seq, c.Tokens, now}
		}
		for holder, n := range all {
			if now >= n.at+remembered(perMinute) {
				delete(all, holder)
			} else if holder != r.Holder {
				reply.Others[i] = saturate(reply.Others[i], n.tokens)
			}
		}
	}
	return reply
}

func (b *Book) account(s Subject, now time.Duration) *account {
	a := b.accounts[s.ID]
	if a == nil {
		a = &account{limits: s.Limits, revision: s.Revision, holdings: map[gatehouse.ID]*holding{}}
		b.accounts[s.ID] = a
	}
	a.used = now
	if a.revision.Less(s.Revision) {
		a.limits, a.revision = s.Limits, s.Revision
	}
	return a
}

// sweep drops what nothing depends on any more, two looks a call, so that
// memory follows use. The order of a map is random enough to reach all.
func (b *Book) sweep(now time.Duration) {
	const forget = 2*Life + slots*minutePart
	looks := 2
	for id, a := range b.accounts {
		if now-a.used > forget {
			delete(b.accounts, id)
		}
		if looks--; looks == 0 {
			break
		}
	}
	looks = 2
	for id, all := range b.tokens {
		newest := time.Duration(math.MinInt64)
		for _, n := range all {
			newest = max(newest, n.at)
		}
		if len(all) == 0 || now-newest > forget {
			delete(b.tokens, id)
		}
		if looks--; looks == 0 {
			break
		}
	}
}

// charged sums the charges of all holders but one.
func (a *account) charged(now time.Duration, kind int, but gatehouse.ID) (sum int64) {
	for id, h := range a.holdings {
		if now >= h.until+remembered(perMinute) {
			delete(a.holdings, id)
		} else if id != but {
			sum += h.charge(now, kind)
		}
	}
	return sum
}

// inUse is what holders said that their windows hold.
func (a *account) inUse(now time.Duration, kind int) (sum int64) {
	for _, h := range a.holdings {
		if now < h.seen+remembered(kind) {
			sum += h.used[kind]
		}
	}
	return sum
}

func (h *holding) charge(now time.Duration, kind int) int64 {
	var c int64
	over := remembered(kind)
	if planted("windowless") {
		over = 0 // a share that moved is granted anew while its admissions still count
	}
	if now < h.until+over {
		c = h.lease[kind]
	}
	if now < h.seen+over {
		c = max(c, h.used[kind])
	}
	return c
}

// target is a holder's part of the pool: what it wants, if all wants fit; else
// what it wants if that is below its part by weight, the rest by weight.
func (a *account) target(now time.Duration, kind int, of gatehouse.ID) int64 {
	limit := limitOf(a.limits, kind)
	rest, weights := limit-baseOf(limit), int64(0)
	if a.small(now, kind) {
		return 0
	}
	ids := make([]gatehouse.ID, 0, len(a.holdings))
	for id, h := range a.holdings {
		if h.want[kind] > 0 && now < h.seen+Life {
			ids, weights = append(ids, id), weights+h.weight
		}
	}
	slices.SortFunc(ids, func(x, y gatehouse.ID) int { return bytes.Compare(x[:], y[:]) })
	for again := true; again; {
		again = false
		for i, id := range ids {
			h := a.holdings[id]
			if h.want[kind]*weights > rest*h.weight {
				continue
			}
			if id == of {
				return h.want[kind]
			}
			rest, weights = rest-h.want[kind], weights-h.weight
			ids, again = slices.Delete(ids, i, i+1), true
			break
		}
	}
	// Cumulative rounding: the parts sum to the rest exactly, however many.
	var before int64
	for _, id := range ids {
		w := a.holdings[id].weight
		if id == of {
			return rest*(before+w)/weights - rest*before/weights
		}
		before += w
	}
	return 0
}

// minPart is the least share worth leasing to each of several holders. What
// moves between them is idle for a while, and of small shares that is most.
const minPart = 4

// small says whether a limit is too small to share: it is then taken one by one.
func (a *account) small(now time.Duration, kind int) bool {
	limit, n := limitOf(a.limits, kind), int64(0)
	for _, h := range a.holdings {
		if h.want[kind] > 0 && now < h.seen+Life {
			n++
		}
	}
	return n > 1 && limit-baseOf(limit) < minPart*n
}

// tally counts what was taken, by parts of its window, oldest first.
type tally []struct{ at, n int64 }

func (t *tally) add(at time.Duration, kind int, n int64) {
	i := int64(at / kindParts[kind])
	for j := range *t {
		if (*t)[j].at == i {
			(*t)[j].n += n
			return
		}
	}
	*t = append(*t, struct{ at, n int64 }{i, n})
}

func (t *tally) sum(now time.Duration, kind int) (sum int64) {
	gone := int64(now/kindParts[kind]) - slots
	*t = slices.DeleteFunc(*t, func(s struct{ at, n int64 }) bool { return s.at <= gone })
	for _, s := range *t {
		sum += s.n
	}
	return sum
}

func (r Rates) kinds() [kinds]int64 { return [kinds]int64{int64(max(r.QPS, 0)), int64(max(r.QPM, 0))} }

func rates(k [kinds]int64) Rates {
	return Rates{QPS: int32(min(k[0], math.MaxInt32)), QPM: int32(min(k[1], math.MaxInt32))}
}

func limitOf(l gatehouse.Limits, kind int) int64 {
	if kind == perSecond {
		return int64(l.QPS)
	}
	return int64(l.QPM)
}

// baseOf is the part of a limit that is never leased: a tenth.
func baseOf(limit int64) int64 { return limit / 10 }
