package extract

import (
	"bufio"
	"bytes"
	"io"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// readText emits a text as it is.
func readText(s source, e *emitter) error {
	r, err := decoded(s)
	if err != nil {
		return err
	}
	_, err = io.Copy(e, r)
	return err
}

// decoded is the document as UTF-8: by its byte order mark, else UTF-8 unless
// more of it is wrong than right, else Windows-1252, in which every text is one.
func decoded(s source) (io.Reader, error) {
	c, err := census(s)
	if err != nil {
		return nil, err
	}
	var from encoding.Encoding
	switch {
	case bytes.HasPrefix(c.mark[:], []byte{0xff, 0xfe}), bytes.HasPrefix(c.mark[:], []byte{0xfe, 0xff}):
		from = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	case c.control > c.bytes/10:
		return nil, unsupported("application/octet-stream")
	case c.wrong > c.right:
		from = charmap.Windows1252
	default:
		return s.section(), nil
	}
	return transform.NewReader(s.section(), from.NewDecoder()), nil
}

// counts are what the bytes of a text look like.
type counts struct {
	mark    [2]byte // the first two
	bytes   int64
	right   int64 // characters of several bytes in UTF-8
	wrong   int64 // bytes that are none
	control int64 // characters that no text has
}

func census(s source) (counts, error) {
	c := counts{bytes: s.size}
	if _, err := s.ReadAt(c.mark[:], 0); err != nil && err != io.EOF {
		return c, err
	}
	for r := bufio.NewReaderSize(s.section(), 64<<10); ; {
		window, err := r.Peek(64 << 10)
		if len(window) == 0 {
			if err == io.EOF {
				return c, nil
			}
			return c, err
		}
		n := c.add(window, err == io.EOF)
		if _, err := r.Discard(n); err != nil {
			return c, err
		}
	}
}

// add counts window up to a rune that is not complete, unless it is the last.
func (c *counts) add(window []byte, last bool) int {
	for i := 0; i < len(window); {
		b := window[i]
		if b < utf8.RuneSelf {
			if b < ' ' && b != '\n' && b != '\t' && b != '\r' && b != '\f' && b != 0x1b && b != '\b' {
				c.control++
			}
			i++
			continue
		}
		if !last && !utf8.FullRune(window[i:]) {
			return i
		}
		r, n := utf8.DecodeRune(window[i:])
		if r == utf8.RuneError && n == 1 {
			c.wrong++
		} else {
			c.right++
		}
		i += n
	}
	return len(window)
}
