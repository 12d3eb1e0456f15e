package limittest

import (
	"fmt"
	"time"

	"gatehouse"
	"gatehouse/internal/limit"
)

// SimulateCredit runs gateways that spend one prepaid balance, crash, fall
// silent and have their journals ingested late and twice, and returns how more
// was spent than there was.
func SimulateCredit(seed uint64) error {
	c := &spending{world: newWorld(seed)}
	c.balance = 1000 + c.Int64N(100_000)
	c.credit = limit.NewCredit(c.balance)
	for range 1 + c.IntN(5) {
		c.at(0, func() { c.gateway(new(spender)) })
	}
	c.run(time.Hour)
	if c.spent > c.balance {
		return fmt.Errorf("seed %d: %d spent of %d", seed, c.spent, c.balance)
	}
	if free := c.credit.Free(); c.spent == 0 || free < 0 {
		return fmt.Errorf("seed %d: %d spent, %d free", seed, c.spent, free)
	}
	return nil
}

type spending struct {
	*world
	credit  *limit.Credit
	balance int64
	spent   int64 // the truth: what upstreams were asked for
	ids     uint64
}

// spender is a gateway with its purse and the journal of what it drew.
type spender struct {
	purse *limit.Purse
	draws int64 // worst cost of what is under way
	dead  bool
}

// gateway sends requests every few seconds until it crashes.
func (c *spending) gateway(s *spender) {
	if s.dead {
		return
	}
	c.request(s)
	if c.IntN(100) == 0 {
		c.crash(s)
		return
	}
	c.after(c.between(0, 10*time.Second), func() { c.gateway(s) })
}

func (c *spending) request(s *spender) {
	worst := 1 + c.Int64N(200)
	if s.purse == nil || !s.purse.Draw(worst) {
		c.refill(s, worst)
		if s.purse == nil || !s.purse.Draw(worst) {
			return
		}
	}
	actual, p := c.Int64N(worst+1), s.purse
	c.spent += actual
	s.draws += worst
	c.after(c.between(0, time.Minute), func() {
		if s.dead {
			return // recovery bills it at its worst
		}
		s.draws -= worst
		p.Settle(worst, actual)
		c.ship(p)
	})
}

// refill shuts the purse and holds a slice; near zero what one request needs.
func (c *spending) refill(s *spender, worst int64) {
	if s.purse != nil {
		s.purse.Shut()
		c.ship(s.purse)
	}
	s.purse = nil
	c.ids++
	id := gatehouse.ID{15: byte(c.ids), 14: byte(c.ids >> 8), 13: byte(c.ids >> 16), 0: 1}
	for _, amount := range []int64{1000, worst} {
		if ok := c.credit.Hold(id, amount); ok {
			if c.IntN(5) == 0 {
				c.credit.Hold(id, amount) // the answer was lost and it asked again
			}
			s.purse = limit.NewPurse(id, amount)
			if c.IntN(3) == 0 {
				c.after(c.between(0, time.Minute), func() { c.credit.Silent(id) })
			}
			return
		}
	}
}

// ship ingests the end of a purse, late and perhaps twice.
func (c *spending) ship(p *limit.Purse) {
	spent, ok := p.Done()
	if !ok {
		return
	}
	for range 1 + c.IntN(2) {
		c.after(c.between(0, 5*time.Minute), func() { c.credit.End(p.ID, spent) })
	}
}

// crash kills a gateway; its journal is found and recovered much later.
func (c *spending) crash(s *spender) {
	s.dead = true
	if p := s.purse; p != nil {
		under := s.draws
		c.after(c.between(0, 20*time.Minute), func() {
			p.Shut()
			spent := p.Spent() + under
			c.credit.End(p.ID, min(spent, p.Amount()))
		})
	}
	c.after(c.between(0, time.Minute), func() { c.gateway(new(spender)) })
}
