package extract

import (
	"encoding/xml"
	"path"
	"strings"
)

const pptxPart = "ppt/presentation.xml"

// maxSlides bounds what a presentation may claim to have.
const maxSlides = 5000

// readPPTX emits every slide in the order in which they are shown, with the
// speaker's notes behind it.
func readPPTX(s source, e *emitter) error {
	a, err := openArchive(s)
	if err != nil {
		return err
	}
	related, err := relations(a, pptxPart)
	if err != nil {
		return err
	}
	var slides []string
	err = a.walk(pptxPart, func(t xml.StartElement) error {
		if t.Name.Local == "sldId" {
			for _, x := range t.Attr {
				if x.Name.Local == "id" && x.Name.Space != "" {
					slides = append(slides, related[x.Value].target)
				}
			}
		}
		if len(slides) > maxSlides {
			return fail(TooLarge, "the document has more than %d slides", maxSlides)
		}
		return nil
	}, noEnd, noText)
	if err != nil {
		return err
	}
	for i, name := range slides {
		if err := e.place(Part{Slide: i + 1}); err != nil {
			return err
		}
		if err := readSlide(a, e, name); err != nil {
			return err
		}
	}
	return nil
}

// readSlide emits a slide and its notes.
func readSlide(a *archive, e *emitter, name string) error {
	if err := drawing(a, e, name); err != nil {
		return err
	}
	related, err := relations(a, name)
	if err != nil {
		return err
	}
	for _, r := range related {
		if strings.HasSuffix(r.kind, "/notesSlide") && a.has(r.target) {
			return drawing(a, e, r.target)
		}
	}
	return nil
}

// drawing emits the paragraphs of DrawingML. Fields (the slide's number, the
// date) are left out.
func drawing(a *archive, e *emitter, name string) error {
	inText, field := false, 0
	return a.walk(name, func(t xml.StartElement) error {
		switch t.Name.Local {
		case "t":
			inText = true
		case "fld":
			field++
		case "br":
			return e.print("\n")
		}
		return nil
	}, func(name string) error {
		switch name {
		case "t":
			inText = false
		case "fld":
			field--
		case "p":
			return e.print("\n")
		}
		return nil
	}, func(b []byte) error {
		if !inText || field > 0 {
			return nil
		}
		_, err := e.Write(b)
		return err
	})
}

// relation is one part that another names.
type relation struct {
	kind   string
	target string // a part's name
}

// relations are the parts that part names, by the ids it uses for them. Those
// outside the document are left out.
func relations(a *archive, part string) (map[string]relation, error) {
	dir, file := path.Split(part)
	name, out := dir+"_rels/"+file+".rels", map[string]relation{}
	if !a.has(name) {
		return out, nil
	}
	return out, a.walk(name, func(t xml.StartElement) error {
		if t.Name.Local != "Relationship" || attr(t, "TargetMode") == "External" {
			return nil
		}
		target := attr(t, "Target")
		if !strings.HasPrefix(target, "/") {
			target = path.Join("/", dir, target)
		}
		out[attr(t, "Id")] = relation{attr(t, "Type"), strings.TrimPrefix(path.Clean(target), "/")}
		return nil
	}, noEnd, noText)
}
