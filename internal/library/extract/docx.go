package extract

import (
	"encoding/xml"
	"strconv"
	"strings"
)

const docxPart = "word/document.xml"

// readDOCX emits paragraphs a line each, headings as in Markdown, cells of a
// table with tabs between them, then foot- and endnotes. Deleted text of tracked
// changes, field codes and the second form of alternative content are left out.
func readDOCX(s source, e *emitter) error {
	a, err := openArchive(s)
	if err != nil {
		return err
	}
	ranks, err := headingStyles(a)
	if err != nil {
		return err
	}
	for _, part := range []string{docxPart, "word/footnotes.xml", "word/endnotes.xml"} {
		if part != docxPart && !a.has(part) {
			continue
		}
		w := &word{emitter: e, ranks: ranks}
		if err := a.walk(part, w.start, w.end, w.text); err != nil {
			return err
		}
	}
	return nil
}

// headingStyles are the styles that make a paragraph a heading, by their ids,
// with ranks from 1. Ids are words of the writer's language.
func headingStyles(a *archive) (map[string]int, error) {
	ranks, style := map[string]int{}, ""
	if !a.has("word/styles.xml") {
		return ranks, nil
	}
	return ranks, a.walk("word/styles.xml", func(t xml.StartElement) error {
		switch t.Name.Local {
		case "style":
			style = attr(t, "styleId")
		case "outlineLvl":
			if n, err := strconv.Atoi(attr(t, "val")); err == nil && n >= 0 && n < 6 && style != "" {
				ranks[style] = n + 1
			}
		}
		return nil
	}, noEnd, noText)
}

// word is the state of a document's walk.
type word struct {
	*emitter
	ranks  map[string]int
	skip   int  // elements that are open within one that is left out
	inText bool // within w:t
	begun  bool // the paragraph has text
	rank   int  // of the paragraph
	tables int  // that are open
	cell   int  // of the row
}

func (w *word) start(t xml.StartElement) error {
	if w.skip > 0 {
		w.skip++
		return nil
	}
	switch t.Name.Local {
	case "Fallback", "del", "moveFrom", "instrText", "delText":
		w.skip = 1
	case "t":
		w.inText = true
	case "pStyle":
		w.rank = w.ranks[attr(t, "val")]
	case "tbl":
		w.tables++
	case "tr":
		w.cell = 0
	case "tc":
		if w.cell++; w.cell > 1 {
			return w.print("\t")
		}
	case "tab":
		if w.begun { // else it is a tab stop
			return w.print("\t")
		}
	case "br", "cr":
		return w.print("\n")
	case "noBreakHyphen":
		return w.print("-")
	}
	return nil
}

func (w *word) end(name string) error {
	if w.skip > 0 {
		w.skip--
		return nil
	}
	switch name {
	case "t":
		w.inText = false
	case "tbl":
		w.tables--
	case "tr":
		return w.print("\n")
	case "p":
		begun := w.begun
		w.begun, w.rank = false, 0
		if w.tables > 0 {
			if begun {
				return w.print(" ")
			}
			return nil
		}
		return w.print("\n")
	}
	return nil
}

func (w *word) text(b []byte) error {
	if !w.inText || w.skip > 0 {
		return nil
	}
	if !w.begun && w.rank > 0 && w.tables == 0 {
		if err := w.print(strings.Repeat("#", w.rank) + " "); err != nil {
			return err
		}
	}
	w.begun = true
	_, err := w.Write(b)
	return err
}
