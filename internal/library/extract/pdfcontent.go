package extract

import (
	"bufio"
	"io"
	"strconv"
	"strings"

	"github.com/ledongthuc/pdf"
)

// operand is what stands before an operator of a content stream. Names and
// strings have text, dictionaries nothing.
type operand struct {
	number float64
	text   string
	isText bool // a string, not a name
	list   []operand
}

// Bounds of what is held of a content stream.
const (
	maxOperands = 1 << 16   // of an operator or an array; what is more is left out
	maxString   = 1 << 20   // bytes
	maxNesting  = 16        // arrays deep
	maxContent  = 256 << 20 // bytes of one stream
)

// contents is a stream, or an array of streams that are read as one.
func contents(v pdf.Value) io.Reader {
	if v.Kind() != pdf.Array {
		return v.Reader()
	}
	var all []io.Reader
	for i := range v.Len() {
		all = append(all, v.Index(i).Reader(), strings.NewReader("\n"))
	}
	return io.MultiReader(all...)
}

// follow calls do for every operator of a stream, until it ends or cannot be
// read. The library has such a reader, which gives a page up at a picture that
// stands in the stream, or at a string that is written carelessly.
func follow(r io.Reader, do func(op string, args []operand)) {
	l := &lexer{Reader: bufio.NewReaderSize(io.LimitReader(r, maxContent), 16<<10)}
	var args []operand
	for {
		x, op, ok := l.next(0)
		switch {
		case !ok:
			return
		case op == "":
			if len(args) < maxOperands {
				args = append(args, x)
			}
			continue
		case op == "ID":
			l.skipImage()
		default:
			do(op, args)
		}
		args = args[:0]
	}
}

// lexer reads tokens. At the stream's end, or where it is damaged, bytes are 0
// and done is true.
type lexer struct {
	*bufio.Reader
	done bool
}

func (l *lexer) byte() byte {
	b, err := l.ReadByte()
	if err != nil {
		l.done = true
		return 0
	}
	return b
}

func (l *lexer) back() {
	if !l.done {
		_ = l.UnreadByte()
	}
}

func space(b byte) bool { return b <= ' ' }

func delimiter(b byte) bool { return strings.IndexByte("()<>[]{}/%", b) >= 0 }

// next is an operand or an operator; "]" is one as well.
func (l *lexer) next(depth int) (x operand, op string, ok bool) {
	b := l.byte()
	for ; !l.done && (space(b) || b == '%'); b = l.byte() {
		for b == '%' && !l.done {
			if c := l.byte(); c == '\n' || c == '\r' {
				b = ' '
			}
		}
	}
	if l.done {
		return operand{}, "", false
	}
	switch b {
	case '(':
		return operand{text: l.literal(), isText: true}, "", true
	case '<':
		if l.byte() == '<' {
			return l.array(depth, ">>"), "", true
		}
		l.back()
		return operand{text: l.hex(), isText: true}, "", true
	case '>':
		if l.byte() != '>' {
			l.back()
		}
		return operand{}, ">>", true
	case '[':
		return l.array(depth, "]"), "", true
	case ']', '{', '}', ')':
		return operand{}, string(b), true
	case '/':
		return operand{text: l.word(nil)}, "", true
	}
	w := l.word([]byte{b})
	if n, err := strconv.ParseFloat(w, 64); err == nil {
		return operand{number: n}, "", true
	}
	return operand{}, w, true
}

// word is what stands up to a space or delimiter.
func (l *lexer) word(w []byte) string {
	for b := l.byte(); !l.done; b = l.byte() {
		if space(b) || delimiter(b) {
			l.back()
			break
		}
		if len(w) < 128 {
			w = append(w, b)
		}
	}
	return string(w)
}

// array is the elements up to an end; a dictionary's are of no use.
func (l *lexer) array(depth int, end string) operand {
	var x operand
	for depth < maxNesting {
		y, op, ok := l.next(depth + 1)
		if !ok || op == end {
			break
		}
		if op == "" && len(x.list) < maxOperands {
			x.list = append(x.list, y)
		}
	}
	return x
}

func (l *lexer) hex() string {
	var digits []byte
	for b := l.byte(); !l.done && b != '>'; b = l.byte() {
		if n, err := strconv.ParseUint(string(b), 16, 8); err == nil && len(digits) < maxString {
			digits = append(digits, byte(n))
		}
	}
	if len(digits)%2 == 1 {
		digits = append(digits, 0)
	}
	out := make([]byte, len(digits)/2)
	for i := range out {
		out[i] = digits[2*i]<<4 | digits[2*i+1]
	}
	return string(out)
}

// literal is a string in parentheses, which may nest.
func (l *lexer) literal() string {
	var out []byte
	for open := 1; ; {
		b := l.byte()
		switch {
		case l.done || len(out) > maxString:
			return string(out)
		case b == '(':
			open++
		case b == ')':
			if open--; open == 0 {
				return string(out)
			}
		case b == '\\':
			out = l.escape(out)
			continue
		}
		out = append(out, b)
	}
}

// escape appends what stands behind a backslash.
func (l *lexer) escape(out []byte) []byte {
	b := l.byte()
	if i := strings.IndexByte("nrtbf", b); i >= 0 {
		return append(out, "\n\r\t\b\f"[i])
	}
	switch {
	case b == '\n':
		return out
	case b == '\r':
		if l.byte() != '\n' {
			l.back()
		}
		return out
	case b < '0' || b > '7':
		return append(out, b)
	}
	n := int(b - '0')
	for range 2 {
		if b = l.byte(); b < '0' || b > '7' {
			l.back()
			break
		}
		n = n<<3 | int(b-'0')
	}
	return append(out, byte(n))
}

// skipImage goes behind the picture whose data begin here: EI between spaces.
func (l *lexer) skipImage() {
	var last [3]byte
	for b := l.byte(); !l.done; b = l.byte() {
		if space(b) && last[1] == 'E' && last[2] == 'I' && space(last[0]) {
			return
		}
		last = [3]byte{last[1], last[2], b}
	}
}
