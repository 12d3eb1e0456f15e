package hostile

import (
	"archive/zip"
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"strings"
)

// renamed is an archive with other words in its parts.
func renamed(body []byte, before, after string) []byte {
	r, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return body
	}
	var parts []part
	for _, f := range r.File {
		rc, err := f.Open()
		if err != nil {
			return body
		}
		b, _ := io.ReadAll(rc)
		parts = append(parts, part{f.Name, strings.ReplaceAll(string(b), before, after)})
	}
	return zipped(parts...)
}

// pdf writes a PDF of objects, of which the first is the catalogue.
func pdf(objects []string, trailer ...string) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n")
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
	fmt.Fprintf(&b, "trailer\n<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, strings.Join(trailer, ""), xref)
	return b.Bytes()
}

func stream(s string) string { return fmt.Sprintf("<</Length %d>>\nstream\n%s\nendstream", len(s), s) }

// packed is a stream that inflates to n bytes of s, through so many layers.
func packed(s string, n, layers int) string {
	body := bytes.Repeat([]byte(s), n/len(s))
	for range layers {
		var b bytes.Buffer
		z := zlib.NewWriter(&b)
		_, _ = z.Write(body)
		_ = z.Close()
		body = b.Bytes()
	}
	return fmt.Sprintf("<</Length %d/Filter[%s]>>\nstream\n%s\nendstream", len(body), strings.Repeat("/FlateDecode", layers), body)
}

// objects of a document of one page: 4 is its content, 5 its font.
func objects(content, font string, more ...string) []string {
	return append([]string{"<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<</Font<</F 5 0 R>>/XObject<</X 4 0 R/Y 6 0 R/Z 7 0 R>>>>>>", content, font}, more...)
}

const plainFont = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"

func page(words string) []string {
	return objects(stream("BT /F 10 Tf ("+words+") Tj ET"), plainFont)
}

// pdfs are documents that lead back to themselves or inflate.
func pdfs() []Document {
	anyhow := []string{text, damaged, tooLarge, timedOut}
	form := func(s string) string {
		return fmt.Sprintf("<</Subtype/Form/Resources<</XObject<</Y 6 0 R/Z 7 0 R>>/Font<</F 5 0 R>>>>/Length %d>>\nstream\n%s\nendstream", len(s), s)
	}
	one := func(what string, body func() []byte, want ...string) Document {
		return Document{what, "a.pdf", "application/pdf", body, want}
	}
	return []Document{
		one("a form that draws itself", func() []byte { return pdf(objects(stream("/Y Do"), plainFont, form("/Y Do /Y Do"), "null")) }, anyhow...),
		one("two forms that draw each other twice", func() []byte {
			return pdf(objects(stream("/Y Do"), plainFont, form("/Z Do /Z Do"), form("/Y Do /Y Do")))
		}, anyhow...),
		one("content that is its own form", func() []byte { return pdf(objects(stream("/X Do"), plainFont)) }, anyhow...),
		one("a length that is itself", func() []byte { return pdf(objects("<</Length 4 0 R>>\nstream\nBT ET\nendstream", plainFont)) }, anyhow...),
		one("an object that is itself", func() []byte { return pdf([]string{"<</Type/Catalog/Pages 2 0 R>>", "2 0 R"}) }, anyhow...),
		one("a page that is its parent", func() []byte {
			return pdf([]string{"<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Parent 2 0 R/Kids[3 0 R]>>", "<</Type/Page/Parent 3 0 R/Contents 3 0 R>>"})
		}, anyhow...),
		one("pages in pages, two ways each, 40 deep", doubled, anyhow...),
		one("a stream of 256 MiB", func() []byte { return pdf(objects(packed("BT (a) Tj ET ", 256*MiB, 1), plainFont)) }, anyhow...),
		one("a stream packed twelve times", func() []byte { return pdf(objects(packed(" ", 16*MiB, 12), plainFont)) }, anyhow...),
		one("a map of characters of 128 MiB", func() []byte {
			return pdf(objects(stream("BT /F 10 Tf (words) Tj ET"), "<</Type/Font/Subtype/Type1/ToUnicode 6 0 R>>", packed("1 beginbfrange <00> <ff> <0041> endbfrange ", 128*MiB, 1)))
		}, anyhow...),
		one("arrays a million deep", func() []byte { return pdf(objects(stream(strings.Repeat("[", 1_000_000)), plainFont)) }, anyhow...),
		one("dictionaries a million deep", func() []byte { return pdf([]string{strings.Repeat("<</A", 1_000_000)}) }, anyhow...),
		one("a string without an end", func() []byte { return pdf(objects(stream("BT ("+strings.Repeat("(", 8*MiB)), plainFont)) }, anyhow...),
		one("a table of two billion objects", func() []byte {
			return bytes.Replace(pdf(page("words")), []byte("xref\n0 6"), []byte("xref\n0 2000000000"), 1)
		}, anyhow...),
		one("a size of two billion", func() []byte {
			return bytes.Replace(pdf(page("words")), []byte("/Size 6"), []byte("/Size 2000000000"), 1)
		}, anyhow...),
		one("a table before itself", func() []byte { return pdf(page("words"), "/Prev 9") }, anyhow...),
		one("a predictor of two billion columns", func() []byte {
			return pdf(objects(strings.Replace(packed("BT ET ", 6000, 1), "/Filter[", "/DecodeParms<</Predictor 12/Columns 2000000000>>/Filter[", 1), plainFont))
		}, anyhow...),
		one("a font of two billion widths", func() []byte {
			return pdf(objects(stream("BT /F 10 Tf (words) Tj ET"), "<</Type/Font/Subtype/Type1/FirstChar -2000000000/LastChar 2000000000/Widths[1 2 3]>>"))
		}, anyhow...),
		one("50,000 pages that are one", func() []byte {
			o := page("words")
			o[1] = "<</Type/Pages/Kids[" + strings.Repeat("3 0 R ", 50_000) + "]/Count 50000>>"
			return pdf(o)
		}, anyhow...),
		one("encrypted by what nobody knows", func() []byte {
			return pdf(page("words"), "/Encrypt<</Filter/Unheard/V 9/R 9/O(a)/U(b)/P -1>>/ID[(a)(b)]")
		}, encrypted, damaged, text),
		one("numbers beyond all bounds", func() []byte {
			return pdf(objects(stream("BT /F 1e999 Tf 99999999999999999999 -1e308 1e308 0 0 0 Tm (a) Tj T* [(a) -1e308 (b)] TJ ET"), plainFont))
		}, anyhow...),
	}
}

// doubled is a tree of pages that has 2^40 of them.
func doubled() []byte {
	o := []string{"<</Type/Catalog/Pages 2 0 R>>"}
	for i := range 40 {
		o = append(o, fmt.Sprintf("<</Type/Pages/Kids[%d 0 R %d 0 R]/Count 2>>", i+3, i+3))
	}
	return pdf(append(o, "<</Type/Page>>"))
}
