package limit_test

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse"
	"gatehouse/internal/limit"
)

var key = gatehouse.ID{1, 2, 3}

// granularity is the width of one of 64 sub-windows of a minute.
const granularity = time.Minute / 64

// oracle remembers everything, so that it can be wrong about nothing.
type oracle struct {
	admits []time.Duration
	posts  []post
}

type post struct {
	at     time.Duration
	tokens int64
}

// admitted counts admissions in the closed window [to-width, to].
func (o *oracle) admitted(to, width time.Duration) (n int64) {
	for _, at := range o.admits {
		if at >= to-width && at <= to {
			n++
		}
	}
	return n
}

// tokens sums what was posted in (to-width, to].
func (o *oracle) tokens(to, width time.Duration) (n int64) {
	for _, p := range o.posts {
		if p.at > to-width && p.at <= to {
			n += p.tokens
		}
	}
	return n
}

func gaps(t *rapid.T) time.Duration {
	return time.Duration(rapid.OneOf(
		rapid.Int64Range(0, int64(2*time.Millisecond)),
		rapid.Int64Range(0, int64(50*time.Millisecond)),
		rapid.Int64Range(0, int64(3*time.Second)),
		rapid.SampledFrom([]int64{0, 1, int64(time.Second / 64), int64(time.Second), int64(time.Minute / 64), int64(time.Minute), int64(70 * time.Second)}),
	).Draw(t, "gap"))
}

// Every sliding window that ends at an admission is checked; a window that
// overshoots can be slid back to one, so these are all windows.
func TestNoSlidingWindowOvershoots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, o := limit.NewTable(), new(oracle)
		limits := gatehouse.Limits{
			QPS: rapid.Int32Range(0, 6).Draw(t, "qps"),
			QPM: rapid.Int32Range(0, 40).Draw(t, "qpm"),
		}
		if limits == (gatehouse.Limits{}) {
			return
		}
		now := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "start"))
		for range rapid.IntRange(1, 200).Draw(t, "n") {
			now += gaps(t)
			v, _ := table.Admit(now, limit.Request{Key: key, Limits: limits})
			if !v.OK {
				continue
			}
			o.admits = append(o.admits, now)
			if n := o.admitted(now, time.Second); limits.QPS > 0 && n > int64(limits.QPS) {
				t.Fatalf("%d admitted in the second to %v, limit %d", n, now, limits.QPS)
			}
			if n := o.admitted(now, time.Minute); limits.QPM > 0 && n > int64(limits.QPM) {
				t.Fatalf("%d admitted in the minute to %v, limit %d", n, now, limits.QPM)
			}
		}
	})
}

// Without this a limiter that refuses everything would pass.
func TestSaturatingDemandGetsItsLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := limit.NewTable()
		qps := rapid.Int32Range(1, 300).Draw(t, "qps")
		step := time.Duration(rapid.Int64Range(int64(400*time.Microsecond), int64(2*time.Millisecond)).Draw(t, "step"))
		const seconds = 8
		var admitted int64
		for now := time.Duration(0); now < seconds*time.Second; now += step {
			if v, _ := table.Admit(now, limit.Request{Key: key, Limits: gatehouse.Limits{QPS: qps}}); v.OK {
				admitted++
			}
		}
		demand := int64(seconds * time.Second / step)
		want := min(int64(qps)*seconds, demand)
		if floor := want*63/64 - int64(qps)/64 - 1; admitted < floor {
			t.Fatalf("admitted %d of %d possible at qps %d, want at least %d", admitted, want, qps, floor)
		}
	})
}

func TestQPSAndQPMAreTakenTogetherOrNotAtAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := limit.NewTable()
		limits := gatehouse.Limits{QPS: rapid.Int32Range(1, 5).Draw(t, "qps"), QPM: rapid.Int32Range(1, 20).Draw(t, "qpm"), TPM: 100}
		now, admitted := time.Duration(0), int64(0)
		for range 100 {
			now += time.Duration(rapid.Int64Range(0, int64(200*time.Millisecond)).Draw(t, "gap"))
			v, ticket := table.Admit(now, limit.Request{Key: key, Limits: limits, Estimate: rapid.Int64Range(0, 9).Draw(t, "tokens")})
			if v.OK {
				admitted++
			} else if ticket != nil {
				t.Fatal("a refused request holds a ticket")
			}
			// All of this happens within one minute: what QPM shows as used must be exactly
			// the admissions, whatever else refused the others.
			probe, _ := table.Admit(now, limit.Request{Key: key, Limits: gatehouse.Limits{QPM: 1}})
			if now < time.Minute && probe.OK != (admitted == 0) {
				t.Fatalf("QPM counts something else than %d admissions", admitted)
			}
			if probe.OK {
				admitted++
			}
			whole, _ := table.Admit(now, limit.Request{Key: key, Limits: gatehouse.Limits{QPM: 1 << 30}})
			admitted++
			if used := 1<<30 - whole.Requests.Remaining; now < time.Minute && used != admitted {
				t.Fatalf("QPM counts %d, admitted %d", used, admitted)
			}
		}
	})
}

func TestRetryAfterIsHonest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := limit.NewTable()
		limits := gatehouse.Limits{
			QPS: rapid.Int32Range(0, 3).Draw(t, "qps"),
			QPM: rapid.Int32Range(0, 10).Draw(t, "qpm"),
			TPM: rapid.Int64Range(0, 50).Draw(t, "tpm"),
		}
		reserve := rapid.Bool().Draw(t, "reserve")
		now := time.Duration(0)
		for range 60 {
			now += gaps(t)
			r := limit.Request{Key: key, Limits: limits, Reserve: reserve, Estimate: rapid.Int64Range(0, 30).Draw(t, "estimate")}
			v, ticket := table.Admit(now, r)
			ticket.Settle(now, r.Estimate)
			if v.OK || reserve && limits.TPM > 0 && r.Estimate > limits.TPM {
				continue
			}
			if v.RetryAfter <= 0 {
				t.Fatalf("refused by %s without a time", v.Limit)
			}
			if early, tk := table.Admit(now+v.RetryAfter-1, r); early.OK {
				tk.Settle(now, 0)
				t.Fatalf("%s passed before RetryAfter", v.Limit)
			}
			now += v.RetryAfter
			late, tk := table.Admit(now, r)
			if !late.OK {
				t.Fatalf("refused by %s after waiting %v for %s", late.Limit, v.RetryAfter, v.Limit)
			}
			tk.Settle(now, r.Estimate)
		}
	})
}

// used reads the token count without changing it.
func used(table *limit.Table, now time.Duration) int64 {
	v, t := table.Admit(now, limit.Request{Key: key, Limits: gatehouse.Limits{TPM: gatehouse.MaxTPM}})
	t.Settle(now, 0)
	return gatehouse.MaxTPM - v.Tokens.Remaining
}

// The sum is never below what really flowed in the last minute, and above it
// only by what the partial sub-window holds.
func TestTokensFollowTheOracleAndNeverUnderCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, o := limit.NewTable(), new(oracle)
		limits := gatehouse.Limits{TPM: gatehouse.MaxTPM}
		type open struct {
			ticket *limit.Ticket
			posts  []int // of o.posts
		}
		var live []open
		now := time.Duration(0)
		note := func(r *open, tokens int64) {
			o.posts = append(o.posts, post{now, tokens})
			r.posts = append(r.posts, len(o.posts)-1)
		}
		for range rapid.IntRange(1, 150).Draw(t, "n") {
			now += gaps(t)
			switch pick := rapid.IntRange(0, 3).Draw(t, "do"); {
			case pick == 0 || len(live) == 0:
				r := open{}
				n := rapid.Int64Range(0, 1000).Draw(t, "estimate")
				_, r.ticket = table.Admit(now, limit.Request{Key: key, Limits: limits, Estimate: n})
				note(&r, n)
				live = append(live, r)
			case pick < 3:
				r := &live[rapid.IntRange(0, len(live)-1).Draw(t, "who")]
				n := rapid.Int64Range(0, 100).Draw(t, "tokens")
				r.ticket.Post(now, n)
				note(r, n)
			default:
				i := rapid.IntRange(0, len(live)-1).Draw(t, "who")
				actual := rapid.Int64Range(0, 2000).Draw(t, "actual")
				live[i].ticket.Settle(now, actual)
				settle(o, now, live[i].posts, actual)
				live = append(live[:i], live[i+1:]...)
			}
			got, least, most := used(table, now), o.tokens(now, time.Minute), o.tokens(now, time.Minute+granularity)
			if got < least || got > most {
				t.Fatalf("sum %d at %v, oracle %d to %d", got, now, least, most)
			}
		}
	})
}

// settle corrects the oracle as documented: more is new, less comes off the
// oldest first.
func settle(o *oracle, now time.Duration, own []int, actual int64) {
	var posted int64
	for _, i := range own {
		posted += o.posts[i].tokens
	}
	if actual > posted {
		o.posts = append(o.posts, post{now, actual - posted})
		return
	}
	for _, i := range own {
		take := min(posted-actual, o.posts[i].tokens)
		o.posts[i].tokens -= take
		posted -= take
	}
}

// xAI's words: the limit engages when strictly exceeded, and requests in flight
// are not aborted.
func TestTPMEngagesWhenStrictlyExceeded(t *testing.T) {
	table := limit.NewTable()
	r := limit.Request{Key: key, Limits: gatehouse.Limits{TPM: 100}, Estimate: 60}
	_, first := table.Admit(0, r)
	first.Post(0, 40)
	if v, second := table.Admit(1, r); !v.OK {
		t.Fatal("refused at exactly the limit")
	} else {
		second.Settle(1, 0)
	}
	first.Post(2, 1)
	v, _ := table.Admit(3, r)
	if v.OK || v.Limit != "tpm" || v.Tokens.Remaining != 0 {
		t.Fatalf("one token over the limit: %+v", v)
	}
	first.Settle(4, 50)
	if v, _ := table.Admit(5, r); !v.OK {
		t.Fatal("the correction at settlement did not land")
	}
}

// Σ actual ≤ limit in every sliding minute when no request uses more than it
// reserved, however long it runs.
func TestReserveModeNeverExceedsTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, o := limit.NewTable(), new(oracle)
		limits := gatehouse.Limits{TPM: rapid.Int64Range(10, 300).Draw(t, "tpm")}
		type open struct {
			ticket      *limit.Ticket
			left, spent int64
		}
		var live []open
		now := time.Duration(0)
		for range 150 {
			now += gaps(t)
			switch pick := rapid.IntRange(0, 3).Draw(t, "do"); {
			case pick == 0 || len(live) == 0:
				n := rapid.Int64Range(1, 100).Draw(t, "estimate")
				if v, tk := table.Admit(now, limit.Request{Key: key, Limits: limits, Reserve: true, Estimate: n}); v.OK {
					live = append(live, open{tk, n, 0})
				}
			default:
				i := rapid.IntRange(0, len(live)-1).Draw(t, "who")
				r := &live[i]
				n := rapid.Int64Range(0, r.left).Draw(t, "tokens")
				o.posts = append(o.posts, post{now, n})
				r.left, r.spent = r.left-n, r.spent+n
				if pick < 3 {
					r.ticket.Post(now, n)
					break
				}
				r.ticket.Settle(now, r.spent)
				live = append(live[:i], live[i+1:]...)
			}
			if n := o.tokens(now, time.Minute); n > limits.TPM {
				t.Fatalf("%d tokens flowed in the minute to %v, limit %d", n, now, limits.TPM)
			}
		}
	})
}

func TestAChangedLimitKnowsTheWindowBefore(t *testing.T) {
	table := limit.NewTable()
	ask := func(now time.Duration, qpm int32) bool {
		v, _ := table.Admit(now, limit.Request{Key: key, Limits: gatehouse.Limits{QPM: qpm, TPM: 5}})
		return v.OK
	}
	for i := range time.Duration(10) {
		if !ask(i, 10) {
			t.Fatal("refused within the limit")
		}
	}
	if ask(20, 5) {
		t.Fatal("lowering the limit forgot ten admissions")
	}
	if !ask(30, 0) || ask(40, 11) || !ask(50, 12) {
		t.Fatal("taking the limit off and setting it again forgot admissions")
	}
}

func TestKeysWithoutLimitsLeaveNothingBehind(t *testing.T) {
	table := limit.NewTable()
	v, ticket := table.Admit(0, limit.Request{Key: key, Estimate: 1000})
	ticket.Post(0, 5)
	ticket.Settle(0, 5)
	if !v.OK || ticket != nil || table.Len() != 0 {
		t.Fatalf("verdict %+v, ticket %v, %d keys held", v, ticket, table.Len())
	}
}

func TestIdleKeysAreForgottenAndBusyOnesAreNot(t *testing.T) {
	table := limit.NewTable()
	r := limit.Request{Limits: gatehouse.Limits{TPM: 10}}
	for range 10_000 {
		r.Key = gatehouse.NewID()
		_, tk := table.Admit(0, r)
		tk.Settle(0, 3)
	}
	r.Key = key
	_, running := table.Admit(0, r)
	running.Post(0, 20)
	now := 2 * time.Minute
	running.Post(now, 20)
	for range 10_000 {
		busy := limit.Request{Key: gatehouse.NewID(), Limits: r.Limits}
		_, tk := table.Admit(now, busy)
		tk.Settle(now, 0)
	}
	if n := table.Len(); n > 10_100 {
		t.Fatalf("%d keys held, 10,001 in use", n)
	}
	if v, _ := table.Admit(now, r); v.OK {
		t.Fatal("the key of a running request was forgotten")
	}
}

// Two cores on one key, as in the gateway: whoever gets the lock, the limit holds.
func TestConcurrentAdmissionsOfOneKeyKeepTheLimit(t *testing.T) {
	table := limit.NewTable()
	var wg sync.WaitGroup
	admits := make([]int64, 4)
	for g := range admits {
		wg.Go(func() {
			for i := range 2000 {
				now := time.Duration(i) * 100 * time.Microsecond // 0.2 s: one window
				v, tk := table.Admit(now, limit.Request{Key: key, Limits: gatehouse.Limits{QPS: 100, QPM: 1000, TPM: 1 << 40}, Estimate: 3})
				tk.Post(now, 2)
				tk.Settle(now, 4)
				if v.OK {
					admits[g]++
				}
			}
		})
	}
	wg.Wait()
	var sum int64
	for _, n := range admits {
		sum += n
	}
	if sum != 100 || used(table, time.Second/5) != 400 {
		t.Fatalf("admitted %d, want 100; counted %d tokens, want 400", sum, used(table, time.Second/5))
	}
}

func TestSettlingTwiceCountsOnce(t *testing.T) {
	table := limit.NewTable()
	_, tk := table.Admit(0, limit.Request{Key: key, Limits: gatehouse.Limits{TPM: 100}, Estimate: 10})
	tk.Settle(1, 7)
	tk.Settle(2, 90)
	tk.Post(3, 50)
	if n := used(table, 4); n != 7 {
		t.Fatalf("counted %d, want 7", n)
	}
}

func TestHugeCountsDoNotWrap(t *testing.T) {
	table := limit.NewTable()
	r := limit.Request{Key: key, Limits: gatehouse.Limits{TPM: gatehouse.MaxTPM}, Estimate: 1<<63 - 1}
	_, a := table.Admit(0, r)
	a.Post(0, 1<<63-1)
	if v, _ := table.Admit(1, r); v.OK {
		t.Fatal("a sum over 64 bits opened the limit")
	}
	a.Settle(2, 0)
	if v, _ := table.Admit(3, r); !v.OK {
		t.Fatal("what was posted could not be taken back")
	}
}
