package sqlstore

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"

	"gatehouse"
)

// The word index gets tokens of a-z and 0-9 alone, so every engine's tokenizer
// leaves them as they are and no input can be syntax. Letters and digits of
// ASCII stand for themselves in lower case; "z" and every other byte of a word
// become "z" and two hex digits. A prefix of a word is thus a prefix of its
// token. "zz" never occurs, and starts the markers that users cannot search for.

// wordMax bounds a token; longer words are found by their beginning.
const wordMax = 64

// split makes tokens of text.
func split(text string) []string {
	fields := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsMark(r)
	})
	out := make([]string, 0, len(fields))
	for _, f := range fields {
		out = append(out, token(f))
	}
	return out
}

func token(word string) string {
	var b strings.Builder
	for i := range len(word) {
		c := word[i]
		if c >= 'a' && c < 'z' || c >= '0' && c <= '9' {
			b.WriteByte(c)
		} else {
			b.WriteString("z" + hex.EncodeToString([]byte{c}))
		}
		if b.Len() >= wordMax {
			return b.String()[:wordMax]
		}
	}
	return b.String()
}

// markers narrow a match to a team, a user, an action; zero ones do not.
func markers(team, user gatehouse.ID, action string) []string {
	var out []string
	if !team.IsZero() {
		out = append(out, marker('t', team.String()))
	}
	if !user.IsZero() {
		out = append(out, marker('u', user.String()))
	}
	if action != "" {
		out = append(out, marker('a', action))
	}
	return out
}

// marker hashes, so that it has one length and no letter to escape. 64 bits
// are enough: what matched is compared with the filter again.
func marker(kind byte, value string) string {
	sum := sha256.Sum256([]byte(value))
	return "zz" + string(kind) + hex.EncodeToString(sum[:8])
}

// words is what an event is filed under.
func words(e gatehouse.Event) string {
	return strings.Join(append(split(e.Description), markers(e.TeamID, e.Actor.UserID, e.Action)...), " ")
}
