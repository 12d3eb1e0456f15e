package audit

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"gatehouse"
)

// maxLine bounds a line of an export; a leaf is far smaller.
const maxLine = 1 << 20

// ExportLine is one leaf as a line of JSON, newline included. The event is the
// leaf data verbatim, so an export proves as much as the database: a tool that
// reformats the JSON breaks it.
func ExportLine(l Leaf) []byte {
	b := make([]byte, 0, len(l.Body)+len(l.Personal)+192)
	b = strconv.AppendInt(append(b, `{"index":`...), l.Index, 10)
	b = append(append(b, `,"event":`...), l.Body...)
	b = append(b, `,"personal":`...)
	if len(l.Personal) == 0 {
		b = append(b, "null"...)
	} else {
		b = append(b, l.Personal...)
	}
	b = append(b, `,"signature":"`...)
	b = base64.StdEncoding.AppendEncode(b, l.Signature)
	return append(b, "\"}\n"...)
}

// ParseExportLine reads a line of ExportLine. The leaf's slices are its own or
// point into line.
func ParseExportLine(line []byte) (Leaf, error) {
	l, err := parseExport(line)
	if err != nil {
		return Leaf{}, gatehouse.Errorf(gatehouse.InvalidArgument, "not a line of an audit export").Because(err)
	}
	return l, nil
}

// parseExport walks the line as it was written; the values in between may be
// anything that is JSON, and what they are is for the verifier to judge.
func parseExport(line []byte) (Leaf, error) {
	var l Leaf
	s := scanner{bytes.TrimSpace(line), true}
	s.literal(`{"index":`)
	l.Index = s.number()
	s.literal(`,"event":`)
	l.Body = s.value()
	s.literal(`,"personal":`)
	l.Personal = s.value()
	s.literal(`,"signature":`)
	sig := s.text()
	s.literal(`}`)
	if !s.ok || len(s.rest) != 0 {
		return l, errors.New("its members are not index, event, personal and signature, in this order")
	}
	if string(l.Personal) == "null" {
		l.Personal = nil
	}
	var err error
	l.Signature, err = base64.StdEncoding.Strict().DecodeString(string(sig))
	return l, err
}

// value takes one JSON value, verbatim.
func (s *scanner) value() []byte {
	if !s.ok {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewReader(s.rest), jsontext.AllowDuplicateNames(true))
	v, err := d.ReadValue()
	if err != nil {
		s.ok = false
		return nil
	}
	end := d.InputOffset()
	v, s.rest = s.rest[end-int64(len(v)):end], s.rest[end:]
	return v
}

// ReadExport is the source of an export file. It goes back to the beginning
// whenever it is ranged over.
func ReadExport(r io.ReadSeeker) Source {
	return func(yield func(Leaf, error) bool) {
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			yield(Leaf{}, err)
			return
		}
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 0, 64<<10), maxLine)
		for n := 1; lines.Scan(); n++ {
			if len(bytes.TrimSpace(lines.Bytes())) == 0 {
				continue
			}
			l, err := ParseExportLine(lines.Bytes())
			if err != nil {
				err = fmt.Errorf("line %d: %w", n, err)
			}
			if !yield(l, err) || err != nil {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(Leaf{}, err)
		}
	}
}
