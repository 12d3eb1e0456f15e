package extract

import (
	"bufio"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// readJSON emits the document as it is, but with the characters that its
// writer escaped (\u00e9), so that words are found. It need not be valid.
func readJSON(s source, e *emitter) error {
	r, err := decoded(s)
	if err != nil {
		return err
	}
	in, out := bufio.NewReaderSize(r, 64<<10), bufio.NewWriterSize(e, 4<<10)
	for {
		b, err := in.ReadByte()
		if err != nil {
			if err == io.EOF {
				return out.Flush()
			}
			return err
		}
		if b != '\\' {
			if err := out.WriteByte(b); err != nil {
				return err
			}
			continue
		}
		if err := unescape(in, out); err != nil {
			return err
		}
	}
}

// unescape copies what stands behind a backslash: the characters beyond ASCII
// as such, everything else as it is written.
func unescape(in *bufio.Reader, out *bufio.Writer) error {
	r, n := escaped(in, 0)
	if n > 0 && utf16.IsSurrogate(r) {
		if low, m := escaped(in, n+1); m > 0 && utf16.DecodeRune(r, low) != utf8.RuneError {
			r, n = utf16.DecodeRune(r, low), n+1+m
		}
	}
	if n == 0 || r < utf8.RuneSelf || !utf8.ValidRune(r) {
		_ = out.WriteByte('\\')
		b, err := in.ReadByte() // so that in \\u nothing is escaped
		if err != nil {
			return nil
		}
		return out.WriteByte(b)
	}
	_, _ = in.Discard(n)
	_, err := out.WriteRune(r)
	return err
}

// escaped reads uXXXX at an offset, behind a backslash that stands before it.
func escaped(in *bufio.Reader, at int) (rune, int) {
	const length = 5
	w, _ := in.Peek(at + length)
	if len(w) < at+length || w[at] != 'u' || at > 0 && w[at-1] != '\\' {
		return 0, 0
	}
	v, err := strconv.ParseUint(string(w[at+1:at+length]), 16, 16)
	if err != nil {
		return 0, 0
	}
	return rune(v), length
}
