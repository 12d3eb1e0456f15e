package extract

import (
	"bytes"
	"mime"
	"strings"

	"github.com/gabriel-vasile/mimetype"
)

// byEnding and byType say what kind a text is: content tells a text from a
// picture, but rarely Markdown from a letter.
var (
	byEnding = map[string]Kind{
		".md": Markdown, ".markdown": Markdown, ".mdx": Markdown,
		".html": HTML, ".htm": HTML, ".xhtml": HTML,
		".csv": CSV, ".tsv": CSV,
		".json": JSON, ".jsonl": JSON, ".ndjson": JSON, ".ipynb": JSON, ".geojson": JSON,
		".txt": Plain, ".text": Plain, ".log": Plain, ".rst": Plain, ".org": Plain, ".tex": Plain,
	}
	byType = map[string]Kind{
		"text/markdown": Markdown, "text/html": HTML, "application/xhtml+xml": HTML, "text/csv": CSV, "text/tab-separated-values": CSV,
		"application/json": JSON, "application/x-ndjson": JSON, "application/geo+json": JSON,
	}
)

func init() {
	for _, ending := range strings.Fields(".go .py .js .mjs .cjs .ts .tsx .jsx .java .kt .scala .c .h .cc .cpp .hpp .cs .rs .rb .php .swift .m .pl .lua .r .jl " +
		".sh .bash .zsh .ps1 .bat .sql .proto .graphql .css .scss .less .vue .svelte .xml .xsd .xsl .svg .yaml .yml .toml .ini .cfg .conf .tf .dockerfile .mk .cmake .gradle .ex .exs .erl .hs .ml .clj .dart .zig") {
		byEnding[ending] = Code
	}
}

// sniff says what a document is by its content, and which of the textual kinds
// by its name, its declared type and its content, in this order.
func sniff(s source) (Kind, string, error) {
	if s.size == 0 {
		return "", "", fail(Damaged, "the document is empty")
	}
	head := make([]byte, min(s.size, 3072))
	if n, err := s.ReadAt(head, 0); n < len(head) {
		return "", "", err
	}
	found := mimetype.Detect(head)
	name, _, _ := mime.ParseMediaType(found.String())
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return sniffArchive(s)
	case bytes.HasPrefix(head, []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")):
		return "", "", sniffCompound(s)
	case is(found, "application/pdf"), !known(found) && bytes.Contains(head[:min(len(head), 1024)], []byte("%PDF-")):
		return PDF, "application/pdf", nil
	case name == "text/rtf":
		return "", "", unsupported(name)
	case is(found, "text/plain"):
		return textual(s, name), name, nil
	}
	return "", "", unsupported(name)
}

// known reports whether mimetype knows more than that these are bytes, or text.
func known(m *mimetype.MIME) bool {
	return !m.Is("application/octet-stream") && !is(m, "text/plain")
}

func unsupported(name string) error {
	return fail(Unsupported, "documents of type %s have no text that is read", name)
}

// is reports whether m is of a type, or of one made of it.
func is(m *mimetype.MIME, name string) bool {
	for ; m != nil; m = m.Parent() {
		if m.Is(name) {
			return true
		}
	}
	return false
}

func textual(s source, found string) Kind {
	if k, ok := byEnding[s.Ending]; ok {
		return k
	}
	declared, _, _ := mime.ParseMediaType(s.Type)
	for _, name := range []string{declared, found} {
		if k, ok := byType[name]; ok {
			return k
		}
	}
	return Plain
}

// sniffCompound says why an OLE file is not read: Office writes both its old
// formats and its encrypted documents as such.
func sniffCompound(s source) error {
	wanted := []byte("E\x00n\x00c\x00r\x00y\x00p\x00t\x00e\x00d\x00P\x00a\x00c\x00k\x00a\x00g\x00e\x00")
	buf := make([]byte, 64<<10)
	for at := int64(0); at < s.size; at += int64(len(buf) - len(wanted)) {
		n, _ := s.ReadAt(buf, at)
		if bytes.Contains(buf[:n], wanted) {
			return fail(Encrypted, "the document is encrypted")
		}
		if n < len(buf) {
			break
		}
	}
	return fail(Unsupported, "Office documents of before 2007 are not read: save it as DOCX, XLSX or PPTX")
}
