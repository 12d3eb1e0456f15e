package client

import (
	"crypto/rand"
	"fmt"
	"io"
	"strings"
)

// form is a multipart/form-data body: some parts of text, then one file, which
// is read as it is sent.
type form struct {
	boundary string
	head     strings.Builder
	file     io.Reader
}

func newForm() *form { return &form{boundary: rand.Text() + rand.Text()} }

func (f *form) contentType() string { return "multipart/form-data; boundary=" + f.boundary }

// text adds a part of text, unless it is empty.
func (f *form) text(name, value string) {
	if value != "" {
		fmt.Fprintf(&f.head, "--%s\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", f.boundary, name, value)
	}
}

// quoting is how a name stands in a header (RFC 7578, 4.2, as browsers do it).
var quoting = strings.NewReplacer("\\", "\\\\", `"`, `\"`, "\r", "%0D", "\n", "%0A")

// content ends the form with its file.
func (f *form) content(part, name, kind string, r io.Reader) {
	if kind == "" {
		kind = "application/octet-stream"
	}
	fmt.Fprintf(&f.head, "--%s\r\nContent-Disposition: form-data; name=%q; filename=\"%s\"\r\nContent-Type: %s\r\n\r\n",
		f.boundary, part, quoting.Replace(name), quoting.Replace(kind))
	f.file = r
}

func (f *form) reader() io.Reader {
	return io.MultiReader(strings.NewReader(f.head.String()), f.file, strings.NewReader("\r\n--"+f.boundary+"--\r\n"))
}
