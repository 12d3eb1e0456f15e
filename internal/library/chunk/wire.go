package chunk

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"gatehouse"
)

// member is the method's name on the wire.
func (m Method) member() string { return string(m) + "_configuration" }

func sizeName(u unit) string    { return "max_chunk_size_" + string(u) }
func overlapName(u unit) string { return "chunk_overlap_" + string(u) }

func list(names []string) string { return strings.Join(names, ", ") }

func memberNames() string {
	names := make([]string, len(Methods))
	for i, m := range Methods {
		names[i] = m.member()
	}
	return list(names)
}

// Parse reads a chunk_configuration as it stands on the wire (wire.md §5) and
// judges it: unknown members, none or two methods, wrong types and bad sizes
// are all named in one error, below field. null and {} are the [Default]; of a
// method in tokens whatever is absent has the default's value, and an overlap
// that is absent beside a size is 0.
func Parse(field string, raw []byte) (Config, error) {
	var v gatehouse.Violations
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		v.Addf(field, "must be an object")
		return Config{}, v.Err()
	}
	if len(members) == 0 {
		return Default(), nil
	}
	var c Config
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value, at := members[name], field+"."+name
		switch m := Method(strings.TrimSuffix(name, "_configuration")); {
		case name == "strip_whitespace":
			decode(at, value, &c.StripWhitespace, "true or false", &v)
		case name == "inject_name_into_chunks":
			decode(at, value, &c.InjectName, "true or false", &v)
		case !slices.Contains(Methods, m) || name != m.member():
			v.Addf(at, "unknown member")
		case string(value) == "null":
		case c.Method != "":
			v.Addf(at, "%s is there already: exactly one is needed", c.Method.member())
		default:
			c.Method = m
			c.read(at, value, &v)
		}
	}
	if c.Method == "" && len(v) == 0 { // only the two switches
		d := Default()
		d.StripWhitespace, d.InjectName = c.StripWhitespace, c.InjectName
		return d, nil
	}
	if len(v) == 0 {
		c.Validate(field, &v)
	}
	return c, v.Err()
}

// read takes the sizes of the method that c already names.
func (c *Config) read(field string, raw []byte, v *gatehouse.Violations) {
	s := shapes[c.Method]
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		v.Addf(field, "must be an object")
		return
	}
	if d := Default(); s.unit == tokens {
		c.MaxSize, c.Encoding = d.MaxSize, d.Encoding
		if _, sized := members[sizeName(s.unit)]; !sized && s.overlap {
			c.Overlap = d.Overlap
		}
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value, at := members[name], field+"."+name
		switch {
		case name == sizeName(s.unit):
			decode(at, value, &c.MaxSize, "a whole number", v)
		case name == overlapName(s.unit):
			decode(at, value, &c.Overlap, "a whole number", v)
		case name == "encoding_name":
			decode(at, value, &c.Encoding, "a string", v)
		default:
			v.Addf(at, "unknown member")
		}
	}
}

func decode[T any](field string, raw []byte, into *T, want string, v *gatehouse.Violations) {
	if json.Unmarshal(raw, into) != nil {
		v.Addf(field, "must be %s", want)
	}
}

// MarshalJSON writes c as it stands on the wire; [Parse] reads it back.
func (c Config) MarshalJSON() ([]byte, error) {
	s := shapes[c.Method]
	sizes := map[string]any{sizeName(s.unit): c.MaxSize}
	if s.overlap {
		sizes[overlapName(s.unit)] = c.Overlap
	}
	if s.unit == tokens {
		sizes["encoding_name"] = c.Encoding
	}
	return json.Marshal(map[string]any{
		c.Method.member():         sizes,
		"strip_whitespace":        c.StripWhitespace,
		"inject_name_into_chunks": c.InjectName,
	})
}
