package llm

import (
	"bytes"
	"strings"
)

// chunk reads a chunk of a chat or text completion. only reports that it holds
// usage and nothing else: the frame that include_usage asks for. xAI sends
// running totals with its chunks; those are not final until the answer is.
func (t *Tap) chunk(data []byte) (only bool) {
	if t.id != "" && (t.like.same(data, &t.text) || t.plain(data)) {
		return false
	}
	var none, reported bool
	w := walk(data)
	for name, v := w.next(); name != nil; name, v = w.next() {
		switch string(name) {
		case "choices":
			none = t.choices(v)
		case "usage":
			if v[0] == '{' {
				reported = true
				t.report(v)
			}
		case "id":
			first(&t.id, v)
		case "model":
			first(&t.model, v)
		case "service_tier":
			first(&t.tier, v)
		case "error":
			t.troubled(v)
		}
	}
	t.final = t.final || none && reported
	return none && reported
}

// plain reads a chunk that holds nothing but text, which nearly all are, at a
// fifth of the price: names are looked for and not parsed. Within strings
// quotes are escaped, so that a match is a name, or a whole value, which only
// makes the chunk be read in full.
func (t *Tap) plain(data []byte) bool {
	if !nullOrAbsent(data, `"usage"`) || !nullOrAbsent(data, `"finish_reason"`) || bytes.Contains(data, []byte(`"error"`)) {
		return false
	}
	i := bytes.Index(data, []byte(`"delta":`))
	if i < 0 {
		return false
	}
	s := scanner{b: data, i: i + len(`"delta":`)}
	first, start := s.space(), s.i
	if first != '{' || !s.value(2) || bytes.Contains(data[s.i:], []byte(`"delta"`)) {
		return false
	}
	before := t.text
	t.wrote(data[start:s.i])
	t.like.learn(data, start, s.i, t.text-before)
	return true
}

// likeness is the plain chunk that was read last. The chunks of an answer differ
// in one string: one that is the same but for that needs no reading.
type likeness struct {
	head, tail []byte // around the inside of the string; head is empty when there is none
	text       int64  // bytes of text in the chunk without it
}

// maxLike bounds what is kept of a chunk, and shortText the string in which it
// may differ: see weigh, which looks at longer ones.
const (
	maxLike   = 1 << 10
	shortText = 64
)

// learn takes a chunk whose delta lies between from and to and held text.
func (l *likeness) learn(data []byte, from, to int, text int64) {
	l.head = l.head[:0]
	const name = `"content":"`
	i := bytes.Index(data[from:to], []byte(name))
	if i < 0 || len(data) > maxLike {
		return
	}
	start := from + i + len(name)
	n := bytes.IndexByte(data[start:to], '"')
	if n < 0 || n >= shortText || bytes.IndexByte(data[start:start+n], '\\') >= 0 {
		return
	}
	l.head, l.tail = append(l.head, data[:start]...), append(l.tail[:0], data[start+n:]...)
	l.text = text - int64(n)
}

// same reports that data is the same chunk but for its text, which it counts.
func (l *likeness) same(data []byte, text *int64) bool {
	n := len(data) - len(l.head) - len(l.tail)
	if len(l.head) == 0 || n < 0 || n >= shortText || !bytes.HasPrefix(data, l.head) || !bytes.HasSuffix(data, l.tail) {
		return false
	}
	for _, c := range data[len(l.head) : len(l.head)+n] {
		if c == '"' || c == '\\' || c < ' ' {
			return false
		}
	}
	*text += l.text + int64(n)
	return true
}

// nullOrAbsent reports that the name, quotes included, stands at most once and
// then before null.
func nullOrAbsent(data []byte, name string) bool {
	i := bytes.Index(data, []byte(name))
	if i < 0 {
		return true
	}
	s := scanner{b: data, i: i + len(name)}
	if s.space() != ':' {
		return false
	}
	s.i++
	return s.space() == 'n' && !bytes.Contains(data[s.i:], []byte(name))
}

// choices counts the text of a chunk; none reports an empty array.
func (t *Tap) choices(v []byte) (none bool) {
	l := elementsOf(v)
	none = v[0] == '[' && !l.more
	for e := l.next(); e != nil; e = l.next() {
		w := walk(e)
		for name, v := w.next(); name != nil; name, v = w.next() {
			switch string(name) {
			case "delta", "text":
				t.wrote(v)
			case "finish_reason":
				// The answer is complete, and so is the running total with it.
				t.final = t.final || v[0] == '"'
			}
		}
	}
	return none
}

// wrote counts the text of a delta: a string, or the strings of an object that
// are not its labels.
func (t *Tap) wrote(v []byte) {
	if v[0] == '"' {
		t.text += int64(len(v)) - 2
		return
	}
	w := walk(v)
	before := int64(0)
	for name, _ := w.next(); name != nil; name, _ = w.next() {
		switch string(name) {
		case "role", "type", "signature", "name", "stop_reason":
		default:
			t.text += w.s.text - before
		}
		before = w.s.text
	}
}

// message reads an event of Anthropic's Messages. The prompt's usage comes
// first and the answer's, cumulative, at the end.
func (t *Tap) message(data []byte) {
	w := walk(data)
	for name, v := w.next(); name != nil; name, v = w.next() {
		switch string(name) {
		case "type":
			t.terminal = t.terminal || isText(v, "message_stop")
		case "message":
			t.opening(v)
		case "delta":
			t.wrote(v)
		case "usage":
			if v[0] == '{' {
				t.final = true
				t.report(v)
			}
		case "error":
			t.troubled(v)
		}
	}
}

// opening reads the message of message_start.
func (t *Tap) opening(v []byte) {
	w := walk(v)
	for name, v := w.next(); name != nil; name, v = w.next() {
		switch string(name) {
		case "id":
			first(&t.id, v)
		case "model":
			first(&t.model, v)
		case "usage":
			if v[0] == '{' && len(t.begun) == 0 {
				t.begun = append(t.begun[:0], v...)
			}
		}
	}
}

// response reads an event of the Responses API. Deltas are counted; the events
// that repeat the text (….done) are not.
func (t *Tap) response(data []byte) {
	var kind []byte
	w := walk(data)
	for name, v := w.next(); name != nil; name, v = w.next() {
		switch string(name) {
		case "type":
			kind = v
			t.ended(v)
		case "delta":
			if bytes.HasSuffix(kind, []byte(`.delta"`)) {
				t.wrote(v)
			}
		case "response":
			t.object(v)
		case "error":
			t.troubled(v)
		case "message":
			if isText(kind, "error") {
				t.troubled(v)
			}
		}
	}
	if t.id == "" {
		t.torn(data)
	}
}

// ended recognises the events behind which nothing comes.
func (t *Tap) ended(kind []byte) {
	switch string(kind) {
	case `"response.completed"`, `"response.incomplete"`, `"response.failed"`, `"response.cancelled"`, `"response.done"`:
		t.terminal = true
	}
}

// object reads a response object.
func (t *Tap) object(v []byte) {
	w := walk(v)
	for name, v := w.next(); name != nil; name, v = w.next() {
		switch string(name) {
		case "id":
			first(&t.id, v)
		case "model":
			first(&t.model, v)
		case "service_tier":
			first(&t.tier, v)
		case "usage":
			if v[0] == '{' {
				t.report(v)
			}
		case "error":
			t.troubled(v)
		}
	}
}

// torn reads the id of a response whose event is too long to be read whole: an
// id stands at the beginning of its object.
func (t *Tap) torn(data []byte) {
	if i := bytes.Index(data, []byte(`"response":`)); i >= 0 {
		t.object(data[i+len(`"response":`):])
	}
}

// done reads an event of pictures or sound: only the last of its kind, which
// has usage, matters.
func (t *Tap) done(data []byte) {
	w := walk(data)
	for name, v := w.next(); name != nil; name, v = w.next() {
		switch string(name) {
		case "type":
			switch kind := text(v); {
			case strings.HasSuffix(kind, ".completed"):
				t.pictures++
				t.terminal = true
			case strings.HasSuffix(kind, ".done"):
				t.terminal = true
			}
		case "delta":
			t.wrote(v)
		case "usage":
			if v[0] == '{' {
				t.report(v)
			}
		case "error":
			t.troubled(v)
		}
	}
}
