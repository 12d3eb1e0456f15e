package llm

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// picker takes a few top-level members out of a JSON answer that comes in
// pieces, without keeping the answer: embeddings and pictures have megabytes,
// and what we want often stands behind them. It trusts the syntax; garbage
// yields nothing or nonsense, never a panic or growth.
type picker struct {
	usage  []byte // verbatim
	id     string
	model  string
	tier   string
	text   int64 // bytes of string values in the members that hold the answer
	data   int64 // objects in `data`: pictures
	closed bool  // the object is complete

	buf    []byte // the value being taken
	name   [16]byte
	named  int  // length of the member's name; beyond the array: none of ours
	member pick // what is being read
	depth  int
	last   int64 // length of the string just read, for telling names from values
	inText bool
	escape bool
	inName bool
	value  bool // behind the colon at depth 1
}

// pick is a member that the picker knows.
type pick uint8

const (
	pickNone pick = iota
	pickUsage
	pickID
	pickModel
	pickTier
	pickDuration
	pickData
	pickAnswer
)

// maxPicked bounds a taken value. Usage objects have at most 1 KiB.
const maxPicked = 16 << 10

func pickOf(name []byte) pick {
	switch string(name) {
	case "usage":
		return pickUsage
	case "id":
		return pickID
	case "model":
		return pickModel
	case "service_tier":
		return pickTier
	case "duration":
		return pickDuration
	case "data":
		return pickData
	case "choices", "output", "content", "text":
		return pickAnswer
	}
	return pickNone
}

// feed reads the next piece.
func (k *picker) feed(p []byte) {
	from := 0 // where the value being taken began in p
	for i := 0; i < len(p); {
		if k.inText {
			i = k.string(p, i)
			continue
		}
		c := p[i]
		i++
		if c > ',' && c != ':' && c < '[' {
			continue // digits: most of what an embedding holds
		}
		switch c {
		case '"':
			k.begin()
		case ':':
			k.text -= k.take(k.last)
			if k.depth == 1 && !k.value {
				k.enter()
				from = i
			}
			k.last = 0
		case '{', '[':
			if k.depth == 2 && k.member == pickData && c == '{' {
				k.data++
			}
			k.depth++
		case '}', ']':
			k.depth--
			if k.depth == 0 {
				k.leave(p[min(from, i-1) : i-1])
				k.closed = true
				from = i
			}
		case ',':
			k.last = 0
			if k.depth == 1 {
				k.leave(p[min(from, i-1) : i-1])
				from = i
			}
		}
	}
	if k.taking() {
		k.keep(p[min(from, len(p)):])
	}
}

// take is n while the answer's own text is being read.
func (k *picker) take(n int64) int64 {
	if k.member == pickAnswer {
		return n
	}
	return 0
}

// begin enters a string.
func (k *picker) begin() {
	k.inText, k.last = true, 0
	if k.depth == 1 && !k.value {
		k.inName, k.named = true, 0
	}
}

// string reads on inside a string from p[i] and returns where it stopped.
func (k *picker) string(p []byte, i int) int {
	start := i
	if k.escape {
		k.escape = false
		i++
	}
	for i < len(p) {
		if i+8 <= len(p) {
			if m := special(binary.LittleEndian.Uint64(p[i:])); m == 0 {
				i += 8
				continue
			} else {
				i += bits.TrailingZeros64(m) / 8
			}
		}
		switch p[i] {
		case '"':
			k.span(p[start:i])
			k.inText, k.inName = false, false
			return i + 1
		case '\\':
			if i+1 >= len(p) {
				k.escape = true
				k.span(p[start:])
				return len(p)
			}
			i++
		}
		i++
	}
	k.span(p[start:])
	return len(p)
}

// span takes note of a piece of the inside of a string.
func (k *picker) span(v []byte) {
	k.last += int64(len(v))
	k.text += k.take(int64(len(v)))
	if k.inName {
		if k.named < len(k.name) {
			copy(k.name[k.named:], v)
		}
		k.named += len(v)
	}
}

// enter begins a member's value.
func (k *picker) enter() {
	k.value, k.member = true, pickNone
	if k.named <= len(k.name) {
		k.member = pickOf(k.name[:k.named])
	}
	k.buf = k.buf[:0]
}

// taking reports that the value being read is one to take.
func (k *picker) taking() bool {
	return k.value && k.member != pickNone && k.member < pickData
}

// keep adds to the value being taken, or gives it up when it grows too long.
func (k *picker) keep(v []byte) {
	if len(k.buf)+len(v) > maxPicked {
		k.member = pickNone
		return
	}
	k.buf = append(k.buf, v...)
}

// leave ends a member's value, of which v is the last piece.
func (k *picker) leave(v []byte) {
	if k.taking() {
		switch {
		case len(k.buf)+len(v) > maxPicked:
			k.member = pickNone
		case len(k.buf) > 0:
			k.keep(v)
			v = k.buf
		}
		k.settle(bytes.TrimSpace(v))
	}
	k.value, k.member = false, pickNone
}

// settle puts a taken value where it belongs. Null is the same as absent.
func (k *picker) settle(v []byte) {
	switch k.member {
	case pickUsage:
		if len(v) > 0 && v[0] == '{' {
			k.usage = append(k.usage[:0], v...)
		}
	case pickID:
		k.id = text(v)
	case pickModel:
		k.model = text(v)
	case pickTier:
		k.tier = tierText(v)
	case pickDuration:
		// verbose_json of an audio route: its only measure.
		if _, _, ok := count(v); ok && len(k.usage) == 0 {
			k.usage = append(append(append(k.usage, `{"type":"duration","seconds":`...), v...), '}')
		}
	}
}
