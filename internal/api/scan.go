package api

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"gatehouse"
)

// The bounds of a body (contract.md "Bodies").
const (
	maxBody  = 1 << 20
	maxDepth = 64
)

// A node is one JSON value with the place it was found at. Numbers and the
// three literals keep their text; strings are decoded.
type node struct {
	kind    byte // '{' '[' '"' '0' (number) 't' (true, false) 'n' (null)
	at      int
	text    string
	members []member
	elems   []*node
}

type member struct {
	name  string
	at    int
	value *node
}

// drop removes a member.
func (n *node) drop(name string) {
	for i, m := range n.members {
		if m.name == name {
			n.members = append(n.members[:i:i], n.members[i+1:]...)
			return
		}
	}
}

// append writes n as JSON without white space. It is the canonical body that
// protojson reads and that an Idempotency-Key is bound to.
func (n *node) append(b []byte) []byte {
	switch n.kind {
	case '{':
		b = append(b, '{')
		for i, m := range n.members {
			b = append(appendString(comma(b, i), m.name), ':')
			b = m.value.append(b)
		}
		return append(b, '}')
	case '[':
		b = append(b, '[')
		for i, e := range n.elems {
			b = e.append(comma(b, i))
		}
		return append(b, ']')
	case '"':
		return appendString(b, n.text)
	}
	return append(b, n.text...)
}

func comma(b []byte, i int) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return b
}

func appendString(b []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // a string always marshals
	return append(b, quoted...)
}

// scan reads exactly one JSON value. It refuses what RFC 8259 leaves open and
// what two parsers could read differently: repeated members (after decoding
// their names), invalid UTF-8, lone surrogates, anything after the value.
func scan(b []byte) (*node, error) {
	s := &scanner{b: b}
	s.space()
	n := s.value(1)
	s.space()
	if s.err == nil && s.i < len(b) {
		s.fail(s.i, "unexpected data after the value")
	}
	if s.err != nil {
		return nil, s.err
	}
	return n, nil
}

type scanner struct {
	b   []byte
	i   int
	err error // the first; all methods return at once after it
}

func (s *scanner) fail(at int, what string) *node {
	if s.err == nil {
		line, column := 1, 1
		for _, c := range s.b[:at] {
			column++
			if c == '\n' {
				line, column = line+1, 1
			}
		}
		s.err = gatehouse.Errorf(gatehouse.InvalidArgument, "body: %s at line %d, column %d", what, line, column)
	}
	return nil
}

// peek is the next byte, 0 at the end or after an error: no token starts with it.
func (s *scanner) peek() byte {
	if s.err != nil || s.i >= len(s.b) {
		return 0
	}
	return s.b[s.i]
}

func (s *scanner) space() {
	for s.i < len(s.b) && strings.IndexByte(" \t\r\n", s.b[s.i]) >= 0 {
		s.i++
	}
}

func (s *scanner) value(depth int) *node {
	c := s.peek()
	switch {
	case s.err != nil:
		return nil
	case (c == '{' || c == '[') && depth > maxDepth:
		return s.fail(s.i, "nesting deeper than "+strconv.Itoa(maxDepth))
	case c == '{':
		return s.object(depth)
	case c == '[':
		return s.array(depth)
	case c == '"':
		at := s.i
		return &node{kind: '"', at: at, text: s.str()}
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	}
	return s.literal()
}

func (s *scanner) object(depth int) *node {
	n := &node{kind: '{', at: s.i}
	seen := map[string]bool{}
	s.list('}', func() {
		at := s.i
		if s.peek() != '"' {
			s.fail(s.i, "a member name in double quotes is expected")
			return
		}
		name := s.str()
		if s.err == nil && seen[name] {
			s.fail(at, "member "+strconv.QuoteToASCII(clip(name))+" given twice")
		}
		seen[name] = true
		s.space()
		if s.peek() != ':' {
			s.fail(s.i, "\":\" is expected")
			return
		}
		s.i++
		s.space()
		n.members = append(n.members, member{name, at, s.value(depth + 1)})
	})
	return n
}

func (s *scanner) array(depth int) *node {
	n := &node{kind: '[', at: s.i}
	s.list(']', func() { n.elems = append(n.elems, s.value(depth+1)) })
	return n
}

// list reads elements up to end. A comma before the end is named as such: the
// guide's own examples have one.
func (s *scanner) list(end byte, element func()) {
	s.i++
	s.space()
	if s.peek() == end {
		s.i++
		return
	}
	for s.err == nil {
		element()
		s.space()
		switch at := s.i; s.peek() {
		case end:
			s.i++
			return
		case ',':
			s.i++
			s.space()
			if c := s.peek(); c == '}' || c == ']' {
				s.fail(at, "trailing comma")
			}
		default:
			s.fail(at, "\",\" or \""+string(end)+"\" is expected")
		}
	}
}

func (s *scanner) literal() *node {
	for _, word := range []string{"true", "false", "null"} {
		if strings.HasPrefix(string(s.b[s.i:min(len(s.b), s.i+len(word))]), word) {
			n := &node{kind: 't', at: s.i, text: word}
			if word == "null" {
				n.kind = 'n'
			}
			s.i += len(word)
			return n
		}
	}
	if s.i >= len(s.b) {
		return s.fail(s.i, "unexpected end")
	}
	return s.fail(s.i, "a value is expected")
}

func (s *scanner) number() *node {
	at := s.i
	if s.peek() == '-' {
		s.i++
	}
	if s.peek() == '0' {
		s.i++
	} else {
		s.digits()
	}
	if s.peek() == '.' {
		s.i++
		s.digits()
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.i++
		if c := s.peek(); c == '+' || c == '-' {
			s.i++
		}
		s.digits()
	}
	return &node{kind: '0', at: at, text: string(s.b[at:s.i])}
}

func (s *scanner) digits() {
	if c := s.peek(); c < '0' || c > '9' {
		s.fail(s.i, "a digit is expected")
	}
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.i++
	}
}

// str decodes the string that starts here.
func (s *scanner) str() string {
	var out []byte
	start := s.i
	for s.i++; s.err == nil; {
		if s.i >= len(s.b) {
			s.fail(start, "unterminated string")
			break
		}
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return string(out)
		case c == '\\':
			out = s.escape(out)
		case c < ' ':
			s.fail(s.i, "control character in a string")
		default:
			r, size := utf8.DecodeRune(s.b[s.i:])
			if r == utf8.RuneError && size == 1 {
				s.fail(s.i, "invalid UTF-8")
			}
			out = append(out, s.b[s.i:s.i+size]...)
			s.i += size
		}
	}
	return ""
}

func (s *scanner) escape(out []byte) []byte {
	at := s.i
	s.i++
	c := s.peek()
	if c == 'u' {
		return s.unicode(at, out)
	}
	k := strings.IndexByte(`"\/bfnrt`, c)
	if k < 0 || c == 0 {
		s.fail(at, "invalid escape")
		return nil
	}
	s.i++
	return append(out, "\"\\/\b\f\n\r\t"[k])
}

func (s *scanner) unicode(at int, out []byte) []byte {
	r := s.hex(at)
	if utf16.IsSurrogate(r) {
		if s.peek() != '\\' || s.i+1 >= len(s.b) || s.b[s.i+1] != 'u' {
			s.fail(at, "lone surrogate")
			return nil
		}
		s.i++
		if r = utf16.DecodeRune(r, s.hex(at)); r == utf8.RuneError {
			s.fail(at, "lone surrogate")
		}
	}
	return utf8.AppendRune(out, r)
}

// hex reads "uXXXX".
func (s *scanner) hex(at int) rune {
	if s.err != nil || s.i+5 > len(s.b) {
		s.fail(at, "invalid escape")
		return 0
	}
	v, err := strconv.ParseUint(string(s.b[s.i+1:s.i+5]), 16, 16)
	if err != nil {
		s.fail(at, "invalid escape")
	}
	s.i += 5
	return rune(v)
}

// clip shortens a name that is echoed. Names that mean something are short; a
// long one may be a credential in the wrong place, of which no more than the
// public part may come back or reach a log.
func clip(s string) string {
	const longest, shown = 40, 16
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:shown], "") + "…"
}
