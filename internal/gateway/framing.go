package gateway

import "bytes"

// framing follows where requests of an HTTP/1 connection begin and end, and
// refuses heads on which two parsers could disagree. net/http is lenient in
// four places that have all been used to smuggle a request past somebody: it
// takes a bare LF for the end of a line, joins folded lines, prefers
// Transfer-Encoding over a Content-Length beside it, and takes a repeated
// Content-Length.
//
// It is no parser of requests: everything else, and what a header means, is
// net/http's business, which refuses more. It only has to be at least as strict
// as net/http about lengths, so that both find the next request at the same byte.
type framing struct {
	state  framingState
	later  bool   // a request came before
	old    bool   // the request is not of HTTP/1.1
	coded  bool   // Transfer-Encoding: chunked
	lines  int    // of the preface, read so far
	length int64  // of the body, or of what is left of it or of its chunk; -1: not declared
	carry  []byte // the beginning of a line whose end has not come
}

type framingState uint8

const (
	atStart   framingState = iota // of a request line
	inHead                        // of a header line
	inBody                        // length bytes are left
	inChunk                       // the same, and more chunks follow
	chunkSize                     // of a chunk's first line
	chunkEnd                      // of the empty line behind a chunk's bytes
	inTrailer
	inPreface // of HTTP/2
	beyond    // HTTP/2
)

// maxLine bounds a line that comes in pieces. net/http bounds the whole head
// below that.
const maxLine = 128 << 10

// check follows p. Not ok means that the line from good on must not be read.
func (f *framing) check(p []byte) (good int, ok bool) {
	for at := 0; at < len(p); {
		switch f.state {
		case beyond:
			return len(p), true
		case inBody, inChunk:
			n := min(f.length, int64(len(p)-at))
			f.length -= n
			at += int(n)
			f.ended()
			continue
		}
		end := bytes.IndexByte(p[at:], '\n') + 1
		if end == 0 {
			f.carry = append(f.carry, p[at:]...)
			return len(p), len(f.carry) <= maxLine
		}
		line := p[at : at+end]
		if len(f.carry) > 0 {
			f.carry = append(f.carry, line...)
			line = f.carry
		}
		if len(line) < 2 || line[len(line)-2] != '\r' || !f.line(line[:len(line)-2]) {
			return at, false
		}
		f.carry = f.carry[:0]
		at += end
	}
	return len(p), true
}

// ended moves on when the bytes of a body or a chunk are all there.
func (f *framing) ended() {
	switch {
	case f.length > 0:
	case f.state == inBody:
		f.state = atStart
	default:
		f.state = chunkEnd
	}
}

func (f *framing) line(s []byte) bool {
	switch f.state {
	case atStart:
		return f.requestLine(s)
	case inHead:
		return f.headerLine(s)
	case chunkSize:
		return f.chunkLine(s)
	case chunkEnd:
		f.state = chunkSize
		return len(s) == 0
	case inTrailer:
		if len(s) == 0 {
			f.state = atStart
			return true
		}
		return s[0] != ' ' && s[0] != '\t'
	case inPreface:
		return f.prefaceLine(s)
	}
	return true
}

// preface is what HTTP/2 begins with, by lines. net/http serves what only begins
// like it as HTTP/1, so anything else must not pass unchecked.
var preface = [...]string{"PRI * HTTP/2.0", "", "SM", ""}

func (f *framing) prefaceLine(s []byte) bool {
	if string(s) != preface[f.lines] {
		return false
	}
	if f.lines++; f.lines == len(preface) {
		f.state = beyond
	}
	return true
}

func (f *framing) requestLine(s []byte) bool {
	if !f.later && string(s) == preface[0] {
		f.state, f.lines = inPreface, 1
		return true
	}
	f.state, f.later, f.length, f.coded = inHead, true, -1, false
	f.old = !bytes.HasSuffix(s, []byte(" HTTP/1.1"))
	return len(s) > 0
}

func (f *framing) headerLine(s []byte) bool {
	if len(s) == 0 {
		return f.body()
	}
	colon := bytes.IndexByte(s, ':')
	if colon <= 0 || s[0] == ' ' || s[0] == '\t' {
		return false
	}
	name, value := s[:colon], s[colon+1:]
	switch {
	case colon == len("Content-Length") && bytes.EqualFold(name, []byte("Content-Length")):
		n, ok := decimal(bytes.Trim(value, " \t"))
		if !ok || f.length >= 0 {
			return false
		}
		f.length = n
	case colon == len("Transfer-Encoding") && bytes.EqualFold(name, []byte("Transfer-Encoding")):
		if f.coded || !bytes.EqualFold(bytes.Trim(value, " \t"), []byte("chunked")) {
			return false
		}
		f.coded = true
	}
	return true
}

// body finds from the head what follows it.
func (f *framing) body() bool {
	switch {
	case f.coded:
		f.state = chunkSize
		return f.length < 0 && !f.old
	case f.length > 0:
		f.state = inBody
	default:
		f.state = atStart
	}
	return true
}

// chunkLine reads "<hex>[;extensions]".
func (f *framing) chunkLine(s []byte) bool {
	size, _, _ := bytes.Cut(s, []byte(";"))
	size = bytes.TrimRight(size, " \t")
	if len(size) == 0 || len(size) > 15 {
		return false
	}
	n := int64(0)
	for _, c := range size {
		digit, ok := unhex(c)
		if !ok {
			return false
		}
		n = n<<4 | int64(digit)
	}
	f.length, f.state = n, inChunk
	if n == 0 {
		f.state = inTrailer
	}
	return true
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

func decimal(s []byte) (n int64, ok bool) {
	if len(s) == 0 || len(s) > 18 {
		return 0, false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
