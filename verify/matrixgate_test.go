package verify

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/library/assertion"
	"gatehouse/internal/openapi"
)

// outsider is a credential that opens nothing at the gateway, and what it is
// answered in xAI's style.
type outsider struct {
	name, text string
	status     int
}

// ofLibrary reports whether an operation of the gateway leads to files or
// documents: it serves them, or its body may name a file.
func ofLibrary(op *openapi.Operation) bool {
	if slices.Contains(op.Tags, "Library") {
		return true
	}
	return op.Body != nil && op.Endpoint == gatehouse.EndpointACL(gatehouse.EndpointChat)
}

// inlines reports whether it is one whose body may name a file.
func (o *operation) inlines() bool { return o.gate && !slices.Contains(o.Tags, "Library") }

// hireAtTheGate makes API keys that are good for nothing, or for all but one
// thing, and links that are over.
func (m *matrix) hireAtTheGate() {
	m.t.Helper()
	m.spare = m.a.other()
	m.never.keep("link", gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Link, gatehouse.NewID()).Reveal())
	for _, role := range gatehouse.Roles {
		m.personal[string(role)] = m.member(role)
	}
	for _, e := range []string{gatehouse.EndpointFiles, gatehouse.EndpointDocuments, gatehouse.EndpointChat} {
		acls := []string{`"api-key:model:*"`}
		for _, other := range gatehouse.Endpoints {
			if other != e {
				acls = append(acls, `"`+gatehouse.EndpointACL(other)+`"`)
			}
		}
		m.without[e] = m.hired(m.a.vars["team"], `"acls":[`+strings.Join(acls, ",")+`]`).Secret
	}
	const all = `"acls":["api-key:model:*","api-key:endpoint:*"]`
	disabled, deleted := m.hired(m.a.vars["team"], all), m.hired(m.a.vars["team"], all)
	m.must("PATCH", "/admin/v1/api-keys/"+disabled.ID, `{"disabled":true}`, new(any))
	m.must("DELETE", "/auth/api-keys/"+deleted.ID, "", new(any))
	expired := m.hired(m.a.vars["team"], all+fmt.Sprintf(`,"expireTime":%q`, time.Now().Add(2*time.Second).UTC().Format(time.RFC3339Nano)))
	elsewhere := m.hired(m.a.vars["team"], all+`,"ipRanges":["192.0.2.0/24"]`)
	m.outside = []outsider{
		{"no credential", "", 401}, {"disabled", bearer(disabled.Secret), 403}, {"deleted", bearer(deleted.Secret), 400}, {"expired", bearer(expired.Secret), 403},
		{"from another address", bearer(elsewhere.Secret), 403}, {"of a blocked team", bearer(m.blocked(all)), 403},
		{"a link", bearer(m.a.vars["link"]), 400}, {"an invitation", bearer(m.a.vars["invite"]), 400},
		{"management key of team A", bearer(m.a.key), 400}, {"management key of the organisation", bearer(m.key), 400}, {"personal key", bearer(m.personal["owner"]), 400},
		{"a key that was never made", bearer(gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Inference, gatehouse.NewID()).Reveal()), 400},
	}
	for _, c := range m.outside {
		m.await(c.text, m.atGate("GET", "/v1/files", ""), func(r reply) bool { return r.status == c.status })
	}
	for _, key := range m.without {
		m.await(bearer(key), m.atGate("GET", "/v1/api-key", ""), func(r reply) bool { return r.status == http.StatusOK })
	}
}

// hired is a new API key of a team.
func (m *matrix) hired(team, members string) (k key) {
	m.t.Helper()
	m.must("POST", "/admin/v1/api-keys", `{"name":"canary","teamId":"`+team+`",`+members+`}`, &k)
	return k
}

// blocked is the API key of a team that was blocked after it had published a
// file.
func (m *matrix) blocked(members string) string {
	m.t.Helper()
	team := m.make("POST", "/admin/v1/teams", `{"name":"blocked"}`, "id")
	k := m.hired(team, members)
	m.await(bearer(k.Secret), m.atGate("GET", "/v1/files", ""), func(r reply) bool { return r.status == http.StatusOK })
	m.a.keep("blockedlink", m.publish(k.Secret, m.file(k.Secret, "blocked")))
	m.make("PATCH", "/admin/v1/teams/"+team, `{"blocked":true}`, "id")
	return k.Secret
}

// turnedAway are those whom the gateway does not let through: what they are told
// is the same whatever they ask for.
func (m *matrix) turnedAway(o *operation) {
	if !o.gate || o.open != "" {
		return
	}
	ask := o.template()
	its := map[string]asking{"its ids": ask.by(m.a), "ids of team B": ask.by(m.b), "ids that never were": ask.by(m.never)}
	for _, c := range m.outside {
		want := c.status
		if want == http.StatusBadRequest && strings.HasPrefix(o.path, "/v1/messages") {
			want = http.StatusUnauthorized
		}
		for name, a := range its {
			m.later(func() { m.refused(o, c.name+", "+name, c.text, a, want, "gate "+c.name+o.ID) })
		}
	}
	for endpoint, key := range m.without {
		own := o.Endpoint == gatehouse.EndpointACL(endpoint)
		if !own && !(endpoint == gatehouse.EndpointFiles && o.inlines()) {
			continue
		}
		for name, a := range its {
			m.later(func() {
				m.refused(o, "without "+endpoint+", "+name, bearer(key), a, http.StatusForbidden, "without "+endpoint+o.ID)
			})
		}
	}
}

// refused judges an answer that is to be like all others of its kind.
func (m *matrix) refused(o *operation, name, credential string, a asking, want int, kind string) {
	r := m.send(credential, a)
	problem := m.same(kind, r)
	if r.status != want {
		problem = fmt.Sprintf("want %d", want)
	}
	if strings.Contains(name, "without ") && !strings.Contains(r.body, "endpoint is denied") {
		problem = first(problem, "want words that name the endpoint")
	}
	m.verdict(o.ID, name, a, r, problem)
}

// links open one file for everybody, and nothing when they are over: which of
// the ways it is, nobody is told.
func (m *matrix) links() {
	for name, credential := range map[string]string{
		"no credential": "", "team B's key": bearer(m.b.vars["inference"]), "a disabled key": m.outside[1].text, "a management key": bearer(m.b.key),
	} {
		a := m.atGate("GET", "/v1/files/public/"+m.a.vars["link"], "")
		m.later(func() {
			r := m.send(credential, a)
			problem := m.same("link", r)
			if r.status != http.StatusOK || r.body != "canary linked words" || !strings.Contains(r.header, "Cache-Control: no-store") {
				problem = "want the file"
			}
			m.verdict("public link", name, a, r, problem)
		})
	}
	key, brand := m.a.vars["inference"], gatehouse.DefaultBrand
	linked, err := gatehouse.ParseID(m.a.vars["linked"])
	if err != nil {
		m.t.Fatal(err)
	}
	junk := m.file(key, "canary junk")
	replaced := m.publish(key, junk)
	revoked := m.publish(key, junk)
	m.deadLink("that was replaced", replaced)
	m.got(bearer(key), m.atGate("POST", "/v1/files/"+junk+"/public-url/revoke", ""), "")
	m.deadLink("that was revoked", revoked)
	m.deadLink("that was never made, of a file without one", gatehouse.MintToken(brand, gatehouse.Link, linked).Reveal())
	m.deadLink("that was never made", m.never.vars["link"])
	m.deadLink("of another plane", gatehouse.MintToken(brand, gatehouse.Inference, linked).Reveal())
	m.deadLink("that is an API key", key)
	m.deadLink("that is a file's id", "file_"+m.a.vars["linked"])
	m.deadLink("of a blocked team", m.a.vars["blockedlink"])
	m.got(bearer(key), m.atGate("DELETE", "/v1/files/"+junk, ""), "id")
	m.deadLink("of a deleted file", revoked)
}

// deadLink judges a link that opens nothing.
func (m *matrix) deadLink(name, token string) {
	a := m.atGate("GET", "/v1/files/public/"+token, "")
	r := m.send("", a)
	problem := m.same("dead link", r)
	if r.status != http.StatusNotFound {
		problem = "want 404"
	}
	m.verdict("public link", name, a, r, first(problem, m.silent(a, r)))
}

// backDoor is where gateways reach the library: nobody else does, whatever they
// show, and not with an assertion of their own making.
func (m *matrix) backDoor() {
	forged := func(gateway string, s *side) string {
		ids := map[string]gatehouse.ID{}
		for _, text := range []string{gateway, s.vars["team"], s.vars["key"]} {
			ids[text], _ = gatehouse.ParseID(text) // of ours: cannot fail
		}
		return assertion.Sign([]byte("guess"), assertion.Assertion{
			Gateway: ids[gateway], Team: ids[s.vars["team"]], Key: ids[s.vars["key"]], Method: "GET",
			Target: "/v1/files/" + s.vars["file"], Expire: time.Now().Add(30 * time.Second),
		})
	}
	for name, show := range map[string]func(*http.Request){
		"nothing":          func(*http.Request) {},
		"management key":   func(r *http.Request) { r.Header.Set("Authorization", bearer(m.key)) },
		"inference key":    func(r *http.Request) { r.Header.Set("Authorization", bearer(m.a.vars["inference"])) },
		"forged assertion": func(r *http.Request) { r.Header.Set(assertion.Header, forged(m.a.vars["gateway"], m.a)) },
		"assertion of a gateway that never was": func(r *http.Request) {
			r.Header.Set(assertion.Header, forged(m.never.vars["gateway"], m.a))
		},
	} {
		m.later(func() {
			var answers [2]reply
			for i, s := range []*side{m.a, m.never} {
				req, _ := http.NewRequest("GET", m.management+"/fleet/library/v1/files/"+s.vars["file"], nil)
				show(req)
				status, body := m.do(req)
				answers[i] = reply{status: status, body: string(body)}
			}
			problem := ""
			if answers[0] != answers[1] || answers[0].status < 400 || answers[0].status >= 500 {
				problem = fmt.Sprintf("want a refusal, the same for what never was: %v", answers[1])
			}
			m.verdict("/fleet/library", name, asking{text: "/fleet/library\n\n"}, answers[0], first(problem, m.silent(asking{}, answers[0])))
		})
	}
}
