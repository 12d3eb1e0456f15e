package filter

import (
	"cmp"
	"strings"
	"time"
)

// Match asks the filter of one record. value returns what a field has: a
// string, int64, float64 or time.Time by the field's kind; anything else, nil
// included, is a field that the record lacks.
func (f *Filter) Match(value func(name string) any) bool {
	return f == nil || f.root.match(value)
}

func (n *node) match(value func(string) any) bool {
	switch n.join {
	case not:
		return !n.kids[0].match(value)
	case and, or:
		for _, k := range n.kids {
			if k.match(value) == (n.join == or) {
				return n.join == or
			}
		}
		return n.join == and
	}
	return n.leaf.match(value(n.leaf.name))
}

func (c *comparison) match(v any) bool {
	if c.partial() {
		s, ok := v.(string)
		return ok && strings.Contains(fold(s), fold(c.value.text))
	}
	low, known := c.compare(v, c.value)
	if !known {
		return false
	}
	switch c.op {
	case less:
		return low < 0
	case lessEqual:
		return low <= 0
	case greater:
		return low > 0
	case greaterEqual:
		return low >= 0
	case between:
		high, _ := c.compare(v, c.high)
		return low >= 0 && high <= 0
	}
	return low == 0
}

// compare orders a value and a literal; known is false where there is no order.
func (c *comparison) compare(v any, l literal) (order int, known bool) {
	switch v := v.(type) {
	case int64:
		return cmp.Compare(float64(v), l.number), c.field.Kind == Number
	case float64:
		return cmp.Compare(v, l.number), c.field.Kind == Number
	case time.Time:
		return cmp.Compare(v.UnixMicro(), l.micros), c.field.Kind == Time
	case string:
		if !c.numeric() {
			return cmp.Compare(v, l.text), c.field.Kind == Text || c.field.Kind == Loose
		}
		n, ok := parseNumber(v)
		return cmp.Compare(n, l.number), ok
	}
	return 0, false
}

// fold lowers ASCII letters, which is all that both engines do alike.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
