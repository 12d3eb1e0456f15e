package chunk

import (
	"unicode/utf8"
)

// atom is the smallest piece that chunks are made of: a word with the space
// before it, or a part of a long one.
type atom struct {
	end  int   // behind its last byte, in the splitter's text
	cost int   // in the unit
	next level // how good a cut is behind it
}

// longest is how many bytes an atom has at most. It is short beside most
// chunks, so that a word of a megabyte is cut like any text.
const longest = 64

// scan makes atoms of text. Unless it is final it stops where more text might
// change an atom's end or level.
func (s *Splitter) scan(final bool) {
	for s.scanned < len(s.text) {
		if !final && len(s.text)-s.scanned < s.limit+lookAhead+utf8.UTFMax {
			return
		}
		end, at := s.atomEnd()
		a := atom{end: end, cost: s.cost(s.text[s.scanned:end]), next: at}
		s.atoms = append(s.atoms, a)
		s.size += a.cost
		s.scanned = end
	}
}

// atomEnd is where the next atom ends, and how good a cut is there.
func (s *Splitter) atomEnd() (int, level) {
	text, from := s.text, s.scanned
	for i := from; i < len(text); {
		if i > from {
			if at := s.levelAt(i); at != inside {
				return i, at
			}
		}
		size := runeSize(text[i:])
		if i > from && i+size-from > s.limit {
			return i, inside
		}
		i += size
	}
	return len(text), paragraph
}

// levelAt says how good a cut before text[i] is; i is above 0 and a rune's start.
func (s *Splitter) levelAt(i int) level {
	text, c := s.text, s.text[i-1]
	switch {
	case s.turns(i):
		return paragraph
	case c == '\n':
		return s.shape.breaks.line(text[:i], text[i:min(i+lookAhead, len(text))], &s.state)
	case c == '\f':
		return paragraph
	case text[i] == ' ' && c != ' ':
		if ends(c) {
			return sentence
		}
		return word
	case c >= 0x80 && fullStop(text[:i]):
		return sentence
	}
	return inside
}

func ends(c byte) bool { return c == '.' || c == '!' || c == '?' }

// fullStop reports whether text ends with a sentence of a script that puts no
// space behind one.
func fullStop(text []byte) bool {
	switch r, _ := utf8.DecodeLastRune(text); r {
	case '。', '！', '？', '．':
		return true
	}
	return false
}

// runeSize is the bytes of the first rune; of what is no rune, one.
func runeSize(text []byte) int {
	if text[0] < utf8.RuneSelf {
		return 1
	}
	_, n := utf8.DecodeRune(text)
	return n
}

// cost is the size of text in the unit.
func (s *Splitter) cost(text []byte) int {
	switch s.shape.unit {
	case tokens:
		return max(1, s.counter.count(text)) // some characters are in no token
	case chars:
		return utf8.RuneCount(text)
	}
	return len(text)
}
