package hostile

import (
	"fmt"
	"strings"
)

// laughs is a document type whose entity e9 is a billion words, and one that is
// a file.
func laughs() string {
	var b strings.Builder
	b.WriteString(`<!DOCTYPE x [<!ENTITY e0 "lol"><!ENTITY file SYSTEM "file:///etc/passwd"><!ENTITY net SYSTEM "http://127.0.0.1:9/x"><!ENTITY % p SYSTEM "http://127.0.0.1:9/y">%p;`)
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, `<!ENTITY e%d "%s">`, i, strings.Repeat(fmt.Sprintf("&e%d;", i-1), 10))
	}
	return b.String() + "]>"
}

// markup is XML with entities, without an end, and workbooks that are larger
// than they are.
func markup() (out []Document) {
	for _, entity := range []string{"&e9;", "&file;", "&net;"} {
		wanted := []string{damaged, tooLarge}
		out = append(out,
			Document{entity + " in a text document", "a.docx", "", doc("", zipped(part{"word/document.xml", laughs() + `<w:document xmlns:w="w"><w:p><w:r><w:t>` + entity + `</w:t></w:r></w:p></w:document>`})), wanted},
			Document{entity + " in an open document", "a.odt", "", doc("", zipped(part{"META-INF/manifest.xml", "<m/>"}, part{"content.xml", laughs() + `<o xmlns:text="t"><text:p>` + entity + `</text:p></o>`})), wanted},
			Document{entity + " in a workbook", "a.xlsx", "", doc("", xlsx(part{"xl/worksheets/sheet1.xml", laughs() + `<worksheet><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>` + entity + `</t></is></c></row></sheetData></worksheet>`})), wanted},
			Document{entity + " in relationships", "a.pptx", "", doc("", zipped(part{"ppt/presentation.xml", `<p xmlns:r="r"><sldId r:id="1"/></p>`},
				part{"ppt/_rels/presentation.xml.rels", laughs() + `<Relationships><Relationship Id="1" Target="` + entity + `"/></Relationships>`})), wanted},
			Document{entity + " in a page", "a.xhtml", "application/xhtml+xml", doc("", []byte(laughs()+"<html><p>"+entity+"</p></html>")), []string{text}},
		)
	}
	cell := func(at, v string) string { return `<c r="` + at + `" t="inlineStr"><is><t>` + v + `</t></is></c>` }
	some := func(kind string, n int, body func(int) string) func() []byte {
		return func() []byte {
			var b strings.Builder
			for i := range n {
				b.WriteString(body(i))
			}
			switch kind {
			case "xlsx":
				return xlsx(sheet(b.String()))
			case "odt":
				return odt(b.String())
			}
			return zipped(document(b.String()))
		}
	}
	anyhow := []string{text, damaged, tooLarge, timedOut}
	return append(out,
		Document{"elements a million deep", "a.docx", "", some("docx", 1_000_000, func(int) string { return "<w:p>" }), []string{tooLarge, damaged}},
		Document{"spans a million deep", "a.odt", "", some("odt", 1_000_000, func(int) string { return "<text:span>" }), []string{tooLarge, damaged}},
		Document{"two billion spaces", "a.odt", "", some("odt", 1000, func(int) string { return `<text:s text:c="2000000000"/>` }), []string{text}},
		Document{"an attribute of 32 MiB", "a.docx", "", func() []byte { return zipped(document(`<w:p a="` + strings.Repeat("ab", 16*MiB) + `"/>`)) }, []string{tooLarge, text}},
		Document{"a word of 12 MiB", "a.docx", "", func() []byte {
			return zipped(document(`<w:p><w:r><w:t>` + strings.Repeat("ab", 6*MiB) + `</w:t></w:r></w:p>`))
		}, []string{text, tooLarge}},
		Document{"a million name spaces", "a.docx", "", some("docx", 200_000, func(i int) string { return fmt.Sprintf(`<w:p xmlns:n%d="n%d"/>`, i, i) }), []string{text}},
		Document{"a cell in the last column of each of 1,000 rows", "a.xlsx", "", some("xlsx", 1000, func(i int) string {
			return fmt.Sprintf(`<row r="%d">%s</row>`, i+1, cell(fmt.Sprintf("XFD%d", i+1), "x"))
		}), anyhow},
		Document{"a cell in the last row", "a.xlsx", "", some("xlsx", 1, func(int) string { return `<row r="1048576">` + cell("XFD1048576", "x") + `</row>` }), anyhow},
		Document{"a row beyond the last", "a.xlsx", "", some("xlsx", 1, func(int) string { return `<row r="2000000000">` + cell("A2000000000", "x") + `</row>` }), []string{damaged}},
		Document{"a row before the first", "a.xlsx", "", some("xlsx", 1, func(int) string { return `<row r="-5">` + cell("A-5", "x") + `</row>` }), anyhow},
		Document{"columns that are no columns", "a.xlsx", "", some("xlsx", 1, func(int) string {
			return `<row r="1">` + cell("ZZZZZZZZZZ1", "x") + cell("1", "y") + cell("", "z") + `</row>`
		}), anyhow},
		Document{"strings that are not there", "a.xlsx", "", some("xlsx", 30_000, func(i int) string {
			return fmt.Sprintf(`<row r="%d"><c r="A%d" t="s"><v>99999999</v></c></row>`, i+1, i+1)
		}), anyhow},
		Document{"a string of 32,000 bytes in 10,000 cells", "a.xlsx", "", func() []byte {
			var b strings.Builder
			for i := range 10_000 {
				fmt.Fprintf(&b, `<row r="%d"><c r="A%d" t="s"><v>0</v></c></row>`, i+1, i+1)
			}
			return xlsx(sheet(b.String()), part{"xl/sharedStrings.xml", `<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>` + strings.Repeat("a", 32_000) + `</t></si></sst>`})
		}, anyhow},
		Document{"a workbook of 2,000 sheets", "a.xlsx", "", manySheets, anyhow},
	)
}

// manySheets is a workbook whose sheets are all the same part.
func manySheets() []byte {
	var b strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&b, `<sheet name="S%d" sheetId="%d" r:id="rId1"/>`, i, i+1)
	}
	row := `<row r="1"><c r="A1" t="inlineStr"><is><t>` + strings.Repeat("words ", 5000) + `</t></is></c></row>`
	parts := xlsx(sheet(row), part{"xl/again.xml", "<a/>"})
	return renamed(parts, `<sheet name="S" sheetId="1" r:id="rId1"/>`, b.String())
}
