package purse

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"gatehouse"
)

// sharedBank is the bank of the simulation behind a lock, which at times does
// what it is asked and says that it failed.
type sharedBank struct {
	mu    sync.Mutex
	bank  *simBank
	start time.Time
	fails bool
	down  bool
	calls int
}

func (b *sharedBank) Draw(_ context.Context, r DrawRequest) (DrawReply, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	if b.down {
		return DrawReply{}, errors.New("away")
	}
	out := b.bank.draw(time.Since(b.start), r)
	if b.fails && rand.IntN(5) == 0 {
		return DrawReply{}, errors.New("lost")
	}
	return out, nil
}

func newShared(amounts ...gatehouse.Ticks) (*sharedBank, []gatehouse.Fund) {
	b := &sharedBank{bank: newSimBank(), start: time.Now()}
	var funds []gatehouse.Fund
	for i, n := range amounts {
		f := gatehouse.Fund{Team: gatehouse.ID{byte(i + 1)}}
		b.bank.amount[f] = n
		funds = append(funds, f)
	}
	return b, funds
}

// run makes a purse that talks to the bank until the test is over.
func run(t *testing.T, b Bank, gateway byte) *Purse {
	p := New(Config{Bank: b, Gateway: gatehouse.ID{gateway}, Incarnation: 1, Now: time.Now})
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { p.Run(ctx) })
	t.Cleanup(func() { cancel(); done.Wait() })
	return p
}

// Many requests at several gateways, answers lost: what they spent is what the
// bank misses when all is given back.
func TestMoneyAddsUpWhenGatewaysStop(t *testing.T) {
	b, funds := newShared(1_000_000, 500_000)
	b.fails = true
	var spent [2]gatehouse.Ticks
	var mu sync.Mutex
	var gates []*Purse
	var group sync.WaitGroup
	for g := range 3 {
		p := run(t, b, byte(g+1))
		gates = append(gates, p)
		for range 4 {
			group.Go(func() {
				for range 100 {
					pays := funds[:1+rand.IntN(2)]
					r, short, err := p.Reserve(t.Context(), Request{Funds: pays, Worst: 500})
					if err != nil || short != nil {
						t.Errorf("%v %v", short, err)
						return
					}
					cost := gatehouse.Ticks(rand.IntN(500))
					r.Settle(cost)
					r.Settle(cost) // again is nothing
					mu.Lock()
					for i := range pays {
						spent[i] += cost
					}
					mu.Unlock()
				}
			})
		}
	}
	group.Wait()
	for _, p := range gates {
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	for i, f := range funds {
		if held := b.bank.held(f, simHold{}); held != spent[i] {
			t.Errorf("fund %d: %d held, %d spent and on its way to the books", i, held, spent[i])
		}
	}
}

func TestARequestWaitsForWhatRunsAndNotForWhatIsGone(t *testing.T) {
	b, funds := newShared(1000)
	p := run(t, b, 1)
	first, _, err := p.Reserve(t.Context(), Request{Funds: funds, Worst: 800})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for p.Counts().Waited < 2 { // the first waited for the bank
			time.Sleep(time.Millisecond)
		}
		first.Settle(100)
	}()
	second, short, err := p.Reserve(t.Context(), Request{Funds: funds, Worst: 700})
	if second == nil {
		t.Fatal("what the first gave back was not waited for:", short, err)
	}
	second.Settle(700)
	began := time.Now()
	_, short, _ = p.Reserve(t.Context(), Request{Funds: funds, Worst: 300})
	if short == nil || short.Index != 0 || time.Since(began) > MaxWait/2 {
		t.Errorf("%v after %v", short, time.Since(began))
	}
	if r, _, _ := p.Reserve(t.Context(), Request{Funds: funds, Worst: 300, Modest: 150}); r == nil {
		t.Error("a modest request did not get the last of it")
	}
}

func TestABankThatIsAwayIsNoNo(t *testing.T) {
	b, funds := newShared(1_000_000)
	p := run(t, b, 1)
	r, _, err := p.Reserve(t.Context(), Request{Funds: funds, Worst: 500})
	if err != nil {
		t.Fatal(err)
	}
	r.Settle(0)
	b.mu.Lock()
	b.down = true
	b.mu.Unlock()
	if r, _, err = p.Reserve(t.Context(), Request{Funds: funds, Worst: 400}); err != nil {
		t.Error("what it holds it may spend:", err)
	}
	if _, short, err := p.Reserve(t.Context(), Request{Funds: funds, Worst: 500_000}); gatehouse.CodeOf(err) != gatehouse.Unavailable || short != nil {
		t.Error(short, err)
	}
	began := time.Now()
	if _, _, err := p.Reserve(t.Context(), Request{Funds: funds, Worst: 500_000}); gatehouse.CodeOf(err) != gatehouse.Unavailable || time.Since(began) > patience/2 {
		t.Error("the second waits as long as the first:", err, time.Since(began))
	}
	r.Settle(1)
}
