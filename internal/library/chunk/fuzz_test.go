package chunk

import (
	"strings"
	"testing"
	"unicode/utf8"

	"gatehouse"
)

// FuzzSplit cuts any text under any configuration that is valid: no chunk is
// beyond its bound, none cuts a rune, and without an overlap they are the text.
func FuzzSplit(f *testing.F) {
	f.Add([]byte(`{"chars_configuration":{"max_chunk_size_chars":5,"chunk_overlap_chars":2}}`), "The quick brown fox. don't\n\n日本語🌍", uint8(3))
	f.Add([]byte(`{"tokens_configuration":{"max_chunk_size_tokens":8,"encoding_name":"o200k_base"}}`), "xxxxxxxx ://x 'S 'll İstanbul\u00a0", uint8(9))
	for _, m := range Methods {
		f.Add([]byte(`{"`+m.member()+`":{}}`), "# Title\n```\ncode\n```\n| a | b |\nfunc main() {\n}\n", uint8(200))
	}
	f.Fuzz(func(t *testing.T, raw []byte, text string, step uint8) {
		c, err := Parse("chunk_configuration", raw)
		if err != nil {
			if gatehouse.CodeOf(err) != gatehouse.InvalidArgument {
				t.Fatal(err)
			}
			return
		}
		if len(text) > 16<<10 {
			t.Skip("what is long is slow")
		}
		text = strings.ToValidUTF8(text, "\uFFFD") // extraction yields nothing else
		var joined strings.Builder
		chunks := split(t, c, pieces(text, int(step)+1)...)
		for _, k := range chunks {
			if !utf8.ValidString(k.Text) {
				t.Fatalf("a rune is cut: %q", k.Text)
			}
			if n := sized(c, k.Text); n > c.MaxSize {
				t.Fatalf("%d of %d: %q", n, c.MaxSize, k.Text)
			}
			joined.WriteString(k.Text)
		}
		if c.Overlap == 0 && !c.StripWhitespace && joined.String() != text {
			t.Fatalf("%q became %q", text, joined.String())
		}
	})
}

// pieces is a text in pieces of at least so many bytes, as whole runes.
func pieces(text string, n int) (out []string) {
	for len(text) > n {
		at := n
		for at < len(text) && !utf8.RuneStart(text[at]) {
			at++
		}
		out, text = append(out, text[:at]), text[at:]
	}
	return append(out, text)
}
