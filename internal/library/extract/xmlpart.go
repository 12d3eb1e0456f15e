package extract

import (
	"encoding/xml"
	"errors"
	"io"
)

// maxDepth is how deep elements may nest; office documents stay below a hundred.
const maxDepth = 512

// walk hands out the elements and text of a part of an archive. encoding/xml
// knows no document types: entities other than the five of XML are errors, so
// nothing expands and nothing is fetched. Names are without their namespaces,
// because the strict and the usual variant of a format differ in these alone.
func (a *archive) walk(name string, start func(xml.StartElement) error, end func(name string) error, text func([]byte) error) error {
	r, err := a.open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	d := xml.NewDecoder(r)
	for depth := 0; ; {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return badXML(err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			if depth++; depth > maxDepth {
				return fail(TooLarge, "the document nests deeper than %d elements", maxDepth)
			}
			err = start(t)
		case xml.EndElement:
			depth--
			err = end(t.Name.Local)
		case xml.CharData:
			err = text(t)
		}
		if err != nil {
			return err
		}
	}
}

// badXML keeps the bounds that a reader below may have met.
func badXML(err error) error {
	if ClassOf(err) != "" {
		return err
	}
	return damaged(err)
}

// attr is the value of an attribute, or empty.
func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func noStart(xml.StartElement) error { return nil }
func noEnd(string) error             { return nil }
func noText([]byte) error            { return nil }
