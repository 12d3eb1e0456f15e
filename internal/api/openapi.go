package api

import (
	"net/http"
	"slices"
	"strings"

	"gatehouse"
	"gatehouse/internal/openapi"
)

// Document describes every route of the server, made of the same tables that
// judge requests: what is served is described, and nothing else is.
func (s *Server) Document() *openapi.Document {
	doc := openapi.New(openapi.Info{
		Title: "Gatehouse management API", Version: "1",
		Description: "Every call needs a management key whose ACL holds the operation's scope. Unknown members and parameters are refused. " +
			"Members are written in one spelling here; camelCase and snake_case are both read. Null is the same as absent, except in an update, where it clears.",
	})
	doc.Security = []map[string][]string{{bearer: {}}}
	doc.Components.Security[bearer] = openapi.Security{Type: "http", Scheme: "bearer", Description: "A management key, as Authorization: Bearer KEY."}
	snake, show := map[string]bool{}, shower{doc: doc, known: map[string]any{}}
	for _, f := range s.faces {
		d := describer{doc: doc, face: f, snake: snake}
		d.shared()
		doc.Tags = append(doc.Tags, openapi.Tag{Name: f.title(), Description: f.About})
		for _, rt := range routesOf(f) {
			op := d.operation(rt)
			doc.Add(rt.method, d.path(rt), op)
			show.learn(op)
		}
	}
	for _, path := range doc.Paths {
		for _, op := range path {
			show.fill(op)
		}
	}
	return doc
}

const bearer = "managementKey"

// title is the face's name, or that of its first service.
func (f Face) title() string {
	if f.Name == "" && len(f.Services) > 0 {
		return string(f.Services[0].Name())
	}
	return f.Name
}

// describer writes what one face serves into a document.
type describer struct {
	doc   *openapi.Document
	face  Face
	snake map[string]bool // of the schemas written: how they spell members
}

func (d *describer) operation(rt *route) *openapi.Operation {
	text := d.told(rt)
	out := &openapi.Operation{
		ID: d.id(rt), Tags: []string{d.face.title()}, Summary: sentence(text), Description: text,
		Scope: gatehouse.ScopeFor(rt.op), Organization: info(rt.op).Organization,
		Parameters: d.parameters(rt), Body: d.body(rt), Responses: d.failures(rt),
	}
	switch {
	case open(rt.op):
		out.Scope, out.Security = "", &[]map[string]string{}
	case rt.op == gatehouse.ValidateManagementKey || rt.op == gatehouse.AcceptInvitation:
		out.Scope = "" // whoever has the token has it all
	}
	out.Responses["200"] = d.success(rt)
	return out
}

func (d *describer) told(rt *route) string {
	if rt.plain != nil {
		return rt.plain.Doc.Summary
	}
	return comments[rt.rpc.FullName()]
}

// sentence is the first of a text.
func sentence(text string) string {
	first, _, more := strings.Cut(text, ". ")
	if more {
		first += "."
	}
	return first
}

func info(op gatehouse.Operation) gatehouse.OperationInfo {
	i := slices.IndexFunc(gatehouse.Operations, func(o gatehouse.OperationInfo) bool { return o.Name == op })
	if i < 0 {
		return gatehouse.OperationInfo{}
	}
	return gatehouse.Operations[i]
}

// id is the operation's name on the route that gatehouse.Operations spells. Other
// routes of the operation add their method and path, so that an id never moves
// when a route is added.
func (d *describer) id(rt *route) string {
	o := info(rt.op)
	if o.Method == rt.method && sameShape(rt.path, split(o.Path)) {
		return string(rt.op)
	}
	words := strings.FieldsFunc(d.path(rt), func(r rune) bool { return strings.ContainsRune("/{}-._", r) })
	for i, w := range words {
		words[i] = strings.ToUpper(w[:1]) + w[1:]
	}
	return string(rt.op) + "_" + strings.ToLower(rt.method) + strings.Join(words, "")
}

func sameShape(a, b []string) bool {
	return slices.EqualFunc(a, b, func(x, y string) bool {
		return x == y || strings.HasPrefix(x, "{") && strings.HasPrefix(y, "{")
	})
}

// path is a route's as OpenAPI spells it.
func (d *describer) path(rt *route) string {
	var b strings.Builder
	for _, segment := range rt.path {
		b.WriteByte('/')
		if name, _ := variable(segment); name != "" {
			segment = "{" + d.spell(name) + "}"
		}
		b.WriteString(segment)
	}
	return b.String()
}

// spell is a proto name as this face writes it.
func (d *describer) spell(name string) string {
	if d.face.ProtoNames {
		return name
	}
	return Camel(name)
}

// parameters of the path come first, then those of the query and the header.
func (d *describer) parameters(rt *route) (out []*openapi.Parameter) {
	bound := map[string]bool{}
	for _, segment := range rt.path {
		name, wild := variable(segment)
		if name == "" {
			continue
		}
		bound[name] = true
		p := &openapi.Parameter{Name: d.spell(name), In: "path", Required: true, Schema: &openapi.Schema{Type: "string", MinLength: 1}}
		if wild {
			p.Description = "May hold slashes, escaped or not."
		}
		out = append(out, p)
	}
	out = append(out, d.query(rt, bound)...)
	if rt.teamless {
		team := &openapi.Schema{Type: "string", Format: "uuid"}
		out = append(out,
			&openapi.Parameter{Name: teamParameter, In: "query", Schema: team, Description: "Team that a key of the organisation means; its home unless said."},
			&openapi.Parameter{Name: teamHeader, In: "header", Schema: team, Description: "The same."})
	}
	for _, name := range headersOf(rt.method) {
		out = append(out, openapi.ParameterRef(name))
	}
	return out
}

func headersOf(method string) []string {
	if method == http.MethodGet {
		return []string{requestIDHeader}
	}
	return []string{requestIDHeader, "If-Match", idempotencyHead, reasonHeader}
}

// success is what the face answers when nothing is wrong.
func (d *describer) success(rt *route) *openapi.Response {
	out := &openapi.Response{Description: "Done.", Headers: map[string]openapi.Header{}}
	for _, name := range []string{requestIDHeader, "ETag", revisionHeader, "Warning"} {
		if rt.method != http.MethodGet || name == requestIDHeader || name == "ETag" {
			out.Headers[name] = openapi.HeaderRef(name)
		}
	}
	if rt.rpc != nil {
		out.Content = jsonOf(d.message(rt.rpc.Output(), replies), nil)
		return out
	}
	kind := rt.plain.Doc.Kind
	if kind == "" {
		kind = jsonKind
	}
	out.Content = map[string]openapi.Media{kind: {Schema: rt.plain.Doc.Answer, Example: rt.plain.Doc.Example}}
	return out
}

const jsonKind = "application/json"

func jsonOf(s *openapi.Schema, example any) map[string]openapi.Media {
	return map[string]openapi.Media{jsonKind: {Schema: s, Example: example}}
}
