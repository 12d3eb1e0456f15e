package extract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ledongthuc/pdf"
)

// Bounds of a PDF's page tree, which may lead back to itself.
const (
	maxPages = 20000
	maxNodes = 100000
	maxTree  = 64 // nodes deep
)

// readPDF emits page after page. A page that cannot be read is left out, unless
// none can.
func readPDF(s source, e *emitter) error {
	body, size, err := framed(s)
	if err != nil {
		return err
	}
	doc, err := pdf.NewReader(body, size)
	if err != nil {
		if errors.Is(err, pdf.ErrInvalidPassword) || strings.Contains(err.Error(), "encryption") {
			return fail(Encrypted, "the document is encrypted")
		}
		return err
	}
	t := &pageTree{emitter: e}
	if err := t.walk(doc.Trailer().Key("Root").Key("Pages"), 0); err != nil {
		return err
	}
	if t.pages == e.lost && e.lost > 0 {
		if !doc.Trailer().Key("Encrypt").IsNull() { // in a way that the library takes for another
			return fail(Encrypted, "the document is encrypted")
		}
		return damaged(t.reason)
	}
	if t.pages == 0 {
		return fail(Damaged, "the document is damaged: it has no pages")
	}
	return nil
}

// pageTree walks a document's pages, which nodes of any shape hold.
type pageTree struct {
	*emitter
	nodes, pages int
	reason       error // of the last failure
}

func (t *pageTree) walk(v pdf.Value, depth int) error {
	t.nodes++
	switch {
	case t.nodes > maxNodes || depth > maxTree:
		return fail(Damaged, "the document is damaged: its pages lead to each other")
	case t.pages >= maxPages:
		return fail(TooLarge, "the document has more than %d pages", maxPages)
	}
	kids := v.Key("Kids")
	if kids.Kind() != pdf.Array {
		if v.Kind() != pdf.Dict {
			return nil
		}
		return t.page(v)
	}
	for i := range kids.Len() {
		kid, ok := t.kid(kids, i)
		if !ok {
			continue
		}
		if err := t.walk(kid, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// kid is one of a node's children; one that cannot be loaded is a failed page.
func (t *pageTree) kid(kids pdf.Value, i int) (v pdf.Value, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			t.pages++
			t.fail(p)
		}
	}()
	return kids.Index(i), true
}

func (t *pageTree) page(v pdf.Value) error {
	t.pages++
	if err := t.place(Part{Page: t.pages}); err != nil {
		return err
	}
	t.show(v)
	if t.err != nil { // the emitter's, such as too much text
		return t.err
	}
	return t.print("\n")
}

func (t *pageTree) show(v pdf.Value) {
	defer func() {
		if p := recover(); p != nil {
			t.fail(p)
		}
	}()
	newCanvas(t.emitter).page(v)
}

func (t *pageTree) fail(p any) {
	t.emitter.lost++
	t.reason = fmt.Errorf("page %d: %v", t.pages, p)
}

// framed makes of s what the library takes for a PDF: it wants version 1 in the
// first bytes and the end mark in the last hundred, and files in the world have
// version 2, and other things before and behind.
func framed(s source) (io.ReaderAt, int64, error) {
	head := make([]byte, min(s.size, 1024))
	tail := make([]byte, min(s.size, 4096))
	if _, err := s.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, 0, err
	}
	if _, err := s.ReadAt(tail, s.size-int64(len(tail))); err != nil && err != io.EOF {
		return nil, 0, err
	}
	start, end := bytes.Index(head, []byte("%PDF-")), bytes.LastIndex(tail, []byte("%%EOF"))
	if start < 0 || end < 0 {
		return nil, 0, fail(Damaged, "the document is damaged: it has no end")
	}
	size := s.size - int64(len(tail)) + int64(end+len("%%EOF")) - int64(start)
	if size < 100 {
		return nil, 0, fail(Damaged, "the document is damaged: it is too short")
	}
	return &renamed{io.NewSectionReader(s, int64(start), size)}, size, nil
}

// renamed shows a first line that the library accepts.
type renamed struct{ io.ReaderAt }

func (r *renamed) ReadAt(p []byte, at int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, at)
	if first := "%PDF-1.7\n"; at < int64(len(first)) {
		copy(p[:n], first[at:])
	}
	return n, err
}
