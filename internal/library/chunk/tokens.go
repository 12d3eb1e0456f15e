package chunk

import (
	"sync"
	"unicode/utf8"

	"github.com/tiktoken-go/tokenizer/codec"
)

// O200k is the encoding of chunks that name none.
const O200k = "o200k_base"

// Encodings are the names that encoding_name may have.
var Encodings = []string{O200k, "cl100k_base", "p50k_base", "p50k_edit", "r50k_base"}

// codecs load at first use, some tens of MB each, and are shared: with each
// other, and with whatever else of this process counts tokens.
var codecs = map[string]func() *codec.Codec{
	O200k:         sync.OnceValue(codec.NewO200kBase),
	"cl100k_base": sync.OnceValue(codec.NewCl100kBase),
	"p50k_base":   sync.OnceValue(codec.NewP50kBase),
	"p50k_edit":   sync.OnceValue(codec.NewP50kEdit),
	"r50k_base":   sync.OnceValue(codec.NewR50kBase),
}

const (
	cachedWord  = longest // bytes of the longest word that is remembered
	cachedWords = 1 << 15 // words of a generation: some 3 MB at most
)

// counter counts tokens exactly, word by word. Most words of a text are ones
// it has seen, so it is many times faster than the vocabulary's expression.
type counter struct {
	codec    *codec.Codec
	capitals bool // begin a piece behind a small letter
	seen     map[string]int32
	older    map[string]int32 // what was seen before seen was full
}

func newCounter(encoding string) *counter {
	return &counter{codec: codecs[encoding](), capitals: encoding == O200k, seen: map[string]int32{}}
}

// count is the number of tokens of text.
func (c *counter) count(text []byte) int {
	n := 0
	for len(text) > 0 {
		end := c.wordEnd(text)
		n += c.word(text[:end])
		text = text[end:]
	}
	return n
}

func (c *counter) word(w []byte) int {
	if n, ok := c.seen[string(w)]; ok {
		return int(n)
	}
	if n, ok := c.older[string(w)]; ok {
		return c.remember(w, int(n))
	}
	n, err := c.codec.Count(string(w))
	if err != nil {
		n = len(w) // an upper bound: a token is at least a byte
	}
	return c.remember(w, n)
}

func (c *counter) remember(w []byte, n int) int {
	if len(w) <= cachedWord {
		if len(c.seen) >= cachedWords {
			c.seen, c.older = map[string]int32{}, c.seen
		}
		c.seen[string(w)] = int32(n)
	}
	return n
}

// wordEnd is where text's first word ends: at the first place where no piece of
// the encoding's expression goes on and none looks further, so that the tokens
// of a text are those of its words. The expressions of all encodings begin a new
// piece
//   - behind an ASCII letter or digit, at any ASCII character that is neither of
//     its kind nor an apostrophe, which may begin the end of a contraction;
//   - at a space before a letter: no alternative has a space behind its first
//     character except runs of white space, which leave the last one to a letter;
//   - at a letter after the one line's end that follows ink: none joins a line's
//     end to a letter.
//
// That of o200k_base begins one at a capital behind a small letter too, unless
// the two may be of a contraction: it takes 'lL for one.
func (c *counter) wordEnd(text []byte) int {
	last := kinds[text[0]]
	for i := 1; i < len(text); i++ {
		kind := kinds[text[i]]
		switch {
		case last&alnum == 0:
			if kind&letter != 0 && i > 1 && text[i-1] == ' ' {
				return i - 1
			} else if kind&letter != 0 && i > 1 && text[i-1] == '\n' && ink(text[i-2]) {
				return i
			}
		case last&letter != 0 && kind&letter != 0:
			if c.capitals && last == lower && kind == upper && (i == 1 || text[i-2] != '\'') {
				return i
			}
		case kind != last && kind != beyond:
			return i
		}
		last = kind
	}
	return len(text)
}

// kind is what a byte is to the encodings' expressions.
type kind uint8

// The kinds. Beyond is the apostrophe, and every byte of runes that are not
// ASCII and may be anything; mark is the rest.
const (
	lower kind = 1 << iota
	upper
	digit
	mark
	beyond
	letter = lower | upper
	alnum  = letter | digit
)

var kinds = func() (k [256]kind) {
	for b := range k {
		switch {
		case 'a' <= b && b <= 'z':
			k[b] = lower
		case 'A' <= b && b <= 'Z':
			k[b] = upper
		case '0' <= b && b <= '9':
			k[b] = digit
		case b == '\'' || b >= utf8.RuneSelf:
			k[b] = beyond
		default:
			k[b] = mark
		}
	}
	return k
}()

func ink(b byte) bool { return b > ' ' && b < 0x7f }
