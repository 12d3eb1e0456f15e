package llm

import (
	"bytes"

	"gatehouse"
)

// splitter finds the ends of SSE frames in pieces of any size. Lines end with
// LF, CR LF or CR; an empty line ends a frame.
type splitter struct {
	carry  []byte // the frame so far, when it began in an earlier piece
	inLine bool   // the current line is not empty
	wasCR  bool   // the last byte was CR: an LF next belongs to it
	owesLF bool   // a frame ended with CR: an LF next belongs to that frame
	over   bool   // the frame outgrew maxHeld; carry has only its tail
}

// end returns how many bytes of p belong to the current frame, and whether it
// ends there. An LF that follows a CR at the end of a frame goes with it.
func (s *splitter) end(p []byte) (n int, ended bool) {
	for n < len(p) {
		if s.wasCR {
			s.wasCR = false
			if p[n] == '\n' {
				n++
				continue
			}
		}
		i := bytes.IndexByte(p[n:], '\n')
		line := p[n:]
		if i >= 0 {
			line = p[n : n+i]
		}
		if cr := bytes.IndexByte(line, '\r'); cr >= 0 {
			i = cr
			s.wasCR = true
		}
		if i < 0 {
			s.inLine = true
			return len(p), false
		}
		empty := i == 0 && !s.inLine
		s.inLine = false
		n += i + 1
		if empty {
			return n, true
		}
	}
	return n, false
}

// forwarder assembles what Write returns: as long as that is one run of p, the
// run itself, and a copy only when something is left out or was held back.
type forwarder struct {
	p      []byte
	lo, hi int    // the run of p
	out    []byte // or the copy, which then precedes the run
}

func (f *forwarder) run(from, to int) {
	if from != f.hi && f.hi > f.lo {
		f.flush()
	}
	if f.hi == f.lo {
		f.lo = from
	}
	f.hi = to
}

func (f *forwarder) flush() {
	f.out = append(f.out, f.p[f.lo:f.hi]...)
	f.lo, f.hi = 0, 0
}

func (f *forwarder) copy(b []byte) {
	f.flush()
	f.out = append(f.out, b...)
}

func (f *forwarder) bytes() []byte {
	if len(f.out) == 0 {
		return f.p[f.lo:f.hi]
	}
	f.flush()
	return f.out
}

// holding reports that frames must be seen whole before they pass. It changes
// between frames only.
func (t *Tap) holding() bool { return t.cfg.StripUsage || t.cfg.HoldID && t.id == "" }

// stream takes the next bytes of an SSE answer.
func (t *Tap) stream(p []byte) []byte {
	s, f := &t.split, forwarder{p: p, out: t.out[:0]}
	for at := 0; at < len(p); {
		if s.owesLF && p[at] == '\n' { // the second half of the line end that ended a frame
			if s.owesLF, s.wasCR = false, false; !t.stripped {
				f.run(at, at+1)
			}
			at++
			continue
		}
		s.owesLF = false
		n, ended := s.end(p[at:])
		piece := p[at : at+n]
		hold := t.holding() && !s.over
		if !ended || len(s.carry) > 0 || s.over || n > maxHeld {
			released := t.gather(piece)
			if hold && s.over {
				f.copy(released)
				hold, piece = false, piece[:0]
			}
		}
		switch {
		case !ended && !hold:
			f.run(at+n-len(piece), at+n)
		case ended:
			t.finishFrame(&f, at, piece, hold)
		}
		at += n
	}
	out := f.bytes()
	t.out = f.out
	return out
}

// finishFrame judges a complete frame and forwards what of it is still here.
func (t *Tap) finishFrame(f *forwarder, at int, piece []byte, hold bool) {
	s := &t.split
	s.owesLF = s.wasCR
	whole, carried := piece, len(s.carry) > 0
	t.stripped = false
	switch {
	case s.over:
		t.late(s.carry)
	case carried:
		whole = s.carry
		t.stripped = t.frame(whole)
	default:
		t.stripped = t.frame(whole)
	}
	switch {
	case t.stripped:
	case hold && carried:
		f.copy(whole)
	case len(piece) > 0:
		f.run(at, at+len(piece))
	}
	s.carry, s.over = s.carry[:0], false
}

// frameTail is what is kept of a frame that outgrew maxHeld. Usage stands at
// the end of such frames, before at most 9 KiB of metadata.
const frameTail = 16 << 10

// gather adds a piece to the carried frame. When the frame outgrows maxHeld its
// head is read for what it is worth, and returned with the piece since it can
// be held no longer.
func (t *Tap) gather(piece []byte) (released []byte) {
	s := &t.split
	if !s.over && len(s.carry)+len(piece) > maxHeld {
		s.over = true
		all := append(s.carry, piece...)
		t.frame(all[:maxHeld])
		s.carry = append([]byte(nil), all[max(0, len(all)-frameTail):]...)
		return all
	}
	s.carry = append(s.carry, piece...)
	if s.over && len(s.carry) > 4*frameTail {
		s.carry = append(s.carry[:0], s.carry[len(s.carry)-frameTail:]...)
	}
	return nil
}

// late looks for usage in the tail of a frame too long to be read. Quotes in
// strings are escaped, so that the needle is a member's name.
func (t *Tap) late(tail []byte) {
	tail = tail[max(0, len(tail)-frameTail):]
	i := bytes.LastIndex(tail, []byte(`"usage":`))
	if i < 0 {
		return
	}
	s := scanner{b: tail, i: i + len(`"usage":`)}
	if s.space() != '{' {
		return
	}
	start := s.i
	if s.value(1) {
		t.report(tail[start:s.i])
	}
}

// endStream judges what came after the last empty line. Some servers leave it
// out behind their last frame.
func (t *Tap) endStream() []byte {
	s := &t.split
	switch {
	case len(s.carry) == 0:
		return nil
	case s.over:
		t.late(s.carry)
		return nil
	}
	hold := t.holding()
	if t.frame(s.carry) || !hold {
		return nil
	}
	return s.carry
}

// frame reads one frame and reports whether it is to be left out.
func (t *Tap) frame(frame []byte) (strip bool) {
	data, lines := []byte(nil), 0
	for len(frame) > 0 {
		line := frame
		if i := bytes.IndexByte(frame, '\n'); i >= 0 {
			line = frame[:i]
		}
		if i := bytes.IndexByte(line, '\r'); i >= 0 {
			line = line[:i]
		}
		frame = frame[min(len(line)+1, len(frame)):]
		value, ok := bytes.CutPrefix(line, []byte("data:"))
		if !ok {
			continue
		}
		value = bytes.TrimPrefix(value, []byte(" "))
		switch lines++; lines {
		case 1:
			data = value
		case 2:
			t.join = append(append(append(t.join[:0], data...), '\n'), value...)
			data = t.join
		default:
			t.join = append(append(t.join, '\n'), value...)
			data = t.join
		}
	}
	return t.event(data)
}

// event reads the data of one frame.
func (t *Tap) event(data []byte) (strip bool) {
	if string(data) == "[DONE]" {
		t.terminal = true
		return false
	}
	if len(data) == 0 || data[0] != '{' {
		return false
	}
	switch t.cfg.Family {
	case gatehouse.FamilyChat, gatehouse.FamilySample:
		return t.chunk(data) && t.cfg.StripUsage
	case gatehouse.FamilyMessages:
		t.message(data)
	case gatehouse.FamilyResponses:
		t.response(data)
	default:
		t.done(data)
	}
	return false
}

// report keeps a usage object.
func (t *Tap) report(v []byte) { t.usage = append(t.usage[:0], v...) }

// first keeps the first non-empty string.
func first(to *string, v []byte) {
	if *to == "" {
		*to = text(v)
	}
}

// troubled keeps the first error object of a stream.
func (t *Tap) troubled(v []byte) {
	if t.fault == "" && string(v) != "null" {
		t.fault = clipTo(string(v), 512)
	}
}
