package llm

import (
	"sync"

	"github.com/tiktoken-go/tokenizer/codec"

	"gatehouse"
)

const (
	maxTokenize = 64 << 10  // bytes of a text whose tokens are listed
	maxCounted  = 256 << 10 // bytes of a text that are counted one by one
	pieceSize   = 4 << 10   // bytes that the vocabulary sees at once
)

// Tokenizer counts tokens with the o200k vocabulary. Grok's and Claude's are
// not public, so counts are estimates except for OpenAI. The vocabulary is
// loaded at first use, some tens of MB: most gateways never need it.
type Tokenizer struct {
	once  sync.Once
	codec *codec.Codec
}

// NewTokenizer makes a Tokenizer that has loaded nothing yet.
func NewTokenizer() *Tokenizer { return &Tokenizer{} }

func (t *Tokenizer) load() *codec.Codec {
	t.once.Do(func() { t.codec = codec.NewO200kBase() })
	return t.codec
}

// Token is one piece of a text.
type Token struct {
	ID    uint
	Bytes []byte
}

// Tokens splits text, of at most 64 KiB, else InvalidArgument.
func (t *Tokenizer) Tokens(text string) ([]Token, error) {
	if len(text) > maxTokenize {
		return nil, refuse("text", "at most 65536 bytes")
	}
	ids, pieces, err := t.load().Encode(text)
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.Internal, "tokenizing failed").Because(err)
	}
	out := make([]Token, len(ids))
	for i, id := range ids {
		out[i] = Token{ID: id, Bytes: []byte(pieces[i])}
	}
	return out, nil
}

// Count counts a text's tokens. Beyond 256 KiB it extrapolates, and it looks at
// 4 KiB at a time, so that no text is dear: a word of half a megabyte costs
// other libraries minutes. A cut costs at most one token.
func (t *Tokenizer) Count(text string) int64 {
	counted, n := min(len(text), maxCounted), int64(0)
	for at := 0; at < counted; {
		end := cut(text, at, counted)
		c, err := t.load().Count(text[at:end])
		if err != nil {
			c = (end - at) / bytesPerToken
		}
		n += int64(c)
		at = end
	}
	if counted < len(text) {
		n = n * int64(len(text)) / int64(counted)
	}
	return n
}

// cut ends a piece at the last space within reach, or between two runes.
func cut(text string, from, most int) int {
	end := from + pieceSize
	if end >= most {
		return most
	}
	for i := end; i > end-256; i-- {
		if text[i] == ' ' || text[i] == '\n' {
			return i
		}
	}
	for end > from+1 && text[end]&0xC0 == 0x80 {
		end--
	}
	return end
}

// CountPrompt counts the text in a request body: what an estimate bills. Names
// and data URLs are left out, a picture counts as in EstimatePrompt.
func (t *Tokenizer) CountPrompt(body []byte) int64 {
	p := prompt{scanner: scanner{b: body}}
	p.collect(0)
	return t.Count(string(p.out)) + p.blobs*blobTokens
}

// prompt collects the string values of a body, as far as they are text.
type prompt struct {
	scanner
	out []byte
}

// collect walks one value and stops where the body stops being JSON: a form is
// mostly files, and has no text to speak of.
func (p *prompt) collect(depth int) bool {
	if depth > MaxDepth {
		return false
	}
	switch p.space() {
	case '"':
		before, start := p.text, p.i+1
		if !p.value(1) {
			return false
		}
		if p.text > before {
			p.out = append(append(p.out, unquote(p.b[start:p.i-1])...), '\n')
		}
		return true
	case '{':
		return p.inside('}', depth, true)
	case '[':
		return p.inside(']', depth, false)
	}
	return p.value(1)
}

func (p *prompt) inside(end byte, depth int, names bool) bool {
	p.i++
	for more := !p.closed(end); more; {
		if names {
			if _, _, ok := p.name(); !ok {
				return false
			}
		}
		if !p.collect(depth + 1) {
			return false
		}
		more, _ = p.next(end)
	}
	return true
}
