package control

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"gatehouse"
	"gatehouse/internal/store"
)

// Declaration is a set of records that something other than the API states.
type Declaration struct {
	Clusters  []*gatehouse.Cluster
	Models    []*gatehouse.Model
	Aliases   []*gatehouse.Alias
	Prices    []*gatehouse.Price
	Upstreams []*gatehouse.Upstream
}

// Report says what a declaration changed, and what it could not.
type Report struct {
	Changed []string // "model 'grok-4' was updated"
	Drift   []string // where the store and the declaration still differ, and why
}

// declaring is the operation that the log names.
const declaring gatehouse.Operation = "Declare"

// Declare brings the store to what the configuration file says, and adds what
// the shipped catalogue knows. The file is the truth for what it names: its
// records are set back when the API changed them, and deleted when it names
// them no more. The catalogue is an offer: it adds what was never there and
// refreshes what nobody changed, and what an operator deleted stays deleted.
// What is already so is not written, so a restart leaves no trace.
func (s *Service) Declare(ctx context.Context, shipped, file Declaration) (Report, error) {
	var d *declaration
	cause := gatehouse.Cause{Actor: gatehouse.Actor{Kind: gatehouse.ActorConfig}}
	_, err := s.Store.Update(store.System(ctx), cause, func(tx store.Tx) error {
		d = &declaration{s: s, tx: tx, file: file, shipped: shipped}
		return d.apply()
	})
	if err != nil {
		return Report{}, err
	}
	return d.report, nil
}

// declaration is one run inside a transaction.
type declaration struct {
	s             *Service
	tx            store.Tx
	file, shipped Declaration
	report        Report
}

// apply creates what others lead to first, and deletes in the other order.
func (d *declaration) apply() error {
	steps := []func() error{
		each(d.file.Clusters, d.cluster),
		each(d.file.Models, d.model), each(d.shipped.Models, d.shippedModel),
		each(d.file.Aliases, d.alias), each(d.shipped.Aliases, d.shippedAlias),
		each(d.file.Prices, d.price), each(d.file.Upstreams, d.upstream),
		d.dropUpstreams, d.dropPrices, each(d.shipped.Prices, d.shippedPrice),
		d.dropAliases, d.dropModels, d.dropClusters,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// each makes a step that applies a copy of every record: what a run fills in
// must not leak into the next, since the transaction may run again.
func each[T any](list []*T, apply func(T) error) func() error {
	return func() error {
		for _, x := range list {
			if err := apply(*x); err != nil {
				return err
			}
		}
		return nil
	}
}

// changed notes a write for the report.
func (d *declaration) changed(kind gatehouse.Kind, name string, existed bool) {
	verb := "created"
	if existed {
		verb = "updated"
	}
	d.report.Changed = append(d.report.Changed, fmt.Sprintf("%s '%s' was %s", kind, name, verb))
}

// drift notes what stays different, and why.
func (d *declaration) drift(kind gatehouse.Kind, name, why string) {
	d.report.Drift = append(d.report.Drift, fmt.Sprintf("%s '%s' %s", kind, name, why))
}

// about names the record that a declaration got wrong: the caller is a person
// with a file open.
func about(kind gatehouse.Kind, name string, err error) error {
	if err == nil {
		return nil
	}
	return gatehouse.Errorf(gatehouse.CodeOf(err), "%s '%s': %s", kind, name, gatehouse.Public(err)).Because(err)
}

// cluster brings a declared cluster about.
func (d *declaration) cluster(x gatehouse.Cluster) error {
	before, err := present(d.tx.Cluster(x.Name))
	if err != nil {
		return err
	}
	x.Declared = true
	if before != nil {
		x.Revision = before.Revision
	}
	if same(before, &x) {
		return nil
	}
	d.changed(gatehouse.KindCluster, x.Name, before != nil)
	return about(gatehouse.KindCluster, x.Name, d.s.putCluster(d.tx, before, &x, declaring))
}

// model brings a declared model about.
func (d *declaration) model(m gatehouse.Model) error {
	m.Declared = true
	return d.putModel(m)
}

// putModel writes a model that differs. A model without a creation time keeps
// the one it got, or every start would find it different.
func (d *declaration) putModel(m gatehouse.Model) error {
	before, err := present(d.tx.Model(m.Name))
	if err != nil {
		return err
	}
	m.Created = utc(m.Created)
	if before != nil {
		m.Revision = before.Revision
		if m.Created.IsZero() {
			m.Created = before.Created
		}
	}
	if same(before, &m) {
		return nil
	}
	d.changed(gatehouse.KindModel, m.Name, before != nil)
	return about(gatehouse.KindModel, m.Name, d.s.putModel(d.tx, before, &m, declaring))
}

// shippedModel refreshes a model whose facts come from the same page, read on
// an earlier day; any other source means that somebody else knows better.
func (d *declaration) shippedModel(m gatehouse.Model) error {
	before, err := found(d.tx.Model(m.Name))
	if err != nil {
		return err
	}
	if before != nil && (before.Declared || !before.DeleteTime.IsZero() || before.Source != m.Source || before.SourceDate >= m.SourceDate) {
		return nil
	}
	if alias, err := present(d.tx.Alias(m.Name)); err != nil || alias != nil {
		return err // the name is taken by an operator's alias, which rules
	}
	if before != nil {
		m.Clusters = before.Clusters // no fact of the model: an operator's decision
	}
	return d.putModel(m)
}

// alias brings a declared alias about.
func (d *declaration) alias(a gatehouse.Alias) error {
	before, err := present(d.tx.Alias(a.Name))
	if err != nil {
		return err
	}
	a.Declared = true
	if before != nil {
		a.Revision = before.Revision
	}
	if same(before, &a) {
		return nil
	}
	d.changed(gatehouse.KindAlias, a.Name, before != nil)
	return about(gatehouse.KindAlias, a.Name, d.s.putAlias(d.tx, before, &a, declaring))
}

// shippedAlias adds an alias that was never there; an edited or deleted one is
// an operator's decision.
func (d *declaration) shippedAlias(a gatehouse.Alias) error {
	before, err := found(d.tx.Alias(a.Name))
	if err != nil || before != nil {
		return err
	}
	model, err := present(d.tx.Model(a.Name))
	if err != nil || model != nil {
		return err
	}
	if leads, err := present(d.tx.Model(a.Target)); err != nil || leads == nil {
		return err // an operator deleted the model
	}
	return d.putShippedAlias(nil, a)
}

func (d *declaration) putShippedAlias(before *gatehouse.Alias, a gatehouse.Alias) error {
	d.changed(gatehouse.KindAlias, a.Name, before != nil)
	return about(gatehouse.KindAlias, a.Name, d.s.putAlias(d.tx, before, &a, declaring))
}

// upstream brings a declared upstream about. It is known by its name; the id is
// the store's.
func (d *declaration) upstream(u gatehouse.Upstream) error {
	all, err := d.tx.Upstreams()
	if err != nil {
		return err
	}
	var before *gatehouse.Upstream
	if i := slices.IndexFunc(all, func(o *gatehouse.Upstream) bool { return o.Name == u.Name }); i >= 0 {
		before = all[i]
	}
	u.Declared, u.ID = true, gatehouse.NewID()
	if before != nil {
		u.ID, u.Revision = before.ID, before.Revision
		if before.HasCredential && u.Credential == "" && origin(before.BaseURL) != origin(u.BaseURL) {
			d.drift(gatehouse.KindUpstream, u.Name, "moved, and its credential was for the old place: it has none now")
			bare := *before
			bare.Credential, bare.HasCredential = "", false
			before = &bare
		}
	}
	var ignored gatehouse.Violations // putUpstream finds them again
	normal := u
	normalUpstream(&normal, &ignored)
	keepCredential(before, &normal, &ignored)
	if before != nil && same(before, &normal) && before.Credential == normal.Credential {
		return nil
	}
	d.changed(gatehouse.KindUpstream, u.Name, before != nil)
	return about(gatehouse.KindUpstream, u.Name, d.s.putUpstream(d.tx, before, before, &u, declaring))
}

// same compares what is stored with what would be, by their JSON: nil and
// empty lists are the same there, as they are in the store.
func same[T any](stored, next *T) bool {
	if stored == nil {
		return false
	}
	a, errA := json.Marshal(stored)
	b, errB := json.Marshal(next)
	return errA == nil && errB == nil && string(a) == string(b)
}
