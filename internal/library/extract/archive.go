package extract

import (
	"archive/zip"
	"errors"
	"io"
	"io/fs"
	"strings"
)

// archive is a ZIP whose parts are read by name, one after another, within
// bounds. Names are looked up and never become paths, and an archive in an
// archive is a part that nobody asks for.
type archive struct {
	parts    map[string]*zip.File
	limits   Limits
	inflated int64
	packed   int64 // of the parts that were opened
}

func openArchive(s source) (*archive, error) {
	z, err := zip.NewReader(s, s.size)
	if err != nil {
		return nil, fail(Damaged, "the document is damaged: its archive cannot be read")
	}
	if len(z.File) > s.Limits.Entries {
		return nil, fail(TooLarge, "the document has more than %d parts", s.Limits.Entries)
	}
	a := &archive{parts: make(map[string]*zip.File, len(z.File)), limits: s.Limits}
	for _, f := range z.File {
		if _, twice := a.parts[f.Name]; twice {
			return nil, fail(Damaged, "the document is damaged: a part is there twice")
		}
		a.parts[f.Name] = f
	}
	return a, nil
}

// has reports whether there is a part of that name.
func (a *archive) has(name string) bool { return a.parts[name] != nil }

// open opens a part.
func (a *archive) open(name string) (io.ReadCloser, error) {
	f := a.parts[name]
	switch {
	case f == nil:
		return nil, fail(Damaged, "the document is damaged: it lacks a part")
	case f.Flags&1 != 0:
		return nil, fail(Encrypted, "the document is encrypted")
	case f.Mode()&fs.ModeType != 0:
		return nil, fail(Damaged, "the document is damaged: a part is no file")
	}
	r, err := f.Open()
	if err != nil {
		return nil, fail(Damaged, "the document is damaged: a part is packed in an unknown way")
	}
	a.packed += int64(f.CompressedSize64)
	return &inflating{r, a}, nil
}

// inflating counts what comes out of a part.
type inflating struct {
	io.ReadCloser
	archive *archive
}

// unpackedFreely is how much may be unpacked whatever the ratio: small
// documents are full of repetition.
const unpackedFreely = 16 << 20

func (r *inflating) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	a := r.archive
	a.inflated += int64(n)
	switch {
	case a.inflated > a.limits.Inflated:
		return 0, fail(TooLarge, "the document unpacks to more than %d MiB", a.limits.Inflated>>20)
	case a.inflated > unpackedFreely && a.inflated > a.limits.Ratio*a.packed:
		return 0, fail(TooLarge, "the document unpacks to more than %d times its size", a.limits.Ratio)
	case err != nil && !errors.Is(err, io.EOF):
		return n, fail(Damaged, "the document is damaged: a part is cut or changed")
	}
	return n, err
}

// sniffArchive tells office documents from other archives by their parts.
func sniffArchive(s source) (Kind, string, error) {
	a, err := openArchive(s)
	if err != nil {
		return "", "", err
	}
	const office = "application/vnd.openxmlformats-officedocument."
	switch {
	case a.has(docxPart):
		return DOCX, office + "wordprocessingml.document", nil
	case a.has(pptxPart):
		return PPTX, office + "presentationml.presentation", nil
	case a.has(xlsxPart):
		return XLSX, office + "spreadsheetml.sheet", nil
	case a.has(odtPart) && a.has("META-INF/manifest.xml"):
		return ODT, "application/vnd.oasis.opendocument.text", nil
	}
	for name := range a.parts {
		if strings.HasSuffix(name, ".bin") && strings.HasPrefix(name, "xl/") {
			return "", "", fail(Unsupported, "binary workbooks are not read: save it as XLSX")
		}
	}
	return "", "", fail(Unsupported, "archives are not opened: upload the documents in it")
}
