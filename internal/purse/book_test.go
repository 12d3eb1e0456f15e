package purse

import (
	"testing"
	"time"

	"gatehouse"
)

// desk is a book with its bank, whose time is told.
type desk struct {
	book *book
	bank *simBank
	now  time.Duration
	fund gatehouse.Fund
}

func newDesk(amount gatehouse.Ticks) *desk {
	d := &desk{book: newBook(gatehouse.ID{1}, 1), bank: newSimBank(), fund: gatehouse.Fund{Team: gatehouse.ID{9}}}
	d.bank.amount[d.fund] = amount
	return d
}

// talk asks the bank until there is nothing to say.
func (d *desk) talk() {
	for range 50 {
		d.now += 50 * time.Millisecond
		if r, ok := d.book.ask(d.now, 0); ok {
			d.book.answer(d.now, &r, d.bank.draw(d.now, r))
		}
	}
}

// pay reserves worst, waiting for it, and settles at cost.
func (d *desk) pay(worst, cost gatehouse.Ticks) verdict {
	w := &waiter{funds: []gatehouse.Fund{d.fund}, worst: worst, arrived: d.now, done: func() {}}
	v := d.book.reserve(d.now, w)
	if v == waits {
		d.book.park(w)
		d.talk()
		v = d.book.leave(d.now, w)
	}
	if v == granted {
		d.book.settle(d.now, w.funds, w.took, cost)
	}
	return v
}

// A bank that was restored from a backup does not know what it granted since. A
// gateway that runs on pays from what the bank has now.
func TestAGatewayOutlivesARestoreOfItsBank(t *testing.T) {
	d := newDesk(10_000)
	for range 20 {
		if v := d.pay(400, 20); v != granted {
			t.Fatal(v)
		}
		d.talk()
	}
	a := d.book.accounts[d.fund]
	if a.returned < 1000 || a.spent != 400 {
		t.Fatalf("%+v", a)
	}
	d.bank = newSimBank()
	d.bank.amount[d.fund] = 1000
	if v := d.pay(400, 20); v != granted {
		t.Errorf("%d: %d drawn, %d returned, %d spent", v, a.drawn, a.returned, a.spent)
	}
	d.talk()
	if held := d.bank.held(d.fund, simHold{}); held != 20 {
		t.Errorf("%d are held, and 20 were spent", held)
	}
}

// What a request cost above its worst case is paid from what comes next, however
// late that comes.
func TestADebtIsNotForgotten(t *testing.T) {
	d := newDesk(100)
	if v := d.pay(100, 150); v != granted {
		t.Fatal(v)
	}
	d.bank.ingest(d.book.gateway, []usage{{inc: 1, cost: 150, funds: []*simFund{{Fund: d.fund}}}})
	d.now += forget + sweep
	d.talk()
	d.bank.amount[d.fund] = 400 // 250 are left
	d.pay(200, 0)
	a := d.book.accounts[d.fund]
	if left := d.bank.amount[d.fund] - d.bank.spent[d.fund] - d.bank.held(d.fund, simHold{}); left+a.mine() > 250 {
		t.Errorf("%d may be drawn and %d is held: 250 are there", left, a.mine())
	}
}

// Whoever asks for many funds leaves none out.
func TestEveryFundHasItsTurn(t *testing.T) {
	d := newDesk(0)
	heard := map[gatehouse.Fund]bool{}
	for i := range 3 * MaxAsks {
		f := gatehouse.Fund{Team: gatehouse.ID{9}, Of: string(rune('a' + i))}
		d.bank.amount[f] = 50 // others' holds: they may come back
		d.bank.holds[simHold{f, gatehouse.ID{2}, 1}] = &simState{drawn: 50}
		w := &waiter{funds: []gatehouse.Fund{f}, worst: 10, arrived: d.now, done: func() {}}
		d.book.reserve(d.now, w)
		d.book.park(w)
	}
	for range 9 {
		d.now += 300 * time.Millisecond // a slow bank: all are due again
		r, _ := d.book.ask(d.now, 0)
		for _, q := range r.Asks {
			heard[q.Fund] = true
		}
		d.book.answer(d.now, &r, d.bank.draw(d.now, r))
	}
	if len(heard) != 3*MaxAsks {
		t.Errorf("%d of %d were asked for", len(heard), 3*MaxAsks)
	}
}
