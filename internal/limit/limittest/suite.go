package limittest

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/limit"
)

// Subjected is an authority under test, long enough in office to grant, with
// nobody else's subjects in it.
type Subjected struct {
	limit.Authority
	// Forget takes its memory away, as a restart or a flush does.
	Forget func(*testing.T)
}

// Run tests every promise of [limit.Authority]. Open makes one for each case.
func Run(t *testing.T, open func(*testing.T) Subjected) {
	for name, test := range map[string]func(*testing.T, Subjected){
		"shares never exceed the pool":          neverMoreThanThePool,
		"a key of one gateway is leased whole":  wholeToOne,
		"shares follow the demand":              byWeight,
		"what is leased cannot be taken":        takenOrLeased,
		"racing takes":                          racingTakes,
		"a doubled or late request is harmless": stale,
		"the newest limit rules":                newestLimit,
		"counts of others":                      counts,
		"who forgot grants nothing new":         forgetful,
		"nothing is given back by a take":       hostile,
		"the same answers as the book":          differential,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func key(l gatehouse.Limits) limit.Subject {
	return limit.Subject{ID: gatehouse.NewID(), Limits: l, Revision: gatehouse.Revision{Epoch: 1, N: 1}}
}

func lease(t *testing.T, a limit.Authority, holder gatehouse.ID, seq uint64, d ...limit.Demand) []limit.Share {
	t.Helper()
	r, err := a.Lease(t.Context(), limit.LeaseRequest{Gateway: holder, Holder: holder, Seq: seq, Demands: d})
	if err != nil || r.Seq != seq || len(r.Shares) != len(d) {
		t.Fatalf("%+v, %v", r, err)
	}
	return r.Shares
}

func take(t *testing.T, a limit.Authority, s ...limit.Subject) limit.TakeReply {
	t.Helper()
	r, err := a.Take(t.Context(), limit.TakeRequest{Holder: gatehouse.NewID(), Subjects: s, Cost: 1, Guard: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func neverMoreThanThePool(t *testing.T, a Subjected) {
	s := key(gatehouse.Limits{QPS: 100, QPM: 1000})
	most := map[gatehouse.ID]limit.Rates{}
	for i := range 40 {
		h, n := gatehouse.ID{byte(1 + i%5)}, most[gatehouse.ID{byte(1 + i%5)}]
		// They keep everything they were ever given, and want any amount.
		d := limit.Demand{Subject: s, Held: n, Want: limit.Rates{QPS: rand.Int32N(150), QPM: rand.Int32N(1500)}, Weight: 1 + rand.Int64N(1000)}
		got := lease(t, a, h, uint64(1+i), d)[0].Rates
		most[h] = limit.Rates{QPS: max(n.QPS, got.QPS), QPM: max(n.QPM, got.QPM)}
		var sum limit.Rates
		for _, r := range most {
			sum.QPS, sum.QPM = sum.QPS+r.QPS, sum.QPM+r.QPM
		}
		if sum.QPS > 90 || sum.QPM > 900 {
			t.Fatalf("%+v are out, of a pool of 90 and 900", most)
		}
	}
}

func wholeToOne(t *testing.T, a Subjected) {
	s := key(gatehouse.Limits{QPS: 5, QPM: 100})
	got := lease(t, a, gatehouse.NewID(), 1, limit.Demand{Subject: s, Want: limit.Rates{QPS: 5, QPM: 100}, Weight: 7})[0]
	if got != (limit.Share{Rates: limit.Rates{QPS: 5, QPM: 90}}) {
		t.Fatalf("%+v", got)
	}
}

func byWeight(t *testing.T, a Subjected) {
	s, x, y := key(gatehouse.Limits{QPM: 1000}), gatehouse.NewID(), gatehouse.NewID()
	all := limit.Rates{QPM: 1000}
	lease(t, a, x, 1, limit.Demand{Subject: s, Want: all, Weight: 300})
	if got := lease(t, a, y, 1, limit.Demand{Subject: s, Want: all, Weight: 100})[0].Rates.QPM; got != 0 {
		t.Fatalf("%d granted of what another may still use", got)
	}
	// x says that it holds 675 from here on, of which it has used 100.
	if got := lease(t, a, x, 2, limit.Demand{Subject: s, Held: limit.Rates{QPM: 675}, Used: limit.Rates{QPM: 100}, Want: all, Weight: 300})[0].Rates.QPM; got != 675 {
		t.Fatalf("%d of 900, want three quarters", got)
	}
	if got := lease(t, a, y, 2, limit.Demand{Subject: s, Want: all, Weight: 100})[0].Rates.QPM; got != 225 {
		t.Fatalf("%d of 900, want one quarter", got)
	}
	z := gatehouse.NewID()
	if got := lease(t, a, z, 1, limit.Demand{Subject: s, Want: limit.Rates{QPM: 10}, Weight: 100})[0].Rates.QPM; got != 0 {
		t.Fatalf("%d granted out of nothing", got)
	}
	lease(t, a, x, 3, limit.Demand{Subject: s, Used: limit.Rates{QPM: 100}}) // gives back
	if got := lease(t, a, z, 2, limit.Demand{Subject: s, Want: limit.Rates{QPM: 10}, Weight: 100})[0].Rates.QPM; got != 10 {
		t.Fatalf("%d, want what it asked for", got)
	}
}

func takenOrLeased(t *testing.T, a Subjected) {
	s, h := key(gatehouse.Limits{QPM: 6}), gatehouse.NewID()
	for range 2 {
		if r := take(t, a, s); !r.OK {
			t.Fatalf("%+v", r)
		}
	}
	if got := lease(t, a, h, 1, limit.Demand{Subject: s, Want: limit.Rates{QPM: 6}, Weight: 1})[0].Rates.QPM; got != 4 {
		t.Fatalf("%d leased of 6 of which 2 are taken", got)
	}
	if r := take(t, a, s); r.OK || r.Limit != "qpm" || r.Full || r.RetryAfter <= 0 {
		t.Fatalf("%+v, want a refusal because of a lease", r)
	}
	lease(t, a, h, 2, limit.Demand{Subject: s, Used: limit.Rates{QPM: 4}})
	if r := take(t, a, s); r.OK || !r.Full {
		t.Fatalf("%+v, want a refusal because all is used up", r)
	}
	other := key(gatehouse.Limits{QPM: 6})
	if r := take(t, a, other, s); r.OK || r.Index != 1 {
		t.Fatalf("%+v, want the second to refuse", r)
	}
}

func racingTakes(t *testing.T, a Subjected) {
	s := key(gatehouse.Limits{QPM: 30})
	take(t, a, key(s.Limits)) // whoever connects at the first use has connected
	var wait sync.WaitGroup
	got := make([]int, 8)
	for g := range got {
		wait.Go(func() {
			for range 20 {
				r, err := a.Take(context.Background(), limit.TakeRequest{Holder: gatehouse.NewID(), Subjects: []limit.Subject{s}, Cost: 1})
				if err == nil && r.OK {
					got[g]++
				}
			}
		})
	}
	wait.Wait()
	sum := 0
	for _, n := range got {
		sum += n
	}
	if sum != 27 {
		t.Fatalf("%d taken of a pool of 27", sum)
	}
}

func stale(t *testing.T, a Subjected) {
	s, h := key(gatehouse.Limits{QPM: 100}), gatehouse.NewID()
	d := limit.Demand{Subject: s, Want: limit.Rates{QPM: 50}, Weight: 1}
	lease(t, a, h, 7, d)
	d.Want.QPM = 0
	for _, seq := range []uint64{7, 3} {
		if got := lease(t, a, h, seq, d)[0]; got != (limit.Share{}) {
			t.Fatalf("%+v for a request that is not the newest", got)
		}
	}
	if got := lease(t, a, gatehouse.NewID(), 1, limit.Demand{Subject: s, Want: limit.Rates{QPM: 90}, Weight: 1})[0].Rates.QPM; got > 40 {
		t.Fatalf("%d: the stale request gave back what the newest holds", got)
	}
}

func newestLimit(t *testing.T, a Subjected) {
	s, h := key(gatehouse.Limits{QPM: 100}), gatehouse.NewID()
	lease(t, a, h, 1, limit.Demand{Subject: s, Weight: 1})
	lowered := s
	lowered.Limits.QPM, lowered.Revision.N = 50, 2
	lease(t, a, h, 2, limit.Demand{Subject: lowered, Weight: 1})
	if got := lease(t, a, gatehouse.NewID(), 1, limit.Demand{Subject: s, Want: limit.Rates{QPM: 100}, Weight: 1})[0].Rates.QPM; got != 45 {
		t.Fatalf("%d granted under a limit that was lowered to 50", got)
	}
}

func counts(t *testing.T, a Subjected) {
	s, x, y := gatehouse.NewID(), gatehouse.NewID(), gatehouse.NewID()
	exchange := func(h gatehouse.ID, seq uint64, n int64) int64 {
		t.Helper()
		r, err := a.Exchange(t.Context(), limit.ExchangeRequest{Holder: h, Seq: seq, Counts: []limit.Count{{Subject: s, Tokens: n}}})
		if err != nil || len(r.Others) != 1 || r.Age < time.Minute || r.Epoch == 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		return r.Others[0]
	}
	for i, step := range []struct {
		holder gatehouse.ID
		seq    uint64
		n      int64
		others int64
	}{{x, 1, 10, 0}, {y, 1, 5, 10}, {x, 2, 7, 5}, {x, 1, 99, 5}, {y, 2, 0, 7}, {x, 3, gatehouse.MaxTPM, 0}, {y, 3, 1, gatehouse.MaxTPM}} {
		if got := exchange(step.holder, step.seq, step.n); got != step.others {
			t.Fatalf("step %d: others count %d, want %d", i, got, step.others)
		}
	}
}

func forgetful(t *testing.T, a Subjected) {
	s, x, y := key(gatehouse.Limits{QPS: 20, QPM: 100}), gatehouse.NewID(), gatehouse.NewID()
	all := limit.Rates{QPS: 20, QPM: 100}
	held := lease(t, a, x, 1, limit.Demand{Subject: s, Want: limit.Rates{QPS: 9, QPM: 30}, Weight: 1})[0].Rates
	count := func() limit.ExchangeReply {
		r, err := a.Exchange(t.Context(), limit.ExchangeRequest{Holder: x, Seq: 1, Counts: []limit.Count{{Subject: s.ID, Tokens: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	before := count()
	a.Forget(t)
	if got := lease(t, a, y, 1, limit.Demand{Subject: s, Want: all, Weight: 1})[0]; got.Rates != (limit.Rates{}) {
		t.Fatalf("%+v granted by one that cannot know what is out", got)
	}
	if r := take(t, a, s); r.OK || r.Full {
		t.Fatalf("%+v: it cannot know", r)
	}
	if got := lease(t, a, x, 2, limit.Demand{Subject: s, Held: held, Want: all, Weight: 1})[0].Rates; got != held {
		t.Fatalf("%+v, want what was held, %+v", got, held)
	}
	if after := count(); after.Epoch == before.Epoch || after.Age > 10*time.Second {
		t.Fatalf("%+v, then %+v: nobody can tell that it forgot", before, after)
	}
}

func hostile(t *testing.T, a Subjected) {
	s, h := key(gatehouse.Limits{QPM: 10}), gatehouse.NewID()
	for _, cost := range []int32{0, -1, -1 << 31} {
		if _, err := a.Take(t.Context(), limit.TakeRequest{Holder: h, Subjects: []limit.Subject{s}, Cost: cost}); gatehouse.CodeOf(err) != gatehouse.InvalidArgument {
			t.Errorf("cost %d: %v", cost, err)
		}
	}
	if _, err := a.Lease(t.Context(), limit.LeaseRequest{Holder: h, Seq: 1, Demands: []limit.Demand{{Subject: s, Used: limit.Rates{QPM: -5}}}}); gatehouse.CodeOf(err) != gatehouse.InvalidArgument {
		t.Errorf("negative use: %v", err)
	}
	if _, err := a.Exchange(t.Context(), limit.ExchangeRequest{Holder: h, Seq: 1, Counts: []limit.Count{{Subject: s.ID, Tokens: -1}}}); gatehouse.CodeOf(err) != gatehouse.InvalidArgument {
		t.Errorf("negative count: %v", err)
	}
}

// differential plays the same random acts to the authority and to a book, at
// limits per minute, within which no real time passes.
func differential(t *testing.T, a Subjected) {
	book := limit.NewBook(1, -5*time.Minute)
	subjects := []limit.Subject{key(gatehouse.Limits{QPM: 3}), key(gatehouse.Limits{QPM: 1000}), key(gatehouse.Limits{QPM: 77, QPS: 1 << 30})}
	holders := []gatehouse.ID{gatehouse.NewID(), gatehouse.NewID(), gatehouse.NewID()}
	for i := range 300 {
		s, h := subjects[rand.IntN(3)], holders[rand.IntN(3)]
		if rand.IntN(3) == 0 {
			r := limit.TakeRequest{Holder: h, Subjects: []limit.Subject{s}, Cost: 1 + rand.Int32N(2)}
			got, err := a.Take(t.Context(), r)
			if want := book.Take(0, r); err != nil || got != want {
				t.Fatalf("act %d: take %+v, %v; the book says %+v", i, got, err, want)
			}
			continue
		}
		some := func() limit.Rates { return limit.Rates{QPM: rand.Int32N(s.Limits.QPM + 1)} }
		r := limit.LeaseRequest{Holder: h, Seq: uint64(1 + i), Demands: []limit.Demand{{Subject: s, Held: some(), Used: some(), Want: some(), Weight: rand.Int64N(500)}}}
		got, err := a.Lease(t.Context(), r)
		if want := book.Lease(0, r); err != nil || !slices.Equal(got.Shares, want.Shares) {
			t.Fatalf("act %d: lease %+v: %+v, %v; the book says %+v", i, r.Demands, got.Shares, err, want.Shares)
		}
	}
}
