package openapi

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"maps"
	"slices"
	"strings"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"kind": kindOf, "indent": indent, "anchor": anchor, "last": last, "members": members,
}).Parse(pageText))

// page is the document for people.
func (d *Document) page() []byte {
	var b bytes.Buffer
	if err := page.Execute(&b, map[string]any{"Doc": d, "Groups": d.groups(), "Errors": d.errors(), "Schemas": d.shapes()}); err != nil {
		panic(err) // a mistake in page.html
	}
	return b.Bytes()
}

// group is the operations of one tag.
type group struct {
	Tag
	Entries []entry
}

type entry struct {
	*Operation
	Method, Path string
	Parameters   []*Parameter // resolved
	Answers      []status
	Errors       []status
}

// status is one answer, resolved, with its first body.
type status struct {
	Code    string
	Name    string // of the component; empty for what is the operation's own
	Kind    string // media type
	Media   Media
	Meaning string
}

func (d *Document) groups() (out []group) {
	for _, t := range d.Tags {
		g := group{Tag: t}
		for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
			for _, method := range []string{"get", "post", "put", "patch", "delete"} {
				if op := d.Paths[path][method]; op != nil && slices.Contains(op.Tags, t.Name) {
					g.Entries = append(g.Entries, d.entry(op, method, path))
				}
			}
		}
		out = append(out, g)
	}
	return out
}

func (d *Document) entry(op *Operation, method, path string) entry {
	out := entry{Operation: op, Method: strings.ToUpper(method), Path: path}
	for _, p := range op.Parameters {
		if p.Ref != "" {
			p = d.Components.Parameters[last(p.Ref)]
		}
		out.Parameters = append(out.Parameters, p)
	}
	for _, code := range slices.Sorted(maps.Keys(op.Responses)) {
		s := d.status(code, op.Responses[code])
		if code < "400" {
			out.Answers = append(out.Answers, s)
		} else {
			out.Errors = append(out.Errors, s)
		}
	}
	return out
}

func (d *Document) status(code string, r *Response) status {
	out := status{Code: code}
	if r.Ref != "" {
		out.Name = last(r.Ref)
		r = d.Components.Responses[out.Name]
	}
	out.Meaning = r.Description
	for _, kind := range slices.Sorted(maps.Keys(r.Content)) {
		out.Kind, out.Media = kind, r.Content[kind]
		break
	}
	return out
}

// errors are the responses that operations share.
func (d *Document) errors() (out []status) {
	for _, name := range slices.Sorted(maps.Keys(d.Components.Responses)) {
		out = append(out, d.status("", ResponseRef(name)))
	}
	return out
}

// shape is one schema of the components.
type shape struct {
	Name string
	*Schema
}

func (d *Document) shapes() (out []shape) {
	for _, name := range slices.Sorted(maps.Keys(d.Components.Schemas)) {
		out = append(out, shape{name, d.Components.Schemas[name]})
	}
	return out
}

// row is one member of an object.
type row struct {
	Name string
	*Schema
	Required bool
}

func members(s *Schema) (out []row) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		out = append(out, row{name, s.Properties[name], slices.Contains(s.Required, name)})
	}
	return out
}

// kind is a schema in words, and the component that it names, if any.
type kind struct{ Text, Ref string }

func kindOf(s *Schema) kind {
	switch {
	case s == nil:
		return kind{Text: "any value"}
	case s.Ref != "":
		return kind{Ref: last(s.Ref)}
	case len(s.AllOf) == 1:
		return orNull(kindOf(s.AllOf[0]), s)
	case s.Items != nil:
		return orNull(of("array of ", s.Items), s)
	case s.AnyOf != nil:
		return orNull(kind{Text: alternatives(s.AnyOf)}, s)
	}
	if each, ok := s.Additional.(*Schema); ok && s.Properties == nil {
		return orNull(of("map of ", each), s)
	}
	text := s.Type
	switch {
	case text == "":
		text = "any value"
	case s.Enum != nil:
		text = "one of " + enum(s.Enum)
	case s.Format != "":
		text += " (" + s.Format + ")"
	}
	return orNull(kind{Text: text}, s)
}

func of(prefix string, s *Schema) kind {
	k := kindOf(s)
	k.Text = prefix + k.Text
	return k
}

func orNull(k kind, s *Schema) kind {
	if s.Nullable {
		k.Text = "null or " + k.Text
	}
	return k
}

func alternatives(all []*Schema) string {
	var out []string
	for _, s := range all {
		k := kindOf(s)
		out = append(out, k.Text+k.Ref)
	}
	return strings.Join(out, " or ")
}

func enum(all []any) string {
	var out []string
	for _, v := range all {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return strings.Join(out, ", ")
}

// last is the name in a reference.
func last(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// anchor is the id of a schema's heading.
func anchor(name string) string { return "schema-" + name }

func indent(v any) string {
	if s, ok := v.(string); ok {
		return s // of a body that is no JSON
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		panic(err) // it was marshalled before
	}
	return strings.TrimSpace(b.String())
}
