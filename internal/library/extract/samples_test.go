package extract

import (
	"archive/zip"
	"bytes"
	"fmt"
	"strings"
	"testing"

	"codeberg.org/go-pdf/fpdf"
	"github.com/xuri/excelize/v2"
)

// part is one part of an archive that a test makes.
type part struct{ name, text string }

func zipped(t testing.TB, parts ...part) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, p := range parts {
		w, err := z.Create(p.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(p.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const xmlHead = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>`

func docxOf(t testing.TB, body string, more ...part) []byte {
	return zipped(t, append([]part{
		{"[Content_Types].xml", xmlHead + `<Types/>`},
		{"word/styles.xml", xmlHead + `<w:styles xmlns:w="w"><w:style w:styleId="berschrift1"><w:pPr><w:outlineLvl w:val="0"/></w:pPr></w:style></w:styles>`},
		{"word/document.xml", xmlHead + `<w:document xmlns:w="w" xmlns:mc="mc"><w:body>` + body + `</w:body></w:document>`},
	}, more...)...)
}

func paragraph(s string) string { return `<w:p><w:r><w:t>` + s + `</w:t></w:r></w:p>` }

func sampleDOCX(t testing.TB) []byte {
	return docxOf(t, `<w:p><w:pPr><w:pStyle w:val="berschrift1"/><w:tabs><w:tab w:val="left"/></w:tabs></w:pPr><w:r><w:t>Title</w:t></w:r></w:p>`+
		`<w:p><w:r><w:t xml:space="preserve">One </w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:r><w:t>two</w:t><w:tab/><w:t>three &amp; four</w:t><w:br/><w:t>five</w:t></w:r></w:p>`+
		`<w:tbl><w:tr><w:tc>`+paragraph("a")+`</w:tc><w:tc>`+paragraph("b")+`</w:tc></w:tr></w:tbl>`+
		`<mc:AlternateContent><mc:Choice>`+paragraph("box")+`</mc:Choice><mc:Fallback>`+paragraph("box")+`</mc:Fallback></mc:AlternateContent>`,
		part{"word/footnotes.xml", xmlHead + `<w:footnotes xmlns:w="w">` + paragraph("a note") + `</w:footnotes>`})
}

func samplePPTX(t testing.TB) []byte {
	slide := func(s string) string {
		return xmlHead + `<p:sld xmlns:p="p" xmlns:a="a"><a:p><a:r><a:t>` + s + `</a:t></a:r></a:p><a:p><a:fld><a:t>7</a:t></a:fld></a:p></p:sld>`
	}
	const rels = xmlHead + `<Relationships xmlns="r">`
	return zipped(t,
		part{"ppt/presentation.xml", xmlHead + `<p:presentation xmlns:p="p" xmlns:r="r"><p:sldIdLst><p:sldId id="256" r:id="rId2"/><p:sldId id="257" r:id="rId1"/></p:sldIdLst></p:presentation>`},
		part{"ppt/_rels/presentation.xml.rels", rels + `<Relationship Id="rId1" Type="x/slide" Target="slides/slide1.xml"/><Relationship Id="rId2" Type="x/slide" Target="/ppt/slides/slide2.xml"/></Relationships>`},
		part{"ppt/slides/slide1.xml", slide("shown second")},
		part{"ppt/slides/slide2.xml", slide("shown first")},
		part{"ppt/slides/_rels/slide1.xml.rels", rels + `<Relationship Id="rId1" Type="x/notesSlide" Target="../notesSlides/n.xml"/></Relationships>`},
		part{"ppt/notesSlides/n.xml", slide("say this")})
}

func sampleODT(t testing.TB) []byte {
	return zipped(t,
		part{"mimetype", "application/vnd.oasis.opendocument.text"},
		part{"META-INF/manifest.xml", `<manifest/>`},
		part{"content.xml", xmlHead + `<office xmlns:text="t" xmlns:table="b">` + "\n" + `<tracked-changes><text:p>gone</text:p></tracked-changes>` +
			`<text:h text:outline-level="2">Title</text:h><text:p>One<text:s text:c="2"/>two<text:tab/>three<text:line-break/><text:span>four</text:span></text:p>` +
			`<table:table><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell><table:table-cell><text:p>b</text:p></table:table-cell></table:table-row></table:table></office>`})
}

func sampleXLSX(t testing.TB) []byte {
	t.Helper()
	f := excelize.NewFile()
	_, _ = f.NewSheet("Second")
	date, _ := f.NewStyle(&excelize.Style{CustomNumFmt: ptr("yyyy-mm-dd")})
	for cell, v := range map[string]any{"A1": "name", "B1": "born", "A2": "Ada", "B2": 45000, "C2": true, "A4": 1.5} {
		_ = f.SetCellValue("Sheet1", cell, v)
	}
	_ = f.SetCellStyle("Sheet1", "B2", "B2", date)
	_ = f.SetCellValue("Second", "A1", "other")
	b, err := f.WriteToBuffer()
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func ptr[T any](v T) *T { return &v }

func samplePDF(t testing.TB) []byte {
	t.Helper()
	f := fpdf.New("P", "mm", "A4", "")
	f.SetCompression(true)
	for _, s := range []string{"Hello on page one", "Grüße from page two"} {
		f.AddPage()
		f.SetFont("Helvetica", "", 12)
		f.Cell(60, 10, f.UnicodeTranslatorFromDescriptor("")(s))
		f.Ln(10)
		f.Cell(60, 10, "A second line.")
	}
	var b bytes.Buffer
	if err := f.Output(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pdfOf writes a PDF of objects, of which the first is the catalogue.
func pdfOf(version, trailer string, objects ...string) []byte {
	var b strings.Builder
	b.WriteString("%PDF-" + version + "\n")
	var at []int
	for i, o := range objects {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	xref := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, n := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", n)
	}
	fmt.Fprintf(&b, "trailer\n<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, trailer, xref)
	return []byte(b.String())
}

func stream(s string) string { return fmt.Sprintf("<</Length %d>>\nstream\n%s\nendstream", len(s), s) }

// typeset is a page as typesetting programs write it: no space is a character,
// letters are kerned, and the font's codes are its own.
func typeset() []byte {
	cmap := "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n1 begincodespacerange\n<00><ff>\nendcodespacerange\n" +
		"2 beginbfchar\n<01><0048>\n<02><00e9>\nendbfchar\n1 beginbfrange\n<10><12><0061>\nendbfrange\nendcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n"
	return pdfOf("2.0", "", "<</Type/Catalog/Pages 2 0 R>>",
		"<</Type/Pages/Kids[3 0 R]/Count 1/Resources<</Font<</F 5 0 R>>/XObject<</X 7 0 R>>>>>>",
		"<</Type/Page/Parent 2 0 R/Contents 4 0 R>>",
		stream("BT /F 10 Tf 0 1 -1 0 50 50 Tm [<01>30<02>-333<10>-20<1112>]TJ 0 -12 Td <11>Tj ET /X Do"),
		"<</Type/Font/Subtype/Type1/Encoding/WinAnsiEncoding/ToUnicode 6 0 R/FirstChar 0/Widths["+strings.Repeat("500 ", 32)+"]>>",
		stream(cmap),
		"<</Subtype/Form/Length 38>>\nstream\nBT /F 10 Tf 100 100 Td <10>Tj ET      \nendstream")
}
