package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gatehouse"
)

// A mapper says what a LiteLLM key is here. Its rule is that no key may do more
// here than it could there: a model, a route or a team that cannot be said here
// is left out, and what limited it there and does not here, such as a budget,
// is reported by name.
type mapper struct {
	teams  map[string]row
	models []*gatehouse.Model // the catalogue, for wildcards
	team   func(id, alias string) (gatehouse.ID, string, error)
	now    time.Time
}

// candidate is one key with what is to be said about it.
type candidate struct {
	gatehouse.ForeignKey
	skip  string              // why it is not to be imported at all
	notes map[string][]string // what was not carried over, by what it is
}

func (c *candidate) note(what, detail string) { c.notes[what] = append(c.notes[what], detail) }

// dashboard is the team of the sessions of LiteLLM's own web interface.
const dashboard = "litellm-dashboard"

// key maps one row.
func (m *mapper) key(r row) *candidate {
	c := &candidate{notes: map[string][]string{}}
	c.Source = "litellm"
	var err error
	if c.Digest, c.Last4, err = r.digest(); err != nil {
		c.skip = err.Error()
	}
	c.Key.Name = keyName(r, c.Last4)
	if c.Key.ExpireTime, err = r.when("expires"); err != nil {
		c.skip = err.Error()
	}
	if !c.Key.ExpireTime.IsZero() && !m.now.Before(c.Key.ExpireTime) {
		c.skip = "it has expired"
	}
	c.Disabled = r.flag("blocked")
	m.place(c, r)
	m.limits(c, r)
	m.acl(c, r)
	tagged(c, "litellm_user", r.text("user_id"))
	tagged(c, "litellm_team", r.text("team_id"))
	for _, left := range leftBehind {
		if r.given(left.column) {
			c.note(left.what, left.column)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.object("metadata"))) {
		c.note("metadata", name) // names alone: values may be secrets
	}
	return c
}

// leftBehind are the columns that mean something there and nothing here.
var leftBehind = []struct{ column, what string }{
	{"max_budget", "budget"}, {"soft_budget", "budget"}, {"budget_duration", "budget"}, {"budget_id", "budget"}, {"model_max_budget", "budget"},
	{"max_parallel_requests", "max_parallel_requests"}, {"aliases", "model aliases of the key"}, {"permissions", "permissions"},
	{"config", "config"}, {"router_settings", "config"}, {"policies", "policies"}, {"allowed_cache_controls", "cache controls"},
	{"access_group_ids", "access groups"}, {"object_permission_id", "object permissions"}, {"auto_rotate", "rotation"},
	{"organization_id", "organization"}, {"project_id", "project"}, {"agent_id", "agent"},
}

func keyName(r row, last4 string) string {
	name := cmp.Or(r.text("key_alias"), r.text("key_name"), "litellm ..."+last4)
	for utf8.RuneCountInString(name) > gatehouse.MaxName {
		_, n := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-n]
	}
	return name
}

// tagged keeps who had the key there, for cost allocation.
func tagged(c *candidate, name, value string) {
	switch {
	case value == "":
	case utf8.RuneCountInString(value) > gatehouse.MaxTagLen || strings.ContainsFunc(value, unicode.IsControl):
		c.note("tag", name)
	default:
		if c.Key.Tags == nil {
			c.Key.Tags = map[string]string{}
		}
		c.Key.Tags[name] = value
	}
}

// place finds the key's team.
func (m *mapper) place(c *candidate, r row) {
	id := r.text("team_id")
	if id == dashboard {
		c.skip = "it is a session of LiteLLM's own dashboard"
		return
	}
	team := m.teams[id]
	place, note, err := m.team(id, team.text("team_alias"))
	if err != nil {
		c.skip = err.Error()
	}
	c.Key.TeamID = place
	if note != "" {
		c.note("team", note)
	}
	if team.flag("blocked") {
		c.Disabled = true
		c.note("team", "blocked there, so the key is disabled")
	}
	for _, column := range []string{"max_budget", "tpm_limit", "rpm_limit", "max_parallel_requests", "model_max_budget"} {
		if team.given(column) {
			c.note("limits of the team", column)
		}
	}
}

// limits maps requests and tokens per minute. There, 0 admits nothing; here it
// cannot be said, so the key is disabled.
func (m *mapper) limits(c *candidate, r row) {
	for _, l := range []struct {
		column string
		most   int64
		set    func(int64)
	}{
		{"rpm_limit", math.MaxInt32, func(n int64) { c.Key.Limits.QPM = int32(n) }},
		{"tpm_limit", gatehouse.MaxTPM, func(n int64) { c.Key.Limits.TPM = n }},
	} {
		n, given, err := r.number(l.column)
		switch {
		case err != nil || n < 0:
			c.skip = l.column + " is not a number of at least 0"
		case given && n == 0:
			c.Disabled = true
			c.note("limit of 0", l.column+": the key is disabled")
		case given:
			l.set(min(n, l.most))
		}
	}
	metadata := r.object("metadata")
	for _, name := range []string{"model_rpm_limit", "model_tpm_limit"} {
		if metadata.given(name) {
			c.note("limits per model", name)
		}
	}
}

// acl maps models and routes.
func (m *mapper) acl(c *candidate, r row) {
	for _, name := range m.allowed(c, r) {
		entry := gatehouse.ModelACL(name)
		var bad gatehouse.Violations
		if (gatehouse.ACL{entry}).Validate("acl", &bad); len(bad) > 0 {
			c.note("model name that cannot be granted", name)
			continue
		}
		c.Key.ACL = append(c.Key.ACL, entry)
	}
	for _, name := range routes(c, r.list("allowed_routes")) {
		c.Key.ACL = append(c.Key.ACL, gatehouse.EndpointACL(name))
	}
	c.Key.ACL = c.Key.ACL.Normal()
}

// allowed is what the key may use, with its team's list: there a request must
// pass both.
func (m *mapper) allowed(c *candidate, r row) (out []string) {
	team := meaning(m.teams[r.text("team_id")].list("models"), []string{"*"})
	for _, name := range meaning(r.list("models"), team) {
		switch {
		case name == "*":
			out = append(out, team...)
		case !slices.ContainsFunc(team, func(p string) bool { return covers(p, name) }):
			c.note("model that its team may not use", name)
		default:
			out = append(out, name)
		}
	}
	var exact []string
	for _, name := range out {
		exact = append(exact, m.expand(c, name)...)
	}
	if len(exact) > gatehouse.MaxACLs/2 {
		c.skip = "it names more models than one key can here"
	}
	return exact
}

// meaning spells the names that LiteLLM gives a meaning of its own. None at all
// is everything that the team may use, or the proxy has.
func meaning(names, team []string) (out []string) {
	if len(names) == 0 {
		return team
	}
	for _, name := range names {
		switch name {
		case "all-team-models":
			out = append(out, team...)
		case "all-proxy-models":
			out = append(out, "*")
		case "no-default-models":
		default:
			out = append(out, name)
		}
	}
	return out
}

// covers reports whether a name, or a pattern such as openai/*, admits another.
func covers(pattern, name string) bool {
	prefix, wild := strings.CutSuffix(pattern, "*")
	return pattern == name || wild && strings.HasPrefix(name, prefix)
}

// expand turns a pattern into the models that it means today: there is none in
// our ACLs. Under PROVIDER/* they are those of the owner.
func (m *mapper) expand(c *candidate, name string) (out []string) {
	if name == "*" || !strings.Contains(name, "*") {
		return []string{name}
	}
	owner, whole := strings.CutSuffix(name, "/*")
	for _, x := range m.models {
		if covers(name, x.Name) || whole && x.Owner == owner {
			out = append(out, x.Name)
		}
	}
	c.note("wildcard", fmt.Sprintf("%s: the %d models of today", name, len(out)))
	return out
}

// endpointsOf says which endpoint a route or a group of routes is under here.
var endpointsOf = map[string][]string{
	"llm_api_routes": {"*"}, "openai_routes": {"*"}, "*": {"*"},
	"anthropic_routes": {gatehouse.EndpointChat}, "/messages": {gatehouse.EndpointChat},
	"/chat/completions": {gatehouse.EndpointChat}, "/responses": {gatehouse.EndpointChat}, "/completions": {gatehouse.EndpointSample},
	"/embeddings": {gatehouse.EndpointEmbed}, "/images/generations": {gatehouse.EndpointImage}, "/images/edits": {gatehouse.EndpointImage},
	"/audio/speech": {gatehouse.EndpointVoice}, "/audio/transcriptions": {gatehouse.EndpointVoice},
	"/moderations": {gatehouse.EndpointModerate}, "/models": {gatehouse.EndpointModels}, "/files": {gatehouse.EndpointFiles},
}

// routes are the endpoints that a key may use; none named is all of them.
func routes(c *candidate, allowed []string) (out []string) {
	if len(allowed) == 0 {
		return []string{"*"}
	}
	for _, route := range allowed {
		names := endpointsOf[strings.TrimPrefix(route, "/v1")]
		if names == nil {
			c.note("route", route)
		}
		out = append(out, names...)
	}
	return out
}
