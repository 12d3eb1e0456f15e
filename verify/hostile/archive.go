package hostile

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io/fs"
	"strings"
)

// part is a part of an archive.
type part struct{ name, text string }

func zipped(parts ...part) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, p := range parts {
		w, _ := z.Create(p.name) // a buffer takes everything
		_, _ = w.Write([]byte(p.text))
	}
	_ = z.Close()
	return b.Bytes()
}

const (
	head  = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>`
	wordy = `<w:p><w:r><w:t>words</w:t></w:r></w:p>`
)

func document(body string) part {
	return part{"word/document.xml", head + `<w:document xmlns:w="w"><w:body>` + body + `</w:body></w:document>`}
}

func docx(more ...part) []byte { return zipped(append([]part{document(wordy)}, more...)...) }

func odt(body string) []byte {
	return zipped(part{"mimetype", "application/vnd.oasis.opendocument.text"}, part{"META-INF/manifest.xml", "<manifest/>"},
		part{"content.xml", head + `<o xmlns:text="t" xmlns:table="b"><text:p>` + body + `</text:p></o>`})
}

func sheet(rows string) part {
	return part{"xl/worksheets/sheet1.xml", head + `<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>` + rows + `</sheetData></worksheet>`}
}

// xlsx is a workbook of one sheet.
func xlsx(parts ...part) []byte {
	const main, rel = "http://schemas.openxmlformats.org/spreadsheetml/2006/main", "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
	return zipped(append([]part{
		{"[Content_Types].xml", head + `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>`},
		{"_rels/.rels", head + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="` + rel + `/officeDocument" Target="xl/workbook.xml"/></Relationships>`},
		{"xl/workbook.xml", head + `<workbook xmlns="` + main + `" xmlns:r="` + rel + `"><sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>`},
		{"xl/_rels/workbook.xml.rels", head + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="` + rel + `/worksheet" Target="worksheets/sheet1.xml"/>` +
			`<Relationship Id="rId2" Type="` + rel + `/sharedStrings" Target="sharedStrings.xml"/></Relationships>`},
	}, parts...)...)
}

// archives are bombs, links, and names that are paths.
func archives() []Document {
	const name = "word/document.xml"
	refused := []string{tooLarge, damaged, unsupported}
	return []Document{
		{"a flat bomb of 512 MiB", "a.docx", "", func() []byte { return overlapping(name, 1, 512*MiB) }, []string{tooLarge, damaged}},
		{"a flat bomb beside the text", "a.docx", "", func() []byte {
			return zipped(document(wordy), part{"word/footnotes.xml", strings.Repeat(" ", 80*MiB)})
		}, []string{tooLarge}},
		{"an overlapping bomb of 9,000 parts", "a.docx", "", func() []byte { return overlapping(name, 9_000, 4*MiB) }, []string{text}},
		{"an overlapping bomb of 60,000 parts", "a.docx", "", func() []byte { return overlapping(name, 60_000, 4*MiB) }, []string{tooLarge}},
		{"an archive in archives, 30 deep", "a.zip", "application/zip", nested, []string{unsupported}},
		{"an archive in archives, as a document", "a.docx", "", func() []byte { return docx(part{"word/embeddings/a.zip", string(nested())}) }, []string{text}},
		{"sizes that lie", "a.docx", "", lying, refused},
		{"names that are paths", "a.docx", "", func() []byte {
			return docx(part{"../../../../../../tmp/gatehouse-slip", "slipped"}, part{`..\..\gatehouse-slip`, "slipped"}, part{"/tmp/gatehouse-slip", "slipped"}, part{"word/../../../../tmp/gatehouse-slip", "slipped"},
				part{"//tmp/gatehouse-slip", "slipped"}, part{"C:\\gatehouse-slip", "slipped"}, part{"gatehouse-slip\x00.xml", "slipped"})
		}, []string{text}},
		{"a relationship that is a path", "a.pptx", "", func() []byte {
			return zipped(part{"ppt/presentation.xml", head + `<p:presentation xmlns:p="p" xmlns:r="r"><p:sldIdLst><p:sldId r:id="rId1"/></p:sldIdLst></p:presentation>`},
				part{"ppt/_rels/presentation.xml.rels", `<Relationships><Relationship Id="rId1" Type="x/slide" Target="../../../../etc/passwd"/></Relationships>`})
		}, []string{damaged, text}},
		{"a symbolic link as text", "a.odt", "", func() []byte { return linked("content.xml", "/etc/passwd") }, []string{damaged, unsupported}},
		{"a symbolic link beside the text", "a.docx", "", func() []byte { return linked("word/footnotes.xml", "/etc/passwd") }, []string{damaged, text}},
		{"a device as text", "a.docx", "", func() []byte { return special(name, fs.ModeDevice|fs.ModeCharDevice) }, []string{damaged}},
		{"slides that are one slide", "a.pptx", "", func() []byte {
			return zipped(part{"ppt/presentation.xml", head + `<p:presentation xmlns:p="p" xmlns:r="r"><p:sldIdLst>` + strings.Repeat(`<p:sldId r:id="rId1"/>`, 4000) + `</p:sldIdLst></p:presentation>`},
				part{"ppt/_rels/presentation.xml.rels", `<Relationships><Relationship Id="rId1" Type="x/slide" Target="slides/s.xml"/></Relationships>`},
				part{"ppt/slides/s.xml", `<p:sld xmlns:p="p" xmlns:a="a"><a:p><a:r><a:t>` + strings.Repeat("words ", 100_000) + `</a:t></a:r></a:p></p:sld>`})
		}, []string{text, tooLarge}},
		{"no end of the archive", "a.docx", "", func() []byte { b := docx(); return b[:len(b)-22] }, []string{damaged}},
		{"a directory that says 65,535 parts", "a.docx", "", func() []byte {
			b := docx()
			binary.LittleEndian.PutUint16(b[len(b)-22+10:], 65535)
			return b
		}, []string{damaged, text}},
	}
}

func linked(name, target string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, _ := z.Create("word/document.xml")
	_, _ = w.Write([]byte(document(wordy).text))
	if name == "content.xml" {
		b.Reset()
		z = zip.NewWriter(&b)
		w, _ = z.Create("META-INF/manifest.xml")
		_, _ = w.Write([]byte("<manifest/>"))
	}
	h := &zip.FileHeader{Name: name}
	h.SetMode(fs.ModeSymlink | 0o777)
	w, _ = z.CreateHeader(h)
	_, _ = w.Write([]byte(target))
	_ = z.Close()
	return b.Bytes()
}

func special(name string, mode fs.FileMode) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	h := &zip.FileHeader{Name: name}
	h.SetMode(mode | 0o666)
	w, _ := z.CreateHeader(h)
	_, _ = w.Write([]byte(document(wordy).text))
	_ = z.Close()
	return b.Bytes()
}

// nested is an archive of an archive of … of spaces.
func nested() []byte {
	inner := zipped(part{"a.txt", strings.Repeat(" ", MiB)})
	for range 30 {
		inner = zipped(part{"a.zip", string(inner)}, part{"b.zip", string(inner[:min(len(inner), 4096)])})
	}
	return inner
}

// lying is a document whose directory says that a part is small.
func lying() []byte {
	b := zipped(part{"word/document.xml", strings.Repeat(" ", 64*MiB)})
	at := bytes.LastIndex(b, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(b[at+24:], 10)
	return b
}

// overlapping is an archive whose every part is the same packed bytes (Fifield,
// "A better zip bomb", WOOT 2019): the directory is all that it costs.
func overlapping(first string, parts, size int) []byte {
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, 9)
	sum := crc32.NewIEEE()
	chunk := bytes.Repeat([]byte(" "), MiB)
	for range size / MiB {
		_, _ = w.Write(chunk)
		_, _ = sum.Write(chunk)
	}
	_ = w.Close()
	sizes := make([]byte, 12) // checksum, packed, unpacked
	binary.LittleEndian.PutUint32(sizes, sum.Sum32())
	binary.LittleEndian.PutUint32(sizes[4:], uint32(packed.Len()))
	binary.LittleEndian.PutUint32(sizes[8:], uint32(size))
	var b bytes.Buffer
	b.WriteString("PK\x03\x04\x14\x00\x00\x00\x08\x00\x00\x00\x00\x00")
	b.Write(sizes)
	_ = binary.Write(&b, binary.LittleEndian, []uint16{uint16(len(first)), 0})
	b.WriteString(first)
	b.Write(packed.Bytes())
	start := b.Len()
	for i := range parts {
		name := first
		if i > 0 {
			name = fmt.Sprint("word/", i, ".xml")
		}
		b.WriteString("PK\x01\x02\x14\x00\x14\x00\x00\x00\x08\x00\x00\x00\x00\x00")
		b.Write(sizes)
		_ = binary.Write(&b, binary.LittleEndian, []uint16{uint16(len(name)), 0, 0, 0, 0, 0, 0, 0, 0})
		b.WriteString(name)
	}
	length := b.Len() - start
	b.WriteString("PK\x05\x06\x00\x00\x00\x00")
	_ = binary.Write(&b, binary.LittleEndian, []uint16{uint16(parts), uint16(parts)})
	_ = binary.Write(&b, binary.LittleEndian, []uint32{uint32(length), uint32(start)})
	b.WriteString("\x00\x00")
	return b.Bytes()
}
