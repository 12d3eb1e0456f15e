// Package extract finds the text in a document: PDF, DOCX, PPTX, XLSX, ODT,
// HTML, Markdown, CSV, JSON, source code and plain text.
//
// Documents come from anybody, and their parsers are large. So a document is
// never parsed here but in a child process, the program's own executable with a
// hidden command ([Child]), which gives up what it could do before it reads the
// first byte (limits_linux.go). The parent ([Extractor]) hands it the document
// as an open file, reads lines of JSON within bounds, and kills it when it is
// late. A document can therefore make its own extraction fail and nothing else.
//
// # What is enforced
//
// Everywhere: wall time, size of the input, size of the output, an empty
// environment, an empty working directory. On Linux also: CPU time, memory
// (RLIMIT_DATA and RLIMIT_AS above what an idle child has), no new file
// descriptor of any kind, so that nothing can be opened and no socket made, no
// byte written to a file, no core dump, and death with the parent. Where the
// kernel grants user namespaces, also an empty network and a root directory
// with nothing in it; [Result].Isolated says whether it did. System calls are
// not filtered.
package extract

import (
	"errors"
	"fmt"
	"time"

	"gatehouse"
)

// Kind is what a document turned out to be.
type Kind string

// The kinds.
const (
	PDF      Kind = "pdf"
	DOCX     Kind = "docx"
	PPTX     Kind = "pptx"
	XLSX     Kind = "xlsx"
	ODT      Kind = "odt"
	HTML     Kind = "html"
	Markdown Kind = "markdown"
	CSV      Kind = "csv"
	JSON     Kind = "json"
	Code     Kind = "code"
	Plain    Kind = "text"
)

// Part is a stretch of a document's text, valid UTF-8 without control
// characters but tab, line and page ends, at most 64 KiB. The document's text
// is its parts joined with nothing between them; a long page, sheet or slide is
// several parts.
type Part struct {
	Page  int    `json:"page,omitempty"`  // of a PDF, from 1
	Slide int    `json:"slide,omitempty"` // of a presentation, from 1
	Sheet string `json:"sheet,omitempty"` // of a workbook, by name
	Text  string `json:"text,omitempty"`
}

// Result is what was learnt about a document whose text is complete.
type Result struct {
	Kind     Kind   `json:"kind"`
	Type     string `json:"type"`     // the content type found by looking, whatever was declared
	Bytes    int64  `json:"bytes"`    // of text; 0 where a document has none, as a scan has not
	Lost     int    `json:"lost"`     // pages of a PDF that could not be read, while others could
	Isolated bool   `json:"isolated"` // the child had neither a network nor a file system
}

// Limits bound one extraction.
type Limits struct {
	Input    int64         // bytes of the document
	Text     int64         // bytes of text
	Memory   int64         // bytes that the child may allocate
	CPU      time.Duration // of the child, in whole seconds
	Wall     time.Duration // while waiting for the child, not for whoever takes the text
	Entries  int           // of an archive
	Inflated int64         // bytes of an archive's parts that are read, unpacked
	Ratio    int64         // unpacked to packed, once 16 MiB are unpacked
}

// DefaultLimits are for documents of the documented 100 MB (wire.md §5), within
// 256 MiB of memory with the child's own needs.
func DefaultLimits() Limits {
	return Limits{Input: 100 << 20, Text: 128 << 20, Memory: 192 << 20, CPU: 30 * time.Second, Wall: time.Minute,
		Entries: 10000, Inflated: 256 << 20, Ratio: 100}
}

// Class says why a document has no text. It is the cause of the errors that
// concern the document, so that errors.Is(err, extract.Encrypted) tells.
type Class string

// The classes.
const (
	Unsupported Class = "unsupported" // of a type that has no text, or none that is read
	Encrypted   Class = "encrypted"   // needs a password
	Damaged     Class = "damaged"     // not what its beginning says
	TooLarge    Class = "too_large"   // a bound was reached; the message names it
	TimedOut    Class = "timed_out"   // CPU or wall time
)

// Error makes a Class usable as the target of [errors.Is].
func (c Class) Error() string { return string(c) }

// ClassOf is the class of err, or empty where the document is not to blame.
func ClassOf(err error) Class {
	var c Class
	errors.As(err, &c)
	return c
}

// fail makes an error of a class, with public words.
func fail(c Class, format string, args ...any) error {
	code := gatehouse.InvalidArgument
	switch c {
	case TooLarge:
		code = gatehouse.ResourceExhausted
	case TimedOut:
		code = gatehouse.DeadlineExceeded
	}
	return gatehouse.Errorf(code, format, args...).Because(c)
}

// damaged is what a library says of a document: for logs, because its words
// are neither for readers nor without parts of the document.
func damaged(detail any) error {
	return gatehouse.Errorf(gatehouse.InvalidArgument, "the document is damaged").Because(&because{Damaged, fmt.Sprintf("%.300q", fmt.Sprint(detail))})
}

// because is a class with a detail for logs.
type because struct {
	class  Class
	detail string
}

func (b *because) Error() string { return string(b.class) + ": " + b.detail }
func (b *because) Unwrap() error { return b.class }
