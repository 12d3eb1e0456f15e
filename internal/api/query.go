package api

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"

	"gatehouse"
)

// Paging has a different name on each of xAI's routes; each route takes its
// siblings' names too (wire.md §10.1, 17).
var (
	sizeNames  = []string{"page_size", "pageSize", "limit"}
	tokenNames = []string{"page_token", "pageToken", "pagination_token", "paginationToken", "cursor"}
)

// queryOf checks a query string and spells it as grpc-gateway reads it, which
// by itself ignores what it does not know.
func (rt *route) queryOf(s *shaper, raw string, vars map[string]string) url.Values {
	out := url.Values{}
	values, err := url.ParseQuery(raw)
	if err != nil {
		s.bad.Addf("query", "is not well formed")
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		list := values[name]
		if rt.teamless && name == teamParameter {
			continue
		}
		if rt.plain != nil && slices.Contains(rt.plain.Query, name) && len(list) == 1 {
			out.Set(name, list[0])
			continue
		}
		path, f := rt.parameter(s, name)
		switch {
		case f == nil:
			s.bad.Addf(clip(strings.ToValidUTF8(name, "?")), "unknown query parameter")
		case vars[path] != "" && vars[path] != list[0]:
			s.bad.Addf(name, "differs from the path")
		case vars[path] != "":
		case !f.IsList() && (len(list) > 1 || out.Has(path)):
			s.bad.Addf(name, "given twice")
		default:
			s.values(out, path, name, list, f)
		}
	}
	if rt.input != nil {
		s.alternatives(rt.input, out)
	}
	return out
}

// alternatives refuses two members of which a message can hold one.
func (s *shaper) alternatives(m protoreflect.MessageDescriptor, query url.Values) {
	given := map[protoreflect.OneofDescriptor]protoreflect.FieldDescriptor{}
	for _, path := range slices.Sorted(maps.Keys(query)) {
		head, _, _ := strings.Cut(path, ".")
		f := m.Fields().ByName(protoreflect.Name(head))
		of := f.ContainingOneof()
		if of == nil || of.IsSynthetic() {
			continue
		}
		if other := given[of]; other != nil && other != f {
			s.bad.Addf(f.JSONName(), "cannot be given together with %s", other.JSONName())
			return
		}
		given[of] = f
	}
}

// How a request to a teamless path names a team (wire.md §10.2).
const (
	teamParameter = "team_id"
	teamHeader    = "X-Team-Id"
)

// teamOf is the team that a request to a teamless path names; zero for none.
func (rt *route) teamOf(s *shaper, r *http.Request) (team gatehouse.ID) {
	if !rt.teamless {
		return team
	}
	for _, text := range append(r.URL.Query()[teamParameter], r.Header[teamHeader]...) {
		id, err := gatehouse.ParseID(text)
		switch {
		case text == "":
		case err != nil || id.IsZero():
			s.bad.Addf(teamParameter, "is not a UUID, in the query or in "+teamHeader)
		case !team.IsZero() && team != id:
			s.bad.Addf(teamParameter, "names two teams, in the query or in "+teamHeader)
		default:
			team = id
		}
	}
	return team
}

// values checks each value as a string of JSON would be.
func (s *shaper) values(out url.Values, path, name string, list []string, f protoreflect.FieldDescriptor) {
	for _, v := range list {
		if !utf8.ValidString(v) {
			s.bad.Addf(name, "must be valid UTF-8")
			continue
		}
		if f.Message() != nil && f.Message().FullName() == "google.protobuf.Duration" && strings.Trim(v, "0123456789") == "" {
			v += "s" // ?wait=30
		}
		n := &node{kind: '"', text: v}
		s.one(n, f, name)
		out.Add(path, n.text)
	}
}

// parameter finds the field that a dotted name means, with its proto path.
func (rt *route) parameter(s *shaper, name string) (string, protoreflect.FieldDescriptor) {
	if rt.input == nil || rt.body == "*" {
		return "", nil
	}
	if f := sibling(rt.input, name); f != nil {
		return string(f.Name()), f
	}
	m, path := rt.input, ""
	parts := strings.Split(name, ".")
	for i, part := range parts {
		f := s.member(m, part)
		if f == nil || string(f.Name()) == rt.body {
			return "", nil
		}
		path = join(path, string(f.Name()))
		if i == len(parts)-1 && queryable(f) {
			return path, f
		}
		if m = f.Message(); m == nil || f.IsList() || f.IsMap() {
			return "", nil
		}
	}
	return "", nil
}

func sibling(m protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	for _, group := range [][]string{sizeNames, tokenNames} {
		for _, spelling := range group {
			if spelling == name {
				return first(m, group)
			}
		}
	}
	return nil
}

func first(m protoreflect.MessageDescriptor, group []string) protoreflect.FieldDescriptor {
	for _, n := range group {
		if f := m.Fields().ByName(protoreflect.Name(n)); f != nil {
			return f
		}
	}
	return nil
}

// queryable reports whether grpc-gateway reads the field from one string.
func queryable(f protoreflect.FieldDescriptor) bool {
	if f.IsMap() {
		return false
	}
	if f.Message() == nil {
		return true
	}
	switch f.Message().FullName() {
	case "google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask":
		return true
	}
	return false
}
