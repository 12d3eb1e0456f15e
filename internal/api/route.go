package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"gatehouse"
)

// A route is one method and path. It is compiled from a google.api.http rule,
// or from a Plain.
type route struct {
	method   string
	path     []string // literals, "{name}" or, last alone, "{name=**}"
	op       gatehouse.Operation
	rpc      protoreflect.MethodDescriptor  // nil for plain
	input    protoreflect.MessageDescriptor // of rpc
	body     string                         // "*", a member's proto name, or none
	object   protoreflect.FieldDescriptor   // what an update changes; nil otherwise
	aliases  map[protoreflect.FullName]map[string]string
	plain    *Plain
	spelling string // as written in the rule
	errors   ErrorStyle
	teamless bool                     // the team is in the query or a header
	json     protojson.MarshalOptions // of answers
	mux      *runtime.ServeMux        // of the face
}

// routesOf compiles every rule of a face. A method's name is its operation.
func routesOf(f Face) (out []*route) {
	for _, s := range f.Services {
		for i := range s.Methods().Len() {
			m := s.Methods().Get(i)
			rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
			if rule == nil {
				continue // over gRPC alone
			}
			for _, r := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
				out = append(out, compile(m, r, f.Aliases))
			}
		}
	}
	for i := range f.Plain {
		p := &f.Plain[i]
		out = append(out, &route{method: p.Method, path: split(p.Path), op: p.Operation, plain: p, spelling: p.Path})
	}
	for _, rt := range out {
		rt.errors, rt.teamless, rt.json = f.Errors, f.Teamless, f.json()
	}
	return out
}

// upload is the form that the route takes; nil when it takes none.
func (rt *route) upload() *Upload {
	if rt.plain == nil {
		return nil
	}
	return rt.plain.Upload
}

func compile(m protoreflect.MethodDescriptor, r *annotations.HttpRule, aliases map[protoreflect.FullName]map[string]string) *route {
	out := &route{op: gatehouse.Operation(m.Name()), rpc: m, input: m.Input(), body: r.GetBody(), aliases: aliases}
	switch p := r.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		out.method, out.spelling = http.MethodGet, p.Get
	case *annotations.HttpRule_Post:
		out.method, out.spelling = http.MethodPost, p.Post
	case *annotations.HttpRule_Put:
		out.method, out.spelling = http.MethodPut, p.Put
	case *annotations.HttpRule_Patch:
		out.method, out.spelling = http.MethodPatch, p.Patch
	case *annotations.HttpRule_Delete:
		out.method, out.spelling = http.MethodDelete, p.Delete
	}
	out.path = split(out.spelling)
	if m.Input().Fields().ByName("field_mask") != nil {
		out.object = objectOf(m.Input())
	}
	return out
}

// objectOf is the one message among an update's members beside its mask.
func objectOf(m protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	for i := range m.Fields().Len() {
		if f := m.Fields().Get(i); f.Message() != nil && f.Name() != "field_mask" {
			return f
		}
	}
	return nil
}

func split(path string) []string { return strings.Split(strings.TrimPrefix(path, "/"), "/") }

// match returns the values of the path's variables. An empty segment matches
// nothing: "//" is not a way to leave an id out.
func (rt *route) match(segments []string) (vars map[string]string, ok bool) {
	vars = map[string]string{}
	for i, want := range rt.path {
		name, wild := variable(want)
		if i >= len(segments) || segments[i] == "" {
			return nil, false
		}
		switch {
		case wild:
			vars[name] = strings.Join(segments[i:], "/")
			return vars, !slices.Contains(segments[i:], "")
		case name != "":
			vars[name] = segments[i]
		case want != segments[i]:
			return nil, false
		}
	}
	return vars, len(segments) == len(rt.path)
}

func variable(segment string) (name string, wild bool) {
	inner, ok := strings.CutPrefix(segment, "{")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(strings.TrimSuffix(inner, "}"), "=**")
}

// routes is the table of a server.
type routes []*route

// find matches a request. A path that exists under other methods yields those.
func (rs routes) find(method string, u *url.URL) (rt *route, vars map[string]string, allow []string) {
	segments := split(u.EscapedPath())
	for i, s := range segments {
		plain, err := url.PathUnescape(s)
		if err != nil {
			return nil, nil, nil
		}
		segments[i] = plain
	}
	for _, r := range rs {
		v, ok := r.match(segments)
		switch {
		case !ok:
		case r.method == method:
			return r, v, nil
		case !slices.Contains(allow, r.method):
			allow = append(allow, r.method)
		}
	}
	return nil, nil, allow
}
