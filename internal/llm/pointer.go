package llm

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// A pointer is a member that names something a provider stores: a file, a
// vector store, a container. All teams share the provider's credential, and no
// route here hands such things out, so nobody could say whose they are: a body
// that names one is refused, wherever it stands. The exceptions are responses and
// conversations, whose owner is recorded, and files of the team's own library,
// which Inline puts in the place of their ids.
type pointer uint8

const (
	pointerNone      pointer = iota
	pointerID                // one id: file_id
	pointerIDs               // a list of ids: file_ids, vector_store_ids
	pointerContainer         // an id, or an object with one
	pointerAudio             // an object with one: an answer heard before
)

// pointerOf tells what a name, unescaped, can point at. It folds as lookalike
// does: an upstream that reads protobuf's JSON takes fileId for file_id.
func pointerOf(name []byte) pointer {
	switch fold(string(name)) {
	case "fileid":
		return pointerID
	case "fileids", "vectorstoreids":
		return pointerIDs
	case "container":
		return pointerContainer
	case "audio":
		return pointerAudio
	}
	return pointerNone
}

// suspect leaves out, by the first and last letter, nearly every name that
// pointerOf would say no to.
func suspect(name []byte) bool {
	if len(name) < len("audio") {
		return false
	}
	switch c := name[0]; c | 0x20 {
	case 'f', 'v', 'c', 'a', '_' | 0x20, '-':
	default:
		if c < utf8.RuneSelf {
			return false
		}
	}
	switch c := name[len(name)-1]; c | 0x20 {
	case 'd', 's', 'r', 'o', '_' | 0x20, '-':
		return true
	default:
		return c >= utf8.RuneSelf
	}
}

// free reports a member whose value no provider looks for its own ids in: what
// a tool takes and was given, what a schema describes, a client's own labels.
// Tools with a parameter called file_id are common. In Messages `input` is a
// tool's argument; in Responses it is the prompt itself.
func (s *scanner) free(name []byte) bool {
	switch string(name) {
	case "input_schema", "input_examples", "parameters", "schema", "metadata":
		return true
	case "input":
		return s.toolInput
	}
	return false
}

// member scans the value of a member, refusing pointers while it watches. inner
// says that the member stands in the object of a container or an audio.
func (s *scanner) member(name []byte, escaped, inner bool, depth int) bool {
	if !s.watch {
		return s.value(depth)
	}
	if escaped {
		name = []byte(unquote(name))
	}
	if inner && len(name) == 2 && bytes.EqualFold(name, []byte("id")) && s.space() == '"' {
		return s.point(name)
	}
	if suspect(name) && !s.owned(name) {
		return false
	}
	if !s.free(name) {
		return s.value(depth)
	}
	s.watch = false
	ok := s.value(depth)
	s.watch = true
	return ok
}

// owned refuses a member that points, by its value: a schema may well have a
// property called file_id, whose value is then an object.
func (s *scanner) owned(name []byte) bool {
	kind := pointerOf(name)
	if kind == pointerNone {
		return true
	}
	switch c := s.space(); {
	case c == '"' && s.inlines && string(name) == fileMember && s.libraryFile():
		s.files++
	case c == '"' && kind != pointerAudio:
		return s.point(name)
	case c == '[' && kind == pointerIDs:
		rest := scanner{b: s.b, i: s.i + 1}
		return rest.space() == ']' || s.point(name)
	case c == '{':
		s.holds = kind == pointerContainer || kind == pointerAudio
	}
	return true
}

// point stops the scan at a pointer.
func (s *scanner) point(name []byte) bool {
	s.pointed = string(name)
	return s.fail("a pointer")
}

const pointerProblem = "this gateway cannot tell whose it is at the provider, so it is not passed on; send the content itself"

// pointsIn refuses a form's field that points, also in the brackets that some
// readers nest by: image[file_id].
func pointsIn(field string) bool {
	for piece := range strings.SplitSeq(field, "[") {
		if pointerOf([]byte(strings.TrimSuffix(piece, "]"))) != pointerNone {
			return true
		}
	}
	return false
}
