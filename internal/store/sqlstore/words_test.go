package sqlstore

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"gatehouse"
)

// TestPrefixOfWordIsPrefixOfToken is what makes prefix search right in any
// script.
func TestPrefixOfWordIsPrefixOfToken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[\p{Ll}0-9]{1,20}`).Draw(t, "word")
		cut := rapid.IntRange(0, len(word)).Draw(t, "cut")
		for !utf8.RuneStart((word + "x")[cut]) {
			cut--
		}
		if !strings.HasPrefix(token(word), token(word[:cut])) && len(token(word)) < wordMax {
			t.Errorf("%q: %q does not begin with %q", word, token(word), token(word[:cut]))
		}
	})
}

// FuzzWordsAreNeverSyntax: whatever is asked for, the index is given quoted
// tokens of letters and digits, and no marker.
func FuzzWordsAreNeverSyntax(f *testing.F) {
	for _, s := range []string{"", "created key", `"; DROP TABLE audit`, "zz", "Größe", "\xff\x00", "a*b^c:d"} {
		f.Add(s)
	}
	plain := regexp.MustCompile(`^[a-z0-9]+$`)
	f.Fuzz(func(t *testing.T, s string) {
		for _, w := range split(s) {
			if !plain.MatchString(w) || strings.HasPrefix(w, "zz") || len(w) > wordMax {
				t.Errorf("%q became %q", s, w)
			}
		}
	})
}

func TestVectorRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var u gatehouse.UsageRecord
		for i := range u.Usage {
			u.Usage[i] = rapid.Int64().Draw(t, "count")
			u.Costs[i] = gatehouse.Ticks(rapid.Int64().Draw(t, "cost"))
		}
		var usage gatehouse.Usage
		var costs gatehouse.Costs
		if err := unpackVector(packVector(&u), &usage, &costs); err != nil || usage != u.Usage || costs != u.Costs {
			t.Errorf("%v %v became %v %v: %v", u.Usage, u.Costs, usage, costs, err)
		}
	})
}

func FuzzVector(f *testing.F) {
	f.Add([]byte{0, 2, 4})
	f.Add([]byte{255})
	f.Fuzz(func(t *testing.T, b []byte) {
		var usage gatehouse.Usage
		var costs gatehouse.Costs
		_ = unpackVector(b, &usage, &costs) // an error or a value, never a panic
	})
}

func TestPlaceholdersAreNumbered(t *testing.T) {
	d := &Dialect{Dollar: true, Overrides: map[string]string{"SELECT 1": "SELECT 2"}}
	if got := d.text("a = ? AND b IN (?, ?)"); got != "a = $1 AND b IN ($2, $3)" {
		t.Error(got)
	}
	if got := d.text("SELECT 1"); got != "SELECT 2" {
		t.Error(got)
	}
}

// TestFramesDiffer: what a MAC is over must not let one list of values pass
// for another.
func TestFramesDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) []string { return rapid.SliceOfN(rapid.StringN(0, 4, -1), 3, 3).Draw(t, name) }
		a, b := draw("a"), draw("b")
		same := strings.Join(a, "\x00|") == strings.Join(b, "\x00|")
		if equal := string(frame(nil, a[0], a[1], a[2])) == string(frame(nil, b[0], b[1], b[2])); equal != same && !strings.Contains(strings.Join(append(a, b...), ""), "\x00") {
			t.Errorf("%q and %q", a, b)
		}
	})
}
