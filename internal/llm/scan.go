package llm

import (
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"unicode/utf8"
)

// scanner checks JSON in one pass, without building anything. It accepts what
// go-json-experiment's jsontext accepts (a fuzz target holds them together),
// save that it nests at most MaxDepth deep. It stops at the first flaw, which
// stays in bad.
type scanner struct {
	b       []byte
	i       int
	text    int64 // bytes in string values that look like text
	blobs   int64 // string values that look like data
	numbers int64 // JSON numbers
	bad     string
	badPos  int

	strict    bool   // strings must be UTF-8
	watch     bool   // refuse pointers
	toolInput bool   // `input` is what a tool was given
	inlines   bool   // ids of the library's files may stand as file_id
	files     int    // how many of them do
	holds     bool   // the object that comes next is a container's or an audio's
	pointed   string // the pointer that ended the scan
}

// fail keeps the first flaw and is always false.
func (s *scanner) fail(what string) bool {
	if s.bad == "" {
		s.bad, s.badPos = what, s.i
	}
	return false
}

// space skips white space and returns the next byte, 0 at the end. A NUL in
// the body is no valid token either, so the two need no telling apart.
func (s *scanner) space() byte {
	for ; s.i < len(s.b); s.i++ {
		if c := s.b[s.i]; c > ' ' || c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c
		}
	}
	return 0
}

// value scans one value whose containers stand at depth.
func (s *scanner) value(depth int) bool {
	switch c := s.space(); {
	case c == '"':
		start := s.i + 1
		_, ok := s.str()
		s.weigh(start)
		return ok
	case c == '{':
		return s.object(depth)
	case c == '[':
		return s.array(depth)
	case c == '-' || '0' <= c && c <= '9':
		s.numbers++
		return s.number()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	}
	return s.fail("expected a value")
}

// weigh adds the string value that began at start to the text, unless it looks
// like data: nobody bills base64 as prose, and one picture would fill the TPM
// window of its key.
func (s *scanner) weigh(start int) {
	v := s.b[start:max(start, min(s.i-1, len(s.b)))]
	if len(v) >= 64 && (string(v[:5]) == "data:" || len(v) > 2048 && isBase64(v[:512])) {
		s.blobs++
		return
	}
	s.text += int64(len(v))
}

// isBase64 accepts both alphabets; prose has a space within 512 bytes.
func isBase64(v []byte) bool {
	for _, c := range v {
		if c < '+' || c > 'z' || c == '\\' {
			return false
		}
	}
	return true
}

func (s *scanner) object(depth int) bool {
	if depth > MaxDepth {
		return s.fail("nested deeper than 64")
	}
	inner := s.holds
	s.holds = false
	s.i++
	if s.space() == '}' {
		s.i++
		return true
	}
	for {
		if name, escaped, ok := s.name(); !ok || !s.member(name, escaped, inner, depth+1) {
			return false
		}
		if more, ok := s.next('}'); !more {
			return ok
		}
	}
}

func (s *scanner) array(depth int) bool {
	if depth > MaxDepth {
		return s.fail("nested deeper than 64")
	}
	s.i++
	if s.space() == ']' {
		s.i++
		return true
	}
	for s.value(depth + 1) {
		if more, ok := s.next(']'); !more {
			return ok
		}
	}
	return false
}

// next consumes what follows a member or an element: a comma (more) or end.
func (s *scanner) next(end byte) (more, ok bool) {
	switch s.space() {
	case ',':
		s.i++
		return true, true
	case end:
		s.i++
		return false, true
	}
	return false, s.fail("expected a comma or the end of the object or array")
}

// name scans a member's name and its colon. raw is what stands between the
// quotes.
func (s *scanner) name() (raw []byte, escaped, ok bool) {
	if s.space() != '"' {
		return nil, false, s.fail("expected a member name")
	}
	start := s.i + 1
	if escaped, ok = s.str(); !ok {
		return nil, false, false
	}
	raw = s.b[start : s.i-1]
	if s.space() != ':' {
		return nil, false, s.fail("expected a colon")
	}
	s.i++
	return raw, escaped, true
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special marks the bytes of w that end a run of plain string bytes: quote,
// backslash, control. The lowest mark is always true; higher ones may be
// false, by borrow, and are not looked at.
func special(w uint64) uint64 { return marks(w) & highs }

// marks is special without its mask. One &^w serves all three, since none of
// the constants has a high bit.
func marks(w uint64) uint64 {
	return (((w ^ ones*'"') - ones) | ((w ^ ones*'\\') - ones) | (w - ones*' ')) &^ w
}

// prose is how many plain string bytes b begins with, counted by 32: most of a
// large body is one prompt.
// high has the top bits of bytes that are not ASCII.
func prose(b []byte) (n int, high uint64) {
	for ; len(b)-n >= 32; n += 32 {
		p := b[n : n+32]
		w0, w1 := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])
		w2, w3 := binary.LittleEndian.Uint64(p[16:]), binary.LittleEndian.Uint64(p[24:])
		if (marks(w0)|marks(w1)|marks(w2)|marks(w3))&highs != 0 {
			break
		}
		high |= w0 | w1 | w2 | w3
	}
	return n, high
}

// str scans a string from its opening quote. It looks at the encoding only where
// a byte is not ASCII, and outside strings such a byte is no JSON anyway: a
// second pass over a megabyte would cost as much as the first.
func (s *scanner) str() (escaped, ok bool) {
	b, i := s.b, s.i+1
	var high uint64
	for {
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			high |= w // also what stands behind the end: it is then looked at for nothing
			m := special(w)
			if m == 0 {
				i += 8
				n, wide := prose(b[i:])
				i, high = i+n, high|wide
				continue
			}
			i += bits.TrailingZeros64(m) / 8
			break
		}
		if i >= len(b) {
			s.i = i
			return escaped, s.fail("a string does not end")
		}
		switch c := b[i]; {
		case c == '"':
			if s.strict && high&highs != 0 && !s.encoded(b[s.i+1:i]) {
				return escaped, false
			}
			s.i = i + 1
			return escaped, true
		case c == '\\':
			escaped = true
			n := escape(b[i:])
			if n == 0 {
				s.i = i
				return escaped, s.fail("bad escape in a string")
			}
			i += n
		case c < ' ':
			s.i = i
			return escaped, s.fail("control character in a string")
		default:
			high |= uint64(c)
			i++
		}
	}
}

// encoded refuses the inside of a string that is not UTF-8.
func (s *scanner) encoded(v []byte) bool {
	if utf8.Valid(v) {
		return true
	}
	s.i += 1 + firstInvalid(v)
	return s.fail("not valid UTF-8")
}

// escape is the length of the escape that b begins with, 0 when it is none. A
// half of a surrogate pair is none: decoders disagree on what it means.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
	default:
		return 0
	}
	r, ok := hex4(b[2:])
	switch {
	case !ok || 0xDC00 <= r && r < 0xE000:
		return 0
	case r < 0xD800 || r >= 0xE000:
		return 6
	}
	if len(b) < 12 || b[6] != '\\' || b[7] != 'u' {
		return 0
	}
	if low, ok := hex4(b[8:]); !ok || low < 0xDC00 || low >= 0xE000 {
		return 0
	}
	return 12
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// number scans -? int frac? exp?, with no leading zeros.
func (s *scanner) number() bool {
	if s.b[s.i] == '-' {
		s.i++
	}
	if s.i < len(s.b) && s.b[s.i] == '0' {
		s.i++
	} else if !s.digits() {
		return s.fail("bad number")
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		s.i++
		if !s.digits() {
			return s.fail("bad number")
		}
	}
	if s.i < len(s.b) && s.b[s.i]|0x20 == 'e' {
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		if !s.digits() {
			return s.fail("bad number")
		}
	}
	return true
}

// digits skips decimal digits and wants at least one.
func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && '0' <= s.b[s.i] && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > start
}

func (s *scanner) literal(word string) bool {
	if len(s.b)-s.i < len(word) || string(s.b[s.i:s.i+len(word)]) != word {
		return s.fail("expected a value")
	}
	s.i += len(word)
	return true
}

// unquote decodes the inside of a string that was scanned.
func unquote(raw []byte) string {
	for _, c := range raw {
		if c == '\\' {
			var v string
			quoted := append(append([]byte{'"'}, raw...), '"')
			if json.Unmarshal(quoted, &v) != nil {
				return string(raw)
			}
			return v
		}
	}
	return string(raw)
}
