package chunk

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func split(t testing.TB, c Config, parts ...string) []Chunk {
	t.Helper()
	var out []Chunk
	s := New(c, func(k Chunk) error { out = append(out, k); return nil })
	for _, p := range parts {
		if err := s.Add(p, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// sized is a chunk's size as its configuration counts it, the plainest way.
func sized(c Config, text string) int {
	switch shapes[c.Method].unit {
	case tokens:
		n, _ := codecs[c.Encoding]().Count(text)
		return n
	case chars:
		return utf8.RuneCountInString(text)
	}
	return len(text)
}

var anything = rapid.Custom(func(t *rapid.T) string {
	pieces := rapid.SampledFrom([]string{
		"The quick brown fox. ", "don't", " ", "  ", "\n", "\n\n", "\r\n", "\t", "# Title\n", "```\ncode\n```\n", "| a | b |\n", "func main() {\n\treturn\n}\n",
		"日本語の文章です。", "é", "🌍🚀", "1234567", "://", "//x\n/y", "...", "\n/", "İstanbul", "e\u0301", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "\u00a0", "\u2028", "'S 'll", "x'lL", "'rE", "'", "aBcD3e+F/9==", "iPhone", "x\n", "ſ", "\x7f", "\xff\xfe", "\x00", "\f",
	})
	return strings.Join(rapid.SliceOfN(rapid.OneOf(pieces, rapid.String()), 0, 80).Draw(t, "pieces"), "")
})

func drawConfig(t *rapid.T) Config {
	m := rapid.SampledFrom(Methods).Draw(t, "method")
	s := shapes[m]
	c := Config{Method: m, MaxSize: rapid.IntRange(smallest[s.unit], 120).Draw(t, "size")}
	if s.overlap {
		c.Overlap = rapid.IntRange(0, c.MaxSize/2).Draw(t, "overlap")
	}
	if s.unit == tokens {
		c.Encoding = rapid.SampledFrom(Encodings).Draw(t, "encoding")
	}
	return c
}

// Every promise of the package, for any text and any configuration.
func TestChunksKeepTheirPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, text := drawConfig(t), anything.Draw(t, "text")
		var got []Chunk
		s := New(c, func(k Chunk) error { got = append(got, k); return nil })
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "part")
			_ = s.Add(rest[:n], 0)
			rest = rest[n:]
		}
		_ = s.Close()

		covered := int64(0)
		for i, k := range got {
			if k.Index != i || k.Text != text[k.Start:k.End] {
				t.Fatalf("chunk %d is not text[%d:%d]", i, k.Start, k.End)
			}
			if n := sized(c, k.Text); n > c.MaxSize {
				t.Fatalf("chunk %d has size %d of %d: %q", i, n, c.MaxSize, k.Text)
			}
			if k.Start > covered || k.End <= covered {
				t.Fatalf("chunk %d is [%d,%d), after %d", i, k.Start, k.End, covered)
			}
			if c.Overlap == 0 && k.Start != covered {
				t.Fatalf("chunk %d overlaps without being asked", i)
			}
			if shared := text[k.Start:covered]; shapes[c.Method].unit != tokens && sized(c, shared) > c.Overlap {
				t.Fatalf("chunk %d shares %d of %d", i, sized(c, shared), c.Overlap)
			}
			if k.Start > 0 && cutsARune(text, k.Start) || cutsARune(text, k.End) {
				t.Fatalf("chunk %d cuts a rune", i)
			}
			covered = k.End
		}
		if covered != int64(len(text)) {
			t.Fatalf("%d of %d bytes are in chunks", covered, len(text))
		}
	})
}

// cutsARune reports whether at lies within a valid rune of text.
func cutsARune(text string, at int64) bool {
	for i := max(0, at-utf8.UTFMax+1); i < at; i++ {
		if r, n := utf8.DecodeRuneInString(text[i:]); r != utf8.RuneError && i+int64(n) > at {
			return true
		}
	}
	return false
}

func TestTheSameTextGivesTheSameChunks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, text := drawConfig(t), anything.Draw(t, "text")
		var whole, parts []Chunk
		a := New(c, func(k Chunk) error { whole = append(whole, k); return nil })
		b := New(c, func(k Chunk) error { parts = append(parts, k); return nil })
		_ = a.Add(text, 3)
		for i := range len(text) {
			_ = b.Add(text[i:i+1], 3)
		}
		_, _ = a.Close(), b.Close()
		if !slices.Equal(whole, parts) {
			t.Fatalf("%v\n%v", whole, parts)
		}
	})
}

// The tokens of a text are those of its words: what the counter rests on.
func TestWordsCountAsTheirText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, name := anything.Draw(t, "text"), rapid.SampledFrom(Encodings).Draw(t, "encoding")
		want, _ := codecs[name]().Count(text)
		if got := newCounter(name).count([]byte(text)); got != want {
			t.Fatalf("%s: %d tokens, not %d: %q", name, got, want, text)
		}
	})
}

func TestWhitespaceIsStripped(t *testing.T) {
	c := Config{Method: Chars, MaxSize: 20, StripWhitespace: true}
	text := "  one two three four\n\n\n" + strings.Repeat(" ", 100) + "five six  "
	for _, k := range split(t, c, text) {
		if k.Text != strings.TrimSpace(k.Text) || k.Text == "" || text[k.Start:k.End] != k.Text {
			t.Errorf("%q at %d", k.Text, k.Start)
		}
	}
	if got := split(t, c, " \n\t "); len(got) != 0 {
		t.Errorf("white space alone made %d chunks", len(got))
	}
}

func TestChunksEndWhereTheirTextDoes(t *testing.T) {
	for name, test := range map[string]struct {
		config Config
		text   string
		starts []string
	}{
		"sentences": {Config{Method: Chars, MaxSize: 30}, "One sentence stands here. Another follows it. The end.", []string{"One", " Another", " The"}},
		"headings": {Config{Method: MarkdownChars, MaxSize: 60}, "# A\n\nSome words about A.\n\nMore of it.\n\n# B\n\nWords about B, which are more than fit.\n",
			[]string{"# A", "# B"}},
		"fences":    {Config{Method: MarkdownChars, MaxSize: 50}, "Some text before it.\n\n```sh\n# no heading\nls -l --all\n```\n\nAnd text behind, enough.\n", []string{"Some", "```sh", "And"}},
		"functions": {Config{Method: CodeChars, MaxSize: 56}, "func a() {\n\tone()\n\n\ttwo()\n}\n\nfunc b() {\n\tthree()\n\tfour()\n\tfive()\n}\n", []string{"func a", "func b"}},
		"rows":      {Config{Method: Table, MaxSize: 16, Encoding: O200k}, "a,b,c and d\nones,two words\nthrees,fours\nfive,sixes here\n", nil},
	} {
		got := split(t, test.config, test.text)
		for i, k := range got {
			if test.starts != nil && (i >= len(test.starts) || !strings.HasPrefix(k.Text, test.starts[i])) {
				t.Errorf("%s: chunk %d is %q", name, i, k.Text)
			}
			if name == "rows" && !strings.HasSuffix(k.Text, "\n") {
				t.Errorf("a row is cut: %q", k.Text)
			}
		}
	}
}

func TestChunksKnowTheirPage(t *testing.T) {
	var pages []int
	s := New(Config{Method: Chars, MaxSize: 100}, func(k Chunk) error { pages = append(pages, k.Page); return nil })
	for n := range 9 {
		_ = s.Add(strings.Repeat("word ", 15), n+1)
	}
	_ = s.Close()
	if !slices.Equal(pages, []int{1, 2, 3, 4, 5, 6, 7, 8, 9}) {
		t.Errorf("%v", pages)
	}
}

// A line of a megabyte takes the time of a megabyte, whatever is in it.
func TestHugeLinesTakeLinearTime(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds")
	}
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 1<<16)
	for i := range noise {
		noise[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"[r.IntN(64)]
	}
	for name, unit := range map[string]string{"x": "x", "space": " ", "newline": "\n", "base64": string(noise), "japanese": "日本語の文章", "words": "ab ", "no token": "\x7f"} {
		text, start, total, most := strings.Repeat(unit, (1<<20)/len(unit)), time.Now(), 0, 0
		s := New(Default(), func(k Chunk) error { total, most = total+len(k.Text), max(most, len(k.Text)); return nil })
		_, _ = s.Add(text, 0), s.Close()
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s: 1 MB took %v", name, took)
		} else if most > 256<<10 { // what the index takes
			t.Errorf("%s: a chunk of %d bytes", name, most)
		} else {
			t.Logf("%s: %.1f MB/s", name, float64(len(text))/1e6/took.Seconds())
		}
	}
}

func TestPrefixes(t *testing.T) {
	c := Default()
	c.InjectName = true
	if got := c.Prefix("a\nname.pdf", []string{"Ada", "", "978-3"}); got != "a name.pdf\nAda\n978-3\n\n" {
		t.Errorf("%q", got)
	}
	c.InjectName = false
	if got := c.Prefix("name", nil); got != "" {
		t.Errorf("%q", got)
	}
}

func BenchmarkTokens(b *testing.B) { benchmark(b, Default()) }
func BenchmarkMarkdown(b *testing.B) {
	benchmark(b, Config{Method: MarkdownTokens, MaxSize: 1024, Overlap: 200, Encoding: O200k})
}
func BenchmarkChars(b *testing.B) { benchmark(b, Config{Method: Chars, MaxSize: 4000, Overlap: 400}) }

// benchmark cuts eight megabytes of prose made of 20,000 words by Zipf's law.
func benchmark(b *testing.B, c Config) {
	r := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(r, 1.1, 3, 20000)
	var text strings.Builder
	for text.Len() < 8<<20 {
		w := zipf.Uint64()
		for range 2 + w%9 {
			text.WriteByte(byte('a' + w%26))
			w = w*31/7 + 5
		}
		text.WriteString([]string{" ", " ", " ", " ", " ", " ", ", ", ". ", ".\n\n"}[r.IntN(9)])
	}
	s := text.String()
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		split(b, c, s)
	}
}
