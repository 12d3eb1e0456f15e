package serve

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/catalogue"
	"gatehouse/internal/control"
)

// Shipped is the catalogue that comes with the program, as a declaration.
func Shipped() (control.Declaration, error) {
	c, err := catalogue.Shipped()
	return control.Declaration{Models: c.Models, Aliases: c.Aliases, Prices: c.Prices}, err
}

// Declaration converts what the configuration file declares into records. All
// that is wrong is reported at once, by place.
func (c *Config) Declaration() (control.Declaration, error) {
	var d control.Declaration
	var problems []error
	collect := func(what string, i int, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("%s[%d]: %w", what, i, err))
		}
	}
	for i, u := range c.Upstreams {
		up, err := u.record()
		collect("upstreams", i, err)
		d.Upstreams = append(d.Upstreams, up)
	}
	for i, m := range c.Models {
		collect("models", i, require("name", m.Name, "type", m.Type))
		d.Models = append(d.Models, &gatehouse.Model{
			Name: m.Name, Type: gatehouse.ModelType(m.Type), Owner: m.Owner, Version: m.Version,
			ContextLength: m.ContextLength, Input: m.Input, Output: m.Output, Clusters: m.Clusters, Source: "operator",
		})
	}
	for i, a := range c.Aliases {
		collect("aliases", i, require("name", a.Name, "target", a.Target))
		d.Aliases = append(d.Aliases, &gatehouse.Alias{Name: a.Name, Target: a.Target, Fallbacks: a.Fallbacks})
	}
	for i, p := range c.Prices {
		price, err := p.record()
		collect("prices", i, err)
		d.Prices = append(d.Prices, price)
	}
	for i, cl := range c.Clusters {
		collect("clusters", i, require("name", cl.Name))
		d.Clusters = append(d.Clusters, &gatehouse.Cluster{Name: cl.Name, Address: cl.Address})
	}
	// Control alone has no gateway of its own, and a cluster without one would
	// keep every propagation false.
	if c.Role == RoleAll && !slices.ContainsFunc(d.Clusters, func(cl *gatehouse.Cluster) bool { return cl.Name == c.Cluster }) {
		d.Clusters = append(d.Clusters, &gatehouse.Cluster{Name: c.Cluster})
	}
	return d, errors.Join(problems...)
}

func (u UpstreamConfig) record() (*gatehouse.Upstream, error) {
	up := &gatehouse.Upstream{
		Name: u.Name, Kind: gatehouse.UpstreamKind(u.Kind), BaseURL: strings.TrimSuffix(u.BaseURL, "/"), Clusters: u.Clusters,
		AllowPrivate: u.AllowPrivate, Proxy: u.Proxy, HTTP: u.HTTP, AskUsage: u.AskUsage == nil || *u.AskUsage,
		HeaderTimeout: u.HeaderTimeout, IdleTimeout: u.IdleTimeout,
		Limits: gatehouse.Limits{QPS: u.Limits.QPS, QPM: u.Limits.QPM, TPM: u.Limits.TPM},
	}
	for _, f := range u.Families {
		up.Families = append(up.Families, gatehouse.Family(f))
	}
	if len(up.Families) == 0 {
		up.Families = gatehouse.DefaultFamilies(up.Kind)
	}
	for _, s := range u.Serves {
		up.Serves = append(up.Serves, gatehouse.Serve{Model: s.Model, Owner: s.Owner, As: s.As, Weight: s.Weight})
	}
	if len(up.Serves) == 0 {
		up.Serves = []gatehouse.Serve{{Model: "*", Owner: u.Kind}}
	}
	err := require("name", u.Name, "kind", u.Kind, "base_url", u.BaseURL)
	if u.CredentialFile != "" {
		up.Credential, err = readSecret(u.CredentialFile, err)
	}
	if u.CACertFile != "" {
		up.CACert, err = readSecret(u.CACertFile, err)
	}
	return up, err
}

func readSecret(path string, before error) (string, error) {
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), errors.Join(before, err)
}

func (p PriceConfig) record() (*gatehouse.Price, error) {
	at, err := time.Parse(time.RFC3339, p.Effective)
	if err != nil {
		return nil, errors.New("effective: must be a time such as 2026-01-01T00:00:00Z")
	}
	if p.Source == "" {
		p.Source = "operator"
	}
	return catalogue.PriceFrom(p.Model, at, p.PerMillion, p.Each, p.LongPerMillion, p.LongThreshold, p.Source)
}

// ParseUpstreamFlag reads --upstream [KIND=]URL. Bare, the upstream answers
// every model of the catalogue on every route family.
func ParseUpstreamFlag(s string, index int) (UpstreamConfig, error) {
	u := UpstreamConfig{Kind: string(gatehouse.OpenAI), Families: families(gatehouse.AllFamilies), Serves: []ServeConfig{{Model: "*"}}}
	if kind, rest, ok := strings.Cut(s, "="); ok && !strings.Contains(kind, "/") {
		k := gatehouse.UpstreamKind(kind)
		if gatehouse.DefaultFamilies(k) == nil {
			return u, fmt.Errorf("--upstream: %q is not a kind; want openai, anthropic or xai", kind)
		}
		u.Kind, u.Families, u.Serves, s = kind, families(gatehouse.DefaultFamilies(k)), []ServeConfig{{Model: "*", Owner: kind}}, rest
	}
	parsed, err := url.Parse(s)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return u, fmt.Errorf("--upstream: %q is not a base URL such as https://api.openai.com/v1", s)
	}
	u.BaseURL, u.Name = strings.TrimSuffix(s, "/"), fmt.Sprintf("flag-%d", index+1)
	addr, err := netip.ParseAddr(parsed.Hostname())
	u.AllowPrivate = parsed.Hostname() == "localhost" || err == nil && addr.IsLoopback()
	return u, nil
}

func families(in []gatehouse.Family) []string {
	out := make([]string, len(in))
	for i, f := range in {
		out[i] = string(f)
	}
	return out
}

// require names the first empty one of name, value pairs.
func require(pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			return fmt.Errorf("%s: is required", pairs[i])
		}
	}
	return nil
}
