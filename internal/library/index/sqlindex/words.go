package sqlindex

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// maxWord cuts what is no word, such as encoded files, in runes.
const maxWord = 40

// maxTerms is how many different words of a query are looked for.
const maxTerms = 32

// words yields the words of text in order, stop words left out. The position
// counts these too.
func words(text string, yield func(word string, position int)) {
	c := cutter{yield: yield}
	for _, r := range norm.NFKD.String(text) {
		c.rune(unicode.ToLower(r))
	}
	c.end()
}

// cutter finds the ends of words.
type cutter struct {
	word     []rune
	dense    bool // the word is of a script without spaces
	position int
	yield    func(string, int)
}

func (c *cutter) rune(r rune) {
	switch {
	case r < unicode.MaxASCII && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9'):
		c.add(r, false)
	case r <= unicode.MaxASCII:
		c.end()
	case unicode.Is(unicode.Mn, r): // an accent, taken off by the normal form
	case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar):
		c.add(r, true)
	case unicode.IsLetter(r) || unicode.IsDigit(r):
		c.add(r, false)
	default:
		c.end()
	}
}

// add goes on with the word, or begins one in another script.
func (c *cutter) add(r rune, dense bool) {
	if dense != c.dense {
		c.end()
		c.dense = dense
	}
	c.word = append(c.word, r)
}

func (c *cutter) end() {
	switch {
	case len(c.word) == 0:
		return
	case c.dense && len(c.word) > 1:
		for i := range len(c.word) - 1 {
			c.say(string(c.word[i : i+2]))
		}
	default:
		c.say(singular(string(c.word[:min(len(c.word), maxWord)])))
	}
	c.word = c.word[:0]
}

func (c *cutter) say(word string) {
	c.position++
	if !stops[word] {
		c.yield(word, c.position)
	}
}

// singular takes an English plural's ending off (Harman, "How effective is
// suffixing?", JASIS 42, 1991: the S stemmer). Other languages lose an s.
func singular(w string) string {
	if len(w) < 4 || w[len(w)-1] != 's' {
		return w
	}
	ends := func(suffixes ...string) bool {
		return slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(w, s) })
	}
	switch {
	case ends("ies"):
		if ends("eies", "aies") {
			return w
		}
		return w[:len(w)-3] + "y"
	case ends("es"):
		if ends("aes", "ees", "oes") {
			return w
		}
		return w[:len(w)-1]
	case ends("us", "ss"):
		return w
	}
	return w[:len(w)-1]
}

// stops are words that say nothing about what a text is of; many as they are,
// they would cost more than all others. They are as [singular] leaves them.
var stops = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`a about after all also an and any are as at be because been before but by can could did do does each for from
had has have he her him his how i if in into is it its just me my no nor not of off on or our out over own s shall she should so some such t than that the
their them then there these they this those through to too up us very was we were what when where which while who whom whose why will with would you your`) {
		m[singular(w)] = true
	}
	return m
}()

// terms are the different words of a query, in order.
func terms(text string) (out []string) {
	words(text, func(w string, _ int) {
		if len(out) < maxTerms && !slices.Contains(out, w) {
			out = append(out, w)
		}
	})
	return out
}

// marker is what stands before each word of a collection. No word has it inside.
func marker(collection int64) string { return strconv.FormatInt(collection, 36) + "_" }
