package chunk

import (
	stdbytes "bytes"
	"sort"
	"unicode"
)

// Chunk is one piece of a document.
type Chunk struct {
	Index int    // from 0
	Start int64  // of Text in the document's text, in bytes
	End   int64  // behind it
	Page  int    // where Text begins; 0 where the document has no pages
	Text  string // without what is injected, at most the configuration's size
}

// Splitter cuts one document. It is fed with Add and finished with Close; every
// chunk goes to the function it was made with, whose error ends it. It is not
// safe for concurrent use.
type Splitter struct {
	config  Config
	shape   shape
	counter *counter
	limit   int // bytes of an atom at most
	emit    func(Chunk) error

	text    []byte // what the next chunks are made of
	base    int64  // text's place in the document
	start   int    // of the next chunk in text
	done    int    // up to here earlier chunks have the text
	scanned int    // up to here text has become atoms
	atoms   []atom
	first   int    // the next chunk's first atom
	size    int    // of all atoms from there
	pages   []page // that begin within text, and the one before
	turn    int    // the first page that begins behind what is scanned
	state   state
	chunks  int
}

type page struct {
	at     int64 // in the document
	number int
}

const (
	piece   = 64 << 10 // bytes of text that are looked at at once
	compact = 32 << 10 // bytes of text that are kept behind the next chunk's start
)

// New makes a Splitter for a configuration that is valid.
func New(c Config, emit func(Chunk) error) *Splitter {
	s := &Splitter{config: c, shape: shapes[c.Method], emit: emit}
	s.limit = max(smallest[s.shape.unit], min(longest, c.MaxSize/4))
	if s.shape.unit == tokens {
		s.counter = newCounter(c.Encoding)
	}
	return s
}

// Add continues the document with text that stands on a page, 0 for none. A
// rune may be divided between two calls; what is not UTF-8 is kept as it is.
func (s *Splitter) Add(text string, number int) error {
	if n := len(s.pages); n == 0 || s.pages[n-1].number != number {
		s.pages = append(s.pages, page{s.base + int64(len(s.text)), number})
	}
	for len(text) > 0 {
		n := min(len(text), piece)
		s.text = append(s.text, text[:n]...)
		text = text[n:]
		s.scan(false)
		if err := s.pack(false); err != nil {
			return err
		}
		s.forget()
	}
	return nil
}

// Close ends the document and hands out what is left.
func (s *Splitter) Close() error {
	s.scan(true)
	return s.pack(true)
}

// pack hands out every chunk that later text cannot change.
func (s *Splitter) pack(final bool) error {
	for s.size > s.config.MaxSize || final && s.done < s.scanned {
		end := s.verified(s.best(s.fitting()))
		if err := s.hand(end); err != nil {
			return err
		}
		s.advance(end)
	}
	return nil
}

// fitting is behind the last atom that the next chunk can have.
func (s *Splitter) fitting() int {
	end, size := s.first, 0
	for end < len(s.atoms) && size+s.atoms[end].cost <= s.config.MaxSize {
		size += s.atoms[end].cost
		end++
	}
	return end
}

// best is the best of the places where a chunk may end that could end at last.
// It has something new worth the work, so that the time stays linear.
func (s *Splitter) best(last int) int {
	if last == len(s.atoms) {
		return last // the document's end
	}
	fresh := 0
	for i := last - 1; i >= s.first && s.atoms[i].end > s.done; i-- {
		fresh += s.atoms[i].cost
	}
	early := max(1, (s.config.MaxSize-s.config.Overlap)*(4-s.shape.breaks.look)/4)
	end := last
	for i := last - 1; i > s.first && fresh-s.atoms[i].cost >= early; i-- {
		fresh -= s.atoms[i].cost
		if s.atoms[i-1].next > s.atoms[end-1].next {
			end = i
		}
	}
	return end
}

// verified takes atoms away until the chunk's tokens, counted as one text, are
// within the bound: atoms may be more together than apart, if hardly ever. What
// is new goes first and the overlap last: one atom alone always fits.
func (s *Splitter) verified(end int) int {
	if s.shape.unit != tokens {
		return end
	}
	for s.counter.count(s.text[s.start:s.atoms[end-1].end]) > s.config.MaxSize {
		if end-1 > s.first && s.atoms[end-2].end > s.done {
			end--
		} else {
			s.begin(s.first + 1)
		}
	}
	return end
}

// hand makes a chunk of the atoms before end.
func (s *Splitter) hand(end int) error {
	text, at := s.text[s.start:s.atoms[end-1].end], s.base+int64(s.start)
	if s.config.StripWhitespace {
		kept := stdbytes.TrimLeftFunc(text, unicode.IsSpace)
		at += int64(len(text) - len(kept))
		if text = stdbytes.TrimRightFunc(kept, unicode.IsSpace); len(text) == 0 {
			return nil
		}
	}
	c := Chunk{Index: s.chunks, Start: at, End: at + int64(len(text)), Page: s.pageAt(at), Text: string(text)}
	s.chunks++
	return s.emit(c)
}

// advance goes to the next chunk, after one that ended before the atom end.
func (s *Splitter) advance(end int) {
	s.done = s.atoms[end-1].end
	next := end
	if end < len(s.atoms) {
		next = s.overlapping(end)
	}
	s.begin(next)
}

// begin makes an atom the next chunk's first.
func (s *Splitter) begin(next int) {
	for ; s.first < next; s.first++ {
		s.size -= s.atoms[s.first].cost
		s.start = s.atoms[s.first].end
	}
}

// overlapping is the first atom of the chunk that follows one before end: as
// many as the overlap holds, of these the best place in their first half, and
// with room for one atom that is new.
func (s *Splitter) overlapping(end int) int {
	room := min(s.config.Overlap, s.config.MaxSize-s.atoms[end].cost)
	first, size := end, 0
	for first > s.first+1 && size+s.atoms[first-1].cost <= room {
		first--
		size += s.atoms[first].cost
	}
	best := first
	for i, left := first, size; i < end && 2*left >= size; i++ {
		if s.atoms[i-1].next > s.atoms[best-1].next {
			best = i
		}
		left -= s.atoms[i].cost
	}
	return best
}

// forget drops what no later chunk needs.
func (s *Splitter) forget() {
	if s.start < compact {
		return
	}
	cut := s.start
	s.text = s.text[:copy(s.text, s.text[cut:])]
	s.atoms = s.atoms[:copy(s.atoms, s.atoms[s.first:])]
	for i := range s.atoms {
		s.atoms[i].end -= cut
	}
	s.first, s.start = 0, 0
	s.base += int64(cut)
	s.scanned -= cut
	s.done -= cut
	n := s.pageIndex(s.base)
	s.pages, s.turn = s.pages[n:], s.turn-n
}

// pageIndex is the page of a place that is not before the text's start.
func (s *Splitter) pageIndex(at int64) int {
	return sort.Search(len(s.pages)-1, func(i int) bool { return s.pages[i+1].at > at })
}

func (s *Splitter) pageAt(at int64) int { return s.pages[s.pageIndex(at)].number }

// turns reports whether a page begins at text[i]. It is asked in order.
func (s *Splitter) turns(i int) bool {
	at := s.base + int64(i)
	for s.turn < len(s.pages) && s.pages[s.turn].at < at {
		s.turn++
	}
	return s.turn < len(s.pages) && s.pages[s.turn].at == at
}
