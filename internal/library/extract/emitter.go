package extract

import (
	"encoding/json"
	"io"
	"unicode/utf8"
)

// partSize is how much text a part has at most, before cleaning: a byte that is
// no UTF-8 becomes a character of three.
const partSize = 16 << 10

// emitter makes parts of text that comes in any pieces.
type emitter struct {
	json *json.Encoder
	at   Part // where text belongs; its Text is unused
	text []byte
	cr   bool  // the last character was a carriage return
	most int64 // bytes of text
	said int64
	lost int // pages that could not be read
	err  error
}

func newEmitter(w io.Writer, most int64) *emitter {
	e := &emitter{json: json.NewEncoder(w), most: most}
	e.json.SetEscapeHTML(false)
	return e
}

// place says where the text that follows belongs.
func (e *emitter) place(p Part) error {
	err := e.flush()
	p.Sheet = p.Sheet[:min(len(p.Sheet), 255)]
	e.at = p
	return err
}

// Write takes text of the present place. A rune may be divided between calls.
func (e *emitter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && e.err == nil {
		room := min(len(p), partSize-len(e.text))
		e.text = append(e.text, p[:room]...)
		p = p[room:]
		if len(e.text) == partSize {
			e.emit(whole(e.text))
		}
	}
	return n, e.err
}

// print is Write for text at hand.
func (e *emitter) print(s string) error {
	_, err := e.Write([]byte(s))
	return err
}

// whole is the part of text that does not end within a rune.
func whole(text []byte) int {
	for i := 1; i < utf8.UTFMax && i < len(text); i++ {
		if b := text[len(text)-i]; utf8.RuneStart(b) {
			if !utf8.FullRune(text[len(text)-i:]) {
				return len(text) - i
			}
			break
		}
	}
	return len(text)
}

// flush emits what is there.
func (e *emitter) flush() error {
	e.emit(len(e.text))
	return e.err
}

func (e *emitter) emit(n int) {
	clean := e.clean(e.text[:n])
	e.text = e.text[:copy(e.text, e.text[n:])]
	if len(clean) == 0 || e.err != nil {
		return
	}
	if e.said += int64(len(clean)); e.said > e.most {
		e.err = textBound(e.most)
		return
	}
	p := e.at
	p.Text = string(clean)
	e.write(line{Part: p})
}

// clean makes lines end with a line feed, and leaves out what databases do not
// store and nobody reads: control characters. What is no UTF-8 becomes U+FFFD.
func (e *emitter) clean(text []byte) []byte {
	out := make([]byte, 0, len(text)+16)
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		i += n
		switch {
		case r == '\r':
			out = append(out, '\n')
		case r == '\n' && e.cr:
		case r < ' ' && r != '\t' && r != '\n' && r != '\f', r == 0x7f, r == '\ufeff':
		default:
			out = utf8.AppendRune(out, r)
		}
		e.cr = r == '\r'
	}
	return out
}

// write says one line.
func (e *emitter) write(l line) {
	if err := e.json.Encode(l); err != nil && e.err == nil {
		e.err = err
	}
}
