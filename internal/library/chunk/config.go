// Package chunk cuts a document's text into the pieces that are indexed. It is
// arithmetic: no I/O, no clock, and the same text under the same [Config] gives
// the same chunks however the text arrived.
//
// A [Splitter] is fed text as extraction yields it and hands out chunks as they
// are complete, so that a document of 100 MB costs the memory of a few chunks.
// What it promises: a chunk is never larger than its bound, a rune is never
// cut, chunks cover the whole text in order, and the time is linear in the text
// whatever is in it.
package chunk

import (
	"slices"

	"gatehouse"
)

// Method says what a chunk's size is counted in and where it is cut best. The
// names are those of the wire, without "_configuration" (wire.md §5).
type Method string

// The methods. AST is deprecated by xAI and cuts as CodeTokens does; neither it
// nor Table has an overlap.
const (
	Chars          Method = "chars"
	Tokens         Method = "tokens"
	Bytes          Method = "bytes"
	AST            Method = "ast"
	Table          Method = "table"
	MarkdownTokens Method = "markdown_tokens"
	MarkdownChars  Method = "markdown_chars"
	CodeTokens     Method = "code_tokens"
	CodeChars      Method = "code_chars"
)

// Methods lists every method in the order of the documents.
var Methods = []Method{Chars, Tokens, Bytes, AST, Table, MarkdownTokens, MarkdownChars, CodeTokens, CodeChars}

// Config is one chunk configuration.
type Config struct {
	Method   Method
	MaxSize  int    // of a chunk, in the method's unit
	Overlap  int    // what a chunk shares with each of its two neighbours, in the same unit
	Encoding string // of tokens: one of Encodings; empty with other units

	StripWhitespace bool // trim every chunk, and drop those that are nothing but space
	InjectName      bool // put the document's name before every chunk
}

// Default is what a collection has that names none: the documented example
// (wire.md §5, §11).
func Default() Config {
	return Config{Method: Tokens, MaxSize: 1024, Overlap: 200, Encoding: O200k, StripWhitespace: true}
}

// unit is what sizes are counted in.
type unit string

const (
	chars  unit = "chars"
	tokens unit = "tokens"
	bytes  unit = "bytes"
)

// shape is what a method comes to.
type shape struct {
	unit    unit
	breaks  breaks
	overlap bool // the method has one
}

var shapes = map[Method]shape{
	Chars:          {chars, plain, true},
	Tokens:         {tokens, plain, true},
	Bytes:          {bytes, plain, true},
	AST:            {tokens, code, false},
	Table:          {tokens, rows, false},
	MarkdownTokens: {tokens, markdown, true},
	MarkdownChars:  {chars, markdown, true},
	CodeTokens:     {tokens, code, true},
	CodeChars:      {chars, code, true},
}

// Bounds of MaxSize. A rune is at most 4 bytes and at most 4 tokens, so smaller
// chunks might hold none. 8,192 tokens are what embedding models read at most.
var (
	smallest = map[unit]int{chars: 1, tokens: 4, bytes: 4}
	largest  = map[unit]int{chars: 65536, tokens: 8192, bytes: 65536}
)

// Validate records everything wrong with c under the wire names of its fields,
// below field ("chunk_configuration").
func (c Config) Validate(field string, v *gatehouse.Violations) {
	s, ok := shapes[c.Method]
	if !ok {
		v.Addf(field, "exactly one of %s is needed", memberNames())
		return
	}
	at := field + "." + c.Method.member() + "."
	low, high := smallest[s.unit], largest[s.unit]
	if c.MaxSize < low || c.MaxSize > high {
		v.Addf(at+sizeName(s.unit), "must be between %d and %d", low, high)
	}
	switch {
	case !s.overlap && c.Overlap != 0:
		v.Addf(at+overlapName(s.unit), "%s has no overlap: leave it out", c.Method.member())
	case c.Overlap < 0:
		v.Addf(at+overlapName(s.unit), "must not be negative")
	case c.Overlap > c.MaxSize/2:
		v.Addf(at+overlapName(s.unit), "must be at most half of %s, because both neighbours of a chunk share it", sizeName(s.unit))
	}
	switch {
	case s.unit == tokens && !slices.Contains(Encodings, c.Encoding):
		v.Addf(at+"encoding_name", "must be one of %s", list(Encodings))
	case s.unit != tokens && c.Encoding != "":
		v.Addf(at+"encoding_name", "only sizes in tokens have an encoding: leave it out")
	}
}
