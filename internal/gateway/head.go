package gateway

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

const (
	// maxHead bounds an upstream's response head; Go's own client allows 10 MiB,
	// real ones stay below 8 KiB.
	maxHead = 64 << 10
	// maxInterim bounds 1xx answers before the final one.
	maxInterim = 8
	// maxHeaders bounds header lines, so that a head cannot be all map entries.
	maxHeaders = 200
)

// errMalformed is any doubt about how an upstream frames its answer. The
// connection is closed: what follows on it could be anybody's.
var errMalformed = errors.New("malformed HTTP answer")

// head is a response head. Its header map is reused by the connection's next
// answer; the strings in it are not.
type head struct {
	status  int
	header  http.Header
	length  int64 // of the body; -1 when not declared
	chunked bool
	closes  bool     // the connection ends with this answer
	values  []string // backs the map's
}

// read parses the final head, stepping over interim ones. It is stricter than
// RFC 9112 asks of a recipient: no bare LF, no folded lines, no repeated or
// contradicting framing. Every leniency in this place has been a smuggling bug
// somewhere. started reports whether a byte of the answer came.
func (h *head) read(br *bufio.Reader, scratch *[]byte) (started bool, err error) {
	for range maxInterim {
		raw, err := readHead(br, (*scratch)[:0])
		*scratch = raw
		started = started || len(raw) > 0
		if err != nil {
			return started, err
		}
		if err := h.parse(string(raw)); err != nil {
			return started, err
		}
		if h.status >= 200 {
			return started, nil
		}
		if h.status == http.StatusSwitchingProtocols {
			break // nobody asked for it
		}
	}
	return started, errMalformed
}

// readHead reads up to and including the empty line.
func readHead(br *bufio.Reader, dst []byte) ([]byte, error) {
	line := 0 // start of the current line in dst
	for {
		part, err := br.ReadSlice('\n')
		dst = append(dst, part...)
		switch {
		case len(dst) > maxHead:
			return dst, errMalformed
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			if err == io.EOF && len(dst) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return dst, err
		}
		if len(dst)-line == 2 && dst[line] == '\r' {
			return dst, nil
		}
		if len(dst)-line < 2 || dst[len(dst)-2] != '\r' {
			return dst, errMalformed
		}
		line = len(dst)
	}
}

func (h *head) parse(s string) error {
	line, rest, _ := strings.Cut(s, "\r\n")
	minor, status, ok := statusLine(line)
	if !ok {
		return errMalformed
	}
	if h.header == nil {
		h.header = make(http.Header, 16)
	}
	clear(h.header)
	h.status, h.length, h.chunked = status, -1, false
	if !h.lines(rest) {
		return errMalformed
	}
	return h.framing(minor)
}

// statusLine reads "HTTP/1.x NNN reason".
func statusLine(s string) (minor byte, status int, ok bool) {
	if len(s) < len("HTTP/1.1 200") || s[:7] != "HTTP/1." || (s[7] != '0' && s[7] != '1') || s[8] != ' ' {
		return 0, 0, false
	}
	for _, c := range []byte(s[9:12]) {
		if c < '0' || c > '9' {
			return 0, 0, false
		}
		status = status*10 + int(c-'0')
	}
	if status < 100 || len(s) > 12 && s[12] != ' ' || !fieldValue(s[12:]) {
		return 0, 0, false
	}
	return s[7], status, true
}

// lines parses the header lines. All values lie in one block, which the next
// answer uses again, and all text in one string.
func (h *head) lines(rest string) bool {
	values := h.values[:0]
	defer func() { h.values = values }()
	for n := 0; ; n++ {
		line, after, _ := strings.Cut(rest, "\r\n")
		if line == "" {
			return true
		}
		rest = after
		name, value, ok := strings.Cut(line, ":")
		if !ok || !token(name) || n == maxHeaders {
			return false
		}
		value = strings.Trim(value, " \t")
		if !fieldValue(value) {
			return false
		}
		key := textproto.CanonicalMIMEHeaderKey(name)
		if old := h.header[key]; old != nil {
			h.header[key] = append(old, value)
			continue
		}
		values = append(values, value)
		h.header[key] = values[len(values)-1 : len(values) : len(values)]
	}
}

// framing decides where the body ends.
func (h *head) framing(minor byte) error {
	h.closes = minor == '0'
	for _, v := range h.header["Connection"] {
		for option := range strings.SplitSeq(v, ",") {
			switch option = strings.TrimSpace(option); {
			case strings.EqualFold(option, "close"):
				h.closes = true
			case strings.EqualFold(option, "keep-alive") && minor == '0':
				h.closes = false
			}
		}
	}
	coding, lengths := h.header["Transfer-Encoding"], h.header["Content-Length"]
	if h.status == http.StatusNoContent || h.status == http.StatusNotModified || h.status < 200 {
		if coding != nil || len(lengths) > 0 && lengths[0] != "0" {
			return errMalformed
		}
		h.length = 0
		return nil
	}
	switch {
	case coding != nil:
		if lengths != nil || len(coding) != 1 || !strings.EqualFold(coding[0], "chunked") || minor == '0' {
			return errMalformed
		}
		h.chunked = true
	case lengths != nil:
		n, ok := contentLength(lengths)
		if !ok {
			return errMalformed
		}
		h.length = n
	default:
		h.closes = true
	}
	return nil
}

func contentLength(values []string) (int64, bool) {
	if len(values) != 1 || values[0] == "" || strings.Trim(values[0], "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(values[0], 10, 64)
	return n, err == nil
}

// token reports whether s is a field name (RFC 9110 §5.6.2).
func token(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return true
}

// fieldValue refuses control characters: CR, LF and NUL mean different things
// to different parsers.
func fieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// readTrailer reads what follows the last chunk, and drops it.
func readTrailer(br *bufio.Reader) error {
	for size := 0; size < maxHead; {
		line, err := br.ReadSlice('\n')
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if size += len(line); string(line) == "\r\n" {
			return nil
		}
		if len(line) < 2 || line[len(line)-2] != '\r' {
			return errMalformed
		}
	}
	return errMalformed
}
