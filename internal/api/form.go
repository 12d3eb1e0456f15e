package api

import (
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"gatehouse"
)

// Upload is the form (multipart/form-data, RFC 7578) that a Plain takes: one
// file, and parts of text before or after it.
type Upload struct {
	File  []string          // the names that the file's part may have
	Parts []string          // of text; each at most once
	Max   int64             // bytes of the file
	About map[string]string // what each part means, for the document
}

// maxPart bounds a part of text, in bytes. All that is beside the file has as
// much as any other body.
const maxPart = 64 << 10

// Form is an upload that has arrived whole. Its file is on disk until Close, for
// what comes after it may decide what it is.
type Form struct {
	Name        string // the file's, as its part says; may be empty
	ContentType string // likewise
	Content     io.Reader
	Parts       map[string]string
	file        *os.File
	sum         []byte // SHA-256 of the file
}

// Close lets the file go. A nil Form has none.
func (f *Form) Close() {
	if f == nil || f.file == nil {
		return
	}
	_ = f.file.Close()
	_ = os.Remove(f.file.Name()) // it is gone already, but on Windows
}

// digest is what an Idempotency-Key is bound to.
func (f *Form) digest() []byte {
	if f == nil {
		return nil
	}
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(f.Parts)) {
		h.Write(appendString(appendString(nil, name), f.Parts[name]))
	}
	h.Write(appendString(appendString(nil, f.Name), f.ContentType))
	return h.Sum(f.sum)
}

// form reads the form that up describes.
func (s *Server) form(w http.ResponseWriter, r *http.Request, up *Upload) (*Form, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	longest := up.Max + maxBody
	switch {
	case err != nil || kind != formKind || params["boundary"] == "":
		return nil, refuse(http.StatusUnsupportedMediaType, "Content-Type must be multipart/form-data, with the file in a part named %s", up.File[0])
	case compressed(r.Header):
		return nil, refuse(http.StatusUnsupportedMediaType, "Content-Encoding: send the body as it is, uncompressed")
	case r.ContentLength > longest:
		return nil, tooLarge("body", longest)
	}
	in := &formReader{up: up, spool: s.Spool, Form: &Form{Parts: map[string]string{}}}
	body := http.MaxBytesReader(w, r.Body, longest)
	err = in.all(multipart.NewReader(body, params["boundary"]))
	if err == nil { // what is left would keep the server from answering, and nothing would bound it
		if _, broken := io.Copy(io.Discard, body); broken != nil {
			err = cutShort(broken)
		}
	}
	if err == nil && in.file == nil {
		err = gatehouse.Violations{{Field: up.File[0], Problem: "is required: the part that is the file"}}.Err()
	}
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		err = tooLarge("body", longest)
	}
	if err != nil {
		w.Header().Set("Connection", "close") // rather than wait for the rest
		in.Close()
		return nil, err
	}
	return in.Form, nil
}

func tooLarge(what string, most int64) error {
	return refuse(http.StatusRequestEntityTooLarge, "%s: larger than %d bytes", what, most)
}

// cutShort is a form that the client did not send to its end, or that is none.
func cutShort(err error) error {
	return gatehouse.Errorf(gatehouse.InvalidArgument, "body: the form ended early, came too slowly or is malformed").Because(err)
}

// formReader fills a Form.
type formReader struct {
	*Form
	up    *Upload
	spool string
}

func (f *formReader) all(parts *multipart.Reader) error {
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF { // itself: wrapped it is an end that came early
			return nil
		}
		if err != nil {
			return cutShort(err)
		}
		if err := f.part(p); err != nil {
			return err
		}
	}
}

func (f *formReader) part(p *multipart.Part) error {
	var bad gatehouse.Violations
	name := p.FormName()
	_, twice := f.Parts[name]
	isFile := slices.Contains(f.up.File, name)
	switch encoding := strings.ToLower(p.Header.Get("Content-Transfer-Encoding")); {
	case !isFile && !slices.Contains(f.up.Parts, name):
		bad.Addf(orBody(clip(strings.ToValidUTF8(name, "?"))), "unknown part")
	case twice || isFile && f.file != nil:
		bad.Addf(name, "given twice")
	case !utf8.ValidString(p.FileName() + p.Header.Get("Content-Type")):
		bad.Addf(name, "the headers of the part must be valid UTF-8")
	case encoding == "base64" || encoding == "quoted-printable":
		bad.Addf(name, "Content-Transfer-Encoding: send the part as it is")
	case isFile:
		return f.keep(p)
	default:
		return f.text(p, name)
	}
	return bad.Err()
}

func (f *formReader) text(p *multipart.Part, name string) error {
	text, err := io.ReadAll(io.LimitReader(p, maxPart+1))
	var bad gatehouse.Violations
	switch {
	case err != nil:
		return cutShort(err)
	case len(text) > maxPart:
		bad.Addf(name, "has more than %d bytes", maxPart)
	case !utf8.Valid(text):
		bad.Addf(name, "must be valid UTF-8")
	}
	f.Parts[name] = string(text)
	return bad.Err()
}

// keep puts the file on disk. It has no name there once it is open, so that
// nothing stays behind a crash.
func (f *formReader) keep(p *multipart.Part) (err error) {
	f.Form.Name, f.ContentType = p.FileName(), p.Header.Get("Content-Type")
	if f.file, err = os.CreateTemp(f.spool, "upload-*"); err != nil {
		return unkept(err)
	}
	_ = os.Remove(f.file.Name())
	in, sum := &source{Reader: io.LimitReader(p, f.up.Max+1)}, sha256.New()
	n, err := io.Copy(io.MultiWriter(f.file, sum), in)
	switch {
	case in.err != nil:
		return cutShort(in.err)
	case err != nil:
		return unkept(err)
	case n > f.up.Max:
		return tooLarge(p.FormName(), f.up.Max)
	}
	f.Content, f.sum = f.file, sum.Sum(nil)
	if _, err := f.file.Seek(0, io.SeekStart); err != nil {
		return unkept(err)
	}
	return nil
}

func unkept(err error) error {
	return gatehouse.Errorf(gatehouse.Unavailable, "the upload could not be kept").Because(err)
}

// source remembers whether it was reading that failed, not writing.
type source struct {
	io.Reader
	err error
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
