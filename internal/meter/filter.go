package meter

import (
	"strconv"
	"strings"

	"gatehouse"
)

// The grammar of a filter (wire.md §3.1; AND binds tighter than OR, §10.1):
//
//	filter = term { "OR" term }
//	term   = factor { "AND" factor }
//	factor = [ "NOT" ] field ":" [ op ] value
//	op     = "!" | ">=" | "<=" | ">" | "<"
//	value  = bare word without blanks or quotes | '"' text with \" and \\ '"'
//
// Words are separated by blanks; keywords are upper case.
const (
	maxFilter  = 4 << 10 // bytes of one
	maxFilters = 50
	maxClauses = 200 // of one
)

// clause is one comparison.
type clause struct {
	field  field
	negate bool
	op     string // "", "!", ">=", "<=", ">", "<"
	text   string
	number float64 // of a numeric field
}

// filter is a disjunction of conjunctions.
type filter [][]clause

// parser reads one filter. pos is a byte position for messages, from 1.
type parser struct {
	s   string
	pos int
	n   int
}

func parseFilter(s string) (filter, error) {
	if len(s) > maxFilter {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "filter: at most %d bytes", maxFilter)
	}
	p := &parser{s: s}
	f := filter{nil}
	for {
		c, err := p.factor()
		if err != nil {
			return nil, err
		}
		f[len(f)-1] = append(f[len(f)-1], c)
		at := p.pos
		switch word := p.word(); word {
		case "":
			return f, nil
		case "AND":
		case "OR":
			f = append(f, nil)
		default:
			return nil, p.fail(at, "want AND or OR, not %q", word)
		}
		if p.n++; p.n >= maxClauses {
			return nil, p.fail(at, "at most %d comparisons", maxClauses)
		}
	}
}

func (p *parser) fail(at int, format string, args ...any) error {
	for at < len(p.s) && p.s[at] == ' ' {
		at++
	}
	e := gatehouse.Errorf(gatehouse.InvalidArgument, format, args...)
	return gatehouse.Errorf(gatehouse.InvalidArgument, "filter, position %d: %s", at+1, e.Message)
}

func (p *parser) blanks() {
	for p.pos < len(p.s) && p.s[p.pos] == ' ' {
		p.pos++
	}
}

// word reads up to the next blank.
func (p *parser) word() string {
	p.blanks()
	from := p.pos
	for p.pos < len(p.s) && p.s[p.pos] != ' ' {
		p.pos++
	}
	return p.s[from:p.pos]
}

func (p *parser) factor() (c clause, err error) {
	p.blanks()
	if strings.HasPrefix(p.s[p.pos:], "NOT ") {
		c.negate = true
		p.pos += len("NOT ")
		p.blanks()
	}
	at := p.pos
	name, _, found := strings.Cut(p.s[p.pos:], ":")
	if !found || strings.ContainsAny(name, " \"") {
		return c, p.fail(at, "want field:value")
	}
	known := false
	if c.field, known = filterable(name); !known {
		return c, gatehouse.Errorf(gatehouse.InvalidArgument, "%s Unknown field %q, filter position %d", refusal, clipText(name), at+1)
	}
	p.pos += len(name) + 1
	at = p.pos
	for _, op := range []string{">=", "<=", ">", "<", "!"} {
		if strings.HasPrefix(p.s[p.pos:], op) {
			c.op = op
			p.pos += len(op)
			break
		}
	}
	if c.text, err = p.value(); err != nil {
		return c, err
	}
	return p.check(c, at)
}

// value reads a bare or quoted value.
func (p *parser) value() (string, error) {
	at := p.pos
	if at < len(p.s) && p.s[at] == '"' {
		return p.quoted()
	}
	from := p.pos
	for p.pos < len(p.s) && p.s[p.pos] != ' ' {
		if p.s[p.pos] == '"' {
			return "", p.fail(p.pos, "a quote inside a bare value")
		}
		p.pos++
	}
	if p.pos == from {
		return "", p.fail(at, "want a value")
	}
	return p.s[from:p.pos], nil
}

func (p *parser) quoted() (string, error) {
	at := p.pos
	var b strings.Builder
	for p.pos++; p.pos < len(p.s); p.pos++ {
		switch c := p.s[p.pos]; c {
		case '"':
			p.pos++
			if p.pos < len(p.s) && p.s[p.pos] != ' ' {
				return "", p.fail(p.pos, "want a blank after the closing quote")
			}
			return b.String(), nil
		case '\\':
			p.pos++
			if p.pos >= len(p.s) || (p.s[p.pos] != '"' && p.s[p.pos] != '\\') {
				return "", p.fail(p.pos, `after \ want " or \`)
			}
			b.WriteByte(p.s[p.pos])
		default:
			b.WriteByte(c)
		}
	}
	return "", p.fail(at, "the quote is not closed")
}

// check reads numbers and refuses orders on texts.
func (p *parser) check(c clause, at int) (clause, error) {
	if c.field.numeric() {
		n, err := strconv.ParseFloat(c.text, 64)
		if err != nil || n != n {
			return c, p.fail(at, "%s is compared with a number, not %q", c.field, clipText(c.text))
		}
		c.number = n
		return c, nil
	}
	if c.op != "" && c.op != "!" {
		return c, p.fail(at, "%s has no order: use : or :!", c.field)
	}
	if c.field == fieldKey || c.field == fieldUser { // any spelling of an id
		if id, err := gatehouse.ParseID(c.text); err == nil {
			c.text = id.String()
		}
	}
	return c, nil
}

// clipText keeps messages short, whatever was sent.
func clipText(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}

// holds evaluates a comparison.
func (c *clause) holds(it *item) bool {
	var yes bool
	if c.field.numeric() {
		n := it.number(c.field)
		switch c.op {
		case "":
			yes = n == c.number
		case "!":
			yes = n != c.number
		case ">":
			yes = n > c.number
		case "<":
			yes = n < c.number
		case ">=":
			yes = n >= c.number
		case "<=":
			yes = n <= c.number
		}
	} else {
		yes = (it.text(c.field) == c.text) == (c.op == "")
	}
	return yes != c.negate
}

// holds evaluates a filter.
func (f filter) holds(it *item) bool {
	for _, term := range f {
		all := true
		for i := range term {
			if !term[i].holds(it) {
				all = false
				break
			}
		}
		if all {
			return true
		}
	}
	return false
}
