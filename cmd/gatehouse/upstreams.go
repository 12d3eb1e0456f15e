package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"gatehouse"
)

type upstreamsCmd struct {
	List   upstreamsListCmd   `cmd:"" help:"List upstreams by name."`
	Get    upstreamsGetCmd    `cmd:"" help:"Show one upstream. No answer holds its credential."`
	Create upstreamsCreateCmd `cmd:"" help:"Add an upstream."`
	Update upstreamsUpdateCmd `cmd:"" help:"Change what is given of an upstream and nothing else."`
	Delete upstreamsDeleteCmd `cmd:"" help:"Remove an upstream."`
	Test   upstreamsTestCmd   `cmd:"" help:"Ask an upstream for its model list; exit code 1 when it does not answer."`
}

type upstreamsListCmd struct {
	remote
	paging
}

// Run lists upstreams.
func (c *upstreamsListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]*gatehouse.Upstream, string, error) { return s.ListUpstreams(s, p) })
		if err != nil {
			return err
		}
		return s.table("ID NAME KIND URL MODELS STATE", each(all, func(u *gatehouse.Upstream) []string {
			return []string{u.ID.String(), u.Name, string(u.Kind), u.BaseURL, strings.Join(each(u.Serves, serves), ","), upstreamState(u)}
		}))
	})
}

func upstreamState(u *gatehouse.Upstream) string {
	switch {
	case u.Disabled:
		return "disabled"
	case !u.HasCredential:
		return "no credential"
	}
	return "active"
}

// serves spells a Serve in the words of --serve.
func serves(v gatehouse.Serve) string {
	out := v.Model
	for _, x := range []struct{ name, value string }{{"owner", v.Owner}, {"as", v.As}} {
		if x.value != "" {
			out += ";" + x.name + "=" + x.value
		}
	}
	if v.Weight != 0 {
		out += ";weight=" + strconv.Itoa(v.Weight)
	}
	return out
}

// served is a flag of serves' form.
type served gatehouse.Serve

// UnmarshalText reads MODEL[;owner=O][;as=NAME][;weight=N].
func (v *served) UnmarshalText(b []byte) error {
	model, rest, more := strings.Cut(string(b), ";")
	v.Model = model
	for more {
		var part string
		part, rest, more = strings.Cut(rest, ";")
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "owner":
			v.Owner = value
		case "as":
			v.As = value
		case "weight":
			n, err := strconv.Atoi(value)
			if err != nil {
				return fmt.Errorf("weight: %q is not a number", value)
			}
			v.Weight = n
		default:
			return fmt.Errorf("%q is none of owner, as and weight", name)
		}
	}
	return nil
}

type upstreamsGetCmd struct {
	remote
	ID gatehouse.ID `arg:"" help:"The upstream's id."`
}

// Run shows an upstream.
func (c *upstreamsGetCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		u, err := s.GetUpstream(s, c.ID)
		if err != nil {
			return err
		}
		return s.record(upstreamPairs(u)...)
	})
}

func upstreamPairs(u *gatehouse.Upstream) []string {
	families := strings.Join(each(u.Families, func(f gatehouse.Family) string { return string(f) }), " ")
	return []string{
		"id", u.ID.String(), "name", u.Name, "kind", string(u.Kind), "url", u.BaseURL, "state", upstreamState(u), "families", families,
		"serves", strings.Join(each(u.Serves, serves), " "), "clusters", strings.Join(u.Clusters, " "), "private addresses", yes(u.AllowPrivate),
		"own roots", yes(u.CACert != ""), "proxy", u.Proxy, "http", u.HTTP, "asks for usage", yes(u.AskUsage),
		"limits", limits(u.Limits), "header timeout", wait(u.HeaderTimeout), "idle timeout", wait(u.IdleTimeout), "declared in the file", yes(u.Declared), "revision", u.Revision.String(),
	}
}

func wait(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// upstreamFlags are what create and update can say. Nil and empty are unsaid.
type upstreamFlags struct {
	CredentialFile string        `help:"File with the credential; - reads standard input. It is never an argument." placeholder:"FILE"`
	Family         []string      `help:"Route family it speaks. Repeatable. Default: those of its kind." placeholder:"NAME"`
	Serve          []served      `help:"Model it answers for: MODEL[;owner=O][;as=NAME][;weight=N], or * for all. Repeatable." sep:"none" placeholder:"MODEL"`
	AllowPrivate   *bool         `help:"Allow loopback and private addresses." negatable:""`
	CACertFile     string        `name:"ca-cert-file" help:"Roots to trust instead of the system's (PEM)." type:"existingfile" placeholder:"FILE"`
	Proxy          *string       `help:"HTTP proxy." placeholder:"URL"`
	HTTP           *string       `name:"http" help:"1.1 or 2. Default: whichever it offers." placeholder:"VERSION"`
	AskUsage       *bool         `help:"Ask for usage on streams. Default: yes." negatable:""`
	HeaderTimeout  time.Duration `help:"Longest wait for the start of an answer." placeholder:"30s"`
	IdleTimeout    time.Duration `help:"Longest pause within an answer." placeholder:"30s"`
	Limit          *sendLimit    `help:"Most that all gateways send it together: qps:50,qpm:1000,tpm:100000, or none. Replaces all three." placeholder:"LIMITS"`
}

// into writes what was said to u and lists the members, by their proto names.
func (f *upstreamFlags) into(e *env, u *gatehouse.Upstream) (members []string, err error) {
	said := func(name string, yes bool) bool {
		if yes {
			members = append(members, name)
		}
		return yes
	}
	if u.Credential, err = secretFrom(e, f.CredentialFile); err != nil {
		return nil, err
	}
	said("credential", u.Credential != "")
	if said("families", len(f.Family) > 0) {
		u.Families = each(f.Family, func(s string) gatehouse.Family { return gatehouse.Family(s) })
	}
	if said("serves", len(f.Serve) > 0) {
		u.Serves = each(f.Serve, func(v served) gatehouse.Serve { return gatehouse.Serve(v) })
	}
	if said("allow_private", f.AllowPrivate != nil) {
		u.AllowPrivate = *f.AllowPrivate
	}
	if said("ca_cert", f.CACertFile != "") {
		if u.CACert, err = textFrom(f.CACertFile); err != nil {
			return nil, err
		}
	}
	if said("proxy", f.Proxy != nil) {
		u.Proxy = *f.Proxy
	}
	if said("http", f.HTTP != nil) {
		u.HTTP = *f.HTTP
	}
	if said("ask_usage", f.AskUsage != nil) {
		u.AskUsage = *f.AskUsage
	}
	if said("header_timeout", f.HeaderTimeout != 0) {
		u.HeaderTimeout = f.HeaderTimeout
	}
	if said("idle_timeout", f.IdleTimeout != 0) {
		u.IdleTimeout = f.IdleTimeout
	}
	if said("limits", f.Limit != nil) {
		u.Limits = gatehouse.Limits(*f.Limit)
	}
	return members, nil
}

type upstreamsCreateCmd struct {
	remote
	upstreamFlags
	Name    string `help:"What to call it." required:"" placeholder:"NAME"`
	Kind    string `help:"Whose habits it has: openai, anthropic or xai." enum:"openai,anthropic,xai" default:"openai"`
	BaseURL string `name:"base-url" help:"Base URL with its /v1." required:"" placeholder:"URL"`

	Cluster []string `help:"Cluster whose gateways may use it. Repeatable. Default: all." placeholder:"NAME"`
}

// Run creates an upstream. Unless told otherwise it answers for every model
// of the catalogue.
func (c *upstreamsCreateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		u := &gatehouse.Upstream{
			Name: c.Name, Kind: gatehouse.UpstreamKind(c.Kind), BaseURL: c.BaseURL, AskUsage: true,
			Serves: []gatehouse.Serve{{Model: "*"}}, Clusters: c.Cluster,
		}
		if _, err := c.into(e, u); err != nil {
			return err
		}
		out, err := s.PutUpstream(s, u)
		if err != nil {
			return err
		}
		return s.record(upstreamPairs(out)...)
	})
}

type upstreamsUpdateCmd struct {
	remote
	upstreamFlags
	ID      gatehouse.ID `arg:"" help:"The upstream's id."`
	Name    string       `help:"New name." placeholder:"NAME"`
	BaseURL string       `name:"base-url" help:"New base URL. Another host needs the credential again." placeholder:"URL"`
	Disable bool         `help:"Send it nothing until enabled again." xor:"switch"`
	Enable  bool         `help:"Send it requests again." xor:"switch"`
	where
	NoCredential bool `help:"Take its credential away. It is then asked without one."`
}

// Run updates an upstream.
func (c *upstreamsUpdateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		u := &gatehouse.Upstream{ID: c.ID, Name: c.Name, BaseURL: c.BaseURL, Disabled: c.Disable}
		members, err := c.upstreamFlags.into(e, u)
		if err != nil {
			return err
		}
		if c.NoCredential && u.Credential != "" {
			return gatehouse.Errorf(gatehouse.InvalidArgument, "--no-credential and --credential-file: give one of them")
		}
		c.where.into(&members, &u.Clusters)
		for name, given := range map[string]bool{
			"name": c.Name != "", "base_url": c.BaseURL != "", "disabled": c.Disable || c.Enable, "credential": c.NoCredential,
		} {
			if given {
				members = append(members, name)
			}
		}
		if err := something(members); err != nil {
			return err
		}
		out, err := s.UpdateUpstream(s, u, members...)
		if err != nil {
			return err
		}
		return s.record(upstreamPairs(out)...)
	})
}

type upstreamsDeleteCmd struct {
	remote
	ID gatehouse.ID `arg:"" help:"The upstream's id."`
}

// Run deletes an upstream.
func (c *upstreamsDeleteCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error { return s.gone("upstream", c.ID.String(), s.DeleteUpstream(s, c.ID)) })
}

type upstreamsTestCmd struct {
	remote
	ID gatehouse.ID `arg:"" help:"The upstream's id."`
}

// Run tests an upstream.
func (c *upstreamsTestCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		r, err := s.TestUpstream(s, c.ID)
		if err != nil {
			return err
		}
		word := "ok"
		if !r.OK {
			word = "failed"
		}
		status := ""
		if r.Status != 0 {
			status = strconv.Itoa(r.Status)
		}
		if err := s.record("result", word, "status", status, "latency", wait(r.Latency.Round(time.Millisecond)), "models", strconv.Itoa(r.Models), "problem", r.Problem); err != nil {
			return err
		}
		if !r.OK {
			return fmt.Errorf("the upstream does not answer as it should")
		}
		return nil
	})
}
