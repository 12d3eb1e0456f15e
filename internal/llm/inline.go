package llm

import (
	"bytes"
	"encoding/base64"
	"strings"

	"gatehouse"
)

// fileMember is the only spelling in which a body names a file of the library.
const fileMember = "file_id"

// IsLibraryFile reports whether an id is one that our library hands out, by its
// form: no provider's files have a UUID behind the prefix.
func IsLibraryFile(id string) bool {
	if len(id) != len("file_")+36 || id[:5] != "file_" && id[:5] != "file-" {
		return false
	}
	_, err := gatehouse.ParseID(id)
	return err == nil
}

// libraryFile looks whether the string that comes next is such an id.
func (s *scanner) libraryFile() bool {
	v := s.b[s.i+1:]
	const n = len("file_") + 36
	return len(v) > n && v[n] == '"' && IsLibraryFile(string(v[:n]))
}

// Inlined is what is put in the place of a file's id.
type Inlined struct {
	Name string
	Type string // of an image; empty: Data is text
	Data []byte
}

// maxPartDepth is as deep as a part of a prompt stands: messages, one of them, its
// content, a tool's result in it, its content, the part; with room. Below that
// nothing is looked for, and Scan refuses the id.
const maxPartDepth = 16

// Inline puts files of the library in the place of their ids, where a prompt may
// hold a file: an image as data, everything else as text under its name. fetch
// is asked for each, in the order of the body, and its error ends it.
//
// It finds no more than it knows. What it left is for Scan to refuse, of the
// result and with a Route that does not inline: only what passes that is
// forwarded.
func Inline(r *Route, body []byte, fetch func(id string) (Inlined, error)) ([]byte, error) {
	in := inliner{family: r.Family, body: body, fetch: fetch}
	if err := in.value(body[max(0, bytes.IndexByte(body, '{')):], 0); err != nil {
		return nil, err
	}
	size := len(body)
	for i := range in.edits {
		size += len(in.edits[i].with)
	}
	e := editor{src: body, out: make([]byte, 0, size)}
	for _, edit := range in.edits {
		e.copyTo(edit.from)
		e.out = append(e.out, edit.with...)
		e.at = edit.to
	}
	e.copyTo(len(body))
	return e.out, nil
}

type inliner struct {
	family gatehouse.Family
	body   []byte
	fetch  func(id string) (Inlined, error)
	edits  []edit
}

// edit is a part in the place of another.
type edit struct {
	span
	with []byte
}

// value looks for parts in v and below. What tools take and were given is
// nobody's prompt, as in the scan.
func (in *inliner) value(v []byte, depth int) error {
	if depth > maxPartDepth || len(v) == 0 || !bytes.Contains(v, []byte(fileMember)) {
		return nil
	}
	switch v[0] {
	case '[':
		l := elementsOf(v)
		for e := l.next(); e != nil; e = l.next() {
			if err := in.value(e, depth+1); err != nil {
				return err
			}
		}
	case '{':
		if p := in.part(v); p != nil {
			return in.replace(v, p)
		}
		s := scanner{toolInput: in.family == gatehouse.FamilyMessages}
		w := walk(v)
		for name, e := w.next(); name != nil; name, e = w.next() {
			if s.free([]byte(unquote(name))) { // as the scan reads it, which has counted
				continue
			}
			if err := in.value(e, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// filePart is a part of a prompt that names a file.
type filePart struct {
	id     string
	image  bool   // nothing else will do
	name   string // that the client gives it
	detail []byte // of an image
	cache  []byte // cache_control
	other  string // a member that has no place in what replaces the part
}

// shapes are how the families write such a part: its type, and the member that
// holds the id, which is an object's except in Responses.
var shapes = map[gatehouse.Family]map[string]struct {
	holder string
	image  bool
}{
	gatehouse.FamilyChat:      {"file": {"file", false}, "image_url": {"image_url", true}},
	gatehouse.FamilyResponses: {"input_file": {"", false}, "input_image": {"", true}},
	gatehouse.FamilyMessages:  {"document": {"source", false}, "image": {"source", true}},
}

// part is what v says, if it is such a part.
func (in *inliner) part(v []byte) *filePart {
	shape, ok := shapes[in.family][text(memberOfObject(v, "type"))]
	if !ok {
		return nil
	}
	p := &filePart{image: shape.image}
	w := walk(v)
	for name, e := w.next(); name != nil; name, e = w.next() {
		switch {
		case string(name) == "type":
		case string(name) == "cache_control":
			p.cache = e
		case shape.holder != "" && string(name) == shape.holder:
			inner := walk(e)
			for name, e := inner.next(); name != nil; name, e = inner.next() {
				p.take(string(name), e)
			}
		default:
			p.take(string(name), e)
		}
	}
	if !IsLibraryFile(p.id) {
		return nil
	}
	return p
}

// memberOfObject is the value of a member; nil when there is none.
func memberOfObject(v []byte, want string) []byte {
	w := walk(v)
	for name, e := w.next(); name != nil; name, e = w.next() {
		if string(name) == want {
			return e
		}
	}
	return nil
}

// take takes a member that says something of the file.
func (p *filePart) take(name string, v []byte) {
	switch {
	case name == fileMember:
		p.id = text(v)
	case name == "type" && isText(v, "file"): // of a source
	case (name == "filename" || name == "title") && !p.image:
		p.name = text(v)
	case name == "detail" && p.image:
		p.detail = v
	case string(v) == "null":
	default:
		p.other = name
	}
}

func (in *inliner) replace(v []byte, p *filePart) error {
	if p.other != "" {
		return refuse(p.other, "has no place beside a file of the library, which is sent as "+
			"an image or as text; leave it out")
	}
	f, err := in.fetch(p.id)
	if err != nil {
		return err
	}
	if p.image && f.Type == "" {
		return refuse(fileMember, p.id+" is no image that models see (PNG, JPEG, GIF or WebP)")
	}
	if p.name != "" {
		f.Name = p.name
	}
	// Every value is cut from body up to the same end, so that capacities tell
	// where it begins.
	from := cap(in.body) - cap(v)
	in.edits = append(in.edits, edit{span{from, from + len(v)}, p.written(in.family, &f)})
	return nil
}

// written is the part that replaces p, in the family's words.
func (p *filePart) written(family gatehouse.Family, f *Inlined) []byte {
	b := make([]byte, 0, len(f.Data)*4/3+256)
	if f.Type == "" {
		kind := "text"
		if family == gatehouse.FamilyResponses {
			kind = "input_text"
		}
		b = append(b, `{"type":"`+kind+`","text":`...)
		var whole strings.Builder
		whole.Grow(len(f.Data) + len(f.Name) + 16)
		whole.WriteString("File: " + f.Name + "\n\n")
		whole.Write(f.Data)
		return p.closed(appendString(b, whole.String()))
	}
	switch family {
	case gatehouse.FamilyMessages:
		b = append(b, `{"type":"image","source":{"type":"base64","media_type":"`+f.Type+`","data":"`...)
		b = append(base64.StdEncoding.AppendEncode(b, f.Data), `"}`...)
	case gatehouse.FamilyResponses:
		b = append(b, `{"type":"input_image","image_url":"data:`+f.Type+`;base64,`...)
		b = p.detailed(append(base64.StdEncoding.AppendEncode(b, f.Data), '"'))
	default:
		b = append(b, `{"type":"image_url","image_url":{"url":"data:`+f.Type+`;base64,`...)
		b = append(p.detailed(append(base64.StdEncoding.AppendEncode(b, f.Data), '"')), '}')
	}
	return p.closed(b)
}

func (p *filePart) detailed(b []byte) []byte {
	if p.detail == nil {
		return b
	}
	return append(append(b, `,"detail":`...), p.detail...)
}

// closed ends the part, with what stays as it was.
func (p *filePart) closed(b []byte) []byte {
	if p.cache != nil {
		b = append(append(b, `,"cache_control":`...), p.cache...)
	}
	return append(b, '}')
}
