package filter

import (
	"slices"
	"strings"
)

// Kind says how a field's values compare.
type Kind int

// The kinds.
const (
	// Text compares by bytes. Its values are strings.
	Text Kind = iota
	// Number compares by size. Its values are int64 or float64.
	Number
	// Time compares by instant, in microseconds. Literals are RFC 3339 or a date,
	// which is its midnight in UTC. Its values are time.Time, and microseconds
	// since 1970 in SQL.
	Time
	// Loose is text of unknown meaning, such as the fields of documents. Equality
	// is that of text. An order given by a number holds for values that are
	// numbers; any other order is that of bytes.
	Loose
)

// Field is what a filter may name.
type Field struct {
	// Name is the wire's. A name that ends in ".*" stands for every field with the
	// prefix before the star, such as fields.isbn.
	Name string
	Kind Kind
	// Partial makes : = and != look for a part of the text, in either case of
	// ASCII letters, as xAI's lists do with names.
	Partial bool
	// Values are the literals allowed and what they stand for, in either case;
	// nil allows any.
	Values map[string]string
}

// Schema is every field that a filter may name.
type Schema []Field

// find returns the field that name means; an exact name goes before a prefix.
func (s Schema) find(name string) (Field, bool) {
	for _, f := range s {
		if f.Name == name {
			return f, true
		}
	}
	for _, f := range s {
		if prefix, open := strings.CutSuffix(f.Name, "*"); open && len(name) > len(prefix) && strings.HasPrefix(name, prefix) {
			return f, true
		}
	}
	return Field{}, false
}

// names lists the fields for whoever named another.
func (s Schema) names() string {
	out := make([]string, len(s))
	for i, f := range s {
		out[i] = f.Name
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
