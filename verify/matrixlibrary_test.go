package verify

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse"
)

// form is an upload of a file that belongs to somebody by its name and content.
func form(fields, name, content string) string {
	return fields + "--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + name + ".txt\"\r\n\r\n" + content + "\r\n--" + boundary + "--\r\n"
}

// got makes a request that must succeed and returns a member of the answer, an
// id without its prefix.
func (m *matrix) got(credential string, a asking, member string) string {
	m.t.Helper()
	var out map[string]any
	r := m.send(credential, a)
	if err := json.Unmarshal([]byte(r.body), &out); err != nil || r.status != http.StatusOK {
		m.t.Fatalf("%s: %d %s", a, r.status, r.body)
	}
	value, _ := out[member].(string)
	for _, prefix := range []string{"file_", "collection_"} {
		value = strings.TrimPrefix(value, prefix)
	}
	return value
}

// atGate is a request to the gateway.
func (m *matrix) atGate(method, path, body string) asking {
	return asking{method: method, text: path + "\n\n" + body, on: m.gateway}
}

// file uploads a file by an API key, and document one into a collection.
func (m *matrix) file(key, name string) string {
	m.t.Helper()
	return m.got(bearer(key), m.atGate("POST", "/v1/files", form("", name, name+" words")), "id")
}

func (m *matrix) document(s *side, collection, name string) string {
	m.t.Helper()
	return m.got(bearer(s.key), asking{method: "POST", text: "/v1/collections/" + collection + "/documents\n\n" + form("", name, name+" words")}, "id")
}

func (m *matrix) publish(key, file string) string {
	m.t.Helper()
	url := m.got(bearer(key), m.atGate("POST", "/v1/files/"+file+"/public-url", `{}`), "public_url")
	return url[strings.LastIndex(url, "/")+1:]
}

// await asks until the answer is as it should be: what is told to the gateway,
// and what the library does behind an answer, takes a moment.
func (m *matrix) await(credential string, a asking, done func(reply) bool) {
	m.t.Helper()
	var r reply
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if r = m.send(credential, a); done(r) {
			return
		}
	}
	m.t.Fatalf("%s: still %d %s", a, r.status, r.body)
}

// indexed waits until a document can be found.
func (m *matrix) indexed(s *side, collection, document string) {
	m.t.Helper()
	m.await(bearer(s.key), asking{method: "GET", text: "/v1/collections/" + collection + "/documents/" + document + "\n\n"},
		func(r reply) bool { return strings.Contains(r.body, `"state":"ready"`) })
}

// shelve makes files and collections, twice: those whose words end in 2 are for
// calls over gRPC. The second collection is found by meaning too.
func (m *matrix) shelve(s *side, name, team string) {
	m.t.Helper()
	key := s.vars["inference"]
	m.await(bearer(key), m.atGate("GET", "/v1/files", ""), func(r reply) bool { return r.status == http.StatusOK })
	collection := func(word, members string) string {
		return s.keep(word, m.got(bearer(s.key), asking{method: "POST", text: "/v1/collections\n\n" + `{"team_id":"` + team + `","collection_name":"` + name + ` ` + word + `"` + members + `}`}, "collection_id"))
	}
	for _, n := range []string{"", "2"} {
		shelf := collection("collection"+n, "")
		collection("second"+n, `,"index_configuration":{"model_name":"text-embedding-3-small"}`)
		for _, word := range []string{"document", "another"} {
			s.keep(word+n, m.document(s, shelf, name+" "+word))
		}
		s.keep("meant"+n, m.document(s, s.vars["second"+n], name+" meant"))
		for _, word := range []string{"file", "junk"} {
			s.keep(word+n, m.file(key, name+" "+word))
		}
		for _, word := range []string{"document", "another"} {
			m.indexed(s, shelf, s.vars[word+n])
		}
		m.indexed(s, s.vars["second"+n], s.vars["meant"+n])
	}
	s.keep("linked", m.file(key, name+" linked"))
	s.keep("link", m.publish(key, s.vars["linked"]))
}

// other is the same side with other files and collections.
func (s *side) other() *side {
	out := *s
	out.vars = maps.Clone(s.vars)
	for word := range s.vars {
		if value, ok := s.vars[word+"2"]; ok && !strings.HasPrefix(word, "key") {
			out.vars[word] = value
		}
	}
	return &out
}

// member makes a member of team A with a role and returns the personal key.
func (m *matrix) member(role gatehouse.Role) string {
	m.t.Helper()
	email := "canary." + string(role) + "@example.com"
	token := m.make("POST", "/v1/team/invitations?team_id="+m.a.vars["team"], `{"email":"`+email+`","role":"`+string(role)+`"}`, "token")
	return m.got(bearer(token), asking{method: "POST", text: "/v1/team/invitations/accept\n\n" + `{"email":"` + email + `"}`}, "key")
}

// roles are judged after the scopes of a personal key and before any id, and
// open nothing of another team.
func (m *matrix) roles(o *operation) {
	if o.roles == nil {
		return
	}
	ask := o.template()
	for role, key := range m.personal {
		if slices.Contains(o.roles, gatehouse.Role(role)) {
			m.later(func() {
				a, none := ask.by(m.b), ask.by(m.never)
				r, never := m.send(bearer(key), a), m.send(bearer(key), none)
				never.body = told(ask, m.never, m.b, never.body)
				problem := ""
				if len(ask.slots()) > 0 && (r != never || r.status != http.StatusNotFound) || r.status == http.StatusForbidden {
					problem = fmt.Sprintf("what never was is answered otherwise: %d %s%s", never.status, never.header, never.body)
				}
				m.verdict(o.ID, role+" with ids of team B", a, r, problem)
			})
			continue
		}
		for name, a := range map[string]asking{"its ids": ask.by(m.a), "ids of team B": ask.by(m.b), "ids that never were": ask.by(m.never)} {
			m.later(func() {
				r := m.send(bearer(key), a)
				m.verdict(o.ID, role+" with "+name, a, r, first(
					forbidden(r, "Your role does not open the scope "+o.Scope+": you are "+role), m.same("role "+role+o.ID, r)))
			})
		}
	}
}

// finds is a search of collections for what all documents have.
func (m *matrix) finds(collections ...string) asking {
	return m.atGate("POST", "/v1/documents/search", `{"query":"canary other words","limit":50,"source":{"collection_ids":["`+strings.Join(collections, `","`)+`"]}}`)
}

// ownSearches of team B find its own documents and nothing else.
func (m *matrix) ownSearches() {
	for _, mode := range []string{"hybrid", "semantic", "keyword"} {
		a := m.finds(m.b.vars["collection"], m.b.vars["second"])
		if mode == "semantic" {
			a = m.finds(m.b.vars["second"])
		}
		a.text = strings.Replace(a.text, `{"query"`, `{"retrieval_mode":{"type":"`+mode+`"},"query"`, 1)
		m.later(func() {
			r := m.send(bearer(m.b.vars["inference"]), a)
			problem := m.silent(a, r)
			if r.status != http.StatusOK || !strings.Contains(r.body, m.b.vars["meant"]) {
				problem = first(problem, "it does not find what is its own")
			}
			m.verdict("Search", "its own, "+mode, a, r, problem)
		})
	}
}

// deletions are of something that was just found: from the answer on nobody
// finds it or opens it, and a link to it is as one that never was.
func (m *matrix) deletions() {
	m.t.Helper()
	shelf := m.got(bearer(m.a.key), asking{method: "POST", text: "/v1/collections\n\n" + `{"collection_name":"canary shelf"}`}, "collection_id")
	key := m.a.vars["inference"]
	for _, way := range []string{"file", "document"} {
		file := m.file(key, "canary "+way)
		link := m.publish(key, file)
		m.got(bearer(m.a.key), asking{method: "POST", text: "/v1/collections/" + shelf + "/documents/" + file + "\n\n{}"}, "")
		m.indexed(m.a, shelf, file)
		find := m.finds(shelf)
		if r := m.send(bearer(key), find); !strings.Contains(r.body, file) {
			m.t.Fatalf("%s is not found before it is deleted: %d %s", way, r.status, r.body)
		}
		gone, credential := asking{method: "DELETE", text: "/v1/collections/" + shelf + "/documents/" + file + "\n\n"}, bearer(m.a.key)
		if way == "file" {
			gone, credential = m.atGate("DELETE", "/v1/files/"+file, ""), bearer(key)
		}
		m.got(credential, gone, "")
		r, problem := m.send(bearer(key), find), ""
		if r.status != http.StatusOK || strings.Contains(r.body, file) {
			problem = "a " + way + " that was deleted is found"
		}
		m.verdict("Search", "after the deletion of a "+way, find, r, problem)
		if way == "file" {
			m.deadLink("of a deleted file", link)
		}
	}
}
