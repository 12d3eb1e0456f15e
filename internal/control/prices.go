package control

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// operatorSource is the source of a price that an operator set.
const operatorSource = "operator"

// ListPrices implements gatehouse.Prices: by model, then from when they hold.
func (c *Caller) ListPrices(ctx context.Context, page gatehouse.Page) ([]*gatehouse.Price, string, error) {
	return listAll(ctx, c, gatehouse.ListPrices, "price.listed", gatehouse.KindPrice, page, store.View.Prices, priceOrder)
}

// priceOrder sorts by model, then by when prices hold; the id makes it total.
func priceOrder(p *gatehouse.Price) string {
	return fmt.Sprintf("%s\x00%s\x00%s", p.Model, p.Effective.UTC().Format("2006-01-02T15:04:05.000000"), p.ID)
}

// PutPrice implements gatehouse.Prices. Usage is rated once, by the price in
// force at its time, so that price must still say then what it says now:
// only one that lies in the future can be replaced by its id.
func (c *Caller) PutPrice(ctx context.Context, p *gatehouse.Price) (*gatehouse.Price, error) {
	id := p.ID
	if id.IsZero() {
		id = gatehouse.NewID()
	}
	return mutate(ctx, c, mutation[*gatehouse.Price]{
		op: gatehouse.CreatePrice, target: p.ID.String() + "/" + p.Model,
		run: func(tx store.Tx, who *principal) (*gatehouse.Price, error) {
			next := *p
			next.ID, next.Declared = id, false
			if next.Effective.IsZero() {
				next.Effective = who.now
			}
			if !p.ID.IsZero() {
				if err := c.replaceable(tx, id, p.Model, who.now); err != nil {
					return nil, err
				}
			}
			if err := backdated(tx, &next, who.now); err != nil {
				return nil, err
			}
			return &next, c.s.putPrice(tx, &next)
		},
	})
}

// replaceable allows a price by its id only while nothing was rated by it, and
// never to become another model's.
func (c *Caller) replaceable(tx store.Tx, id gatehouse.ID, model string, now time.Time) error {
	before, err := present(tx.Price(id))
	switch {
	case err != nil:
		return err
	case before == nil || before.Model != model:
		return missing("price")
	case past(before.Effective, now):
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "a price in force is never edited; add one that takes effect later")
	}
	return c.matches(before.Revision)
}

// maxBackdated is how far back a price may begin: what is older was invoiced
// long ago.
const maxBackdated = 366 * 24 * time.Hour

// backdated checks a price that begins in the past. It corrects one that was
// wrong: rows keep what they cost until their cycle is re-rated, and what
// arrives late is rated by it. The first price of a model rates what nothing
// priced, and may begin at any time.
func backdated(tx store.Tx, p *gatehouse.Price, now time.Time) error {
	if !p.Effective.Before(now.Add(-maxBackdated)) {
		return nil
	}
	prices, err := tx.Prices()
	if err != nil {
		return err
	}
	for _, o := range prices {
		if o.Model == p.Model && past(o.Effective, now) {
			return gatehouse.Violations{{Field: "effective", Problem: "must be within the last 366 days: another price is in force"}}.Err()
		}
	}
	return nil
}

// putPrice validates and writes.
func (s *Service) putPrice(tx store.Tx, p *gatehouse.Price) error {
	var bad gatehouse.Violations
	if err := checkPrice(tx, p, &bad); err != nil {
		return err
	}
	if err := bad.Err(); err != nil {
		return err
	}
	p.Effective, p.DeleteTime = utc(p.Effective), never
	act := done(gatehouse.CreatePrice, "price.created", gatehouse.ID{}, gatehouse.KindPrice, p.ID.String(),
		fmt.Sprintf("A price of '%s' was set from %s", p.Model, p.Effective.Format(time.RFC3339)))
	act.Details = map[string]string{"model": p.Model, "units": short(fmt.Sprint(p.Units)), "source": short(p.Source)}
	return tx.PutPrice(p, act)
}

// checkPrice demands a source of every price: one that nobody can look up
// cannot be checked when an invoice is disputed.
func checkPrice(v store.View, p *gatehouse.Price, bad *gatehouse.Violations) error {
	m, err := present(v.Model(p.Model))
	if err != nil {
		return err
	}
	if m == nil {
		bad.Addf("model", "unknown model %q", short(p.Model))
	}
	if len(p.Units) == 0 {
		bad.Addf("units", "is required; a price of 0 is said as 0")
	}
	checkUnits("units", p.Units, bad)
	checkUnits("longContext", p.LongContext, bad)
	for tier, units := range p.Tiers {
		name("tiers", tier, bad)
		checkUnits("tiers."+short(tier), units, bad)
	}
	if p.LongThreshold < 0 || (p.LongThreshold > 0) != (len(p.LongContext) > 0) {
		bad.Addf("longContextThreshold", "goes together with longContext, and is positive")
	}
	if u, err := url.Parse(p.Source); p.Source != operatorSource && (err != nil || u.Host == "" || len(p.Source) > maxURL) {
		bad.Addf("source", "must be the URL of the page that states the price, or %q", operatorSource)
	}
	return nil
}

// checkUnits knows the units that usage is counted in; 0 is a price, absence is not.
func checkUnits(field string, units map[string]gatehouse.Ticks, bad *gatehouse.Violations) {
	for unit, t := range units {
		if _, ok := gatehouse.ParseUnit(unit); !ok {
			bad.Addf(field, "unknown unit %q", short(unit))
		}
		if t < 0 {
			bad.Addf(field, "a price must not be negative")
		}
	}
}

// GetPrice implements gatehouse.Prices.
func (c *Caller) GetPrice(ctx context.Context, id gatehouse.ID) (*gatehouse.Price, error) {
	return get(ctx, c, gatehouse.GetPrice, reading("price.read", gatehouse.KindPrice, id.String()),
		func(v store.View) (*gatehouse.Price, error) { return present(v.Price(id)) })
}

// DeletePrice implements gatehouse.Prices: only of one that is not in force yet.
func (c *Caller) DeletePrice(ctx context.Context, id gatehouse.ID) error {
	return drop(ctx, c, gatehouse.DeletePrice, id.String(), func(tx store.Tx) error {
		p, err := present(tx.Price(id))
		switch {
		case err != nil:
			return err
		case p == nil:
			return missing("price")
		case past(p.Effective, c.s.Now()):
			return gatehouse.Errorf(gatehouse.FailedPrecondition, "a price in force is never deleted; add one that takes effect later")
		}
		if err := c.matches(p.Revision); err != nil {
			return err
		}
		return c.s.dropPrice(tx, p)
	})
}

// dropPrice leaves the record as a tombstone, so that its id is never reused.
func (s *Service) dropPrice(tx store.Tx, p *gatehouse.Price) error {
	gone := *p
	gone.DeleteTime = utc(s.Now())
	return tx.PutPrice(&gone, done(gatehouse.DeletePrice, "price.deleted", gatehouse.ID{}, gatehouse.KindPrice, p.ID.String(),
		fmt.Sprintf("The price of '%s' from %s was deleted", p.Model, p.Effective.Format(time.RFC3339))))
}
