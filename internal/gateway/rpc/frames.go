package rpc

import (
	"bytes"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// frames cuts a stream of server-sent events into the data of its frames. Lines
// end with LF, CR LF or CR, an empty one ends a frame, and what is neither data
// nor empty says nothing here.
type frames struct {
	line []byte // as far as it came
	data []byte // of the frame as far as it came
	cr   bool   // the last byte was CR: an LF next belongs to it
}

// split takes the next bytes and calls f with the data of each frame that ends
// in them; f must not keep it.
func (s *frames) split(p []byte, f func(data []byte) error) error {
	for len(p) > 0 {
		if s.cr && p[0] == '\n' {
			p = p[1:]
		}
		s.cr = false
		i := bytes.IndexAny(p, "\r\n")
		if i < 0 {
			s.line = append(s.line, p...)
			return s.bounded()
		}
		s.line = append(s.line, p[:i]...)
		s.cr = p[i] == '\r'
		p = p[i+1:]
		if err := s.endLine(f); err != nil {
			return err
		}
	}
	return nil
}

func (s *frames) endLine(f func(data []byte) error) error {
	line := s.line
	s.line = s.line[:0]
	if len(line) > 0 {
		if v, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			s.data = append(s.data, bytes.TrimPrefix(v, []byte(" "))...)
		}
		return s.bounded()
	}
	data := s.data
	s.data = s.data[:0]
	if len(data) == 0 || string(data) == "[DONE]" {
		return nil
	}
	return f(data)
}

func (s *frames) bounded() error {
	if len(s.line)+len(s.data) > maxMessage {
		return status.Errorf(codes.ResourceExhausted, "A piece of the answer is larger than %d bytes.", maxMessage)
	}
	return nil
}
