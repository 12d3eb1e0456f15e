package extract

import (
	"encoding/xml"
	"strconv"
	"strings"
)

const odtPart = "content.xml"

// readODT emits paragraphs a line each, headings as in Markdown and cells of a
// table with tabs between them. Deleted text and annotations are left out.
func readODT(s source, e *emitter) error {
	a, err := openArchive(s)
	if err != nil {
		return err
	}
	err = a.walk("META-INF/manifest.xml", func(t xml.StartElement) error {
		if t.Name.Local == "encryption-data" {
			return fail(Encrypted, "the document is encrypted")
		}
		return nil
	}, noEnd, noText)
	if err != nil {
		return err
	}
	w := &writer{emitter: e}
	return a.walk(odtPart, w.start, w.end, w.text)
}

// writer is the state of a document's walk.
type writer struct {
	*emitter
	skip   int // elements that are open within one that is left out
	inside int // paragraphs that are open
	tables int // that are open
	cell   int // of the row
}

func (w *writer) start(t xml.StartElement) error {
	if w.skip > 0 {
		w.skip++
		return nil
	}
	switch t.Name.Local {
	case "tracked-changes", "annotation", "automatic-styles", "font-face-decls", "scripts":
		w.skip = 1
	case "p":
		w.inside++
	case "h":
		w.inside++
		n, _ := strconv.Atoi(attr(t, "outline-level"))
		return w.print(strings.Repeat("#", min(max(n, 1), 6)) + " ")
	case "table":
		w.tables++
	case "table-row":
		w.cell = 0
	case "table-cell":
		if w.cell++; w.cell > 1 {
			return w.print("\t")
		}
	case "tab":
		return w.print("\t")
	case "line-break":
		return w.print("\n")
	case "s":
		n, _ := strconv.Atoi(attr(t, "c"))
		return w.print(strings.Repeat(" ", min(max(n, 1), 100)))
	}
	return nil
}

func (w *writer) end(name string) error {
	if w.skip > 0 {
		w.skip--
		return nil
	}
	switch name {
	case "table":
		w.tables--
	case "table-row":
		return w.print("\n")
	case "p", "h":
		w.inside--
		if w.tables > 0 {
			return w.print(" ")
		}
		return w.print("\n")
	}
	return nil
}

// text keeps what stands in paragraphs; between them are line ends of the file.
func (w *writer) text(b []byte) error {
	if w.skip > 0 || w.inside == 0 {
		return nil
	}
	_, err := w.Write(b)
	return err
}
