package sqlindex_test

import (
	"fmt"
	"strings"
	"testing"

	"gatehouse/internal/library/index/sqlindex"
)

// TestWordsAreWhatPeopleLookFor: in either engine, since both get these words.
func TestWordsAreWhatPeopleLookFor(t *testing.T) {
	for text, want := range map[string]string{
		"The quick-brown FOX's 3.14":  "quick brown fox 3 14",
		"naïve Ångström ﬁle Straße":   "naive angstrom file straße",
		"companies boxes buses glass": "company boxe buse glass",
		"this is was":                 "",
		"東京都 tower":                   "東京 京都 tower",
		"snake_case Ω ١٢":             "snake case ω ١٢",
		"a a b b":                     "b",
		strings.Repeat("x", 100):      strings.Repeat("x", 40),
		"\x00\xff\u200b👍":             "",
	} {
		if got := strings.Join(sqlindex.Terms(text), " "); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	if n := len(sqlindex.Terms(fmt.Sprint(make([]int, 10)) + strings.Join(strings.Split("bcdfghjklmnpqrstvwxyz0123456789bcdfghjklmnpqrstvwxyz", ""), "q "))); n > 32 {
		t.Errorf("%d terms", n)
	}
}

// FuzzTerms: whatever the text, words are letters and digits, which is what
// keeps a query from being read as one of the engine's operators.
func FuzzTerms(f *testing.F) {
	f.Add(`"a" OR b* 'c' | d & NEAR(e) 東京都 it’s`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, w := range sqlindex.Terms(text) {
			if w == "" || strings.ContainsAny(w, " \"'*&|!()<>:\\_-+^{}\x00") {
				t.Fatalf("%q has %q", text, w)
			}
		}
	})
}
