package extract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// here reads a document in this process: what its text is, not how it is kept.
func here(body []byte, name, declared string, l Limits) ([]Part, Result, error) {
	var out bytes.Buffer
	e := newEmitter(&out, l.Text)
	ending := name[max(0, strings.LastIndexByte(name, '.')):]
	result, err := read(source{bytes.NewReader(body), int64(len(body)), request{ending, declared, l}}, e)
	var parts []Part
	for d := json.NewDecoder(&out); ; {
		var l line
		if d.Decode(&l) != nil {
			return parts, result, err
		}
		parts = append(parts, l.Part)
	}
}

func joined(parts []Part) string {
	var b strings.Builder
	for _, p := range parts {
		switch {
		case p.Page > 0:
			fmt.Fprintf(&b, "[page %d]", p.Page)
		case p.Slide > 0:
			fmt.Fprintf(&b, "[slide %d]", p.Slide)
		case p.Sheet != "":
			fmt.Fprintf(&b, "[%s]", p.Sheet)
		}
		b.WriteString(p.Text)
	}
	return b.String()
}

func TestEveryKindYieldsItsText(t *testing.T) {
	for _, test := range []struct {
		name, declared string
		body           []byte
		kind           Kind
		want           string
	}{
		{"a.docx", "", sampleDOCX(t), DOCX, "# Title\nOne two\tthree & four\nfive\na \tb \nbox\na note\n"},
		{"a.pptx", "", samplePPTX(t), PPTX, "[slide 1]shown first\n\n[slide 2]shown second\n\nsay this\n\n"},
		{"a.xlsx", "", sampleXLSX(t), XLSX, "[Sheet1]name\tborn\nAda\t2023-03-15\tTRUE\n1.5\n[Second]other\n"},
		{"a.odt", "", sampleODT(t), ODT, "## Title\nOne  two\tthree\nfour\na \tb \n"},
		{"a.pdf", "", samplePDF(t), PDF, "[page 1]Hello on page one\n\nA second line.\n[page 2]Grüße from page two\n\nA second line.\n"},
		{"a.pdf", "", typeset(), PDF, "[page 1]Hé abc\nb\n\na\n"},
		{"a.html", "", []byte("<!doctype html><html><head><title>T</title><style>p{}</style><script>var x = '<p>';</script></head><body><h2>Head <b>line</b></h2><p>One\n two&eacute;</p><ul><li>x<li>y</ul><table><tr><td>a<td>b</table><pre>  k\n  l</pre></body></html>"), HTML,
			"T\n\n## Head line\n\nOne twoé\n\n- x\n- y\n\na\tb\n\n  k\n  l\n\n"},
		{"a.md", "", []byte("<h1>Logo</h1>\n\n# Title\r\ntext\n"), Markdown, "<h1>Logo</h1>\n\n# Title\ntext\n"},
		{"a.csv", "", []byte("a,b\n1,2\n"), CSV, "a,b\n1,2\n"},
		{"a.json", "", []byte(`{"n":"caf\u00e9 \ud83d\ude00 \\u00e9 \u0041 \"\ud800"}`), JSON, `{"n":"café 😀 \\u00e9 \u0041 \"\ud800"}`},
		{"a.go", "", []byte("package main\n"), Code, "package main\n"},
		{"a.txt", "", []byte("\xef\xbb\xbfwords\x00\x1b[0m\n"), Plain, "words[0m\n"},
		{"a.txt", "", []byte("caf\xe9 na\xefve \x93quoted\x94"), Plain, "café naïve “quoted”"},
		{"a.txt", "", []byte("\xff\xfec\x00a\x00f\x00\xe9\x00"), Plain, "café"},
		{"none", "text/markdown", []byte("# T\n"), Markdown, "# T\n"},
		// What is declared is wrong, and the content can be read.
		{"a.pdf", "application/pdf", []byte("only words"), Plain, "only words"},
		{"a.txt", "text/plain", sampleODT(t), ODT, "## Title\nOne  two\tthree\nfour\na \tb \n"},
		{"none", "image/png", []byte(`{"a": 1}`), JSON, `{"a": 1}`},
	} {
		parts, r, err := here(test.body, test.name, test.declared, DefaultLimits())
		if got := joined(parts); err != nil || r.Kind != test.kind || got != test.want {
			t.Errorf("%s as %s: %s, %v\n got %q\nwant %q", test.name, test.declared, r.Kind, err, got, test.want)
		}
	}
}

func TestLongTextsAreWholeParts(t *testing.T) {
	text := strings.Repeat("日本語é", 50000)
	parts, _, err := here([]byte(text), "a.txt", "", DefaultLimits())
	if err != nil || joined(parts) != text {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	for _, p := range parts {
		if len(p.Text) > 64<<10 || !utf8.ValidString(p.Text) {
			t.Fatalf("a part of %d bytes", len(p.Text))
		}
	}
}

// A document that cannot be read says why.
func TestFaultsAreClassed(t *testing.T) {
	small := DefaultLimits()
	small.Text = 1000
	few := DefaultLimits()
	few.Entries = 2
	loop := func(kids string) []byte {
		return pdfOf("1.4", "", "<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Count 9/Kids["+kids+"]>>")
	}
	for name, test := range map[string]struct {
		body []byte
		l    Limits
		want Class
	}{
		"zero bytes":                {nil, DefaultLimits(), Damaged},
		"an executable":             {append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 100)...), DefaultLimits(), Unsupported},
		"a picture":                 {[]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), DefaultLimits(), Unsupported},
		"a picture and a page":      {[]byte("GIF89a/*\x00\x00*/<html><body>words</body></html>"), DefaultLimits(), Unsupported},
		"bytes":                     {bytes.Repeat([]byte{0, 1, 2, 3, 0xfe}, 1000), DefaultLimits(), Unsupported},
		"bytes behind words":        {append([]byte(strings.Repeat("words ", 600)), bytes.Repeat([]byte{0, 1, 2}, 9000)...), DefaultLimits(), Unsupported},
		"an archive":                {zipped(t, part{"a.txt", "words"}), DefaultLimits(), Unsupported},
		"a nested archive":          {zipped(t, part{"in.zip", string(sampleDOCX(t))}), DefaultLimits(), Unsupported},
		"RTF":                       {[]byte(`{\rtf1\ansi words}`), DefaultLimits(), Unsupported},
		"old Office":                {append([]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), make([]byte, 4096)...), DefaultLimits(), Unsupported},
		"encrypted Office":          {encryptedXLSX(t), DefaultLimits(), Encrypted},
		"encrypted ODT":             {zipped(t, part{"META-INF/manifest.xml", `<m><encryption-data/></m>`}, part{"content.xml", "\x00"}), DefaultLimits(), Encrypted},
		"encrypted part":            {flagged(docxOf(t, paragraph("x"))), DefaultLimits(), Encrypted},
		"encrypted PDF":             {encryptedPDF(t), DefaultLimits(), Encrypted},
		"cut PDF":                   {samplePDF(t)[:700], DefaultLimits(), Damaged},
		"PDF of pages in pages":     {loop(strings.Repeat("2 0 R ", 50)), DefaultLimits(), Damaged},
		"PDF without pages":         {loop(""), DefaultLimits(), Damaged},
		"cut DOCX":                  {sampleDOCX(t)[:400], DefaultLimits(), Damaged},
		"XML entities":              {zipped(t, part{docxPart, `<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><w:document xmlns:w="w"><w:p><w:t>&b;</w:t></w:p></w:document>`}), DefaultLimits(), Damaged},
		"an external entity":        {zipped(t, part{docxPart, `<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><w:document xmlns:w="w"><w:p><w:t>&a;</w:t></w:p></w:document>`}), DefaultLimits(), Damaged},
		"deep XML":                  {docxOf(t, strings.Repeat("<w:a>", 5000)), DefaultLimits(), TooLarge},
		"a part twice":              {zipped(t, part{docxPart, "<a/>"}, part{docxPart, "<b/>"}), DefaultLimits(), Damaged},
		"a symbolic link":           {linked(t), DefaultLimits(), Damaged},
		"a zip bomb":                {docxOf(t, paragraph(strings.Repeat("a", 40<<20))), DefaultLimits(), TooLarge},
		"a workbook bomb":           {zipped(t, part{xlsxPart, "<workbook/>"}, part{"xl/worksheets/sheet1.xml", strings.Repeat(" ", 40<<20)}), DefaultLimits(), TooLarge},
		"a workbook cut in its XML": {halved(t, sampleXLSX(t)), DefaultLimits(), Damaged},
		"a row beyond the last":     {replaced(t, sampleXLSX(t), "xl/worksheets/sheet1.xml", `<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="2000000000"/></sheetData></worksheet>`), DefaultLimits(), Damaged},
		"too many parts":            {sampleDOCX(t), few, TooLarge},
		"too much text":             {[]byte(strings.Repeat("a ", 1000)), small, TooLarge},
		"an endless tag":            {[]byte("<html><body><p title='" + strings.Repeat("a", maxTag+1)), DefaultLimits(), TooLarge},
		"too many slides":           {zipped(t, part{pptxPart, `<p xmlns:r="r">` + strings.Repeat(`<sldId r:id="1"/>`, maxSlides+1) + `</p>`}), DefaultLimits(), TooLarge},
		"a missing slide":           {zipped(t, part{pptxPart, `<p xmlns:r="r"><sldId r:id="1"/></p>`}), DefaultLimits(), Damaged},
	} {
		_, _, err := here(test.body, "a", "", test.l)
		if p := problemOf(errors.Join(err)); err == nil || p.Class != test.want || p.Message == "" {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
}

// Names with dots, links and drives are names and nothing else.
func TestPartsAreNeverPaths(t *testing.T) {
	parts, _, err := here(docxOf(t, paragraph("words"), part{"../../../../tmp/gatehouse-slip", "x"}, part{`C:\slip`, "x"}, part{"/etc/slip", "x"}), "a", "", DefaultLimits())
	if err != nil || joined(parts) != "words\n" {
		t.Errorf("%q, %v", joined(parts), err)
	}
}

func TestAPageThatCannotBeReadIsLeftOut(t *testing.T) {
	body := pdfOf("1.4", "", "<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Count 3/Kids[3 0 R 4 0 R 9 0 R]/Resources<</Font<</F<</Type/Font/Subtype/Type1>>>>>>>>",
		"<</Type/Page/Parent 2 0 R/Contents 5 0 R>>", "<</Type/Page/Parent 2 0 R/Contents 6 0 R>>",
		"<</Length 9/Filter/Unheard>>\nstream\n123456789\nendstream", stream("BT /F 10 Tf (words) Tj ET"))
	parts, r, err := here(body, "a.pdf", "", DefaultLimits())
	if err != nil || r.Lost != 1 || !strings.Contains(joined(parts), "[page 2]words") {
		t.Errorf("%q, %v", joined(parts), err)
	}
}

// Whatever is cut off or flipped, a reader ends with text or an error.
func TestDamagedDocumentsAreRefusedOrRead(t *testing.T) {
	l := DefaultLimits()
	l.Inflated, l.Text = 1<<20, 1<<20
	for name, body := range map[string][]byte{"a.docx": sampleDOCX(t), "a.pptx": samplePPTX(t), "a.odt": sampleODT(t), "a.xlsx": sampleXLSX(t),
		"a.html": []byte("<html><p class='x'>a<b>b</p>&eacute;<pre>x</pre><!-- c --></html>"), "a.json": []byte(`{"a":"\u00e9\ud83d\ude00"}`), "a.txt": []byte("日本語é\xff\xfe")} {
		step := 1 + len(body)/400
		for i := 0; i < len(body); i += step {
			_, _, _ = here(body[:i], name, "", l)
			flipped := bytes.Clone(body)
			flipped[i] ^= 1 << (i % 8)
			parts, _, _ := here(flipped, name, "", l)
			for _, p := range parts {
				if !utf8.ValidString(p.Text) {
					t.Fatalf("%s: flipped at %d: %q", name, i, p.Text)
				}
			}
		}
	}
}

func FuzzDocument(f *testing.F) {
	for _, body := range [][]byte{sampleDOCX(f), samplePPTX(f), sampleODT(f), sampleXLSX(f), samplePDF(f), typeset(), []byte("<html><p>x</p>"), []byte(`{"a":"\u00e9"}`)} {
		f.Add(body)
	}
	l := DefaultLimits()
	l.Inflated, l.Text = 1<<20, 1<<20
	f.Fuzz(func(t *testing.T, body []byte) {
		if bytes.Contains(body[:min(len(body), 1024)], []byte("%PDF-")) && bytes.Contains(body, []byte("/Prev")) {
			t.Skip("the library follows loops of tables until the child's time is over")
		}
		_, _, _ = here(body, "a", "", l)
	})
}

var _ io.Writer = (*emitter)(nil)
