package verify

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// pageToken finds the token of the next page in any dialect's answer.
var pageToken = regexp.MustCompile(`"(?:nextPageToken|paginationToken|pagination_token|pageToken|next_cursor|nextCursor)":\s*"([^"]+)"`)

// pageless are lists that have one page whatever their size is.
var pageless = map[string]string{
	"ListGateways": "there is one in the small topology",
	"ListAlerts":   "nothing has happened that is worth two",
}

// paged is an operation with pages, and the names of its parameters.
type paged struct {
	*operation
	token, size string
	next        string // what the first page returned to team A
}

// pages hands tokens to whom they were not given: to another team, another
// operation and another filter. All are told the same, and shown nothing.
func (m *matrix) pages() {
	m.t.Helper()
	var lists []paged
	for _, o := range m.ops {
		if p := (paged{operation: o}); p.names() {
			m.firstPage(&p)
			lists = append(lists, p)
		}
	}
	for _, p := range lists {
		m.otherTeam(p)
		m.otherFilter(p)
		for _, q := range lists {
			if q.Scope != p.Scope && q.next != "" {
				m.turned(p, "page token of "+q.ID, m.entitled(p.operation, m.a), p.template().by(m.a), q.next)
			}
		}
	}
}

func (p *paged) names() bool {
	for _, x := range p.parameters {
		switch x.Name {
		case "pageToken", "paginationToken", "pagination_token", "cursor":
			p.token = x.Name
		case "pageSize", "limit":
			p.size = x.Name
		}
	}
	return p.token != ""
}

// firstPage gets a token as team A; a list that a team's key has one row of, as
// the organisation.
func (m *matrix) firstPage(p *paged) {
	m.t.Helper()
	a, key := p.template().by(m.a).with("query", p.size, "1"), m.entitled(p.operation, m.a)
	if strings.HasPrefix(p.ID, "ListTeams") {
		key = bearer(m.key)
	}
	r := m.send(key, a)
	found := pageToken.FindStringSubmatch(r.body)
	for try := 0; found == nil && p.ID == "ListHolds" && try < 5; try++ {
		m.spend() // a gateway gives back what it holds when nobody asks for more
		r = m.send(key, a)
		found = pageToken.FindStringSubmatch(r.body)
	}
	if found == nil && pageless[p.ID] == "" {
		m.t.Fatalf("%s has no second page for team A: %d %s", p.ID, r.status, r.body)
	}
	if found != nil {
		p.next = found[1]
	}
}

func (m *matrix) otherTeam(p paged) {
	if p.Organization || p.next == "" {
		return
	}
	m.turned(p, "team A's page token", m.entitled(p.operation, m.b), p.template().by(m.b), p.next)
	m.turned(p, "a page token that never was", m.entitled(p.operation, m.b), p.template().by(m.b), p.next[:len(p.next)-8]+"AAAAAAAA")
}

func (m *matrix) otherFilter(p paged) {
	if p.next == "" {
		return
	}
	for _, x := range p.parameters {
		value := matrixFilters[x.Name]
		if x.In == "query" && value != "" && !slices.Contains(p.template().slots(), value) {
			m.turned(p, "the page token of a list without "+x.Name, m.entitled(p.operation, m.a), p.template().with("query", x.Name, value).by(m.a), p.next)
		}
	}
	if elsewhere := p.template().by(m.spare); elsewhere != p.template().by(m.a) {
		m.turned(p, "the page token of another collection", m.entitled(p.operation, m.a), elsewhere, p.next)
	}
	for _, other := range strings.Fields(p.others) {
		name, value, _ := strings.Cut(other, "=")
		m.turned(p, "the page token of a list without "+name, m.entitled(p.operation, m.a), p.template().with("query", name, value).by(m.a), p.next)
	}
}

// turned judges a list that was given a token which is not its own.
func (m *matrix) turned(p paged, name, credential string, a asking, token string) {
	a = a.with("query", p.token, token)
	m.later(func() {
		r := m.send(credential, a)
		problem := m.same("page "+p.ID, r)
		if r.status != http.StatusBadRequest {
			problem = "want 400"
		}
		m.verdict(p.ID, name, a, r, first(problem, m.silent(a, r)))
	})
}
