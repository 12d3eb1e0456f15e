package filter

import (
	"strconv"
	"strings"
	"time"
)

// Filter is a checked filter. A nil Filter lets everything pass.
type Filter struct{ root *node }

// node is a comparison, or what joins several.
type node struct {
	join join
	kids []*node     // of and, or: two or more; of not: one
	leaf *comparison // of none
}

type join int

const (
	none join = iota
	and
	or
	not
)

type operator string

const (
	equal        operator = "="
	less         operator = "<"
	lessEqual    operator = "<="
	greater      operator = ">"
	greaterEqual operator = ">="
	between      operator = ".."
)

// comparison is one field against one literal, or two for a range.
type comparison struct {
	name  string // as in the filter; the field's may end in a star
	field Field
	op    operator
	value literal
	high  literal // of between
}

// literal is a value as the field's kind reads it.
type literal struct {
	text   string // as written, quotes and aliases resolved
	number float64
	isNum  bool // of Loose
	micros int64
}

// partial reports whether the comparison looks for a part.
func (c *comparison) partial() bool { return c.field.Partial && c.op == equal }

// numeric reports whether values are compared as numbers.
func (c *comparison) numeric() bool {
	if c.field.Kind == Loose {
		return c.op != equal && c.value.isNum && (c.op != between || c.high.isNum)
	}
	return c.field.Kind == Number
}

// String is the filter in one canonical spelling: equal strings are equal
// filters, so that a page token can be bound to it. It is empty for nil.
func (f *Filter) String() string {
	if f == nil {
		return ""
	}
	var b strings.Builder
	f.root.write(&b)
	return b.String()
}

func (n *node) write(b *strings.Builder) {
	switch n.join {
	case none:
		n.leaf.write(b)
	case not:
		b.WriteString("NOT ")
		n.kids[0].write(b)
	default:
		b.WriteByte('(')
		for i, k := range n.kids {
			if i > 0 {
				b.WriteString(map[join]string{and: " AND ", or: " OR "}[n.join])
			}
			k.write(b)
		}
		b.WriteByte(')')
	}
}

func (c *comparison) write(b *strings.Builder) {
	b.WriteString(spell(c.name))
	if c.op == between {
		b.WriteString(":" + c.spell(c.value) + ".." + c.spell(c.high))
		return
	}
	b.WriteString(string(c.op) + c.spell(c.value))
}

// spell writes a literal so that reading it gives the same one.
func (c *comparison) spell(v literal) string {
	switch c.field.Kind {
	case Number:
		return strconv.FormatFloat(v.number, 'f', -1, 64)
	case Time:
		return time.UnixMicro(v.micros).UTC().Format(time.RFC3339Nano)
	}
	return quote(v.text)
}

// spell writes a name, quoting from the first segment that needs it.
func spell(name string) string {
	if plainName(name) {
		return name
	}
	prefix, rest, _ := strings.Cut(name, ".")
	return prefix + "." + quote(rest)
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
