package extract

import (
	"strings"
	"unicode/utf16"

	"github.com/ledongthuc/pdf"
)

// font turns codes into text and widths. It keeps what it has found, because
// the library looks everything up anew, through the file.
type font struct {
	bytes   int // of a code
	decode  func(code string) string
	widths  map[int]float64 // in thousandths of the size
	missing float64         // of what has none there
	glyphs  map[string]glyph
}

type glyph struct {
	text  string
	width float64
}

func (f *font) glyph(code string) glyph {
	g, ok := f.glyphs[code]
	if !ok {
		n := 0
		for i := range len(code) {
			n = n<<8 | int(code[i])
		}
		w, ok := f.widths[n]
		if !ok {
			w = f.missing
		}
		g = glyph{f.decode(code), w}
		f.glyphs[code] = g
	}
	return g
}

// maxWidths bounds what a font may say of its glyphs.
const maxWidths = 1 << 16

func readFont(v pdf.Value) *font {
	f := &font{bytes: 1, widths: map[int]float64{}, missing: 500, glyphs: map[string]glyph{}}
	if v.Key("Subtype").Name() == "Type0" {
		f.bytes = 2
		f.composite(v.Key("DescendantFonts").Index(0))
	} else {
		first, widths := int(v.Key("FirstChar").Int64()), v.Key("Widths")
		for i := range min(widths.Len(), maxWidths) {
			f.widths[first+i] = widths.Index(i).Float64()
		}
	}
	table := readToUnicode(v.Key("ToUnicode"))
	native := f.native(v)
	f.decode = func(code string) string {
		if s, ok := table[code]; ok {
			return s
		}
		return native(code)
	}
	return f
}

// native decodes what ToUnicode leaves out. The library's encoder of a font that
// has nothing else reads it once more, and for ever where it ends inside a string.
func (f *font) native(v pdf.Value) func(code string) string {
	encoding := v.Key("Encoding")
	switch {
	case f.bytes == 2 && (strings.Contains(encoding.Name(), "UCS2") || strings.Contains(encoding.Name(), "UTF16")):
		return fromUTF16
	case f.bytes == 2, v.Key("ToUnicode").Kind() == pdf.Stream && (encoding.IsNull() || encoding.Name() == "Identity-H"):
		return unnamed
	}
	return (&pdf.Font{V: v}).Encoder().Decode
}

// unnamed decodes the codes of a font that does not say what its glyphs are.
func unnamed(string) string { return "" }

// composite reads the widths of a font with codes of two bytes, as far as its
// codes are its glyphs' numbers, which they mostly are.
func (f *font) composite(v pdf.Value) {
	f.missing = 1000
	if d := v.Key("DW"); !d.IsNull() {
		f.missing = d.Float64()
	}
	w := v.Key("W")
	for i := 0; i+1 < min(w.Len(), maxWidths); {
		first := int(w.Index(i).Int64())
		if list := w.Index(i + 1); list.Kind() == pdf.Array {
			for j := range min(list.Len(), maxWidths) {
				f.widths[first+j] = list.Index(j).Float64()
			}
			i += 2
			continue
		}
		for last := min(int(w.Index(i+1).Int64()), maxWidths); first <= last && len(f.widths) < maxWidths; first++ {
			f.widths[first] = w.Index(i + 2).Float64()
		}
		i += 3
	}
}

// readToUnicode reads a table from codes to text. The library reads it too, but
// heeds it only where a font names no encoding.
func readToUnicode(v pdf.Value) map[string]string {
	if v.Kind() != pdf.Stream {
		return nil
	}
	table := map[string]string{}
	follow(v.Reader(), func(op string, args []operand) {
		if len(table) > maxWidths {
			return
		}
		switch op {
		case "endbfchar":
			for ; len(args) >= 2; args = args[2:] {
				table[args[0].text] = fromUTF16(args[1].text)
			}
		case "endbfrange":
			for ; len(args) >= 3; args = args[3:] {
				addRange(table, args[0].text, args[1].text, args[2])
			}
		}
	})
	return table
}

// addRange maps the codes from low to high, which differ in their last byte or
// two, to an array's texts or to one text and those that follow.
func addRange(table map[string]string, low, high string, to operand) {
	if len(low) == 0 || len(low) > 2 || len(low) != len(high) {
		return
	}
	code := func(s string) (n int) {
		for i := range len(s) {
			n = n<<8 | int(s[i])
		}
		return n
	}
	first, last := code(low), code(high)
	units := utf16.Encode([]rune(fromUTF16(to.text)))
	for n := first; n <= last; n++ {
		key := string([]byte{byte(n)})
		if len(low) == 2 {
			key = string([]byte{byte(n >> 8), byte(n)})
		}
		if n-first < len(to.list) {
			table[key] = fromUTF16(to.list[n-first].text)
		} else if len(units) > 0 {
			table[key] = string(utf16.Decode(units))
			units[len(units)-1]++
		}
	}
}

func fromUTF16(s string) string {
	units := make([]uint16, 0, len(s)/2)
	for i := 0; i+1 < len(s); i += 2 {
		units = append(units, uint16(s[i])<<8|uint16(s[i+1]))
	}
	return string(utf16.Decode(units))
}
