package verify

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gatehouse/internal/openapi"
	"gatehouse/internal/simulate"
)

// TestTheIsolationMatrix is the promise that nobody gets at what is another
// team's, by any operation of the management API's own document: whoever shows
// no credential, a bad one, one of another plane, one without the scope or one
// of another team learns nothing, not even whether an id exists. What a request
// looks like is in the table of rows; an operation without a row is a failure.
func TestTheIsolationMatrix(t *testing.T) {
	m := newMatrix(t)
	m.pages()
	before := m.objects()
	m.public()
	for _, op := range m.ops {
		m.own(op)
	}
	m.ownSearches()
	m.run() // before team B's own log holds what it tried
	for _, op := range m.ops {
		m.strangers(op)
		m.unscoped(op)
		m.reachless(op)
		m.foreigners(op)
		m.neighbours(op)
		m.roles(op)
		m.turnedAway(op)
	}
	m.links()
	m.backDoor()
	m.gateCalls() // before what ends collections
	m.calls()
	m.run()
	after := m.objects()
	for name, was := range before {
		if after[name] != was {
			t.Errorf("%s of team A was changed by strangers:\n%s\nto\n%s", name, was, after[name])
		}
	}
	for _, job := range m.last {
		job()
	}
	m.deletions()
	m.a.keep("hold", m.spend())
	m.valid()
	m.replays()
	m.run()
	t.Logf("isolation matrix: %d operations, %d cases, %d leaks", len(m.ops), m.judged.Load(), m.leaks.Load())
}

// matrix is a house with two teams that have one of everything, and the
// document that says what can be asked.
type matrix struct {
	*house
	ops           []*operation
	a, b, never   *side
	spare         *side             // team A, with other documents: what calls over gRPC end is there for those over REST
	lacking       map[string]string // by scope, a key of the organisation with every other
	personal      map[string]string // by role, a key of a member of team A
	dead          []credential      // what proves nothing
	outside       []outsider        // what opens nothing at the gateway
	without       map[string]string // by endpoint, an API key of team A with every other
	first         sync.Map          // the first answer of those that must all be the same
	reading       sync.Mutex        // an API key has few requests at a time that read files into their bodies
	jobs, last    []func()          // cases; those that change something, for the end
	judged, leaks atomic.Int64
}

// operation is one of the document's, with its row.
type operation struct {
	*openapi.Operation
	row
	doc          *openapi.Document
	gate         bool   // it is the gateway's
	on           string // URL of the listener; empty: the management plane's
	method, path string
	parameters   []*openapi.Parameter
}

func newMatrix(t *testing.T) *matrix {
	plan := planned(t, simulate.Options{}, "GATEHOUSE_LIBRARY_DESCRIBE_MODEL=grok-4")
	plan.Objects = plan.Controls > 0
	m := &matrix{house: houseOf(t, plan), lacking: map[string]string{}, personal: map[string]string{}, without: map[string]string{}}
	m.readDocuments()
	m.a, m.b = m.furnish("canary"), m.furnish("other")
	m.never = nobody(m.a)
	m.hireAndFire()
	m.hireAtTheGate()
	return m
}

// readDocuments reads what the two listeners say they serve, and joins it with
// the rows. Of the gateway's it takes what leads to the library.
func (m *matrix) readDocuments() {
	m.t.Helper()
	rows := map[string]row{}
	for _, r := range matrixRows {
		if _, twice := rows[r.op]; twice {
			m.t.Errorf("%s has two rows", r.op)
		}
		rows[r.op] = r
	}
	for _, listener := range []string{m.management, m.gateway} {
		doc, gate := m.readDocument(listener), listener == m.gateway
		for path, ops := range doc.Paths {
			for method, op := range ops {
				r, ok := rows[op.ID]
				if gate && !ofLibrary(op) {
					continue
				}
				if !ok {
					m.t.Errorf("%s (%s %s) has no row in the matrix: say in matrixRows how it is asked", op.ID, method, path)
					continue
				}
				delete(rows, op.ID)
				o := &operation{Operation: op, row: r, doc: doc, gate: gate, method: strings.ToUpper(method), path: path}
				if gate {
					o.on = listener
				}
				for _, p := range op.Parameters {
					o.parameters = append(o.parameters, o.parameter(p))
				}
				m.complete(o)
				m.ops = append(m.ops, o)
			}
		}
	}
	for name := range rows {
		m.t.Errorf("%s has a row in the matrix and is in no document", name)
	}
	slices.SortFunc(m.ops, func(x, y *operation) int { return place(x.op) - place(y.op) })
}

func (m *matrix) readDocument(listener string) *openapi.Document {
	m.t.Helper()
	r := m.send("", asking{method: "GET", text: "/openapi.json\n\n", on: listener})
	doc := new(openapi.Document)
	if err := json.Unmarshal([]byte(r.body), doc); err != nil || r.status != http.StatusOK {
		m.t.Fatalf("the document of %s: %d %v", listener, r.status, err)
	}
	return doc
}

// place of a row in the table: the order in which valid requests are made.
func place(op string) int {
	return slices.IndexFunc(matrixRows, func(r row) bool { return r.op == op })
}

func (o *operation) parameter(p *openapi.Parameter) *openapi.Parameter {
	if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
		return o.doc.Components.Parameters[name]
	}
	return p
}

// complete reports what a row leaves out: a parameter whose meaning nobody
// said, or a member of the body that holds an id.
func (m *matrix) complete(o *operation) {
	m.t.Helper()
	for _, p := range o.parameters {
		if _, ok := matrixParameters[p.Name]; !ok && p.In != "path" {
			m.t.Errorf("%s: say in matrixParameters what %s is", o.ID, p.Name)
		}
	}
	if o.Body == nil {
		return
	}
	for _, media := range o.Body.Content {
		for name := range o.members(media.Schema, map[string]bool{}) {
			said := strings.Contains(o.body, `"`+name+`"`) || slices.Contains(strings.Fields(o.unnamed), name)
			if idMember.MatchString(name) && !said {
				m.t.Errorf("%s: the row leaves out the member %s, which holds an id", o.ID, name)
			}
		}
	}
}

// idMember matches the names of members that may name something of a team.
var idMember = regexp.MustCompile(`(^i|I|_i)ds?$|^(heir|value|email|filters)$`)

// members are the names of all that a body may hold.
func (o *operation) members(s *openapi.Schema, out map[string]bool) map[string]bool {
	if s == nil || s.ReadOnly {
		return out
	}
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		if out[name] {
			return out
		}
		out[name] = true
		return o.members(o.doc.Components.Schemas[name], out)
	}
	for name, p := range s.Properties {
		if !p.ReadOnly {
			out[name] = true
			o.members(p, out)
		}
	}
	o.members(s.Items, out)
	for _, x := range append(s.AllOf, s.AnyOf...) {
		o.members(x, out)
	}
	return out
}

// reply is what came back. Its date and its length are left out.
type reply struct {
	status int
	header string
	body   string
}

// send makes a request; the credential is the whole of Authorization.
func (m *matrix) send(credential string, a asking) reply {
	req, err := http.NewRequest(a.method, cmp.Or(a.on, m.management)+a.target(), strings.NewReader(a.body()))
	if err != nil {
		return reply{body: err.Error()}
	}
	if kind := a.contentType(); kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	req.Header.Set("X-Request-Id", "matrix")
	req.Header.Set("Idempotency-Key", a.once)
	if credential != "" {
		req.Header.Set("Authorization", credential)
	}
	if team := a.team(); team != "" {
		req.Header.Set("X-Team-Id", team)
	}
	resp, err := m.client.Do(req)
	if err != nil {
		return reply{body: err.Error()}
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	resp.Header.Del("Date")
	resp.Header.Del("Content-Length")
	var header bytes.Buffer
	resp.Header.Write(&header)
	return reply{resp.StatusCode, header.String(), string(body)}
}

func bearer(key string) string { return "Bearer " + key }

// later adds a case; run decides them all, several at once.
func (m *matrix) later(job func()) { m.jobs = append(m.jobs, job) }

func (m *matrix) run() {
	var group sync.WaitGroup
	queue := make(chan func())
	for range 8 {
		group.Go(func() {
			for job := range queue {
				job()
			}
		})
	}
	for _, job := range m.jobs {
		queue <- job
	}
	close(queue)
	group.Wait()
	m.jobs = nil
}

// verdict counts a case, and tells of one that went wrong.
func (m *matrix) verdict(op, name string, a asking, r reply, problem string) {
	m.judged.Add(1)
	if problem == "" {
		return
	}
	m.leaks.Add(1)
	m.t.Errorf("%s, %s: %s\n%s\n%d %s%s", op, name, problem, a, r.status, r.header, clipped(r.body))
}

// answered reports a request of whoever may make it that is answered otherwise
// than it should be: those that were refused would then prove nothing.
func (m *matrix) answered(op string, a asking, r reply, want int) {
	m.judged.Add(1)
	if r.status != want {
		m.t.Errorf("%s, valid: want %d, the request is not what it should be\n%s\n%d %s%s", op, want, a, r.status, r.header, clipped(r.body))
	}
}

func clipped(s string) string {
	if len(s) > 1500 {
		return s[:1500] + "…"
	}
	return s
}

// same reports an answer that is not, byte for byte, what the first of its kind
// was.
func (m *matrix) same(kind string, r reply) string {
	first, _ := m.first.LoadOrStore(kind, r)
	if first != r {
		return fmt.Sprintf("not the answer of all others, which is %d %s%s", first.(reply).status, first.(reply).header, first.(reply).body)
	}
	return ""
}

// silent reports what of team A is in an answer to somebody else. What was asked
// may be said again.
func (m *matrix) silent(a asking, r reply) string {
	if strings.Contains(r.body+r.header, "canary") {
		return "a name of team A is in the answer"
	}
	for word, value := range m.a.vars {
		if len(value) > 30 && strings.Contains(r.body+r.header, value) && !strings.Contains(strings.ToLower(a.text), strings.ToLower(value)) {
			return "$" + word + " of team A is in the answer"
		}
	}
	return ""
}
