package filter

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"gatehouse"
)

// The bounds of a filter. They are far above what a person writes, and keep
// what a program writes within what the engines' own parsers take.
const (
	maxBytes = 32 << 10
	maxTerms = 256
	maxDepth = 32
)

// Parse reads text. parameter is the request's name for it, in errors: all
// unknown fields and unfit values are told at once, each with its position in
// characters from 1; a mistake of grammar ends the reading. Text without
// anything in it gives nil.
func Parse(parameter, text string, schema Schema) (*Filter, error) {
	p := &parser{text: text, schema: schema, parameter: parameter}
	if len(text) > maxBytes {
		p.bad.Addf(parameter, "has %d bytes; at most %d are allowed: split the request", len(text), maxBytes)
		return nil, p.bad.Err()
	}
	if i := unreadable(text); i >= 0 {
		p.pos = i
		p.complain(i, "must be UTF-8 without control characters")
		return nil, p.bad.Err()
	}
	p.space()
	if p.pos == len(text) {
		return nil, nil
	}
	root := p.disjunction(0)
	if p.failed == nil && p.pos < len(text) {
		p.fail(p.pos, "expected AND, OR or the end")
	}
	if p.failed != nil {
		p.bad = append(p.bad, *p.failed)
	}
	if err := p.bad.Err(); err != nil {
		return nil, err
	}
	return &Filter{root}, nil
}

// unreadable is the first byte that is not text, or -1.
func unreadable(s string) int {
	for i, r := range s {
		if r == utf8.RuneError || unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' {
			return i
		}
	}
	return -1
}

// parser is a recursive descent over text. After failed is set everything
// returns quickly with nonsense.
type parser struct {
	text      string
	pos       int
	terms     int
	schema    Schema
	parameter string
	bad       gatehouse.Violations // of meaning; reading goes on
	failed    *gatehouse.Violation // of grammar
}

func (p *parser) fail(at int, format string, args ...any) {
	if p.failed == nil {
		v := p.violation(at, format, args...)
		p.failed = &v
	}
	p.pos = len(p.text)
}

func (p *parser) complain(at int, format string, args ...any) {
	if len(p.bad) < 10 { // an answer is for a person
		p.bad = append(p.bad, p.violation(at, format, args...))
	}
}

func (p *parser) violation(at int, format string, args ...any) gatehouse.Violation {
	where := utf8.RuneCountInString(p.text[:at]) + 1
	return gatehouse.Violation{Field: p.parameter, Problem: fmt.Sprintf("at character %d: ", where) + fmt.Sprintf(format, args...)}
}

func (p *parser) space() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

// disjunction is conjunctions joined by OR.
func (p *parser) disjunction(depth int) *node {
	return p.joined(or, "OR", func() *node {
		return p.joined(and, "AND", func() *node { return p.unary(depth) })
	})
}

// joined reads parts with a word between them.
func (p *parser) joined(j join, word string, part func() *node) *node {
	kids := []*node{part()}
	for p.keyword(word) {
		kids = append(kids, part())
	}
	if len(kids) == 1 {
		return kids[0]
	}
	return &node{join: j, kids: kids}
}

func (p *parser) unary(depth int) *node {
	p.space()
	start := p.pos
	switch {
	case depth > maxDepth:
		p.fail(start, "is nested deeper than %d", maxDepth)
	case p.pos == len(p.text):
		p.fail(start, "expected a comparison such as name:\"value\"")
	case p.keyword("NOT"):
		return &node{join: not, kids: []*node{p.unary(depth + 1)}}
	case p.failed != nil: // by the word's spelling
	case p.text[p.pos] == '(':
		p.pos++
		inner := p.disjunction(depth + 1)
		p.space()
		if p.failed == nil && (p.pos == len(p.text) || p.text[p.pos] != ')') {
			p.fail(p.pos, "expected AND, OR or the parenthesis that closes the one at character %d", utf8.RuneCountInString(p.text[:start])+1)
		}
		p.pos = min(p.pos+1, len(p.text))
		return inner
	default:
		return p.comparison()
	}
	return &node{}
}

// keyword takes word if it is next and a word of its own.
func (p *parser) keyword(word string) bool {
	p.space()
	rest := p.text[p.pos:]
	if len(rest) < len(word) || !strings.EqualFold(rest[:len(word)], word) {
		return false
	}
	after := rest[len(word):]
	if after != "" && !strings.ContainsRune(" \t\r\n(\"'", rune(after[0])) {
		return false
	}
	if rest[:len(word)] != word {
		p.fail(p.pos, "write %s in capitals", word)
		return false
	}
	p.pos += len(word)
	return true
}
