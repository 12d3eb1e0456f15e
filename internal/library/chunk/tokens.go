package chunk

import (
	"sync"

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
	cachedWord  = 32      // bytes of the longest word that is remembered
	cachedWords = 1 << 15 // words of a generation: some 3 MB
)

// counter counts tokens exactly, word by word. Most words of a text are ones
// it has seen, so it is many times faster than the vocabulary's expression.
type counter struct {
	codec *codec.Codec
	seen  map[string]int32
	older map[string]int32 // what was seen before seen was full
}

func newCounter(encoding string) *counter {
	return &counter{codec: codecs[encoding](), seen: map[string]int32{}}
}

// count is the number of tokens of text.
func (c *counter) count(text []byte) int {
	n := 0
	for len(text) > 0 {
		end := wordEnd(text)
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

// wordEnd is where text's first word ends. The expressions of all encodings
// begin a new piece at a space before a letter, and at a letter after the one
// line's end that follows ink: no alternative has a space behind its first
// character except runs of white space, which leave the last one to a letter;
// and none joins a line's end to a letter. So the tokens of a text are those of
// its words.
func wordEnd(text []byte) int {
	for i := 1; i < len(text); i++ {
		if !letter(text[i]) {
			continue
		}
		if c := text[i-1]; c == ' ' && i > 1 {
			return i - 1
		} else if c == '\n' && i > 1 && ink(text[i-2]) {
			return i
		}
	}
	return len(text)
}

func ink(b byte) bool { return b > ' ' && b < 0x7f }

func letter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }
