package chunk

// breaks is how a kind of text is cut best: the level of every place where it
// might be, and how far back from its bound a chunk looks for a better one.
type breaks struct {
	line func(before, after []byte, s *state) level // at a line's start
	look int                                        // how much of what a chunk has anew may be left out for a better end, in quarters
}

// level says how good a place for a cut is. Among places within reach the
// highest level wins, and the last of that level.
type level uint8

const (
	inside    level = iota // between two runes
	word                   // before a word
	sentence               // after a sentence
	newline                // before a line
	paragraph              // after an empty line, or a page
	block                  // before a part of a program, and the like
	heading                // heading+5 is one of the first rank
)

// state is what the level of a line depends on beyond its neighbours.
type state struct {
	fence byte // the character of the code fence that is open, or 0
}

// lookAhead is how much of a line its level may depend on.
const lookAhead = 32

var (
	plain    = breaks{line: plainLine, look: 1}
	markdown = breaks{line: markdownLine, look: 3}
	code     = breaks{line: codeLine, look: 2}
	rows     = breaks{line: rowLine, look: 3}
)

// plainLine: paragraphs before lines. before ends with the line's end.
func plainLine(before, _ []byte, _ *state) level {
	if blankBefore(before) {
		return paragraph
	}
	return newline
}

// rowLine: a table is cut between rows, wherever that is.
func rowLine(_, _ []byte, _ *state) level { return block }

// markdownLine: headings by rank, then paragraphs; nothing within a fence is
// better than a plain line.
func markdownLine(before, after []byte, s *state) level {
	if f := fenceMark(after); f != 0 && (s.fence == 0 || s.fence == f) {
		if s.fence != 0 {
			s.fence = 0
			return word
		}
		s.fence = f
		return paragraph
	}
	if s.fence != 0 {
		return sentence
	}
	if n := rank(after); n > 0 {
		return heading + level(6-n)
	}
	if len(after) > 0 && after[0] == '|' {
		return sentence
	}
	return plainLine(before, after, s)
}

// rank is that of a Markdown heading, 1 to 6, or 0.
func rank(line []byte) int {
	n := 0
	for n < len(line) && line[n] == '#' {
		n++
	}
	if n > 6 || n == len(line) || line[n] != ' ' {
		return 0
	}
	return n
}

func fenceMark(line []byte) byte {
	for i := 0; i < 4 && i+2 < len(line); i++ {
		if c := line[i]; c == '`' || c == '~' {
			if line[i+1] == c && line[i+2] == c {
				return c
			}
			return 0
		} else if c != ' ' {
			return 0
		}
	}
	return 0
}

// codeLine: what stands at the margin begins a part, unless it ends one.
func codeLine(before, after []byte, _ *state) level {
	indent := 0
	for indent < len(after) && (after[indent] == ' ' || after[indent] == '\t') {
		indent++
	}
	if indent == len(after) || after[indent] == '\n' || after[indent] == '\r' {
		return newline
	}
	switch after[indent] {
	case '}', ')', ']':
		return word
	}
	switch blank := blankBefore(before); {
	case indent == 0 && blank:
		return heading
	case indent == 0:
		return block
	case blank:
		return paragraph
	}
	return newline
}

// blankBefore reports whether before, which ends a line, ends an empty one.
func blankBefore(before []byte) bool {
	for i := len(before) - 2; i >= 0 && i >= len(before)-lookAhead; i-- {
		switch before[i] {
		case '\n':
			return true
		case ' ', '\t', '\r':
		default:
			return false
		}
	}
	return false
}
