package llm

import (
	"math"
	"strconv"
)

// walker goes through the members of a JSON object that a provider sent. It
// allocates nothing, yields values verbatim, and ends at the first flaw: a
// broken answer is still forwarded, only less is known of it. Names are not
// unescaped, since no provider escapes them.
type walker struct {
	s     scanner
	first bool
	done  bool
}

func walk(v []byte) walker {
	w := walker{s: scanner{b: v}, first: true}
	w.done = w.s.space() != '{'
	w.s.i++
	return w
}

// next yields a member; name is nil at the end.
func (w *walker) next() (name, value []byte) {
	if w.done {
		return nil, nil
	}
	w.done = true
	if w.first && w.s.closed('}') {
		return nil, nil
	}
	if !w.first {
		if more, ok := w.s.next('}'); !more || !ok {
			return nil, nil
		}
	}
	w.first = false
	name, _, ok := w.s.name()
	if !ok {
		return nil, nil
	}
	w.s.space()
	start := w.s.i
	if !w.s.value(2) {
		return nil, nil
	}
	w.done = false
	return name, w.s.b[start:w.s.i]
}

// list goes through the elements of an array in the same way.
type list struct {
	s    scanner
	more bool
}

func elementsOf(v []byte) list {
	l := list{s: scanner{b: v}}
	l.more = l.s.space() == '['
	l.s.i++
	l.more = l.more && !l.s.closed(']')
	return l
}

// next yields an element, nil at the end.
func (l *list) next() []byte {
	if !l.more {
		return nil
	}
	l.s.space()
	start := l.s.i
	if l.more = l.s.value(2); !l.more {
		return nil
	}
	v := l.s.b[start:l.s.i]
	l.more, _ = l.s.next(']')
	return v
}

// text is the value of a JSON string, empty for anything else.
func text(v []byte) string {
	if len(v) < 2 || v[0] != '"' {
		return ""
	}
	return unquote(v[1 : len(v)-1])
}

// tierText is text for the few words that recur in every answer: they cost no
// allocation.
func tierText(v []byte) string {
	for _, known := range [...]string{"default", "standard", "priority", "flex", "auto"} {
		if isText(v, known) {
			return known
		}
	}
	return text(v)
}

// isText compares a JSON string that holds no escapes.
func isText(v []byte, s string) bool {
	return len(v) == len(s)+2 && v[0] == '"' && string(v[1:len(v)-1]) == s
}

// maxCount is what one counter of one request may say: beyond it a provider
// cannot mean it, and below it no sum of counters overflows.
const maxCount = 1 << 40

// count reads a counter. ok is false when v is no number; flawed when it is
// not one that can be: negative, or beyond maxCount. Fractions round up.
func count(v []byte) (n int64, flawed, ok bool) {
	if n, ok := integer(v); ok {
		if n > maxCount {
			return maxCount, true, true
		}
		return n, false, true
	}
	if len(v) == 0 || v[0] != '-' && (v[0] < '0' || v[0] > '9') {
		return 0, false, false
	}
	f, err := strconv.ParseFloat(string(v), 64)
	switch {
	case f > maxCount:
		return maxCount, true, true
	case err != nil:
		return 0, true, true
	case f < 0:
		return 0, true, true
	}
	return int64(math.Ceil(f)), false, true
}
