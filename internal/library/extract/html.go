package extract

import (
	"errors"
	"io"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	"golang.org/x/net/html/charset"
)

// maxTag is how long a tag, a comment or a stretch of text may be: the reader
// holds one at a time.
const maxTag = 8 << 20

// readHTML emits what a reader sees, headings and lists as in Markdown. It reads
// tags one after another and makes no tree, so that a large page costs nothing.
func readHTML(s source, e *emitter) error {
	r, err := charset.NewReader(s.section(), s.Type)
	if err != nil {
		return err
	}
	z := html.NewTokenizer(r)
	z.SetMaxBuf(maxTag)
	p := &htmlText{emitter: e, blank: 2}
	for {
		switch z.Next() {
		case html.ErrorToken:
			if errors.Is(z.Err(), html.ErrBufferExceeded) {
				return fail(TooLarge, "the document has a tag or text of more than %d MiB", maxTag>>20)
			}
			if !errors.Is(z.Err(), io.EOF) {
				return z.Err()
			}
			return p.line(1)
		case html.StartTagToken, html.SelfClosingTagToken:
			name, _ := z.TagName()
			err = p.start(atom.Lookup(name))
		case html.EndTagToken:
			name, _ := z.TagName()
			err = p.end(atom.Lookup(name))
		case html.TextToken:
			err = p.text(z.Text())
		}
		if err != nil {
			return err
		}
	}
}

// htmlText is the state of a page's text.
type htmlText struct {
	*emitter
	hidden atom.Atom // the element that is open and not shown
	pre    int       // elements that are open and keep white space
	blank  int       // line ends that were the last thing
	space  bool      // a space is due
	cells  int       // of the row
}

// line ends the line, with 2 it leaves one empty, with 0 it does nothing.
func (p *htmlText) line(n int) error {
	p.space = p.space && n == 0
	for ; p.blank < n; p.blank++ {
		if err := p.print("\n"); err != nil {
			return err
		}
	}
	return nil
}

func (p *htmlText) start(a atom.Atom) error {
	if p.hidden != 0 {
		return nil
	}
	switch a {
	case atom.Script, atom.Style, atom.Template, atom.Noscript, atom.Iframe, atom.Object, atom.Svg, atom.Math, atom.Select:
		p.hidden = a
	case atom.Pre, atom.Textarea:
		p.pre++
		return p.line(2)
	case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
		if err := p.line(2); err != nil {
			return err
		}
		return p.mark(strings.Repeat("#", int(a.String()[1]-'0')) + " ")
	case atom.Li:
		if err := p.line(1); err != nil {
			return err
		}
		return p.mark("- ")
	case atom.Br:
		p.blank = min(p.blank, 1)
		return p.line(p.blank + 1)
	case atom.Tr:
		p.cells = 0
		return p.line(1)
	case atom.Td, atom.Th:
		if p.cells++; p.cells > 1 {
			return p.mark("\t")
		}
	default:
		return p.line(gap(a))
	}
	return nil
}

func (p *htmlText) end(a atom.Atom) error {
	if p.hidden != 0 {
		if a == p.hidden {
			p.hidden = 0
		}
		return nil
	}
	switch a {
	case atom.Pre, atom.Textarea:
		p.pre = max(0, p.pre-1)
		return p.line(2)
	case atom.Li, atom.Tr:
		return p.line(1)
	}
	return p.line(gap(a))
}

// gap is how an element is set off from what is around it, in line ends.
func gap(a atom.Atom) int {
	switch a {
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Ul, atom.Ol, atom.Table, atom.Blockquote, atom.Title, atom.Section, atom.Article, atom.Dl, atom.Figure:
		return 2
	case atom.Div, atom.Header, atom.Footer, atom.Main, atom.Nav, atom.Aside, atom.Address, atom.Dt, atom.Dd, atom.Hr, atom.Form, atom.Fieldset, atom.Figcaption, atom.Caption, atom.Option, atom.Details, atom.Summary, atom.Body, atom.Head:
		return 1
	}
	return 0
}

// mark writes what is not of the page.
func (p *htmlText) mark(s string) error {
	p.space = false
	p.blank = 2 // no space and no further line end behind it
	return p.print(s)
}

// text writes words with one space between them, or as they are within pre.
func (p *htmlText) text(raw []byte) error {
	if p.hidden != 0 {
		return nil
	}
	s := html.UnescapeString(string(raw))
	if p.pre > 0 {
		p.blank = 0
		return p.print(s)
	}
	for len(s) > 0 {
		if n := len(s) - len(strings.TrimLeft(s, " \t\r\n\f")); n > 0 {
			p.space = p.blank == 0
			s = s[n:]
			continue
		}
		n := strings.IndexAny(s, " \t\r\n\f")
		if n < 0 {
			n = len(s)
		}
		if p.space {
			if err := p.print(" "); err != nil {
				return err
			}
		}
		p.space, p.blank = false, 0
		if err := p.print(s[:n]); err != nil {
			return err
		}
		s = s[n:]
	}
	return nil
}
