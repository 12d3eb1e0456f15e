package extract

import (
	"bytes"
	"math"

	"github.com/ledongthuc/pdf"
)

// maxForms is how deep forms may be drawn within forms, which may be the same.
const maxForms = 8

// canvas follows a page's operators as far as they place text.
type canvas struct {
	*emitter
	fonts map[string]*font // of the resources in use
	forms int              // that are being drawn
	drawn int              // forms of the page

	g     graphics
	saved []graphics
	line  matrix // where the line began
	at    matrix // where the next glyph goes

	begun  bool
	x, y   float64 // where the last glyph ended
	height float64 // of it
}

// graphics are what q and Q save and restore.
type graphics struct {
	ctm                              matrix
	font                             *font
	size, chars, words, scale, leads float64
	rise                             float64
}

// matrix is an affine one: x' = a·x + c·y + e, y' = b·x + d·y + f.
type matrix struct{ a, b, c, d, e, f float64 }

func (m matrix) times(n matrix) matrix {
	return matrix{m.a*n.a + m.b*n.c, m.a*n.b + m.b*n.d, m.c*n.a + m.d*n.c, m.c*n.b + m.d*n.d,
		m.e*n.a + m.f*n.c + n.e, m.e*n.b + m.f*n.d + n.f}
}

func moved(x, y float64) matrix { return matrix{1, 0, 0, 1, x, y} }

func newCanvas(e *emitter) *canvas {
	same := moved(0, 0)
	return &canvas{emitter: e, g: graphics{ctm: same, scale: 1}, line: same, at: same}
}

// page shows what stands on a page.
func (c *canvas) page(v pdf.Value) {
	c.draw(v.Key("Contents"), inherited(v, "Resources"))
}

// inherited is a member of a page or of a node above it.
func inherited(v pdf.Value, name string) pdf.Value {
	for range maxTree {
		if x := v.Key(name); !x.IsNull() || v.IsNull() {
			return x
		}
		v = v.Key("Parent")
	}
	return pdf.Value{}
}

// draw follows one stream of operators with its resources.
func (c *canvas) draw(stream, resources pdf.Value) {
	outer := c.fonts
	c.fonts = map[string]*font{}
	defer func() { c.fonts = outer }()
	follow(contents(stream), func(op string, args []operand) {
		if c.err == nil && !c.state(op, args) && !c.position(op, args) {
			c.show(op, args, resources)
		}
	})
}

// number is an operand, 0 where there is none.
func number(args []operand, i int) float64 {
	if i >= len(args) {
		return 0
	}
	return args[i].number
}

func numbers(args []operand) matrix {
	return matrix{number(args, 0), number(args, 1), number(args, 2), number(args, 3), number(args, 4), number(args, 5)}
}

// state follows the operators that set something.
func (c *canvas) state(op string, args []operand) bool {
	switch op {
	case "q":
		if len(c.saved) < 1000 {
			c.saved = append(c.saved, c.g)
		}
	case "Q":
		if n := len(c.saved); n > 0 {
			c.g, c.saved = c.saved[n-1], c.saved[:n-1]
		}
	case "cm":
		c.g.ctm = numbers(args).times(c.g.ctm)
	case "Tc":
		c.g.chars = number(args, 0)
	case "Tw":
		c.g.words = number(args, 0)
	case "Tz":
		c.g.scale = number(args, 0) / 100
	case "TL":
		c.g.leads = number(args, 0)
	case "Ts":
		c.g.rise = number(args, 0)
	default:
		return false
	}
	return true
}

// position follows the operators that say where text goes.
func (c *canvas) position(op string, args []operand) bool {
	switch op {
	case "BT":
		c.line = moved(0, 0)
	case "Td":
		c.line = moved(number(args, 0), number(args, 1)).times(c.line)
	case "TD":
		c.g.leads = -number(args, 1)
		c.line = moved(number(args, 0), number(args, 1)).times(c.line)
	case "Tm":
		c.line = numbers(args)
	case "T*":
		c.line = moved(0, -c.g.leads).times(c.line)
	default:
		return false
	}
	c.at = c.line
	return true
}

// show follows the operators that draw.
func (c *canvas) show(op string, args []operand, resources pdf.Value) {
	switch {
	case op == "Tf" && len(args) == 2:
		c.g.font, c.g.size = c.fontOf(args[0].text, resources), number(args, 1)
	case op == "Tj" && len(args) == 1:
		c.text(args[0].text)
	case op == "'" && len(args) == 1, op == "\"" && len(args) == 3:
		if len(args) == 3 {
			c.g.words, c.g.chars = number(args, 0), number(args, 1)
		}
		c.position("T*", nil)
		c.text(args[len(args)-1].text)
	case op == "TJ" && len(args) == 1:
		for _, x := range args[0].list {
			if x.isText {
				c.text(x.text)
			} else {
				c.at = moved(-x.number/1000*c.g.size*c.g.scale, 0).times(c.at)
			}
		}
	case op == "Do" && len(args) == 1:
		c.form(resources.Key("XObject").Key(args[0].text), resources)
	}
}

// form draws a form, which is a page within a page.
func (c *canvas) form(v, resources pdf.Value) {
	if v.Key("Subtype").Name() != "Form" || c.forms >= maxForms || c.drawn >= 1000 {
		return
	}
	if own := v.Key("Resources"); !own.IsNull() {
		resources = own
	}
	c.forms++
	c.drawn++
	g, saved, line, at := c.g, c.saved, c.line, c.at
	if m := v.Key("Matrix"); m.Len() == 6 {
		c.g.ctm = matrix{m.Index(0).Float64(), m.Index(1).Float64(), m.Index(2).Float64(), m.Index(3).Float64(), m.Index(4).Float64(), m.Index(5).Float64()}.times(c.g.ctm)
	}
	c.saved = nil
	c.draw(v, resources)
	c.g, c.saved, c.line, c.at = g, saved, line, at
	c.forms--
}

func (c *canvas) fontOf(name string, resources pdf.Value) *font {
	f, ok := c.fonts[name]
	if !ok {
		f = readFont(resources.Key("Font").Key(name))
		c.fonts[name] = f
	}
	return f
}

// text shows a string: words that stand apart get a space, lines a line end.
func (c *canvas) text(raw string) {
	if c.g.font == nil {
		return
	}
	c.separate(moved(0, c.g.rise).times(c.at).times(c.g.ctm))
	for len(raw) > 0 {
		n := min(c.g.font.bytes, len(raw))
		glyph := c.g.font.glyph(raw[:n])
		_ = c.print(glyph.text)
		step := glyph.width/1000*c.g.size + c.g.chars
		if n == 1 && raw[0] == ' ' {
			step += c.g.words
		}
		c.at = moved(step*c.g.scale, 0).times(c.at)
		raw = raw[n:]
	}
	end := c.at.times(c.g.ctm)
	c.x, c.y, c.begun = end.e, end.f, true
}

// separate writes what stands between the last glyph and one at m, seen in the
// direction of its line. A space is wider than a sixth of the height, gaps of
// letters are narrower; another line begins half the height away.
func (c *canvas) separate(m matrix) {
	height := math.Abs(c.g.size) * math.Hypot(m.c, m.d)
	h := max(height, 1e-6)
	if c.height > 0 {
		h = max(min(height, c.height), 1e-6)
	}
	c.height = height
	if !c.begun {
		return
	}
	long := max(math.Hypot(m.a, m.b), 1e-9)
	x, y := m.e-c.x, m.f-c.y
	dx, dy := (x*m.a+y*m.b)/long, math.Abs(y*m.a-x*m.b)/long
	switch {
	case dy > 2.2*h:
		_ = c.print("\n\n")
	case dy > h/2 || dx < -2*h:
		_ = c.print("\n")
	case dx > h/6 && !bytes.HasSuffix(c.emitter.text, []byte(" ")):
		_ = c.print(" ")
	}
}
