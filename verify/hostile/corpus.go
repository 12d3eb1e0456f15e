package hostile

import (
	"bytes"
	"fmt"
	"strings"
)

// Document is one of the corpus.
type Document struct {
	What string // what is the matter with it
	Name string
	Type string // declared
	Body func() []byte
	// Want is the classes of extract that it may end in; "text" means that it may
	// be read.
	Want []string
}

// The classes, as extract spells them.
const (
	text        = "text"
	unsupported = "unsupported"
	encrypted   = "encrypted"
	damaged     = "damaged"
	tooLarge    = "too_large"
	timedOut    = "timed_out"
)

// Corpus is the documents. Each is made when it is asked for, since some are large.
func Corpus() (out []Document) {
	for _, some := range [][]Document{archives(), markup(), pdfs(), streams(), disguises()} {
		out = append(out, some...)
	}
	return append(out, cuts()...)
}

// MiB is what the sizes of bombs are counted in.
const MiB = 1 << 20

func doc(name string, body []byte) func() []byte { return func() []byte { return body } }

// streams are texts without an end in sight.
func streams() []Document {
	long := func(s string, n int) func() []byte { return func() []byte { return bytes.Repeat([]byte(s), n/len(s)) } }
	deep := func(open, close string, n int) func() []byte {
		return func() []byte { return []byte(strings.Repeat(open, n) + "words" + strings.Repeat(close, n)) }
	}
	return []Document{
		{"zero bytes", "a.pdf", "application/pdf", long("x", 0), []string{damaged}},
		{"nothing but zeroes", "a.txt", "text/plain", long("\x00", 8*MiB), []string{unsupported}},
		{"a line of 64 MiB", "a.txt", "text/plain", long("a", 64*MiB), []string{text}},
		{"a line of 32 MiB of UTF-16", "a.txt", "text/plain", func() []byte { return append([]byte("\xff\xfe"), long("\x42\x30", 32*MiB)()...) }, []string{text}},
		{"a cell of 64 MiB", "a.csv", "text/csv", func() []byte { return append([]byte(`a,"`), long("b", 64*MiB)()...) }, []string{text}},
		{"JSON that nests 8 million deep", "a.json", "application/json", deep("[", "]", 8_000_000), []string{text}},
		{"JSON that only opens", "a.json", "application/json", long(`{"a":`, 16*MiB), []string{text}},
		{"JSON of nothing but escapes", "a.json", "application/json", long(`\ud83d`, 16*MiB), []string{text}},
		{"a page that nests 2 million deep", "a.html", "text/html", deep("<div><b>", "</b></div>", 2_000_000), []string{text}},
		{"a page whose tags never close", "a.html", "text/html", func() []byte { return append([]byte("<html>"), long("<a ", 7*MiB)()...) }, []string{text, tooLarge}},
		{"an attribute of 16 MiB", "a.html", "text/html", func() []byte { return append([]byte("<html><p title='"), long("a", 16*MiB)()...) }, []string{tooLarge}},
		{"a comment of 16 MiB", "a.html", "text/html", func() []byte { return append([]byte("<html><!--"), long("-", 16*MiB)()...) }, []string{tooLarge}},
		{"a million entities", "a.html", "text/html", func() []byte {
			return append([]byte("<html><p>"), long("&CounterClockwiseContourIntegral;", 32*MiB)()...)
		}, []string{text, tooLarge}},
		{"a million attributes", "a.html", "text/html", func() []byte { return append([]byte("<html><p "), long("a=b ", 7*MiB)()...) }, []string{text, tooLarge}},
		{"Markdown of nothing but quotes", "a.md", "text/markdown", long("> ", 16*MiB), []string{text}},
		{"more than 100 MiB", "a.txt", "text/plain", long("words ", 101*MiB), []string{tooLarge}},
	}
}

// disguises are documents that say they are something else, or are two things.
func disguises() (out []Document) {
	samples := map[string][]byte{"docx": docx(), "xlsx": xlsx(sheet(`<row r="1"><c r="A1" t="inlineStr"><is><t>words</t></is></c></row>`)), "odt": odt("words"), "pdf": pdf(page("words")),
		"html": []byte("<html><p>words</p></html>"), "txt": []byte("words")}
	for kind, body := range samples {
		for _, declared := range []struct{ name, content string }{{"a.pdf", "application/pdf"}, {"a.png", "image/png"}, {"a.html", "text/html"}, {"a", ""}, {"a.exe", "application/octet-stream"}} {
			out = append(out, Document{kind + " as " + declared.name, declared.name, declared.content, doc("", body), []string{text}})
		}
	}
	join := func(parts ...[]byte) func() []byte { return doc("", bytes.Join(parts, nil)) }
	either := []string{text, unsupported, damaged}
	return append(out,
		Document{"a PDF and an archive", "a.pdf", "application/pdf", join(samples["pdf"], samples["docx"]), either},
		Document{"an archive and a PDF", "a.docx", "", join(samples["docx"], samples["pdf"]), either},
		Document{"a page in front of an archive", "a.html", "text/html", join(samples["html"], samples["docx"]), either},
		Document{"a PDF in a page", "a.html", "text/html", join([]byte("<html><!--"), samples["pdf"], []byte("--><script>alert(1)</script></html>")), either},
		Document{"a program in front of an archive", "a.docx", "", join([]byte("MZ\x90\x00\x03"), make([]byte, 60), samples["docx"]), []string{unsupported}},
		Document{"a picture in front of an archive", "a.docx", "", join([]byte("GIF89a\x01\x00\x01\x00"), samples["docx"]), []string{unsupported}},
		Document{"a script that is a PDF", "a.sh", "", join([]byte("#!/bin/sh\nrm -rf /\n"), samples["pdf"]), either},
	)
}

// cuts are documents that end anywhere.
func cuts() (out []Document) {
	for kind, body := range map[string][]byte{"docx": docx(), "odt": odt("words"), "xlsx": xlsx(sheet(`<row r="1"><c r="A1"><v>1</v></c></row>`)), "pdf": pdf(page("words"))} {
		for i := 1; i <= 12; i++ {
			at := len(body) * i / 13
			out = append(out, Document{fmt.Sprintf("%s cut at %d of %d", kind, at, len(body)), "a." + kind, "", doc("", body[:at]), []string{text, damaged, unsupported}})
		}
	}
	return out
}
