package verify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"gatehouse"
)

// side is a team of the matrix: an id of everything that it has, by the words
// of the table, and its management key.
type side struct {
	vars map[string]string
	key  string // of the team, with all scopes
	t    interface{ Fatalf(string, ...any) }
}

func (s *side) of(word string) string {
	value, ok := s.vars[word[1:]]
	if !ok {
		s.t.Fatalf("nothing is called %s", word)
	}
	return value
}

// credential is a way to prove nothing. Only says for which operations it is
// one: "managers" for those that take a management key, "invited" for the one
// that takes an invitation. Probed ones are also sent with a request that is
// wrong in every other way.
type credential struct {
	name, text, only string
	probed           bool
}

// furnish makes a team that has one of everything, and two of what has pages.
// Everything that can be given a name has this one in it.
func (m *matrix) furnish(name string) *side {
	m.t.Helper()
	s := &side{vars: map[string]string{}, t: m.t}
	s.keep("name", name)
	team := s.keep("team", m.make("POST", "/admin/v1/teams", `{"name":"`+name+` team"}`, "id"))
	m.make("PATCH", "/admin/v1/teams/"+team, `{"billing":"prepaid"}`, "id")
	all := `"acls":["team-token:endpoint:*"]`
	s.key = m.make("POST", "/admin/v1/management-keys", `{"name":"`+name+`","teamId":"`+team+`",`+all+`}`, "apiKey")
	s.keep("manager", m.make("POST", "/admin/v1/management-keys", `{"name":"`+name+` spare","teamId":"`+team+`",`+all+`}`, "apiKeyId"))
	m.people(s, name, team)
	m.keys(s, name, team)
	m.money(s, name, team)
	m.shelve(s, name, team)
	return s
}

// keep remembers a value under the word of the table.
func (s *side) keep(word, value string) string {
	s.vars[word] = value
	return value
}

// make makes something and returns a member of the answer.
func (m *matrix) make(method, path, body, member string) string {
	m.t.Helper()
	status, answer := m.manage(method, path, body)
	var out map[string]any
	if err := json.Unmarshal(answer, &out); err != nil || status != http.StatusOK {
		m.t.Fatalf("%s %s %s: %d %s", method, path, body, status, answer)
	}
	value, ok := out[member].(string)
	if !ok {
		m.t.Fatalf("%s %s has no %s: %s", method, path, member, answer)
	}
	return value
}

func (m *matrix) people(s *side, name, team string) {
	for _, word := range []string{"user", "member"} {
		s.keep(word, m.make("POST", "/admin/v1/users", `{"teamId":"`+team+`","email":"`+name+`.`+word+`@example.com","givenName":"`+name+`"}`, "id"))
		m.make("PATCH", "/v1/team/members/"+s.vars[word]+"?team_id="+team, `{"role":"developer"}`, "id")
	}
	s.keep("email", name+".invited@example.com")
	invite := func(email, member string) string {
		return m.make("POST", "/v1/team/invitations?team_id="+team, `{"email":"`+email+`","role":"viewer"}`, member)
	}
	s.keep("invite", invite(s.vars["email"], "token"))
	s.keep("invitation", invite(name+".pending@example.com", "id"))
}

// keys makes API keys: one to change and one for each way to delete it.
func (m *matrix) keys(s *side, name, team string) {
	for _, word := range []string{"key", "key2", "key3"} {
		s.keep(word, m.make("POST", "/admin/v1/api-keys", `{"name":"`+name+` `+word+`","teamId":"`+team+`","ownerUserId":"`+s.vars["user"]+`","acls":["api-key:model:grok-4"]}`, "apiKeyId"))
	}
	s.keep("inference", m.make("POST", "/admin/v1/api-keys", `{"name":"`+name+` inference","teamId":"`+team+`","acls":["api-key:model:*","api-key:endpoint:*"]}`, "apiKey"))
	leaver := m.make("POST", "/admin/v1/users", `{"teamId":"`+team+`","givenName":"`+name+`"}`, "id")
	for range 2 {
		s.keep("orphan", m.make("POST", "/admin/v1/api-keys", `{"name":"`+name+` orphan","teamId":"`+team+`","ownerUserId":"`+leaver+`","acls":[]}`, "apiKeyId"))
	}
	m.must("DELETE", "/v1/team/members/"+leaver+"?team_id="+team, "", new(any))
}

func (m *matrix) money(s *side, name, team string) {
	s.keep("method", name+"_pm")
	m.make("PATCH", "/admin/v1/billing-accounts/"+team, `{"methods":[{"paymentMethodId":"`+name+`_pm","paymentType":"card","cardDetails":{"brand":"amex","last4":"0005","expMonth":"1","expYear":"2031"}}]}`, "id")
	account := "/v1/billing/teams/" + team
	m.must("POST", account+"/billing-info", `{"billingInfo":{"name":"`+name+` Inc.","address":{"line1":"1 Main St","city":"Springfield","country":"US","postalCode":"12345"}}}`, new(any))
	topUp := func() string {
		m.must("POST", account+"/prepaid/top-up", `{"amount":{"val":"500"}}`, new(any))
		var list struct{ TopUps []struct{ ID, Status string } }
		m.must("GET", "/admin/v1/top-ups?teamId="+team, "", &list)
		return list.TopUps[len(list.TopUps)-1].ID
	}
	paid := s.keep("paid", topUp())
	m.must("POST", "/admin/v1/top-ups/"+paid+"/confirm", `{"external":"`+name+`"}`, new(any))
	var invoices struct{ Invoices []struct{ InvoiceID string } }
	m.must("GET", account+"/invoices", "", &invoices)
	s.keep("invoice", invoices.Invoices[0].InvoiceID)
	s.keep("topup", topUp())
	m.must("POST", "/admin/v1/credits", `{"teamId":"`+team+`","cents":"500","note":"`+name+`"}`, new(any))
	for _, word := range []string{"budget", "budget2"} {
		s.keep(word, m.make("POST", "/admin/v1/budgets?teamId="+team, `{"name":"`+name+` `+word+`","subject":"team","amountCents":"100","period":"day"}`, "id"))
	}
	s.keep("hook", m.make("POST", "/admin/v1/alert-hooks", `{"teamId":"`+team+`","email":"`+name+`@example.com"}`, "id"))
	var events struct{ Events []struct{ EventID string } }
	m.must("GET", "/audit/teams/"+team+"/events?pageSize=1", "", &events)
	s.keep("event", events.Events[0].EventID)
}

func (m *matrix) must(method, path, body string, into any) {
	m.t.Helper()
	status, answer := m.manage(method, path, body)
	if err := json.Unmarshal(answer, into); err != nil || status != http.StatusOK {
		m.t.Fatalf("%s %s %s: %d %s", method, path, body, status, answer)
	}
}

// nobody is a side that never was: an id of the same form for each of the other's.
func nobody(like *side) *side {
	s := &side{vars: map[string]string{}, t: like.t}
	for word, value := range like.vars {
		s.vars[word] = "nobody" + strings.TrimPrefix(value, "canary")
		if uuid.MatchString(value) {
			s.vars[word] = gatehouse.NewID().String()
		}
	}
	return s
}

// hireAndFire makes the credentials that are good for nothing, one key for each
// scope that lacks it, and what the installation has.
func (m *matrix) hireAndFire() {
	m.t.Helper()
	team := m.a.vars["team"]
	hire := func(members string) (id, key string) {
		var k struct{ APIKey, APIKeyID string }
		m.must("POST", "/admin/v1/management-keys", `{"name":"canary","teamId":"`+team+`",`+members+`}`, &k)
		return k.APIKeyID, k.APIKey
	}
	all := `"acls":["team-token:endpoint:*"]`
	_, expired := hire(all + fmt.Sprintf(`,"expireTime":%q`, time.Now().Add(2*time.Second).UTC().Format(time.RFC3339Nano)))
	id, revoked := hire(all)
	m.must("DELETE", "/admin/v1/management-keys/"+id, "", new(any))
	removed := m.formerMember(team)
	wide := `"scope":"SCOPE_ORGANIZATION",`
	for _, o := range m.ops {
		if o.Scope != "" && m.lacking[o.Scope] == "" {
			_, m.lacking[o.Scope] = hire(wide + `"acls":` + scopesWithout(o.Scope))
		}
	}
	mint := func(plane gatehouse.Plane) string {
		return bearer(gatehouse.MintToken(gatehouse.DefaultBrand, plane, gatehouse.NewID()).Reveal())
	}
	join := m.make("POST", "/admin/v1/join-tokens", `{"cluster":"local"}`, "token")
	m.dead = []credential{
		{name: "no credential", probed: true}, {name: "garbage", text: "Bearer garbage"}, {name: "another scheme", text: "Basic " + m.a.key},
		{name: "a key that was never made", text: mint(gatehouse.Management)}, {name: "an invitation that was never made", text: mint(gatehouse.Invite)},
		{name: "inference key", text: bearer(m.a.vars["inference"])}, {name: "join token", text: bearer(join)},
		{name: "revoked", text: bearer(revoked)}, {name: "expired", text: bearer(expired), probed: true}, {name: "of a removed member", text: bearer(removed)},
		{name: "invitation", text: bearer(m.a.vars["invite"]), only: "managers"}, {name: "management key", text: bearer(m.a.key), only: "invited"},
	}
	self := asking{method: "GET", text: "/auth/management-keys/validation\n\n"}
	for deadline := time.Now().Add(10 * time.Second); m.send(bearer(expired), self).status == http.StatusOK && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	m.installation()
}

// scopesWithout is an ACL of every scope but one.
func scopesWithout(scope string) string {
	var out []string
	for _, o := range gatehouse.Operations {
		if s := gatehouse.ScopeFor(o.Name); s != scope {
			out = append(out, s)
		}
	}
	text, _ := json.Marshal(out)
	return string(text)
}

// formerMember is the personal key of somebody who was removed since.
func (m *matrix) formerMember(team string) string {
	const email = "canary.leaver@example.com"
	token := m.make("POST", "/v1/team/invitations?team_id="+team, `{"email":"`+email+`","role":"admin"}`, "token")
	r := m.send(bearer(token), asking{method: "POST", text: "/v1/team/invitations/accept\n\n" + `{"email":"` + email + `"}`})
	var made struct {
		Key    string `json:"key"`
		UserID string `json:"user_id"`
	}
	if err := json.Unmarshal([]byte(r.body), &made); err != nil || made.Key == "" {
		m.t.Fatalf("accepting: %v %+v", err, r)
	}
	m.must("DELETE", "/v1/team/members/"+made.UserID+"?team_id="+team, "", new(any))
	m.a.keep("accepted", token)
	var i struct{ ID, Token string }
	m.must("POST", "/v1/team/invitations?team_id="+team, `{"email":"`+email+`","role":"viewer"}`, &i)
	m.must("DELETE", "/v1/team/invitations/"+i.ID+"?team_id="+team, "", new(any))
	m.a.keep("revoked", i.Token)
	return made.Key
}

// installation makes what all teams share, and lets team A spend something.
func (m *matrix) installation() {
	m.t.Helper()
	for _, s := range []*side{m.a, m.b, m.never} {
		for word, name := range map[string]string{"model": "grok-4", "alias": "matrix", "cluster": "matrix", "newmodel": "matrix-model", "cycle": time.Now().UTC().Format("2006-01")} {
			s.keep(word, name)
		}
	}
	m.must("POST", "/admin/v1/aliases", `{"name":"matrix","target":"grok-4"}`, new(any))
	m.must("POST", "/admin/v1/aliases", `{"name":"matrix-2","target":"grok-4"}`, new(any))
	m.must("POST", "/admin/v1/clusters", `{"name":"matrix"}`, new(any))
	m.must("POST", "/admin/v1/models", `{"name":"matrix-model","type":"language","owner":"matrix"}`, new(any))
	shared := map[string]string{
		"price":    m.make("POST", "/admin/v1/prices", `{"model":"matrix-model","units":{"Prompt text tokens":"1"},"source":"operator","effective":"2099-01-01T00:00:00Z"}`, "id"),
		"upstream": m.make("POST", "/admin/v1/upstreams", `{"name":"matrix","kind":"openai","baseUrl":"`+m.upstreamURL+`","allowPrivate":true,"families":["chat"],"serves":[{"model":"matrix-model"}],"credential":"`+canary+`"}`, "id"),
		"join":     m.make("POST", "/admin/v1/join-tokens", `{"cluster":"local"}`, "id"),
	}
	var gateways struct{ Gateways []struct{ ID string } }
	m.must("GET", "/admin/v1/gateways", "", &gateways)
	shared["gateway"] = gateways.Gateways[0].ID
	shared["hold"] = m.spend()
	for word, id := range shared {
		m.a.keep(word, id)
		m.b.keep(word, id)
		m.never.keep(word, gatehouse.NewID().String())
	}
}

// spend lets team A ask for something until that is on its books, and returns a
// hold by which it is paid.
func (m *matrix) spend() string {
	m.t.Helper()
	var holds struct{ Holds []struct{ ID string } }
	var usage struct{ TimeSeries []any }
	team := m.a.vars["team"]
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if status, _ := m.chat(m.a.vars["inference"], "matrix", hello); status != http.StatusOK {
			continue // the gateway has not heard of the key
		}
		m.must("POST", "/v1/billing/teams/"+team+"/usage", ofUsage, &usage)
		m.must("GET", "/admin/v1/holds?teamId="+team, "", &holds)
		if len(holds.Holds) > 1 && len(usage.TimeSeries) > 0 {
			return holds.Holds[0].ID
		}
	}
	m.t.Fatal("team A's requests were not counted")
	return ""
}
