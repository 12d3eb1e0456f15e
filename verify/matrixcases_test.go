package verify

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"gatehouse"
)

// public is the document itself, for programs and for people.
func (m *matrix) public() {
	for _, path := range []string{"/openapi.json", "/docs"} {
		a := asking{method: "GET", text: path + "\n\n"}
		m.later(func() {
			r := m.send("", a)
			problem := m.silent(a, r)
			if r.status != http.StatusOK {
				problem = "the document is for everybody"
			}
			m.verdict("the document", "no credential", a, r, problem)
		})
	}
}

// kind is which answers of refusals must be equal: those of a dialect.
func (o *operation) kind() string {
	if o.Tags[0] == "v1" {
		return "words"
	}
	return "status"
}

// strangers show nothing that proves anything: 401, one answer for all of them
// on all operations, before anything that they sent is looked at.
func (m *matrix) strangers(o *operation) {
	if o.gate {
		return
	}
	if o.open != "" {
		m.opened(o)
		return
	}
	broken := o.template().with("query", "no", "such")
	broken.text += "{"
	kind := "401 " + o.kind()
	if o.invited {
		kind = "401 invitation"
	}
	for _, c := range m.dead {
		asks := []asking{o.template().by(m.a)}
		if c.probed {
			asks = append(asks, broken.by(m.never))
		}
		for _, a := range asks {
			if c.only != "" && (c.only == "invited") != o.invited {
				continue
			}
			m.later(func() {
				r := m.send(c.text, a)
				problem := m.same(kind, r)
				if r.status != http.StatusUnauthorized {
					problem = "want 401"
				}
				m.verdict(o.ID, c.name, a, r, first(problem, m.silent(a, r)))
			})
		}
	}
}

// opened is an operation that takes no credential: what it says is the same of
// team A and of a team that never was.
func (m *matrix) opened(o *operation) {
	a := o.template()
	m.later(func() {
		r, never := m.send("", a.by(m.a)), m.send("", a.by(m.never))
		problem := m.silent(a.by(m.a), r)
		if r != never {
			problem = fmt.Sprintf("of a team that never was: %d %s", never.status, never.body)
		}
		m.verdict(o.ID, "no credential ("+o.open+")", a.by(m.a), r, problem)
	})
}

// unscoped keys have every scope but the one: 403 that names it and no other,
// whatever the id, and before what is wrong with the rest is told.
func (m *matrix) unscoped(o *operation) {
	if o.Scope == "" {
		return
	}
	broken := o.template()
	broken.text += "{"
	for name, a := range map[string]asking{
		"its ids": o.template().by(m.a), "ids that never were": o.template().by(m.never), "a broken body": broken.by(m.a),
	} {
		m.later(func() {
			r := m.send(bearer(m.lacking[o.Scope]), a)
			m.verdict(o.ID, "missing scope, "+name, a, r, first(
				forbidden(r, "This management key lacks the scope "+o.Scope), m.same("403 "+o.ID, r), m.silent(a, r)))
		})
	}
}

// forbidden reports an answer that is no 403 with exactly the words.
func forbidden(r reply, words string) string {
	if r.status != http.StatusForbidden || !strings.Contains(r.body, `"message":"`+words+`"`) {
		return "want 403: " + words
	}
	return ""
}

// reachless keys are of a team, and the operation is the organisation's.
func (m *matrix) reachless(o *operation) {
	if !o.Organization {
		return
	}
	for name, a := range map[string]asking{"ids of A": o.template().by(m.a), "ids that never were": o.template().by(m.never)} {
		for _, s := range []*side{m.a, m.b} {
			m.later(func() {
				r := m.send(bearer(s.key), a)
				m.verdict(o.ID, "team scope, "+name, a, r, first(
					forbidden(r, o.Scope+" needs a management key of "+string(gatehouse.ScopeOrganization)), m.same("reach "+o.ID, r), m.silent(a, r)))
			})
		}
	}
}

// foreigners have all scopes in team B and give ids of team A, in path, query,
// header and body: the answer is, byte for byte, that to ids that never were.
func (m *matrix) foreigners(o *operation) {
	if o.open != "" || o.Organization {
		return
	}
	if o.invited {
		m.spent(o)
	}
	for _, ask := range o.asks() {
		for _, variant := range append(ask.variants(m.b), ask.capitals) {
			m.foreign(o, "team B's key", m.entitled(o, m.b), ask, variant)
		}
	}
}

// spent invitations were accepted or revoked: their holders are told which, and
// nothing of the team.
func (m *matrix) spent(o *operation) {
	a := o.template().by(m.a)
	for _, word := range []string{"accepted", "revoked"} {
		m.later(func() {
			r := m.send(bearer(m.a.vars[word]), a)
			problem := m.silent(a, r)
			if r.status != http.StatusBadRequest || !strings.Contains(r.body, word) {
				problem = "want 400"
			}
			m.verdict(o.ID, word+" invitation", a, r, problem)
		})
	}
}

// neighbours have a key of the organisation: a route that names team B leads to
// nothing of team A.
func (m *matrix) neighbours(o *operation) {
	if o.open != "" || o.Organization || o.invited || o.gate {
		return
	}
	for _, ask := range o.asks() {
		words := ask.slots()
		if !slices.Contains(words, "$team") || len(words) < 2 || ask.narrow {
			continue
		}
		m.foreign(o, "a key of the organisation that names team B", bearer(m.key), ask, func(foreign *side) asking {
			return ask.fill(func(_ int, word string) *side {
				if word == "$team" {
					return m.b
				}
				return foreign
			})
		})
	}
}

// capitals is a request with its ids in capitals, which are the same ids.
func (a asking) capitals(s *side) asking {
	return a.fill(func(_ int, word string) *side {
		if value := s.of(word); uuid.MatchString(value) {
			return &side{vars: map[string]string{word[1:]: strings.ToUpper(value)}}
		}
		return s
	})
}

// foreign compares what a request gets that names something of team A with what
// it gets for what never was.
func (m *matrix) foreign(o *operation, who, credential string, ask asking, variant func(*side) asking) {
	a, none := variant(m.a), variant(m.never)
	if a == none || a == variant(m.b) {
		return
	}
	m.later(func() {
		if o.inlines() {
			m.reading.Lock()
			defer m.reading.Unlock()
		}
		r, never := m.send(credential, a), m.send(credential, none)
		if o.echoes {
			never.body = told(ask, m.never, m.a, never.body)
		}
		problem := m.silent(a, r)
		refused := r.status == http.StatusNotFound || r.status == http.StatusBadRequest || o.invited && r.status == http.StatusForbidden
		switch {
		case r != never:
			problem = fmt.Sprintf("what never was is answered otherwise:\n%s\n%d %s%s", none, never.status, never.header, never.body)
		case !refused && !ask.narrow:
			problem = first(problem, "want 404, or 400 for a member of the body")
		}
		m.verdict(o.ID, who, a, r, problem)
	})
}

// told is an answer about one side's ids as it would be about another's: some
// say which id they are about, and nothing else of it.
func told(ask asking, from, to *side, body string) string {
	for _, word := range ask.slots() {
		body = strings.ReplaceAll(body, from.of(word), to.of(word))
		body = strings.ReplaceAll(body, strings.ToUpper(from.of(word)), strings.ToUpper(to.of(word)))
	}
	return body
}

// own are team B's reads of what is its own: they show nothing of team A.
func (m *matrix) own(o *operation) {
	if o.method != http.MethodGet || o.Organization || o.open != "" {
		return
	}
	for _, ask := range o.asks() {
		a := ask.by(m.b)
		m.later(func() {
			r := m.send(m.entitled(o, m.b), a)
			m.verdict(o.ID, "its own", a, r, m.silent(a, r))
			m.answered(o.ID, a, r, http.StatusOK)
		})
	}
}

// valid makes the same requests as team A, in the order of the table: that they
// are answered shows that nothing else was wrong with those that were refused.
func (m *matrix) valid() {
	for _, o := range m.ops {
		a, want := o.template().by(m.a), o.want
		a.once = "matrix " + o.ID
		if want == 0 {
			want = http.StatusOK
		}
		if r := m.send(m.entitled(o, m.a), a); r.status != o.or || o.or == 0 {
			m.answered(o.ID, a, r, want)
		}
	}
}

// entitled is who may call an operation for a side.
func (m *matrix) entitled(o *operation, s *side) string {
	switch {
	case o.open != "":
		return ""
	case o.gate:
		return bearer(s.vars["inference"])
	case o.invited:
		return bearer(s.vars["invite"])
	case o.Organization:
		return bearer(m.key)
	}
	return bearer(s.key)
}

// replays repeat what team A did, under its Idempotency-Key.
func (m *matrix) replays() {
	for _, o := range m.ops {
		if o.method == http.MethodGet || o.open != "" || o.gate || len(o.template().slots()) == 0 {
			continue
		}
		a := o.template().by(m.a)
		a.once = "matrix " + o.ID
		m.later(func() {
			r := m.send(bearer(m.b.key), a)
			problem := m.silent(a, r)
			if r.status < 400 {
				problem = "team A's answer, or its act, was repeated"
			}
			m.verdict(o.ID, "replayed", a, r, problem)
		})
	}
}

// objects are team A's as they stand.
func (m *matrix) objects() map[string]string {
	out := map[string]string{}
	for _, o := range m.ops {
		if o.method == http.MethodGet && o.open == "" && !o.moves {
			r := m.send(m.entitled(o, m.a), o.template().by(m.a))
			out[o.ID] = fmt.Sprint(r.status, r.header, r.body)
		}
	}
	return out
}

// first is the first problem of several.
func first(problems ...string) string {
	for _, p := range problems {
		if p != "" {
			return p
		}
	}
	return ""
}
