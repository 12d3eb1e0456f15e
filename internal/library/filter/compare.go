package filter

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// comparison reads field, operator and value.
func (p *parser) comparison() *node {
	start := p.pos
	name := p.name()
	if p.failed != nil {
		return nil
	}
	field, known := p.schema.find(name)
	if !known {
		p.complain(start, "unknown field %q; the known ones are %s", name, p.schema.names())
	}
	p.space()
	op, negated := p.operator()
	p.space()
	c := &comparison{name: name, field: field, op: op}
	at := p.pos
	raw := p.value(op == equal)
	switch {
	case p.failed != nil:
		return nil
	case raw.ranged:
		c.op = between
	}
	if p.terms++; p.terms > maxTerms {
		p.fail(start, "there are more than %d comparisons: split the request", maxTerms)
	}
	if known {
		c.value, c.high = p.literal(at, field, raw.low), literal{}
		if raw.ranged {
			c.high = p.literal(at, field, raw.high)
		}
		p.ordered(at, c)
	}
	n := &node{leaf: c}
	if negated {
		return &node{join: not, kids: []*node{n}}
	}
	return n
}

// name reads a field's name: segments with dots between them, of which all
// after the first may be in one pair of quotes.
func (p *parser) name() string {
	start := p.pos
	for p.pos < len(p.text) {
		r, n := utf8.DecodeRuneInString(p.text[p.pos:])
		if !nameRune(r) {
			break
		}
		p.pos += n
	}
	name := p.text[start:p.pos]
	if strings.HasSuffix(name, ".") && p.quoted() {
		name += p.quotation()
	}
	if name == "" {
		p.fail(start, "expected the name of a field, not %q", p.here())
	}
	return name
}

func nameRune(r rune) bool {
	return r == '_' || r == '-' || r == '.' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

// plainName reports whether a name needs no quotes.
func plainName(s string) bool {
	return s != "" && !strings.HasSuffix(s, ".") && strings.IndexFunc(s, func(r rune) bool { return !nameRune(r) }) < 0
}

// operators are the spellings, longest first, what each means and whether it is
// the denial of that.
var operators = []struct {
	spelling string
	op       operator
	negated  bool
}{
	{":!=", equal, true}, {":>=", greaterEqual, false}, {":<=", lessEqual, false},
	{":!", equal, true}, {":=", equal, false}, {":>", greater, false}, {":<", less, false},
	{"!=", equal, true}, {">=", greaterEqual, false}, {"<=", lessEqual, false},
	{":", equal, false}, {"=", equal, false}, {">", greater, false}, {"<", less, false},
}

func (p *parser) operator() (op operator, negated bool) {
	for _, o := range operators {
		if strings.HasPrefix(p.text[p.pos:], o.spelling) {
			p.pos += len(o.spelling)
			return o.op, o.negated
		}
	}
	p.fail(p.pos, "expected an operator (: = != < <= > >=), not %q", p.here())
	return equal, false
}

// here quotes a little of what stands at the position.
func (p *parser) here() string {
	rest := []rune(p.text[p.pos:min(len(p.text), p.pos+64)])
	return string(rest[:min(len(rest), 12)])
}

// words is a value as written.
type words struct {
	low, high string
	ranged    bool
}

// value reads a literal, or a range where one may stand.
func (p *parser) value(mayRange bool) words {
	if p.failed != nil {
		return words{}
	}
	var w words
	if p.quoted() {
		w.low = p.quotation()
	} else if w.low = p.bare(mayRange); w.low == "" {
		p.fail(p.pos, "expected a value")
		return w
	}
	if !mayRange || !strings.HasPrefix(p.text[p.pos:], "..") {
		return w
	}
	p.pos += 2
	w.ranged = true
	if p.quoted() {
		w.high = p.quotation()
	} else if w.high = p.bare(false); w.high == "" {
		p.fail(p.pos, "expected the upper end of the range")
	}
	return w
}

// bare reads up to a space or a parenthesis, and not beyond the dots of a range.
func (p *parser) bare(mayRange bool) string {
	start, rest := p.pos, p.text[p.pos:]
	end := strings.IndexAny(rest, " \t\r\n()\"'")
	if end < 0 {
		end = len(rest)
	}
	if dots := strings.Index(rest[:end], ".."); mayRange && dots >= 0 {
		end = dots
	}
	p.pos += end
	if strings.Contains(rest[:end], "*") {
		p.fail(start, "there are no wildcards; put the value in quotes to look for the character *")
	}
	return rest[:end]
}

func (p *parser) quoted() bool {
	return p.failed == nil && p.pos < len(p.text) && (p.text[p.pos] == '"' || p.text[p.pos] == '\'')
}

// quotation reads a quoted string. A backslash stands before a quote or another
// backslash and nothing else.
func (p *parser) quotation() string {
	start, end := p.pos, p.text[p.pos]
	var b strings.Builder
	for p.pos++; p.pos < len(p.text); p.pos++ {
		switch c := p.text[p.pos]; {
		case c == end:
			p.pos++
			return b.String()
		case c != '\\':
			b.WriteByte(c)
		case p.pos+1 < len(p.text) && strings.IndexByte(`\"'`, p.text[p.pos+1]) >= 0:
			p.pos++
			b.WriteByte(p.text[p.pos])
		default:
			p.fail(p.pos, `a backslash stands before " ' or \ only`)
			return ""
		}
	}
	p.fail(start, "the quotation is not closed")
	return ""
}

// number is what counts as one, in literals and in values of Loose: fifteen
// digits are what every engine's floating point keeps.
var number = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// maxNumber is how long a number may be, its sign included.
const maxNumber = 16

func parseNumber(s string) (float64, bool) {
	if len(s) > maxNumber || !number.MatchString(s) {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil
}

// literal reads a value as the field's kind.
func (p *parser) literal(at int, f Field, raw string) (v literal) {
	v.text = raw
	v.number, v.isNum = parseNumber(raw)
	switch {
	case f.Kind == Number && !v.isNum:
		p.complain(at, "%s takes a number of at most %d characters, not %q", f.Name, maxNumber, raw)
	case f.Kind == Time:
		t, ok := parseTime(raw)
		if !ok {
			p.complain(at, "%s takes a time such as 2025-01-31T12:00:00Z or a date, not %q", f.Name, raw)
		}
		v.micros = t.UnixMicro()
	case f.Values != nil:
		p.alias(at, f, &v)
	}
	return v
}

// parseTime reads RFC 3339 or a date within the years that every engine's and
// JSON's times have.
func parseTime(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, t.UTC().Year() >= 1 && t.UTC().Year() <= 9999
		}
	}
	return time.Time{}, false
}

func (p *parser) alias(at int, f Field, v *literal) {
	var names []string
	for name, stands := range f.Values {
		if strings.EqualFold(name, v.text) {
			v.text = stands
			return
		}
		names = append(names, name)
	}
	slices.Sort(names)
	p.complain(at, "%s is one of %s, not %q", f.Name, strings.Join(names, ", "), v.text)
}

// ordered refuses an order of values that have none.
func (p *parser) ordered(at int, c *comparison) {
	if c.op != equal && c.field.Values != nil {
		p.complain(at, "%s has no order: use = or !=", c.field.Name)
	}
}
