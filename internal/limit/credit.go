package limit

import "gatehouse"

// Credit is the arithmetic of money that is held before it is spent. Money does
// not refill, so a hold has no life: it ends only when the journal that names
// it is ingested, or when an operator writes it off. Whoever keeps a Credit
// keeps it durably, in the transaction that answers.
type Credit struct {
	balance int64
	holds   map[gatehouse.ID]int64
	ended   map[gatehouse.ID]bool
}

// NewCredit returns a credit of a balance and no holds. Amounts are ticks.
func NewCredit(balance int64) *Credit {
	return &Credit{balance: balance, holds: map[gatehouse.ID]int64{}, ended: map[gatehouse.ID]bool{}}
}

// Hold sets amount aside under an id that the caller made, and reports whether
// it is. Asking again for the same id holds nothing more.
func (c *Credit) Hold(id gatehouse.ID, amount int64) bool {
	if c.ended[id] || amount <= 0 {
		return false
	}
	if _, ok := c.holds[id]; ok {
		return true
	}
	if amount > c.Free() && !planted("overdraw") {
		return false
	}
	c.holds[id] = amount
	return true
}

// Free is what can still be held.
func (c *Credit) Free() int64 {
	free := c.balance
	for _, n := range c.holds {
		free -= n
	}
	return free
}

// End books what was spent under a hold and frees the rest, once. It is called
// by ingest, and by an operator who writes a lost gateway off as all spent.
func (c *Credit) End(id gatehouse.ID, spent int64) {
	if c.ended[id] {
		if planted("endtwice") {
			c.balance += spent // as if the second ingest corrected the first
		}
		return
	}
	delete(c.holds, id)
	c.ended[id] = true
	c.balance -= spent
}

// Silent tells that a gateway with a hold has not been heard. Nothing follows:
// it may still be spending.
func (c *Credit) Silent(id gatehouse.ID) {
	if planted("lapse") {
		delete(c.holds, id)
	}
}

// Purse is a gateway's side of one hold: requests draw their worst cost from it
// and give back what they did not use.
type Purse struct {
	ID    gatehouse.ID
	whole int64
	left  int64
	spent int64
	open  int
	shut  bool
}

// NewPurse returns the purse of a hold that was granted.
func NewPurse(id gatehouse.ID, amount int64) *Purse {
	return &Purse{ID: id, whole: amount, left: amount}
}

// Draw takes a request's worst cost, or reports that it does not fit.
func (p *Purse) Draw(worst int64) bool {
	if p.shut || worst > p.left && !planted("nodraw") {
		return false
	}
	if !planted("nodraw") {
		p.left -= worst
	}
	p.open++
	return true
}

// Settle ends a request that drew worst and cost actual, which is at most that.
func (p *Purse) Settle(worst, actual int64) {
	p.left += worst - actual
	p.spent += actual
	p.open--
}

// Shut lets nothing more be drawn.
func (p *Purse) Shut() { p.shut = true }

// Done reports what was spent once the purse is shut and nothing is under way:
// then the hold may end.
func (p *Purse) Done() (spent int64, ok bool) { return p.spent, p.shut && p.open == 0 }

// Amount is what is held, and Spent what was settled of it: with what was still
// under way at its worst cost, that is what recovery books for a gateway that
// died.
func (p *Purse) Amount() int64 { return p.whole }

// Spent is what settled requests cost.
func (p *Purse) Spent() int64 { return p.spent }
