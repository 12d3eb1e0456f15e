package api

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"

	"gatehouse/internal/openapi"
)

// side is which way a message goes. What may be sent and what is answered
// differ: a shaper refuses what it does not know and takes null for absent,
// while protojson writes every member that has a zero.
type side string

const (
	requests side = ".Input"
	replies  side = ""
)

// message refers to the schema of m, which is written when it is first needed.
func (d *describer) message(m protoreflect.MessageDescriptor, to side) *openapi.Schema {
	if s := wellKnown(m, to); s != nil {
		return s
	}
	name := string(m.FullName()) + string(to)
	all := d.doc.Components.Schemas
	if all[name] != nil && d.snake[name] != d.face.ProtoNames {
		name += ".Respelled"
	}
	if all[name] == nil {
		d.snake[name] = d.face.ProtoNames
		all[name] = &openapi.Schema{} // a message may hold itself
		*all[name] = *d.object(m, to, func(protoreflect.FieldDescriptor) bool { return true })
	}
	return openapi.SchemaRef(name)
}

// object is the schema of those members of m that keep lets through.
func (d *describer) object(m protoreflect.MessageDescriptor, to side, keep func(protoreflect.FieldDescriptor) bool) *openapi.Schema {
	out := &openapi.Schema{Type: "object", Description: comments[m.FullName()], Properties: map[string]*openapi.Schema{}}
	if to == requests {
		out.Additional = false
	}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if !keep(f) {
			continue
		}
		name := d.spell(string(f.Name()))
		out.Properties[name] = d.member(f, to)
		if to == requests {
			for _, alias := range d.aliases(f) {
				other := *d.value(f, to).With("The same as "+name+".", true)
				other.Alias = true
				out.Properties[alias] = &other
			}
		}
		if required(f, to) {
			out.Required = append(out.Required, name)
		}
	}
	return out
}

// required: protojson leaves out what is optional, or one of several, while it
// is unset, and writes everything else.
func required(f protoreflect.FieldDescriptor, to side) bool {
	if to == requests {
		return behaves(f, annotations.FieldBehavior_REQUIRED)
	}
	return f.ContainingOneof() == nil
}

// member is the schema of one member, with what is said about it.
func (d *describer) member(f protoreflect.FieldDescriptor, to side) *openapi.Schema {
	if to == requests && behaves(f, annotations.FieldBehavior_OUTPUT_ONLY) {
		return &openapi.Schema{ReadOnly: true, Description: "Ignored in requests."} // of whatever type: a list's element may be sent back
	}
	nullable := to == requests && !required(f, to) || to == replies && f.Message() != nil && !f.IsList() && !f.IsMap() && f.ContainingOneof() == nil
	return d.value(f, to).With(d.about(f, to), nullable)
}

// aliases are other names of a member in requests.
func (d *describer) aliases(f protoreflect.FieldDescriptor) (out []string) {
	all := d.face.Aliases[f.ContainingMessage().FullName()]
	for _, alias := range slices.Sorted(maps.Keys(all)) {
		other := strings.Contains(alias, "_") // one case stands for both
		if d.face.ProtoNames {
			other = alias != strings.ToLower(alias)
		}
		if all[alias] == string(f.Name()) && !other {
			out = append(out, alias)
		}
	}
	return out
}

// about is the comment of a member, and when it counts in requests.
func (d *describer) about(f protoreflect.FieldDescriptor, to side) string {
	text := []string{}
	if c := comments[f.FullName()]; c != "" {
		text = append(text, c)
	}
	if to == requests && behaves(f, annotations.FieldBehavior_IMMUTABLE) {
		text = append(text, "Set when it is made; an update ignores it.")
	}
	return strings.Join(text, " ")
}

func (d *describer) value(f protoreflect.FieldDescriptor, to side) *openapi.Schema {
	switch {
	case f.IsMap():
		return &openapi.Schema{Type: "object", Additional: d.one(f.MapValue(), to)}
	case f.IsList():
		return &openapi.Schema{Type: "array", Items: d.one(f, to)}
	}
	return d.one(f, to)
}

// wholeNumber is an int64 in a request: protojson reads it either way.
var wholeNumber = []*openapi.Schema{
	{Type: "integer", Format: "int64"},
	{Type: "string", Pattern: `^(0|-?[1-9][0-9]*)$`},
}

// one is the schema of a single value.
func (d *describer) one(f protoreflect.FieldDescriptor, to side) *openapi.Schema {
	switch f.Kind() {
	case protoreflect.MessageKind:
		return d.message(f.Message(), to)
	case protoreflect.EnumKind:
		out := &openapi.Schema{Type: "string"}
		for _, name := range names(f.Enum()) {
			out.Enum = append(out.Enum, name)
		}
		return out
	case protoreflect.BoolKind:
		return &openapi.Schema{Type: "boolean"}
	case protoreflect.Int32Kind:
		return &openapi.Schema{Type: "integer", Format: "int32"}
	case protoreflect.Uint32Kind:
		return &openapi.Schema{Type: "integer", Format: "int64"}
	case protoreflect.Int64Kind, protoreflect.Uint64Kind:
		if to == requests {
			return &openapi.Schema{AnyOf: wholeNumber}
		}
		return &openapi.Schema{Type: "string", Format: "int64", Pattern: `^-?[0-9]+$`}
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		return &openapi.Schema{Type: "number", Format: "double"}
	case protoreflect.BytesKind:
		return &openapi.Schema{Type: "string", Format: "byte"}
	}
	return &openapi.Schema{Type: "string"}
}

// Durations as time.ParseDuration reads them, but for the odd ones, and as
// protojson writes them.
const (
	sentDuration = `^-?([0-9]{1,6}(\.[0-9]{1,6})?(ms|s|m|h))+$`
	toldDuration = `^-?[0-9]+(\.[0-9]+)?s$`
)

// wellKnown is the schema of a type that has a JSON of its own.
func wellKnown(m protoreflect.MessageDescriptor, to side) *openapi.Schema {
	switch m.FullName() {
	case "google.protobuf.Timestamp":
		return &openapi.Schema{Type: "string", Format: "date-time"}
	case "google.protobuf.Duration":
		if to == requests {
			return &openapi.Schema{Type: "string", Pattern: sentDuration, Description: `Such as "30s" or "1h30m".`}
		}
		return &openapi.Schema{Type: "string", Pattern: toldDuration}
	case "google.protobuf.FieldMask":
		return &openapi.Schema{Type: "string", Description: "Names of members, separated by commas."}
	case "google.protobuf.ListValue":
		return &openapi.Schema{Type: "array", Items: &openapi.Schema{Type: "string"}}
	case "google.protobuf.Struct":
		return &openapi.Schema{Type: "object", Additional: &openapi.Schema{}}
	case "google.protobuf.Value":
		return &openapi.Schema{}
	}
	return nil
}
