package library

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/library"
)

// maxField bounds a field of the form that is not the file.
const maxField = 1 << 10

// The fields of an upload. OpenAI's SDKs and curl write the life in brackets.
const (
	fieldFile    = "file"
	fieldPurpose = "purpose" // taken and ignored, as xAI does
	fieldLife    = "expires_after"
	fieldAnchor  = "expires_after[anchor]"
	fieldSeconds = "expires_after[seconds]"
)

// upload is read as it comes: nothing of the file is kept here. What stands
// before the file is judged before a byte of it is read, and what stands behind
// it before the library is told that it has ended, so that a form that is wrong
// anywhere leaves no file.
func (f *face) upload(w http.ResponseWriter, r *http.Request, who library.Asker) error {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "Content-Type must be multipart/form-data with a boundary.")
	}
	body := &ending{from: r.Body, want: "--" + params["boundary"] + "--"}
	form := &form{body: body, parts: multipart.NewReader(body, params["boundary"]), seen: map[string]bool{}}
	file, err := form.toFile()
	if err != nil {
		return err
	}
	new := gatehouse.NewFile{Name: file.FileName(), ContentType: file.Header.Get("Content-Type"), Content: &content{form: form, part: file}}
	if new.ContentType == "application/octet-stream" {
		new.ContentType = "" // what is written by who does not know: what it is, is looked at
	}
	if new.Life, err = form.fileLife(); err != nil {
		return err
	}
	if new.Name == "" {
		return gatehouse.Violations{{Field: fieldFile, Problem: "needs a filename"}}.Err()
	}
	got, err := f.Library.UploadFile(r.Context(), who, new)
	return single(w, got, err)
}

// form is an upload's, as far as it was read.
type form struct {
	body   *ending
	parts  *multipart.Reader
	seen   map[string]bool
	life   string // seconds
	anchor string
}

// toFile reads the fields up to the file.
func (f *form) toFile() (*multipart.Part, error) {
	for {
		p, err := f.next()
		switch {
		case err == io.EOF:
			return nil, gatehouse.Violations{{Field: fieldFile, Problem: "is required"}}.Err()
		case err != nil:
			return nil, err
		case p.FormName() == fieldFile:
			return p, nil
		}
		if err := f.field(p); err != nil {
			return nil, err
		}
	}
}

// next is the next part of a known name that was not there before.
func (f *form) next() (*multipart.Part, error) {
	p, err := f.parts.NextRawPart()
	if err != nil {
		return nil, malformed(err)
	}
	name := p.FormName()
	switch name {
	case fieldFile, fieldPurpose, fieldLife, fieldAnchor, fieldSeconds:
	default:
		return nil, gatehouse.Violations{{Field: clip(name), Problem: "is not known; leave it out"}}.Err()
	}
	if f.seen[name] {
		return nil, gatehouse.Violations{{Field: name, Problem: "appears twice: send it once"}}.Err()
	}
	switch strings.ToLower(p.Header.Get("Content-Transfer-Encoding")) {
	case "base64", "quoted-printable": // RFC 7578 has none, and what is sent would be kept as it is
		return nil, gatehouse.Violations{{Field: name, Problem: "has a Content-Transfer-Encoding: send the part as it is"}}.Err()
	}
	f.seen[name] = true
	return p, nil
}

// malformed is an error of the form's reader; its end is [io.EOF].
func malformed(err error) error {
	var large *http.MaxBytesError
	switch {
	case err == io.EOF:
		return io.EOF
	case errors.As(err, &large), errors.Is(err, io.ErrUnexpectedEOF):
		return unread(err)
	}
	return gatehouse.Errorf(gatehouse.InvalidArgument, "The form is malformed or ended early.").Because(err)
}

// field takes a part that is not the file.
func (f *form) field(p *multipart.Part) error {
	value, err := io.ReadAll(io.LimitReader(p, maxField+1))
	switch {
	case err != nil:
		return malformed(err)
	case len(value) > maxField:
		return gatehouse.Violations{{Field: p.FormName(), Problem: "is at most 1024 bytes"}}.Err()
	}
	switch p.FormName() {
	case fieldLife, fieldSeconds:
		if f.life != "" {
			return gatehouse.Violations{{Field: fieldLife, Problem: "appears twice: send it once"}}.Err()
		}
		f.life = string(value)
	case fieldAnchor:
		f.anchor = string(value)
	}
	return nil
}

// fileLife is how long the file lives, by the fields before it.
func (f *form) fileLife() (time.Duration, error) {
	switch {
	case f.anchor != "" && f.anchor != "created_at":
		return 0, gatehouse.Violations{{Field: fieldAnchor, Problem: "is created_at"}}.Err()
	case f.anchor != "" && !f.seen[fieldSeconds]:
		return 0, gatehouse.Violations{{Field: fieldSeconds, Problem: "is required beside " + fieldAnchor}}.Err()
	case !f.seen[fieldLife] && !f.seen[fieldSeconds]:
		return 0, nil
	}
	seconds, err := strconv.ParseInt(f.life, 10, 64)
	if err != nil {
		seconds = 0 // which is refused by its bounds
	}
	return life(fieldLife, seconds)
}

// content is the file's bytes. It ends only when the whole form has.
type content struct {
	form *form
	part *multipart.Part
	err  error
}

// Read implements [io.Reader]. Its errors are of this product.
func (c *content) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.part.Read(p)
	switch {
	case err == io.EOF:
		c.err = c.rest()
	case err != nil:
		c.err = malformed(err)
	}
	if n > 0 {
		return n, nil
	}
	return 0, c.err
}

// rest reads what stands behind the file: a purpose at most.
func (c *content) rest() error {
	for {
		p, err := c.form.next()
		if err == io.EOF {
			return c.form.body.whole()
		}
		if err != nil {
			return err
		}
		if name := p.FormName(); name != fieldPurpose {
			return gatehouse.Violations{{Field: name, Problem: "must stand before the file"}}.Err()
		}
		if err := c.form.field(p); err != nil {
			return err
		}
	}
}

// ending remembers the end of a body: the form's reader takes one that is cut
// behind a boundary for whole.
type ending struct {
	from io.Reader
	want string // the closing boundary
	last []byte
}

// Read implements [io.Reader].
func (e *ending) Read(p []byte) (int, error) {
	n, err := e.from.Read(p)
	most := len(e.want) + 2
	e.last = append(e.last, p[max(0, n-most):n]...)
	if extra := len(e.last) - most; extra > 0 {
		e.last = append(e.last[:0], e.last[extra:]...)
	}
	return n, err
}

// whole reads what is left, and is [io.EOF] when the closing boundary is the last
// that came.
func (e *ending) whole() error {
	if _, err := io.Copy(io.Discard, e); err != nil {
		return malformed(err)
	}
	if bytes.HasSuffix(bytes.TrimRight(e.last, "\r\n"), []byte(e.want)) {
		return io.EOF
	}
	return malformed(io.ErrUnexpectedEOF)
}
