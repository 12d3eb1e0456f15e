package control

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"gatehouse"
)

// price adds a declared price. One in force is not edited, whoever asks: the
// file is then told to give the new amount a time of its own.
func (d *declaration) price(p gatehouse.Price) error {
	prices, err := d.tx.Prices()
	if err != nil {
		return err
	}
	p.Declared, p.ID, p.Effective = true, gatehouse.NewID(), utc(p.Effective)
	for _, old := range prices {
		if old.Model != p.Model || !old.Effective.Equal(p.Effective) {
			continue
		}
		p.ID, p.Revision = old.ID, old.Revision
		if same(old, &p) {
			return nil
		}
		if past(old.Effective, d.s.Now()) && !sameAmounts(old, &p) {
			d.drift(gatehouse.KindPrice, priceName(&p), "is in force and differs: a changed price needs a later effective time")
			return nil
		}
	}
	d.changed(gatehouse.KindPrice, priceName(&p), !p.Revision.IsZero())
	return about(gatehouse.KindPrice, priceName(&p), d.s.putPrice(d.tx, &p))
}

// sameAmounts compares what is charged, so that a source or the file's claim
// may be put right on a price in force.
func sameAmounts(a, b *gatehouse.Price) bool {
	return same(amounts(a), amounts(b))
}

// amounts is a price reduced to what it charges.
func amounts(p *gatehouse.Price) *gatehouse.Price {
	return &gatehouse.Price{Units: p.Units, LongContext: p.LongContext, LongThreshold: p.LongThreshold, Tiers: p.Tiers}
}

// shippedPrice adds a list price unless somebody priced the model otherwise or
// deleted this very price. Its id follows from what it is, which is how both
// are known.
func (d *declaration) shippedPrice(p gatehouse.Price) error {
	p.Effective = utc(p.Effective)
	p.ID = shippedPriceID(&p)
	before, err := found(d.tx.Price(p.ID))
	if err != nil || before != nil {
		return err
	}
	prices, err := d.tx.Prices()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(prices, func(o *gatehouse.Price) bool { return o.Model == p.Model && o.ID != shippedPriceID(o) }) {
		return nil
	}
	if model, err := present(d.tx.Model(p.Model)); err != nil || model == nil {
		return err // an operator deleted the model
	}
	d.changed(gatehouse.KindPrice, priceName(&p), false)
	return about(gatehouse.KindPrice, priceName(&p), d.s.putPrice(d.tx, &p))
}

// shippedPriceID is the same on every installation and in every release.
func shippedPriceID(p *gatehouse.Price) (id gatehouse.ID) {
	sum := sha256.Sum256([]byte("shipped price " + priceName(p)))
	copy(id[:], sum[:])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // RFC 9562 version 8
	return id
}

// priceName is what a price is known by in a file: its model and its time.
func priceName(p *gatehouse.Price) string {
	return fmt.Sprintf("%s from %s", p.Model, p.Effective.UTC().Format(time.RFC3339))
}

func (d *declaration) dropUpstreams() error {
	all, err := d.tx.Upstreams()
	if err != nil {
		return err
	}
	for _, u := range all {
		if u.Declared && !slices.ContainsFunc(d.file.Upstreams, func(x *gatehouse.Upstream) bool { return x.Name == u.Name }) {
			if err := d.dropped(gatehouse.KindUpstream, u.Name, d.s.dropUpstream(d.tx, u)); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropPrices keeps superseded prices, which are history, and the one in force
// as long as the file prices the model at all.
func (d *declaration) dropPrices() error {
	all, err := d.tx.Prices()
	if err != nil {
		return err
	}
	for _, p := range all {
		priced := slices.ContainsFunc(d.file.Prices, func(x *gatehouse.Price) bool {
			return x.Model == p.Model && (past(p.Effective, d.s.Now()) || utc(x.Effective).Equal(p.Effective))
		})
		if p.Declared && !priced {
			if err := d.dropped(gatehouse.KindPrice, priceName(p), d.s.dropPrice(d.tx, p)); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropAliases and dropModels give a name that the file has let go back to the
// catalogue, if it knows it: the file ruled over that record, and it is gone.
func (d *declaration) dropAliases() error {
	all, err := d.tx.Aliases()
	if err != nil {
		return err
	}
	for _, a := range all {
		is := func(x *gatehouse.Alias) bool { return x.Name == a.Name }
		if !a.Declared || slices.ContainsFunc(d.file.Aliases, is) {
			continue
		}
		if err := d.releaseAlias(a, slices.IndexFunc(d.shipped.Aliases, is)); err != nil {
			return err
		}
	}
	return nil
}

// releaseAlias makes a the shipped alias at i, if there is one and it leads
// somewhere: an operator may have deleted its model.
func (d *declaration) releaseAlias(a *gatehouse.Alias, i int) error {
	if i >= 0 {
		next := *d.shipped.Aliases[i]
		leads, err := present(d.tx.Model(next.Target))
		if err != nil {
			return err
		}
		if leads != nil {
			return d.putShippedAlias(a, next)
		}
	}
	return d.dropped(gatehouse.KindAlias, a.Name, d.s.dropAlias(d.tx, a))
}

func (d *declaration) dropModels() error {
	all, err := d.tx.Models()
	if err != nil {
		return err
	}
	for _, m := range all {
		is := func(x *gatehouse.Model) bool { return x.Name == m.Name }
		if !m.Declared || slices.ContainsFunc(d.file.Models, is) {
			continue
		}
		if i := slices.IndexFunc(d.shipped.Models, is); i >= 0 {
			err = d.putModel(*d.shipped.Models[i])
		} else {
			err = d.dropped(gatehouse.KindModel, m.Name, d.s.dropModel(d.tx, m))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *declaration) dropClusters() error {
	all, err := d.tx.Clusters()
	if err != nil {
		return err
	}
	for _, x := range all {
		if x.Declared && !slices.ContainsFunc(d.file.Clusters, func(o *gatehouse.Cluster) bool { return o.Name == x.Name }) {
			if err := d.dropped(gatehouse.KindCluster, x.Name, d.s.dropCluster(d.tx, x)); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropped turns what stands in the way of a deletion into drift: a start must
// not fail because somebody uses what the file left out.
func (d *declaration) dropped(kind gatehouse.Kind, name string, err error) error {
	if gatehouse.CodeOf(err) == gatehouse.FailedPrecondition {
		d.drift(kind, name, "is declared no more and cannot be deleted: "+gatehouse.Public(err))
		return nil
	}
	if err == nil {
		d.report.Changed = append(d.report.Changed, fmt.Sprintf("%s '%s' was deleted", kind, name))
	}
	return err
}
