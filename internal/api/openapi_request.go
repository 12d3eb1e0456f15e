package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"gatehouse/internal/openapi"
)

// query is what [route.queryOf] takes: of a Plain what it lists, else every
// member that neither path nor body holds, nested ones with a dot.
func (d *describer) query(rt *route, bound map[string]bool) (out []*openapi.Parameter) {
	if rt.plain != nil {
		for _, name := range rt.plain.Query {
			out = append(out, &openapi.Parameter{Name: name, In: "query", Description: rt.plain.Doc.Query[name], Schema: &openapi.Schema{Type: "string"}})
		}
		return out
	}
	if rt.body == "*" {
		return nil
	}
	fields := rt.input.Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); !bound[string(f.Name())] && string(f.Name()) != rt.body {
			out = append(out, d.asked(f, "")...)
		}
	}
	return out
}

// asked is the parameters that one member of a request is given by.
func (d *describer) asked(f protoreflect.FieldDescriptor, prefix string) (out []*openapi.Parameter) {
	name := prefix + d.spell(string(f.Name()))
	if queryable(f) {
		return []*openapi.Parameter{{Name: name, In: "query", Description: d.aside(f, prefix), Schema: inQuery(d.value(f, requests))}}
	}
	if f.IsList() || f.IsMap() || strings.Count(name, ".") > 2 {
		return nil
	}
	inner := f.Message().Fields()
	for i := range inner.Len() {
		out = append(out, d.asked(inner.Get(i), name+".")...)
	}
	return out
}

// inQuery is a schema without the alternatives that a URL cannot tell apart.
func inQuery(s *openapi.Schema) *openapi.Schema {
	if s.AnyOf != nil {
		return s.AnyOf[0]
	}
	return s
}

// aside says about a parameter of paging under which names its siblings know it.
func (d *describer) aside(f protoreflect.FieldDescriptor, prefix string) string {
	text := d.about(f, requests)
	for _, group := range [][]string{sizeNames, tokenNames} {
		if prefix == "" && slices.Contains(group, string(f.Name())) {
			text = strings.TrimSpace(text + " May be spelled " + strings.Join(group, ", ") + ".")
		}
	}
	return text
}

// body is what [route.decode] takes.
func (d *describer) body(rt *route) *openapi.Body {
	if up := rt.upload(); up != nil {
		return up.body()
	}
	if rt.plain != nil || rt.body == "" {
		return nil
	}
	s := d.sent(rt)
	out := &openapi.Body{Required: rt.object != nil || len(s.Required) > 0, Content: jsonOf(s, nil)}
	if rt.object != nil {
		out.Description = "Changes the members that the mask names; without one those that the body holds. One that is named and null or absent is cleared."
	}
	return out
}

// formKind is the media type of an [Upload].
const formKind = "multipart/form-data"

// body describes a form. The first of the names that the file may have is the
// one that is shown.
func (u *Upload) body() *openapi.Body {
	form := &openapi.Schema{Type: "object", Additional: false, Properties: map[string]*openapi.Schema{}}
	for i, name := range u.File {
		about := u.About[name]
		if i > 0 {
			about = "The same as " + u.File[0] + "."
		}
		form.Properties[name] = &openapi.Schema{Type: "string", Format: "binary", Description: about, Alias: i > 0}
	}
	for _, name := range u.Parts {
		form.Properties[name] = &openapi.Schema{Type: "string", Description: u.About[name]}
	}
	return &openapi.Body{
		Required: true, Content: map[string]openapi.Media{formKind: {Schema: form}},
		Description: fmt.Sprintf("A form ("+formKind+"): the file, of at most %d bytes, and what is said of it, in any order.", u.Max),
	}
}

func (d *describer) sent(rt *route) *openapi.Schema {
	if rt.body != "*" {
		return d.message(rt.input.Fields().ByName(protoreflect.Name(rt.body)).Message(), requests)
	}
	out := d.object(rt.input, requests, func(f protoreflect.FieldDescriptor) bool {
		return !slices.ContainsFunc(rt.path, func(segment string) bool {
			name, _ := variable(segment)
			return name == string(f.Name())
		})
	})
	if rt.object != nil {
		d.need(out, rt.object)
	}
	if rt.object != nil && rt.method == http.MethodPut {
		d.need(out, rt.input.Fields().ByName("field_mask"))
	}
	return out
}

// need makes a member required that is not always, and null no value of it.
func (d *describer) need(s *openapi.Schema, f protoreflect.FieldDescriptor) {
	name := d.spell(string(f.Name()))
	s.Properties[name] = d.value(f, requests).With(d.about(f, requests), false)
	s.Required = append(s.Required, name)
}
