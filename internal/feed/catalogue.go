package feed

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"gatehouse"
)

// Catalogue is what requests are routed and priced by, at one revision. It is
// immutable: callers must not change what it returns.
type Catalogue struct {
	models    map[string]*gatehouse.Model
	sorted    []*gatehouse.Model
	aliases   map[string]*gatehouse.Alias
	aliasesOf map[string][]string
	upstreams map[gatehouse.ID]*gatehouse.Upstream
	prices    map[string][]*gatehouse.Price // newest effective first
	clusters  map[string]*gatehouse.Cluster
	teams     map[gatehouse.ID]*gatehouse.Team
	routes    map[routeKey][]Route
}

// Route is one upstream that answers for a model in a family.
type Route struct {
	Upstream *gatehouse.Upstream
	As       string // what the upstream calls the model
	Weight   int    // ≥ 1
}

type routeKey struct {
	model  string
	family gatehouse.Family
}

// Resolve finds the canonical model that a request for name goes to. The alias
// is nil when name is canonical. ok is false when the model is not in the
// catalogue.
func (c *Catalogue) Resolve(name string) (m *gatehouse.Model, alias *gatehouse.Alias, ok bool) {
	if alias = c.aliases[name]; alias != nil {
		name = alias.Target
	}
	m, ok = c.models[name]
	return m, alias, ok
}

// Model finds a model by its canonical name.
func (c *Catalogue) Model(name string) (*gatehouse.Model, bool) {
	m, ok := c.models[name]
	return m, ok
}

// Models lists every model by name.
func (c *Catalogue) Models() []*gatehouse.Model { return c.sorted }

// Alias finds an alias.
func (c *Catalogue) Alias(name string) (*gatehouse.Alias, bool) {
	a, ok := c.aliases[name]
	return a, ok
}

// AliasesOf lists the aliases whose target is model, sorted.
func (c *Catalogue) AliasesOf(model string) []string { return c.aliasesOf[model] }

// Routes lists the upstreams of this gateway's cluster that answer for a
// canonical model in a family, by upstream name. Disabled ones are left out.
func (c *Catalogue) Routes(model string, f gatehouse.Family) []Route {
	return c.routes[routeKey{model, f}]
}

// Upstream finds an upstream by id, also a disabled one: an id it handed out
// goes back to it.
func (c *Catalogue) Upstream(id gatehouse.ID) (*gatehouse.Upstream, bool) {
	u, ok := c.upstreams[id]
	return u, ok
}

// Upstreams lists the upstreams by name.
func (c *Catalogue) Upstreams() []*gatehouse.Upstream {
	return slices.SortedFunc(maps.Values(c.upstreams), func(a, b *gatehouse.Upstream) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(string(a.ID[:]), string(b.ID[:])))
	})
}

// Price is the one in force for a model at now. Without one the model is refused.
func (c *Catalogue) Price(model string, now time.Time) (*gatehouse.Price, bool) {
	for _, p := range c.prices[model] {
		if !p.Effective.After(now) {
			return p, true
		}
	}
	return nil, false
}

// Cluster finds a cluster by name.
func (c *Catalogue) Cluster(name string) (*gatehouse.Cluster, bool) {
	x, ok := c.clusters[name]
	return x, ok
}

// Team finds a team; deleted ones are not found.
func (c *Catalogue) Team(id gatehouse.ID) (*gatehouse.Team, bool) { t, ok := c.teams[id]; return t, ok }

// draft is the catalogue that the next batch writes to.
type draft struct {
	models    map[string]*gatehouse.Model
	aliases   map[string]*gatehouse.Alias
	upstreams map[gatehouse.ID]*gatehouse.Upstream
	prices    map[gatehouse.ID]*gatehouse.Price
	clusters  map[string]*gatehouse.Cluster
	teams     map[gatehouse.ID]*gatehouse.Team
	dirty     bool // anything but teams changed
	teamDirty bool
}

func newDraft() *draft {
	return &draft{
		models: map[string]*gatehouse.Model{}, aliases: map[string]*gatehouse.Alias{},
		upstreams: map[gatehouse.ID]*gatehouse.Upstream{}, prices: map[gatehouse.ID]*gatehouse.Price{},
		clusters: map[string]*gatehouse.Cluster{}, teams: map[gatehouse.ID]*gatehouse.Team{},
		dirty: true, teamDirty: true,
	}
}

// publish returns an immutable catalogue: old itself when nothing changed. The
// sets are small (teams apart, hundreds), so what changed is built anew.
func (d *draft) publish(old *Catalogue, cluster string) *Catalogue {
	if !d.dirty && !d.teamDirty {
		return old
	}
	c := new(Catalogue)
	if old != nil {
		*c = *old
	}
	if d.teamDirty {
		c.teams = maps.Clone(d.teams)
	}
	if d.dirty {
		d.build(c, cluster)
	}
	d.dirty, d.teamDirty = false, false
	return c
}

func (d *draft) build(c *Catalogue, cluster string) {
	c.models, c.aliases = maps.Clone(d.models), maps.Clone(d.aliases)
	c.upstreams, c.clusters = maps.Clone(d.upstreams), maps.Clone(d.clusters)
	c.sorted = slices.SortedFunc(maps.Values(d.models), func(a, b *gatehouse.Model) int {
		return strings.Compare(a.Name, b.Name)
	})
	c.aliasesOf = map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(d.aliases)) {
		target := d.aliases[name].Target
		c.aliasesOf[target] = append(c.aliasesOf[target], name)
	}
	c.prices = map[string][]*gatehouse.Price{}
	for _, p := range d.prices {
		c.prices[p.Model] = append(c.prices[p.Model], p)
	}
	for _, list := range c.prices {
		// Equal times: the later revision is the correction of the earlier.
		slices.SortFunc(list, func(a, b *gatehouse.Price) int {
			return cmp.Or(b.Effective.Compare(a.Effective), b.Revision.Compare(a.Revision), cmp.Compare(string(b.ID[:]), string(a.ID[:])))
		})
	}
	c.routes = map[routeKey][]Route{}
	for _, u := range c.Upstreams() {
		if !u.Disabled && (len(u.Clusters) == 0 || slices.Contains(u.Clusters, cluster)) {
			c.addRoutes(u, cluster)
		}
	}
}

func (c *Catalogue) addRoutes(u *gatehouse.Upstream, cluster string) {
	for _, m := range c.sorted {
		s, ok := serves(u, m)
		if !ok || !m.In(cluster) {
			continue
		}
		r := Route{Upstream: u, As: cmp.Or(s.As, m.Name), Weight: max(s.Weight, 1)}
		for _, f := range u.Families {
			k := routeKey{m.Name, f}
			c.routes[k] = append(c.routes[k], r)
		}
	}
}

// serves finds the entry of u that answers for m: a named one before the
// wildcard of m's owner, before the wildcard of all.
func serves(u *gatehouse.Upstream, m *gatehouse.Model) (best gatehouse.Serve, ok bool) {
	rank := 0
	for _, s := range u.Serves {
		r := 0
		switch {
		case s.Model == m.Name:
			r = 3
		case s.Model == "*" && s.Owner != "" && s.Owner == m.Owner:
			r = 2
		case s.Model == "*" && s.Owner == "":
			r = 1
		}
		if r > rank {
			rank, best, ok = r, s, true
		}
	}
	if best.Model == "*" {
		best.As = "" // a wildcard cannot rename every model to one
	}
	return best, ok
}
