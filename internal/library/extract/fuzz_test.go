package extract

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

// fuzzed reads what make makes of the fuzzer's bytes. Whatever it is, the reader
// ends, and what it says is text or a class.
func fuzzed(f *testing.F, name, declared string, shape func(testing.TB, []byte) []byte) {
	l := DefaultLimits()
	l.Inflated, l.Text = 1<<20, 1<<20
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 64<<10 {
			t.Skip("what is large is slow, and no more than what is small")
		}
		body := shape(t, b)
		if bytes.Contains(body, []byte("%PDF-")) && bytes.Contains(body, []byte("/Prev")) {
			t.Skip("the library follows loops of tables until the child's time is over")
		}
		parts, _, err := here(body, name, declared, l)
		for _, p := range parts {
			if !utf8.ValidString(p.Text) {
				t.Errorf("%q", p.Text)
			}
		}
		if err != nil && problemOf(err).Message == "" {
			t.Errorf("no words for %v", err)
		}
	})
}

func asIs(_ testing.TB, b []byte) []byte { return b }

func addAll(f *testing.F, texts ...string) {
	for _, s := range texts {
		f.Add([]byte(s))
	}
}

func FuzzPDF(f *testing.F) {
	f.Add(samplePDF(f))
	f.Add(typeset())
	fuzzed(f, "a.pdf", "application/pdf", asIs)
}

// FuzzPage is a page's content: the whole would rarely be a PDF.
func FuzzPage(f *testing.F) {
	addAll(f, "BT /F 10 Tf 0 1 -1 0 50 50 Tm [<01>30<02>-333<10>-20<1112>]TJ 0 -12 Td <11>Tj ET /X Do", "q 1 0 0 1 0 0 cm BT (a) ' (b) \" T* ET Q BI /W 1 ID x EI", "/X Do /X Do")
	fuzzed(f, "a.pdf", "", func(_ testing.TB, b []byte) []byte {
		return pdfOf("1.4", "", "<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>",
			"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<</Font<</F 5 0 R>>/XObject<</X 4 0 R>>>>>>", stream(string(b)), "<</Type/Font/Subtype/Type1>>")
	})
}

// FuzzFont is a font's map of characters.
func FuzzFont(f *testing.F) {
	addAll(f, "1 begincodespacerange\n<00><ff>\nendcodespacerange\n2 beginbfchar\n<01><0048>\n<02><00e9>\nendbfchar\n1 beginbfrange\n<10><12><0061>\nendbfrange\n")
	fuzzed(f, "a.pdf", "", func(_ testing.TB, b []byte) []byte {
		return pdfOf("1.4", "", "<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>",
			"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>", stream("BT /F 10 Tf <0102101112ff>Tj ET"), "<</Type/Font/Subtype/Type1/ToUnicode 6 0 R>>", stream(string(b)))
	})
}

func FuzzDOCX(f *testing.F) {
	addAll(f, paragraph("words"), `<w:tbl><w:tr><w:tc>`+paragraph("a")+`</w:tc></w:tr></w:tbl>`, `<w:p><w:pPr><w:pStyle w:val="berschrift1"/></w:pPr><w:r><w:t>Title</w:t><w:tab/><w:br/></w:r></w:p>`)
	fuzzed(f, "a.docx", "", func(t testing.TB, b []byte) []byte { return docxOf(t, string(b)) })
}

func FuzzPPTX(f *testing.F) {
	addAll(f, `<a:p><a:r><a:t>words</a:t></a:r></a:p>`, `<a:p><a:fld><a:t>7</a:t></a:fld></a:p>`)
	fuzzed(f, "a.pptx", "", func(t testing.TB, b []byte) []byte {
		return zipped(t, part{"ppt/presentation.xml", `<p:presentation xmlns:p="p" xmlns:r="r"><p:sldIdLst><p:sldId r:id="1"/></p:sldIdLst></p:presentation>`},
			part{"ppt/_rels/presentation.xml.rels", `<Relationships><Relationship Id="1" Type="x/slide" Target="slides/s.xml"/></Relationships>`},
			part{"ppt/slides/s.xml", `<p:sld xmlns:p="p" xmlns:a="a">` + string(b) + `</p:sld>`})
	})
}

func FuzzXLSX(f *testing.F) {
	addAll(f, `<row r="1"><c r="A1" t="inlineStr"><is><t>words</t></is></c></row>`, `<row r="2"><c r="B2"><v>45000</v></c><c r="XFD2" t="b"><v>1</v></c></row>`, `<row><c t="s"><v>0</v></c></row>`)
	book := sampleXLSX(f)
	fuzzed(f, "a.xlsx", "", func(t testing.TB, b []byte) []byte {
		const rows = `<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>`
		return replaced(t, book, "xl/worksheets/sheet1.xml", rows+string(b)+`</sheetData></worksheet>`)
	})
}

func FuzzODT(f *testing.F) {
	addAll(f, `<text:p>words<text:s text:c="2"/></text:p>`, `<table:table><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell></table:table-row></table:table>`, `<text:h text:outline-level="-9">x</text:h>`)
	fuzzed(f, "a.odt", "", func(t testing.TB, b []byte) []byte {
		return zipped(t, part{"META-INF/manifest.xml", `<manifest/>`}, part{"content.xml", `<o xmlns:text="t" xmlns:table="b">` + string(b) + `</o>`})
	})
}

func FuzzArchive(f *testing.F) {
	f.Add(sampleDOCX(f))
	f.Add(sampleODT(f))
	f.Add(linked(f))
	fuzzed(f, "a.docx", "", asIs)
}

func FuzzHTML(f *testing.F) {
	addAll(f, "<html><h2>a<b>b</b></h2><ul><li>x</ul><table><tr><td>a<td>b</table><pre> k\n</pre>&eacute;<!-- c --></html>", "<meta charset=shift_jis><p>\x83\x65")
	fuzzed(f, "a.html", "text/html", asIs)
}

func FuzzJSON(f *testing.F) {
	addAll(f, `{"a":"\u00e9 \ud83d\ude00 \\u00e9 \ud800"}`, `{"a":"\ud83d\u`)
	fuzzed(f, "a.json", "application/json", asIs)
}

// FuzzText is Markdown, CSV, code and plain text, which are read alike.
func FuzzText(f *testing.F) {
	addAll(f, "# T\r\nwords\n", "\xff\xfea\x00\xe9\x00", "caf\xe9 \x93q\x94", "日本語\xff", strings.Repeat("a", 5000))
	fuzzed(f, "a.txt", "text/plain", asIs)
}
