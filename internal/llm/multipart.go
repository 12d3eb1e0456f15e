package llm

import (
	"bytes"
	"mime"
	"strings"
	"unicode/utf8"

	"gatehouse"
)

const (
	maxParts  = 64       // the richest known form has about twenty
	maxField  = 64 << 10 // bytes of one field that is not a file: a prompt
	maxHeader = 2 << 10  // bytes of one part's header
)

// form reads multipart/form-data strictly: no preamble, no epilogue, CRLF
// alone, no transfer encodings. mime/multipart is not used because it forgives
// all of these, each a way to show two readers two models, and because it does
// not tell where a value stands.
type form struct {
	rest  []byte // after the last delimiter
	delim []byte // CRLF "--" boundary
	at    int    // where rest stands in the body
}

// part is one part of a form.
type part struct {
	name  string
	file  bool
	value []byte
	at    int // where value stands in the body
}

// scanForm admits a multipart body.
func scanForm(r *Route, boundary string, body []byte) (Body, error) {
	b := Body{N: 1, Store: true, raw: true}
	if boundary == "" || len(boundary) > 70 {
		return Body{}, unsupported(r)
	}
	f := form{delim: []byte("\r\n--" + boundary)}
	if !bytes.HasPrefix(body, f.delim[2:]) {
		return Body{}, badForm("it does not begin with its boundary")
	}
	f.advance(body, len(f.delim)-2)
	var names roster
	for range maxParts {
		p, more, err := f.next()
		if err != nil {
			return Body{}, err
		}
		if !more {
			return b, b.complete(r)
		}
		if err := b.takePart(&p, &names); err != nil {
			return Body{}, err
		}
	}
	return Body{}, badForm("it has more than 64 parts")
}

func badForm(what string) error {
	return gatehouse.Errorf(gatehouse.InvalidArgument, "the form is malformed: %s", what)
}

func (f *form) advance(from []byte, n int) {
	f.rest = from[n:]
	f.at += n
}

// next reads one part; more is false at the closing delimiter.
func (f *form) next() (p part, more bool, err error) {
	if tail, ok := bytes.CutPrefix(f.rest, []byte("--")); ok {
		if len(tail) != 0 && string(tail) != "\r\n" {
			return p, false, badForm("bytes after its closing boundary")
		}
		return p, false, nil
	}
	if !bytes.HasPrefix(f.rest, []byte("\r\n")) {
		return p, false, badForm("it ends early or a boundary is not on a line of its own")
	}
	f.advance(f.rest, 2)
	n := bytes.Index(f.rest[:min(len(f.rest), maxHeader)], []byte("\r\n\r\n"))
	if n < 0 {
		return p, false, badForm("a part's header is missing or too long")
	}
	if p, err = partHeader(string(f.rest[:n])); err != nil {
		return p, false, err
	}
	f.advance(f.rest, n+4)
	if bytes.HasPrefix(f.rest, f.delim[2:]) {
		// The line end of the header may count as the boundary's: others read an
		// empty part here, and another one behind it.
		return p, false, badForm("a boundary where a part's value should begin")
	}
	if n = bytes.Index(f.rest, f.delim); n < 0 {
		return p, false, badForm("it ends early")
	}
	p.value, p.at = f.rest[:n], f.at
	f.advance(f.rest, n+len(f.delim))
	return p, true, nil
}

// partHeader reads the header of a part: a disposition, perhaps a type.
func partHeader(header string) (p part, err error) {
	disposed := false
	for line := range strings.SplitSeq(header, "\r\n") {
		key, value, ok := strings.Cut(line, ":")
		if !ok || strings.ContainsAny(line, "\r\n\x00") {
			return p, badForm("a part's header line is malformed")
		}
		switch strings.ToLower(key) {
		case "content-disposition":
			if disposed {
				return p, badForm("a part has two dispositions")
			}
			disposed = true
			if err := p.disposition(strings.TrimSpace(value)); err != nil {
				return p, err
			}
		case "content-type", "content-length":
		default:
			return p, badForm("a part has the header " + clip(key))
		}
	}
	if p.name == "" {
		return p, badForm("a part has no name")
	}
	return p, nil
}

// disposition reads form-data; name="…"; filename="…", in just this spelling
// since every known client writes it so. Encoded names are refused: not every
// reader decodes them.
func (p *part) disposition(value string) error {
	kind, params, err := mime.ParseMediaType(value)
	lower := strings.ToLower(value)
	if err != nil || kind != "form-data" || !strings.HasPrefix(value, `form-data; name="`) || nameStarred(lower) {
		return badForm("a part's disposition is not form-data with a plain name")
	}
	p.name = params["name"]
	_, p.file = params["filename"]
	if strings.ContainsFunc(p.name, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == '%' }) {
		return badForm("a part's name holds a character that needs escaping")
	}
	return nil
}

// nameStarred finds name*= but not filename*=, which only labels a file.
func nameStarred(lower string) bool {
	return strings.Contains(strings.ReplaceAll(lower, "filename*", ""), "name*")
}

// takePart judges one part. Files pass unread; lists (image[]) may repeat.
func (b *Body) takePart(p *part, names *roster) error {
	if !strings.HasSuffix(p.name, "[]") && (!p.file || memberOf([]byte(p.name)) != memberOther) {
		if problem := names.add([]byte(p.name)); problem != "" {
			return refuse(p.name, problem)
		}
	}
	m := memberOf([]byte(p.name))
	switch exact := lookalike([]byte(p.name)); {
	case m == memberOther && exact != "":
		return refuse(p.name, "did you mean "+exact+"? Fields are case-sensitive")
	case p.file && m != memberOther:
		return refuse(p.name, "must be a field, not a file")
	case !p.file && pointsIn(p.name):
		return refuse(p.name, pointerProblem)
	case p.file:
		b.blobs++
		if p.name == "image" || p.name == "image[]" {
			b.PromptImages++
		}
		return nil
	case len(p.value) > maxField:
		return refuse(p.name, "at most 65536 bytes")
	case !utf8.Valid(p.value):
		return refuse(p.name, "is not valid UTF-8")
	}
	return b.takeField(m, p)
}

// takeField judges a field that is not a file.
func (b *Body) takeField(m member, p *part) error {
	value := string(p.value)
	switch m {
	case memberModel:
		if value == "" || len(value) > gatehouse.MaxModelName {
			return refuse("model", "must name a model in at most 256 bytes")
		}
		b.Model, b.model = value, span{p.at, p.at + len(value)}
		return nil
	case memberOther:
		if p.name == "response_format" {
			b.ResponseFormat = value
		}
		b.Text += int64(len(value))
		return nil
	case memberUser, memberTier, memberCacheKey, memberPrevious:
		return b.takeScalar(m, appendString(nil, value))
	case memberStreamOptions, memberConversation:
		return refuse(p.name, "has no meaning in a form")
	}
	return b.takeScalar(m, []byte(value))
}
